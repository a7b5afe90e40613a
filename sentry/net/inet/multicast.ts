// Groups that a socket has joined on lo: net/ipv4/igmp.c, net/ipv6/mcast.c, and the options of ip(7) and ipv6(7) for them.

import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EINVAL,
  ENOBUFS,
  ENODEV,
  ENOPROTOOPT,
  EPROTO,
} from '../../../syscall-table/errno.ts'
import * as f from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import { ANY4, ip4At, ip6At, isLoopback, isMulticast, isV4, writeIp4 } from './address.ts'
import { interfaceName } from './interface.ts'
import { intOf } from './option-tables.ts'

const LO = 1
/** net.ipv4.igmp_max_memberships and igmp_max_msf. */
const MAX_MEMBERSHIPS = 20
const MAX_SOURCES = 10
/** IPv6 bounds memberships by their memory only. */
const MAX_MEMBERSHIPS6 = 1024
/** 224.0.0.1: every machine is in this group. */
const ALL_HOSTS = 0xe0000001
const INCLUDE = 1
const EXCLUDE = 0

interface Membership {
  group: number
  mode: number
  /** Sources that are let in (INCLUDE) or kept out (EXCLUDE). */
  readonly sources: Set<number>
}

/** How many sockets are in each group. */
const counts = new WeakMap<NetNamespace, Map<number, number>>()

function count(net: NetNamespace, group: number, change: number): void {
  const groups = counts.get(net) ?? new Map<number, number>()
  counts.set(net, groups)
  const n = (groups.get(group) ?? 0) + change
  if (n > 0) groups.set(group, n)
  else groups.delete(group)
}

/** Whether packets to a group are taken from lo at all: ip_check_mc_rcu. */
export function isJoined(net: NetNamespace, group: number): boolean {
  return group === ALL_HOSTS || (counts.get(net)?.has(group) ?? false)
}

/** The index of the interface that a request names by number or address; 0 for an unnamed one, -1 for a wrong one. */
function interfaceOf(index: number, address: number): number {
  if (index !== 0) return interfaceName(index) === undefined ? -1 : index
  if (address === ANY4) return 0
  return isLoopback(address) ? LO : -1
}

/** The multicast side of one socket. */
export class Multicast {
  readonly #net: NetNamespace
  readonly #stream: boolean
  readonly #joined: Membership[] = []
  /** Where packets to groups go, and the address that they come from: IP_MULTICAST_IF, IPV6_MULTICAST_IF. */
  index = 0
  index6 = 0
  address = ANY4

  constructor(net: NetNamespace, stream: boolean) {
    this.#net = net
    this.#stream = stream
  }

  /** Whether a packet from `source` to `group` is for the socket; `all` says it of groups that it is not in. */
  accepts(group: number, source: number, all: boolean): boolean {
    const found = this.#joined.find(each => each.group === group)
    if (found === undefined) return all
    return found.sources.has(source) === (found.mode === INCLUDE)
  }

