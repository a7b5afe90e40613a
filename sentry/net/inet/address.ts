// Addresses of AF_INET and AF_INET6: ip(7), ipv6(7). An address is one number: an IPv4 address as itself, also when it
// is mapped into IPv6, and an IPv6 address as a negative one. Only the loopback interface exists, so there are two of
// those that mean something, and the others are names that are kept to be told.

import { EAFNOSUPPORT, EINVAL } from '../../../syscall-table/errno.ts'
import { AF_INET, AF_INET6, AF_UNSPEC } from '../../../syscall-table/flags.ts'

/** 0.0.0.0. */
export const ANY4 = 0
/** 127.0.0.1. */
export const LOOPBACK4 = 0x7f000001
/** ::1. */
export const LOOPBACK6 = -1
/** ::. */
export const ANY6 = -2
/** An IPv6 address that is not kept. */
const FOREIGN6 = -3
/** The numbers of those that are kept begin below this. */
const FIRST_KEPT = -4
/** LIMIT: programs that use more foreign IPv6 addresses than this are told :: in place of further ones. */
const MAX_KEPT = 16384

const kept: Uint8Array[] = []
const keptNumbers = new Map<string, number>()

/** The number of a foreign IPv6 address. */
function numberOf(bytes: Uint8Array, at: number): number {
  const address = bytes.slice(at, at + 16)
  const key = Buffer.from(address).toString('latin1')
  const known = keptNumbers.get(key)
  if (known !== undefined) return known
  if (kept.length >= MAX_KEPT) return FOREIGN6
  const number = FIRST_KEPT - kept.length
  kept.push(address)
  keptNumbers.set(key, number)
  return number
}

const keptAddress = (ip: number): Uint8Array | undefined => kept[FIRST_KEPT - ip]

export const SOCKADDR_IN_SIZE = 16
export const SOCKADDR_IN6_SIZE = 28
/** A sockaddr_in6 without its scope, as RFC 2133 had it. */
const SHORT_IN6_SIZE = 24
const ADDRESS6_AT = 8
const SCOPE_AT = 24

/** What `parseAddress` has found. */
export const parsed = { ip: 0, port: 0, scope: 0 }

export const isV4 = (ip: number): boolean => ip >= 0
export const isAny = (ip: number): boolean => ip === ANY4 || ip === ANY6
/** Whether the address is one of the loopback interface. */
export const isLoopback = (ip: number): boolean => ip === LOOPBACK6 || ip >>> 24 === 127

/** Whether the address is one of a group. */
export const isMulticast = (ip: number): boolean =>
  isV4(ip) ? ip >>> 28 === 14 : keptAddress(ip)?.[0] === 0xff
/** Whether an IPv6 address means something only together with an interface. */
export function needsScope(ip: number): boolean {
  const bytes = isV4(ip) ? undefined : keptAddress(ip)
  if (bytes === undefined) return false
  const linkLocal = bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80
  return linkLocal || (bytes[0] === 0xff && ((bytes[1]! & 15) === 1 || (bytes[1]! & 15) === 2))
}

/** 255.255.255.255. */
export const BROADCAST4 = 0xffffffff
/** Whether the address is that of all machines on the network of lo, or on any. */
export const isBroadcast = (ip: number): boolean => ip === BROADCAST4 || ip === 0x7fffffff

/** sa_family, or -EINVAL when the address is too short for one. */
export function familyOf(address: Uint8Array, length: number): number {
  return length < 2 ? -EINVAL : address[0]! | (address[1]! << 8)
}

/** Read a sockaddr for a socket of `family` into `parsed`. Returns 0 or -errno. */
export function parseAddress(family: number, address: Uint8Array, length: number): number {
  const given = familyOf(address, length)
  if (given < 0) return given
  if (length < (family === AF_INET ? SOCKADDR_IN_SIZE : SHORT_IN6_SIZE)) return -EINVAL
  if (given !== family) {
    // Old programs leave the family of 0.0.0.0 out.
    if (family !== AF_INET || given !== AF_UNSPEC || ip4At(address, 4) !== ANY4)
      return -EAFNOSUPPORT
  }
  parsed.port = (address[2]! << 8) | address[3]!
  parsed.ip = family === AF_INET ? ip4At(address, 4) : ip6At(address)
  const scoped = family === AF_INET6 && length >= SOCKADDR_IN6_SIZE
  parsed.scope = scoped ? address[SCOPE_AT]! | (address[SCOPE_AT + 1]! << 8) : 0
  return 0
}

export function ip4At(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  )
}

/** The number of the IPv6 address at `at`. */
export function ip6At(bytes: Uint8Array, at = ADDRESS6_AT): number {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return numberOf(bytes, at)
  const middle = (bytes[at + 10]! << 8) | bytes[at + 11]!
  const last = ip4At(bytes, at + 12)
  if (middle === 0xffff) return last
  if (middle !== 0 || last > 1) return numberOf(bytes, at)
  return last === 1 ? LOOPBACK6 : ANY6
}

/** Write a sockaddr of `family`; returns its length. */
export function writeAddress(family: number, ip: number, port: number, into: Uint8Array): number {
  const length = family === AF_INET6 ? SOCKADDR_IN6_SIZE : SOCKADDR_IN_SIZE
  into.fill(0, 0, length)
  into[0] = family
  into[2] = port >> 8
  into[3] = port & 255
  if (family === AF_INET) writeIp4(into, 4, ip)
  else writeIp6(into, ADDRESS6_AT, ip)
  return length
}

/** Write the sixteen bytes of an address, in which an IPv4 address is mapped; they are 0 before. */
export function writeIp6(into: Uint8Array, at: number, ip: number): void {
  const bytes = keptAddress(ip)
  if (bytes !== undefined) into.set(bytes, at)
  else if (ip === LOOPBACK6) into[at + 15] = 1
  else if (isV4(ip)) {
    into[at + 10] = into[at + 11] = 255
    writeIp4(into, at + 12, ip)
  }
}

/** Write the four bytes of an IPv4 address. */
export function writeIp4(into: Uint8Array, at: number, ip: number): void {
  into[at] = ip >>> 24
  into[at + 1] = (ip >>> 16) & 255
  into[at + 2] = (ip >>> 8) & 255
  into[at + 3] = ip & 255
}

/** Where a packet to `ip` arrives: the unspecified address means this machine. */
export function destination(ip: number): number {
  if (ip === ANY4) return LOOPBACK4
  return ip === ANY6 ? LOOPBACK6 : ip
}

/** The address that the kernel chooses for a packet to a loopback address. */
export function sourceFor(ip: number): number {
  return isV4(ip) ? LOOPBACK4 : LOOPBACK6
}
