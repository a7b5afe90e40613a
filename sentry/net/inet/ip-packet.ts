// The bytes of packets, for sockets that see or make them: RFC 791, RFC 8200, RFC 768, RFC 1071.

import { IPPROTO_UDP } from '../../../syscall-table/flags.ts'
import { ip4At, ip6At, isV4, writeIp4, writeIp6 } from './address.ts'

export const IP_HEADER_SIZE = 20
export const IP6_HEADER_SIZE = 40
export const UDP_HEADER_SIZE = 8
const DONT_FRAGMENT = 0x40

/** What is to be written into a header, or has been read from one. */
export interface IpFields {
  protocol: number
  from: number
  to: number
  ttl: number
  tos: number
}

/** A packet as it has come: its fields and where its payload begins. */
export interface IpPacket extends IpFields {
  bytes: Uint8Array
  payloadAt: number
}

/** The sum of 16-bit words of `bytes[from…to]`, not folded. */
function sumOf(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0
  for (let i = from; i < to; i += 2) sum += (bytes[i]! << 8) | (i + 1 < to ? bytes[i + 1]! : 0)
  return sum
}

/** The internet checksum of a sum. */
function fold(sum: number): number {
  let folded = sum
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000)
  return ~folded & 0xffff
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8
  bytes[at + 1] = value & 255
}

const get16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!

/** Write the checksum of `bytes[from…to]` at `at` in it, where there are zeros now. */
export function writeChecksum(bytes: Uint8Array, at: number, from: number, to: number): void {
  put16(bytes, at, fold(sumOf(bytes, from, to)))
}

/** Write the checksum that also covers the addresses, of the packet's payload, at `at` in the payload. */
export function writePseudoChecksum(packet: IpPacket, at: number): void {
  const { bytes, payloadAt, protocol } = packet
  const addresses = new Uint8Array(32)
  if (isV4(packet.to)) {
    writeIp4(addresses, 0, packet.from)
    writeIp4(addresses, 4, packet.to)
  } else {
    writeIp6(addresses, 0, packet.from)
    writeIp6(addresses, 16, packet.to)
  }
  const length = bytes.length - payloadAt
  const sum = sumOf(addresses, 0, 32) + length + protocol + sumOf(bytes, payloadAt, bytes.length)
  put16(bytes, payloadAt + at, fold(sum))
}

/** A packet around a payload; IPv4 or IPv6 by its addresses. */
export function buildPacket(fields: IpFields, payload: Uint8Array): IpPacket {
  const v4 = isV4(fields.to)
  const payloadAt = v4 ? IP_HEADER_SIZE : IP6_HEADER_SIZE
  const bytes = new Uint8Array(payloadAt + payload.length)
  if (v4) {
    bytes[0] = 0x45
    bytes[1] = fields.tos
    put16(bytes, 2, bytes.length)
    bytes[6] = DONT_FRAGMENT
    bytes[8] = fields.ttl
    bytes[9] = fields.protocol
    writeIp4(bytes, 12, fields.from)
    writeIp4(bytes, 16, fields.to)
    writeChecksum(bytes, 10, 0, IP_HEADER_SIZE)
  } else {
    bytes[0] = 0x60 | (fields.tos >> 4)
    bytes[1] = (fields.tos & 15) << 4
    put16(bytes, 4, payload.length)
    bytes[6] = fields.protocol
    bytes[7] = fields.ttl
    writeIp6(bytes, 8, fields.from)
    writeIp6(bytes, 24, fields.to)
  }
  bytes.set(payload, payloadAt)
  return { ...fields, bytes, payloadAt }
}

/** The packet in these bytes, as a receiver checks it: undefined for one that it drops. */
export function parsePacket(bytes: Uint8Array): IpPacket | undefined {
  const version = (bytes[0] ?? 0) >> 4
  if (version === 6) return parse6(bytes)
  if (version !== 4 || bytes.length < IP_HEADER_SIZE) return undefined
  const payloadAt = (bytes[0]! & 15) * 4
  const length = get16(bytes, 2)
  if (payloadAt < IP_HEADER_SIZE || length < payloadAt || length > bytes.length) return undefined
  if (fold(sumOf(bytes, 0, payloadAt)) !== 0) return undefined
  return {
    protocol: bytes[9]!,
    from: ip4At(bytes, 12),
    to: ip4At(bytes, 16),
    ttl: bytes[8]!,
    tos: bytes[1]!,
    bytes: bytes.subarray(0, length),
    payloadAt,
  }
}

/** LIMIT: extension headers are not followed; what is in such a packet is seen as of their protocol. */
function parse6(bytes: Uint8Array): IpPacket | undefined {
  if (bytes.length < IP6_HEADER_SIZE) return undefined
  const length = IP6_HEADER_SIZE + get16(bytes, 4)
  if (length > bytes.length) return undefined
  return {
    protocol: bytes[6]!,
    from: ip6At(bytes, 8),
    to: ip6At(bytes, 24),
    ttl: bytes[7]!,
    tos: ((bytes[0]! & 15) << 4) | (bytes[1]! >> 4),
    bytes: bytes.subarray(0, length),
    payloadAt: IP6_HEADER_SIZE,
  }
}

/** A UDP packet. */
export function buildUdp(
  fields: IpFields,
  fromPort: number,
  toPort: number,
  data: Uint8Array,
): IpPacket {
  const payload = new Uint8Array(UDP_HEADER_SIZE + data.length)
  put16(payload, 0, fromPort)
  put16(payload, 2, toPort)
  put16(payload, 4, payload.length)
  payload.set(data, UDP_HEADER_SIZE)
  const packet = buildPacket({ ...fields, protocol: IPPROTO_UDP }, payload)
  writePseudoChecksum(packet, 6)
  return packet
}

/** The ports and the data of a UDP packet; undefined for a broken one. */
export function parseUdp(
  packet: IpPacket,
): { fromPort: number; toPort: number; data: Uint8Array } | undefined {
  const { bytes, payloadAt } = packet
  if (bytes.length < payloadAt + UDP_HEADER_SIZE) return undefined
  const length = get16(bytes, payloadAt + 4)
  if (length < UDP_HEADER_SIZE || payloadAt + length > bytes.length) return undefined
  return {
    fromPort: get16(bytes, payloadAt),
    toPort: get16(bytes, payloadAt + 2),
    data: bytes.slice(payloadAt + UDP_HEADER_SIZE, payloadAt + length),
  }
}
