// The addresses of this machine: those of lo that are always there, and IPv4 addresses that a privileged program has given
// to it, each with its whole network, as the local routes of the loopback interface have it.

import { EADDRNOTAVAIL, EEXIST, ENOBUFS } from '../../../syscall-table/errno.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import { isLoopback, isV4 } from './address.ts'

/** LIMIT: Linux bounds them by memory only. */
const MAX_ADDRESSES = 1024

export interface AddedAddress {
  readonly ip: number
  /** Length of the network's prefix. */
  readonly bits: number
}

const added = new WeakMap<NetNamespace, AddedAddress[]>()
const NONE: readonly AddedAddress[] = []

/** Addresses that programs have given to lo. */
export function addedAddresses(net: NetNamespace): readonly AddedAddress[] {
  return added.get(net) ?? NONE
}

/** The network that an address is in. */
export function networkOf({ ip, bits }: AddedAddress): number {
  return bits === 0 ? 0 : (ip & (-1 << (32 - bits))) >>> 0
}

function find(net: NetNamespace, ip: number, bits: number): number {
  return addedAddresses(net).findIndex(each => each.ip === ip && each.bits === bits)
}

/** Give lo an address; `replace` takes one that it has already. */
export function addAddress(net: NetNamespace, ip: number, bits: number, replace: boolean): number {
  if (find(net, ip, bits) >= 0) return replace ? 0 : -EEXIST
  const list = added.get(net) ?? []
  if (list.length >= MAX_ADDRESSES) return -ENOBUFS
  list.push({ ip, bits })
  added.set(net, list)
  return 0
}

/** Take an address from lo that a program has given to it. */
export function removeAddress(net: NetNamespace, ip: number, bits: number): number {
  const at = find(net, ip, bits)
  if (at < 0) return -EADDRNOTAVAIL
  added.get(net)!.splice(at, 1)
  return 0
}

/** The added address in whose network `ip` is. */
function holder(net: NetNamespace, ip: number): AddedAddress | undefined {
  if (!isV4(ip)) return undefined
  return addedAddresses(net).find(each => networkOf({ ip, bits: each.bits }) === networkOf(each))
}

/** Whether packets to an address arrive at this machine. */
export function isLocal(net: NetNamespace, ip: number): boolean {
  return isLoopback(ip) || holder(net, ip) !== undefined
}

/** The address that packets to an added one come from; undefined for others. */
export function addedSource(net: NetNamespace, ip: number): number | undefined {
  return addedAddresses(net).some(each => each.ip === ip) ? ip : holder(net, ip)?.ip
}