  leaveAll(): void {
    for (const { group } of this.#joined.splice(0)) count(this.#net, group, -1)
  }

  /** setsockopt(2), undefined for an option that is no business of groups. */
  set(level: number, name: number, value: Uint8Array, length: number): number | undefined {
    if (level === f.SOL_IPV6) return this.#set6(name, value, length)
    if (level !== f.SOL_IP) return undefined
    switch (name) {
      case f.IP_MULTICAST_IF:
        return this.#setInterface(value, length)
      case f.IP_ADD_MEMBERSHIP:
      case f.IP_DROP_MEMBERSHIP: {
        if (this.#stream) return -EPROTO
        if (length < 8) return -EINVAL
        const [group, address] = [ip4At(value, 0), ip4At(value, 4)]
        const index = length >= 12 ? intOf(value, 8) : 0
        return name === f.IP_ADD_MEMBERSHIP
          ? this.#join(group, index, address)
          : this.#leave(group, index, address)
      }
      case f.IP_ADD_SOURCE_MEMBERSHIP:
      case f.IP_DROP_SOURCE_MEMBERSHIP:
      case f.IP_BLOCK_SOURCE:
      case f.IP_UNBLOCK_SOURCE: {
        if (length !== 12) return -EINVAL
        const [group, address, source] = [ip4At(value, 0), ip4At(value, 4), ip4At(value, 8)]
        return this.#source(ACTIONS[name]!, group, 0, address, source)
      }
      default:
        return this.#setByRequest(name, value, length, f.AF_INET)
    }
  }

  #set6(name: number, value: Uint8Array, length: number): number | undefined {
    switch (name) {
      case f.IPV6_MULTICAST_IF: {
        if (length < 4) return -EINVAL
        if (this.#stream) return -ENOPROTOOPT
        const index = intOf(value)
        if (index !== 0 && interfaceName(index) === undefined) return -ENODEV
        this.index6 = index
        return 0
      }
      case f.IPV6_ADD_MEMBERSHIP:
      case f.IPV6_DROP_MEMBERSHIP: {
        if (length < 20) return -EINVAL
        if (this.#stream) return -EPROTO
        const [group, index] = [ip6At(value, 0), intOf(value, 16)]
        return name === f.IPV6_ADD_MEMBERSHIP
          ? this.#join(group, index, ANY4)
          : this.#leave(group, index, ANY4)
      }
      default:
        return this.#setByRequest(name, value, length, f.AF_INET6)
    }
  }

  /** The options with an interface's number and sockaddrs: struct group_req, struct group_source_req. */
  #setByRequest(
    name: number,
    value: Uint8Array,
    length: number,
    family: number,
  ): number | undefined {
    const simple = name === f.MCAST_JOIN_GROUP || name === f.MCAST_LEAVE_GROUP
    const action = ACTIONS[name]
    if (!simple && action === undefined) return undefined
    if (length < (simple ? GROUP_REQ_SIZE : GROUP_SOURCE_REQ_SIZE)) return -EINVAL
    const index = intOf(value)
    const group = addressAt(value, GROUP_AT, family)
    if (group === undefined) return -EINVAL
    if (name === f.MCAST_JOIN_GROUP) return this.#join(group, index, ANY4)
    if (name === f.MCAST_LEAVE_GROUP) return this.#leave(group, index, ANY4)
    const source = addressAt(value, SOURCE_AT, family)
    if (source === undefined) return -EADDRNOTAVAIL
    return this.#source(action!, group, index, ANY4, source)
  }

  #setInterface(value: Uint8Array, length: number): number {
    if (this.#stream || length < 4) return -EINVAL
    const [address, index] =
      length >= 12 ? [ip4At(value, 4), intOf(value, 8)] : [ip4At(value, length >= 8 ? 4 : 0), 0]
    const found = interfaceOf(index, address)
    if (found < 0) return -EADDRNOTAVAIL
    this.index = found
    this.address = found === 0 ? ANY4 : address
    return 0
  }

  #join(group: number, index: number, address: number, mode = EXCLUDE): number {
    if (!isMulticast(group)) return -EINVAL
    // Without a name, the route to the group decides: lo has none.
    if (interfaceOf(index, address) <= 0) return -ENODEV
    if (this.#joined.some(each => each.group === group)) return -EADDRINUSE
    const most = isV4(group) ? MAX_MEMBERSHIPS : MAX_MEMBERSHIPS6
    if (this.#joined.filter(each => isV4(each.group) === isV4(group)).length >= most)
      return -ENOBUFS
    this.#joined.push({ group, mode, sources: new Set() })
    count(this.#net, group, 1)
    return 0
  }

  #leave(group: number, index: number, address: number): number {
    if (!isV4(group)) {
      if (!isMulticast(group)) return -EINVAL
    } else if (index === 0 && address === ANY4) {
      // Linux looks for the route to the group, and finds none.
      return -ENODEV
    }
    const named = isV4(group) ? interfaceOf(index, address) : index || LO
    const at = this.#joined.findIndex(each => each.group === group && named === LO)
    if (at < 0) return -EADDRNOTAVAIL
    this.#joined.splice(at, 1)
    count(this.#net, group, -1)
    return 0
  }

  /** ip_mc_source: let a source in or keep it out. */
  #source(action: Action, group: number, index: number, address: number, source: number): number {
    if (!isMulticast(group)) return -EINVAL
    if (action.joins) {
      const n = this.#join(group, index, address, INCLUDE)
      if (n < 0 && n !== -EADDRINUSE) return n
    }
    if (interfaceOf(index, address) <= 0) return -ENODEV
    const found = this.#joined.find(each => each.group === group)
    if (found === undefined) return -EINVAL
    const { sources } = found
    if (sources.size > 0 && found.mode !== action.mode) return -EINVAL
    found.mode = action.mode
    if (!action.adds) {
      if (!sources.has(source)) return -EADDRNOTAVAIL
      // Nobody left to hear.
      if (sources.size === 1 && action.mode === INCLUDE) {
        this.#joined.splice(this.#joined.indexOf(found), 1)
        count(this.#net, group, -1)
      }
      sources.delete(source)
      return 0
    }
    if (sources.has(source)) return -EADDRNOTAVAIL
    if (sources.size >= MAX_SOURCES) return -ENOBUFS
    sources.add(source)
    return 0
  }

  /** getsockopt(2), undefined for an option that is no business of groups. */
  get(level: number, name: number, into: Uint8Array): number | undefined {
    if (level === f.SOL_IP && name === f.IP_MULTICAST_IF) {
      writeIp4(into, 0, this.address)
      return 4
    }
    if (level !== f.SOL_IPV6 || name !== f.IPV6_MULTICAST_IF) return undefined
    new DataView(into.buffer, into.byteOffset).setInt32(0, this.index6, true)
    return 4
  }
}

interface Action {
  mode: number
  adds: boolean
  joins: boolean
}

const ACTIONS: Record<number, Action> = {
  [f.IP_ADD_SOURCE_MEMBERSHIP]: { mode: INCLUDE, adds: true, joins: true },
  [f.IP_DROP_SOURCE_MEMBERSHIP]: { mode: INCLUDE, adds: false, joins: false },
  [f.IP_BLOCK_SOURCE]: { mode: EXCLUDE, adds: true, joins: false },
  [f.IP_UNBLOCK_SOURCE]: { mode: EXCLUDE, adds: false, joins: false },
  [f.MCAST_JOIN_SOURCE_GROUP]: { mode: INCLUDE, adds: true, joins: true },
  [f.MCAST_LEAVE_SOURCE_GROUP]: { mode: INCLUDE, adds: false, joins: false },
  [f.MCAST_BLOCK_SOURCE]: { mode: EXCLUDE, adds: true, joins: false },
  [f.MCAST_UNBLOCK_SOURCE]: { mode: EXCLUDE, adds: false, joins: false },
}

/** The interface is a u32, the sockaddr_storages are aligned to eight bytes. */
const GROUP_REQ_SIZE = 136
const GROUP_SOURCE_REQ_SIZE = 264
const GROUP_AT = 8
const SOURCE_AT = 136

function addressAt(value: Uint8Array, at: number, family: number): number | undefined {
  if ((value[at]! | (value[at + 1]! << 8)) !== family) return undefined
  return family === f.AF_INET ? ip4At(value, at + 4) : ip6At(value, at + 8)
}
