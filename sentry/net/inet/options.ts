// Options of SOL_IP, SOL_IPV6 and SOL_TCP. There are no packets whose headers they could change, so all are
// kept and told, within the bounds that Linux sets.

import { EINVAL, ENOENT, ENOPROTOOPT, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import * as f from '../../../syscall-table/flags.ts'

interface Option {
  initial: number
  least: number
  most: number
}

const MAX_INT = 0x7fffffff
const MIN_INT = -0x80000000
const SWITCH: Option = { initial: 0, least: MIN_INT, most: MAX_INT }
const ON: Option = { initial: 1, least: MIN_INT, most: MAX_INT }
const number = (initial: number, least: number, most: number): Option => ({ initial, least, most })

/** Options by name; those that are SWITCH or ON keep whether the value is not 0. */
const TABLES: Record<number, Map<number, Option>> = {
  [f.SOL_IP]: new Map([
    [f.IP_TOS, number(0, 0, 255)],
    [f.IP_TTL, number(64, -1, 255)],
    [f.IP_MTU_DISCOVER, number(1, 0, 5)],
    [f.IP_RECVERR, SWITCH],
    [f.IP_PKTINFO, SWITCH],
    [f.IP_RECVOPTS, SWITCH],
    [f.IP_RETOPTS, SWITCH],
    [f.IP_RECVTTL, SWITCH],
    [f.IP_RECVTOS, SWITCH],
    [f.IP_MULTICAST_ALL, ON],
    [f.IP_FREEBIND, SWITCH],
    [f.IP_BIND_ADDRESS_NO_PORT, SWITCH],
    [f.IP_MULTICAST_TTL, number(1, -1, 255)],
    [f.IP_MULTICAST_LOOP, ON],
    [f.IP_MINTTL, number(0, 0, 255)],
  ]),
  [f.SOL_IPV6]: new Map([
    [f.IPV6_V6ONLY, SWITCH],
    [f.IPV6_UNICAST_HOPS, number(64, -1, 255)],
    [f.IPV6_MULTICAST_HOPS, number(1, -1, 255)],
    [f.IPV6_MULTICAST_LOOP, ON],
    [f.IPV6_MTU_DISCOVER, number(1, 0, 5)],
    [f.IPV6_RECVERR, SWITCH],
    [f.IPV6_RECVPKTINFO, SWITCH],
    [f.IPV6_RECVHOPLIMIT, SWITCH],
    [f.IPV6_RECVTCLASS, SWITCH],
    [f.IPV6_MULTICAST_ALL, ON],
    [f.IPV6_TCLASS, number(0, -1, 255)],
    [f.IPV6_FREEBIND, SWITCH],
  ]),
  [f.SOL_TCP]: new Map([
    [f.TCP_NODELAY, SWITCH],
    [f.TCP_CORK, SWITCH],
    [f.TCP_QUICKACK, ON],
    [f.TCP_MAXSEG, number(536, 88, 32767)],
    [f.TCP_KEEPIDLE, number(7200, 1, 32767)],
    [f.TCP_KEEPINTVL, number(75, 1, 32767)],
    [f.TCP_KEEPCNT, number(9, 1, 127)],
    [f.TCP_SYNCNT, number(6, 1, 127)],
    [f.TCP_LINGER2, number(60, MIN_INT, MAX_INT)],
    [f.TCP_DEFER_ACCEPT, number(0, MIN_INT, MAX_INT)],
    [f.TCP_WINDOW_CLAMP, number(0, 0, MAX_INT)],
    [f.TCP_USER_TIMEOUT, number(0, 0, MAX_INT)],
    [f.TCP_NOTSENT_LOWAT, number(-1, MIN_INT, MAX_INT)],
  ]),
  [f.SOL_UDPLITE]: new Map([
    [f.UDPLITE_SEND_CSCOV, number(0, MIN_INT, MAX_INT)],
    [f.UDPLITE_RECV_CSCOV, number(0, MIN_INT, MAX_INT)],
  ]),
}

/** sizeof(struct udphdr). */
const UDP_HEADER = 8
const CONGESTION = 'cubic'
/** TCP_CA_NAME_MAX. */
const CONGESTION_SIZE = 16

/** The options of one socket: those that were set, by level and name. */
export class InetOptions {
  readonly #family: number
  readonly #protocol: number
  readonly #values = new Map<number, number>()

  constructor(family: number, protocol: number) {
    this.#family = family
    this.#protocol = protocol
  }

  /** A connection starts with its listener's options. */
  copyFrom(other: InetOptions): void {
    for (const [key, value] of other.#values) this.#values.set(key, value)
  }

  #table(level: number): Map<number, Option> | undefined {
    if (level === f.SOL_IPV6 && this.#family !== f.AF_INET6) return undefined
    if (level === f.SOL_TCP && this.#protocol !== f.IPPROTO_TCP) return undefined
    if (level === f.SOL_UDPLITE && this.#protocol !== f.IPPROTO_UDPLITE) return undefined
    return TABLES[level]
  }

  get(level: number, name: number): number {
    const initial = this.#table(level)?.get(name)?.initial ?? 0
    return this.#values.get(keyOf(level, name)) ?? initial
  }

  /** setsockopt(2): `value[0…length]`. */
  set(level: number, name: number, value: Uint8Array, length: number): number {
    const table = this.#table(level)
    if (table === undefined) return -ENOPROTOOPT
    if (level === f.SOL_TCP && name === f.TCP_CONGESTION) return setCongestion(value, length)
    const option = table.get(name)
    if (option === undefined) return -ENOPROTOOPT
    // The options of IP may be one byte.
    if (length < 4 && (level !== f.SOL_IP || length === 0)) return -EINVAL
    const wanted = length < 4 ? value[0]! : intAt(value)
    if (wanted < option.least || wanted > option.most) return -EINVAL
    if (wanted === 0 && level === f.SOL_IP && name === f.IP_TTL) return -EINVAL
    const key = keyOf(level, name)
    if (option === SWITCH || option === ON) this.#values.set(key, wanted === 0 ? 0 : 1)
    else if (wanted === -1 && option.least === -1) this.#values.delete(key)
    else if (level === f.SOL_UDPLITE) this.#values.set(key, coverage(wanted))
    else this.#values.set(key, wanted)
    return 0
  }

  /** getsockopt(2): fills `into`, returns the length. */
  read(level: number, name: number, into: Uint8Array): number {
    const table = this.#table(level)
    if (table === undefined) return this.#unknownLevel(level)
    if (level === f.SOL_TCP && name === f.TCP_CONGESTION) {
      into.fill(0, 0, CONGESTION_SIZE)
      into.set(Buffer.from(CONGESTION))
      return CONGESTION_SIZE
    }
    if (!table.has(name)) return -ENOPROTOOPT
    const value = this.get(level, name)
    for (let i = 0; i < 4; i++) into[i] = value >> (8 * i)
    return 4
  }

  #unknownLevel(level: number): number {
    return level === f.SOL_TCP || level === f.SOL_UDP ? -ENOPROTOOPT : -EOPNOTSUPP
  }
}

/** How much of a packet a checksum covers: nothing less than its header, 0 for all of it. udp_lib_setsockopt. */
function coverage(wanted: number): number {
  return wanted === 0 ? 0 : Math.min(Math.max(wanted, UDP_HEADER), 0xffff)
}

const keyOf = (level: number, name: number): number => level * 65536 + name

function intAt(value: Uint8Array): number {
  return value[0]! | (value[1]! << 8) | (value[2]! << 16) | (value[3]! << 24)
}

/** There is one algorithm, as where no other module is loaded. */
function setCongestion(value: Uint8Array, length: number): number {
  if (length < 1) return -EINVAL
  const name = Buffer.from(value.subarray(0, Math.min(length, CONGESTION_SIZE - 1))).toString(
    'latin1',
  )
  return name.split('\0')[0] === CONGESTION ? 0 : -ENOENT
}
