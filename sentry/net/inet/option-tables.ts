// The options that InetOptions keeps, by level and name: switches, which hold whether the value is not 0, and numbers.

import * as f from '../../../syscall-table/flags.ts'

export interface Option {
  initial: number
  least: number
  most: number
  /** Whether Linux takes no value at all for 0. */
  empty?: boolean
}

export const MAX_INT = 0x7fffffff
export const MIN_INT = -0x80000000

export function intOf(value: Uint8Array, at = 0): number {
  return value[at]! | (value[at + 1]! << 8) | (value[at + 2]! << 16) | (value[at + 3]! << 24)
}

/** [name, initial value] of switches. */
const IP_SWITCHES: readonly (readonly [number, 0 | 1])[] = [
  [f.IP_RECVERR, 0],
  [f.IP_PKTINFO, 0],
  [f.IP_RECVOPTS, 0],
  [f.IP_RETOPTS, 0],
  [f.IP_RECVTTL, 0],
  [f.IP_RECVTOS, 0],
  [f.IP_RECVORIGDSTADDR, 0],
  [f.IP_RECVFRAGSIZE, 0],
  [f.IP_CHECKSUM, 0],
  [f.IP_PASSSEC, 0],
  [f.IP_FREEBIND, 0],
  [f.IP_TRANSPARENT, 0],
  [f.IP_BIND_ADDRESS_NO_PORT, 0],
  [f.IP_MULTICAST_LOOP, 1],
]

const IPV6_SWITCHES: readonly (readonly [number, 0 | 1])[] = [
  [f.IPV6_V6ONLY, 0],
  [f.IPV6_RECVERR, 0],
  [f.IPV6_RECVPKTINFO, 0],
  [f.IPV6_RECVHOPLIMIT, 0],
  [f.IPV6_RECVTCLASS, 0],
  [f.IPV6_RECVORIGDSTADDR, 0],
  [f.IPV6_RECVHOPOPTS, 0],
  [f.IPV6_RECVRTHDR, 0],
  [f.IPV6_RECVDSTOPTS, 0],
  [f.IPV6_RECVPATHMTU, 0],
  [f.IPV6_RECVFRAGSIZE, 0],
  [f.IPV6_DONTFRAG, 0],
  [f.IPV6_AUTOFLOWLABEL, 1],
  [f.IPV6_TRANSPARENT, 0],
  [f.IPV6_FREEBIND, 0],
]

const TCP_SWITCHES: readonly (readonly [number, 0 | 1])[] = [
  [f.TCP_NODELAY, 0],
  [f.TCP_CORK, 0],
  [f.TCP_QUICKACK, 1],
]

const UDP_SWITCHES: readonly (readonly [number, 0 | 1])[] = [[f.UDP_CORK, 0]]

const number = (initial: number, least: number, most: number, empty = false): Option => ({
  initial,
  least,
  most,
  empty,
})

const IP_NUMBERS: readonly (readonly [number, Option])[] = [
  [f.IP_TOS, number(0, 0, 255, true)],
  [f.IP_TTL, number(64, -1, 255)],
  [f.IP_MTU_DISCOVER, number(1, 0, 5, true)],
  [f.IP_MULTICAST_ALL, number(1, 0, 1)],
  [f.IP_MULTICAST_TTL, number(1, -1, 255)],
  [f.IP_MINTTL, number(0, 0, 255)],
  [f.IP_RECVERR_RFC4884, number(0, 0, 1, true)],
]

const IPV6_NUMBERS: readonly (readonly [number, Option])[] = [
  [f.IPV6_UNICAST_HOPS, number(64, -1, 255)],
  [f.IPV6_MULTICAST_HOPS, number(1, -1, 255)],
  [f.IPV6_MULTICAST_LOOP, number(1, 0, 1)],
  [f.IPV6_MULTICAST_ALL, number(1, 0, 1)],
  [f.IPV6_MTU_DISCOVER, number(1, 0, 5)],
  [f.IPV6_TCLASS, number(0, -1, 255)],
  [f.IPV6_MINHOPCOUNT, number(0, 0, 255)],
  [f.IPV6_RECVERR_RFC4884, number(0, 0, 1)],
]

const TCP_NUMBERS: readonly (readonly [number, Option])[] = [
  [f.TCP_MAXSEG, number(536, 88, 32767)],
  [f.TCP_KEEPIDLE, number(7200, 1, 32767)],
  [f.TCP_KEEPINTVL, number(75, 1, 32767)],
  [f.TCP_KEEPCNT, number(9, 1, 127)],
  [f.TCP_SYNCNT, number(6, 1, 127)],
  [f.TCP_LINGER2, number(60, MIN_INT, MAX_INT)],
  [f.TCP_DEFER_ACCEPT, number(0, 0, MAX_INT)],
  [f.TCP_WINDOW_CLAMP, number(0, 0, MAX_INT)],
  [f.TCP_USER_TIMEOUT, number(0, 0, MAX_INT)],
  [f.TCP_NOTSENT_LOWAT, number(0, MIN_INT, MAX_INT)],
  [f.TCP_FASTOPEN, number(0, 0, MAX_INT)],
  [f.TCP_THIN_LINEAR_TIMEOUTS, number(0, 0, 1)],
  [f.TCP_RTO_MAX_MS, number(120_000, 1000, 120_000)],
]

const UDP_NUMBERS: readonly (readonly [number, Option])[] = [
  [f.UDPLITE_SEND_CSCOV, number(0, MIN_INT, MAX_INT)],
  [f.UDPLITE_RECV_CSCOV, number(0, MIN_INT, MAX_INT)],
]

function byKey<T>(tables: [number, readonly (readonly [number, T])[]][]): Map<number, T> {
  const all = new Map<number, T>()
  for (const [level, rows] of tables)
    for (const [name, what] of rows) all.set(level * 65536 + name, what)
  return all
}

/** Initial values, by level and name. */
export const SWITCHES = byKey<0 | 1>([
  [f.SOL_IP, IP_SWITCHES],
  [f.SOL_IPV6, IPV6_SWITCHES],
  [f.SOL_TCP, TCP_SWITCHES],
  [f.SOL_UDP, UDP_SWITCHES],
])

export const NUMBERS = byKey<Option>([
  [f.SOL_IP, IP_NUMBERS],
  [f.SOL_IPV6, IPV6_NUMBERS],
  [f.SOL_TCP, TCP_NUMBERS],
  [f.SOL_UDP, UDP_NUMBERS],
])

/** Switches for which no value at all is 0. */
export const EMPTY = new Set([
  ...[
    f.IP_RECVERR,
    f.IP_PKTINFO,
    f.IP_RECVOPTS,
    f.IP_RETOPTS,
    f.IP_RECVTTL,
    f.IP_RECVTOS,
    f.IP_RECVORIGDSTADDR,
    f.IP_RECVFRAGSIZE,
    f.IP_CHECKSUM,
    f.IP_PASSSEC,
    f.IP_BIND_ADDRESS_NO_PORT,
  ].map(name => f.SOL_IP * 65536 + name),
  ...[f.IPV6_DONTFRAG, f.IPV6_AUTOFLOWLABEL, f.IPV6_RECVFRAGSIZE].map(
    name => f.SOL_IPV6 * 65536 + name,
  ),
])
