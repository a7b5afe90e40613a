// Options of SOL_IP, SOL_IPV6, SOL_TCP and SOL_UDP: do_ip_setsockopt, do_ipv6_setsockopt, do_tcp_setsockopt. What they would
// change in the headers of packets is told to receivers who ask for it; all are kept within the bounds that Linux sets.

import { EINVAL, ENOENT, ENOPROTOOPT, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import * as f from '../../../syscall-table/flags.ts'
import { EMPTY, intOf, MAX_INT, MIN_INT, NUMBERS, type Option, SWITCHES } from './option-tables.ts'

/** sizeof(struct udphdr). */
const UDP_HEADER = 8
const CONGESTION_DEFAULT = 'cubic'
/** net.ipv4.tcp_allowed_congestion_control. */
const CONGESTION = new Set([CONGESTION_DEFAULT, 'reno'])
/** TCP_CA_NAME_MAX. */
const CONGESTION_SIZE = 16
/** TCP_FIN_TIMEOUT_MAX and the sysctl tcp_fin_timeout. */
const MAX_LINGER = 120
const FIN_TIMEOUT = 60
const MIN_CLAMP = 1152
const SOMAXCONN = 4096
/** The bits of the traffic class that a stream's own congestion control uses. */
const ECN = 3

/** The options of one socket: those that were set, by level and name. */
export class InetOptions {
  readonly #family: number
  readonly #protocol: number
  readonly #values = new Map<number, number>()
  #congestion = CONGESTION_DEFAULT

  constructor(family: number, protocol: number) {
    this.#family = family
    this.#protocol = protocol
    // Linux leaves this one off where it prepares a socket of IPv6.
    if (family === f.AF_INET6) this.#values.set(keyOf(f.SOL_IP, f.IP_MULTICAST_ALL), 0)
  }

  /** A connection starts with its listener's options. */
  copyFrom(other: InetOptions): void {
    for (const [key, value] of other.#values) this.#values.set(key, value)
    this.#congestion = other.#congestion
  }

  /** Whether the socket has options of a level at all. */
  #has(level: number): boolean {
    switch (level) {
      case f.SOL_IP:
        return true
      case f.SOL_IPV6:
        return this.#family === f.AF_INET6
      case f.SOL_TCP:
        return this.#protocol === f.IPPROTO_TCP
      case f.SOL_UDP:
        return this.#protocol === f.IPPROTO_UDP || this.#protocol === f.IPPROTO_UDPLITE
      default:
        return false
    }
  }

  /** The sockets of both protocols have the options of both levels. */
  #levelOf(level: number): number {
    return level === f.SOL_UDPLITE ? f.SOL_UDP : level
  }

  #option(level: number, name: number): Option | undefined {
    const key = keyOf(level, name)
    const initial = SWITCHES.get(key)
    return initial === undefined ? NUMBERS.get(key) : SWITCH[initial]
  }

  get(level: number, name: number): number {
    if (!this.#has(level)) return 0
    return this.#values.get(keyOf(level, name)) ?? this.#option(level, name)?.initial ?? 0
  }

  on(level: number, name: number): boolean {
    return this.get(level, name) !== 0
  }

  /** setsockopt(2): `value[0…length]`. */
  set(given: number, name: number, value: Uint8Array, length: number): number {
    const level = this.#levelOf(given)
    if (!this.#has(level)) return -ENOPROTOOPT
    const ofUdpLite = name === f.UDPLITE_SEND_CSCOV || name === f.UDPLITE_RECV_CSCOV
    if (level === f.SOL_UDP && ofUdpLite && this.#protocol !== f.IPPROTO_UDPLITE)
      return length < 4 ? -EINVAL : -ENOPROTOOPT
    if (level === f.SOL_TCP && name === f.TCP_CONGESTION) return this.#setCongestion(value, length)
    if (level === f.SOL_TCP && name === f.TCP_ULP) return length < 1 ? -EINVAL : -ENOENT
    const option = this.#option(level, name)
    const least =
      option?.empty === true || EMPTY.has(keyOf(level, name)) ? 0 : level === f.SOL_IP ? 1 : 4
    if (option === undefined && level === f.SOL_IP) return -ENOPROTOOPT
    if (length < least) return -EINVAL
    if (option === undefined) return -ENOPROTOOPT
    const wanted = length < 4 ? shortValue(level, value, length) : intOf(value)
    const key = keyOf(level, name)
    if (SWITCHES.has(key)) {
      this.#values.set(key, wanted === 0 ? 0 : 1)
      return 0
    }
    const fit = this.#fit(level, name, wanted)
    if (fit < option.least || fit > option.most) return -EINVAL
    if (fit === -1 && option.least === -1) this.#values.delete(key)
    else this.#values.set(key, fit)
    return 0
  }

  /** What becomes of a value; one outside of the option's bounds is refused. */
  #fit(level: number, name: number, wanted: number): number {
    if (level === f.SOL_IP) return fitIp(name, wanted, this.#protocol === f.IPPROTO_TCP)
    if (level === f.SOL_TCP) return fitTcp(name, wanted)
    if (level === f.SOL_UDP) return coverage(wanted)
    const stream = this.#protocol === f.IPPROTO_TCP
    return name === f.IPV6_TCLASS && stream && wanted > 0 && wanted < 256 ? wanted & ~ECN : wanted
  }

  /** getsockopt(2): fills `into`, returns the length. */
  read(given: number, name: number, into: Uint8Array, room: number): number {
    const level = this.#levelOf(given)
    if (!this.#has(level)) return this.#unknownLevel()
    if (level === f.SOL_TCP && name === f.TCP_CONGESTION) {
      into.fill(0, 0, CONGESTION_SIZE)
      into.set(Buffer.from(this.#congestion))
      return CONGESTION_SIZE
    }
    const none =
      level === f.SOL_TCP ? name === f.TCP_ULP : level === f.SOL_IP && name === f.IP_OPTIONS
    if (none) return 0
    if (this.#option(level, name) === undefined) return -ENOPROTOOPT
    const value = this.get(level, name)
    for (let i = 0; i < 4; i++) into[i] = value >> (8 * i)
    // Options of IP are bytes to those who have no room for more.
    return level === f.SOL_IP && room < 4 && room > 0 && value >= 0 && value < 256 ? 1 : 4
  }

  #unknownLevel(): number {
    return this.#family === f.AF_INET ? -EOPNOTSUPP : -ENOPROTOOPT
  }

  #setCongestion(value: Uint8Array, length: number): number {
    if (length < 1) return -EINVAL
    const bytes = value.subarray(0, Math.min(length, CONGESTION_SIZE - 1))
    const name = Buffer.from(bytes).toString('latin1').split('\0')[0]!
    if (!CONGESTION.has(name)) return -ENOENT
    this.#congestion = name
    return 0
  }
}

const SWITCH: readonly [Option, Option] = [
  { initial: 0, least: MIN_INT, most: MAX_INT },
  { initial: 1, least: MIN_INT, most: MAX_INT },
]

const keyOf = (level: number, name: number): number => level * 65536 + name

const shortValue = (level: number, value: Uint8Array, length: number): number =>
  level === f.SOL_IP && length > 0 ? value[0]! : 0

function fitIp(name: number, wanted: number, stream: boolean): number {
  if (name === f.IP_TOS) return stream ? wanted & 0xff & ~ECN : wanted & 0xff
  // No packet may start out dead.
  return name === f.IP_TTL && wanted === 0 ? MIN_INT : wanted
}

function fitTcp(name: number, wanted: number): number {
  switch (name) {
    case f.TCP_LINGER2:
      if (wanted < 0) return -1
      return wanted === 0 ? FIN_TIMEOUT : Math.min(wanted, MAX_LINGER)
    case f.TCP_DEFER_ACCEPT:
      return deferral(wanted)
    case f.TCP_WINDOW_CLAMP:
      return wanted === 0 ? 0 : Math.max(wanted, MIN_CLAMP)
    case f.TCP_FASTOPEN:
      return wanted < 0 ? MIN_INT : Math.min(wanted, SOMAXCONN)
    case f.TCP_MAXSEG:
      return wanted === 0 ? DEFAULT_SEGMENT : wanted
    default:
      return wanted
  }
}

/** TCP_MSS_DEFAULT: of a socket without a connection. */
const DEFAULT_SEGMENT = 536
const RTO_MAX = 120

/** The seconds that so many repeated SYN-ACKs take as `wanted` asks for: secs_to_retrans and back. */
function deferral(wanted: number): number {
  if (wanted <= 0) return 0
  let step = 1
  let period = 1
  for (let count = 1; wanted > period && count < 255; count++) {
    step = Math.min(step * 2, RTO_MAX)
    period += step
  }
  return period
}

/** How much of a packet a checksum covers: nothing less than its header, 0 for all of it. udp_lib_setsockopt. */
function coverage(wanted: number): number {
  return wanted === 0 ? 0 : Math.min(Math.max(wanted, UDP_HEADER), 0xffff)
}
