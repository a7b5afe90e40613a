// User namespaces: user_namespaces(7), kernel/user_namespace.c. Ids of the kernel (in credentials, inodes) are those
// of the first user namespace; a namespace maps its own ids to them.

import { EINVAL, EPERM } from '../../syscall-table/errno.ts'
import { CAP_SETFCAP, CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN } from '../../syscall-table/flags.ts'
import type { Creds } from './creds.ts'
import {
  INITIAL_INO,
  NAMESPACES_MAX,
  Namespace,
  type NamespaceType,
  newNamespaceIno,
} from './namespace.ts'

/** No such id: (uid_t)-1. */
export const NO_ID = 0xffffffff
/** What an id without a mapping is shown as: /proc/sys/kernel/overflowuid. */
export const OVERFLOW_ID = 65534
/** Extents of a map. */
const EXTENTS_MAX = 340
/** Nesting of user namespaces. */
export const USER_LEVEL_MAX = 32

/** `count` ids from `first` on stand for those from `kernelFirst` on. */
export interface IdExtent {
  first: number
  kernelFirst: number
  count: number
}

/** A map of uids or gids; written once. */
export class IdMap {
  extents: readonly IdExtent[] = []

  /** make_kuid: the kernel's id, or NO_ID. */
  toKernel(id: number): number {
    for (const { first, kernelFirst, count } of this.extents) {
      if (id >= first && id - first < count) return kernelFirst + (id - first)
    }
    return NO_ID
  }

  /** from_kuid: the id here, or NO_ID. */
  fromKernel(id: number): number {
    for (const { first, kernelFirst, count } of this.extents) {
      if (id >= kernelFirst && id - kernelFirst < count) return first + (id - kernelFirst)
    }
    return NO_ID
  }
}

function ofEachType(n: number): Record<NamespaceType, number> {
  return { cgroup: n, ipc: n, mnt: n, net: n, pid: n, time: n, user: n, uts: n }
}

export type IdMapName = 'uid' | 'gid' | 'projid'

export class UserNamespace extends Namespace {
  readonly parent: UserNamespace | null
  readonly level: number
  /** Effective ids of the creator, in kernel terms. */
  readonly ownerUid: number
  readonly ownerGid: number
  readonly maps: Readonly<Record<IdMapName, IdMap>> = {
    uid: new IdMap(),
    gid: new IdMap(),
    projid: new IdMap(),
  }
  /** /proc/PID/setgroups. */
  setgroupsAllowed: boolean
  /** The creator held CAP_SETFCAP, so that a child may map the parent's root. */
  readonly parentCouldSetfcap: boolean
  /** Living namespaces that belong to this one, by type. */
  readonly owned = ofEachType(0)
  /** /proc/sys/user/max_*_namespaces. */
  readonly limits = ofEachType(NAMESPACES_MAX)

  /** Of the first namespace: what the host calls its ids, where a container has others than the host. */
  hostIds: Partial<Record<IdMapName, readonly IdExtent[]>> = {}

  constructor(parent: UserNamespace | null, creator: Creds | null) {
    super('user', parent === null ? INITIAL_INO.user : newNamespaceIno(), parent)
    this.parent = parent
    this.level = parent === null ? 0 : parent.level + 1
    this.ownerUid = creator?.euid ?? 0
    this.ownerGid = creator?.egid ?? 0
    this.setgroupsAllowed = parent?.setgroupsAllowed ?? true
    this.parentCouldSetfcap = creator?.holds(CAP_SETFCAP) ?? true
    if (parent === null) {
      const all: IdExtent[] = [{ first: 0, kernelFirst: 0, count: NO_ID }]
      for (const map of Object.values(this.maps)) map.extents = all
    }
  }

  get initial(): boolean {
    return this.parent === null
  }

  /** The kernel's id for a uid that a program of this namespace gave, or NO_ID. */
  uid(id: number): number {
    return this.parent === null && !this.hostIds.uid ? id : this.maps.uid.toKernel(id)
  }
  gid(id: number): number {
    return this.parent === null && !this.hostIds.gid ? id : this.maps.gid.toKernel(id)
  }

  /** An id as programs of this namespace see it: from_kuid_munged. */
  showUid(kernelId: number): number {
    if (this.parent === null) return kernelId
    const id = this.maps.uid.fromKernel(kernelId)
    return id === NO_ID ? OVERFLOW_ID : id
  }
  showGid(kernelId: number): number {
    if (this.parent === null) return kernelId
    const id = this.maps.gid.fromKernel(kernelId)
    return id === NO_ID ? OVERFLOW_ID : id
  }

  hasUid(kernelId: number): boolean {
    return this.parent === null || this.maps.uid.fromKernel(kernelId) !== NO_ID
  }
  hasGid(kernelId: number): boolean {
    return this.parent === null || this.maps.gid.fromKernel(kernelId) !== NO_ID
  }

  /** Whether this is `other` or lies below it. */
  isWithin(other: UserNamespace): boolean {
    for (let ns: UserNamespace | null = this; ns !== null; ns = ns.parent)
      if (ns === other) return true
    return false
  }
}

/** The user namespace in which everything begins. */
export const INITIAL_USER_NAMESPACE = new UserNamespace(null, null)

/** The container has these ids of the host only, under its own numbers: linux.uidMappings of config.json. */
export function adoptHostIds(uids: readonly IdExtent[], gids: readonly IdExtent[]): void {
  const { maps } = INITIAL_USER_NAMESPACE
  INITIAL_USER_NAMESPACE.hostIds = { uid: uids, gid: gids }
  maps.uid.extents = uids.map(extent => ({ ...extent, kernelFirst: extent.first }))
  maps.gid.extents = gids.map(extent => ({ ...extent, kernelFirst: extent.first }))
}

/** /proc/PID/uid_map and its like, as a reader of `reader` sees it. */
export function mapText(ns: UserNamespace, name: IdMapName, reader: UserNamespace): string {
  const lower = reader === ns && ns.parent !== null ? ns.parent : reader
  let text = ''
  for (const { first, kernelFirst, count } of ns.hostIds[name] ?? ns.maps[name].extents) {
    const shown = lower.initial ? kernelFirst : lower.maps[name].fromKernel(kernelFirst)
    text += `${`${first}`.padStart(10)} ${`${shown}`.padStart(10)} ${`${count}`.padStart(10)}\n`
  }
  return text
}

/** Parse the lines of a map; null for anything that Linux refuses. */
function parseMap(text: string): IdExtent[] | null {
  const extents: IdExtent[] = []
  const lines = text.replace(/\n$/, '').split('\n')
  for (const line of lines) {
    const match = /^[ \t]*([0-9]{1,10})[ \t]+([0-9]{1,10})[ \t]+([0-9]{1,10})[ \t]*$/.exec(line)
    if (match === null || extents.length >= EXTENTS_MAX) return null
    const extent = {
      first: Number(match[1]),
      kernelFirst: Number(match[2]),
      count: Number(match[3]),
    }
    const { first, kernelFirst, count } = extent
    if (count === 0 || first + count > NO_ID || kernelFirst + count > NO_ID) return null
    for (const other of extents) {
      if (overlap(first, other.first, count, other.count)) return null
      if (overlap(kernelFirst, other.kernelFirst, count, other.count)) return null
    }
    extents.push(extent)
  }
  return extents
}

const overlap = (a: number, b: number, aCount: number, bCount: number): boolean =>
  a < b + bCount && b < a + aCount

/**
 * Write a map: map_write of kernel/user_namespace.c. `opener` are the credentials with which the file was opened,
 * `writer` those of the write; both must do.
 */
export function writeMap(
  ns: UserNamespace,
  name: IdMapName,
  text: string,
  opener: Creds,
  writer: Creds,
): number {
  const { parent } = ns
  const map = ns.maps[name]
  if (parent === null || (writer.userNs !== ns && writer.userNs !== parent)) return -EPERM
  if (map.extents.length > 0) return -EPERM
  if (name !== 'projid' && !writer.capableIn(ns, CAP_SYS_ADMIN)) return -EPERM
  const extents = parseMap(text)
  if (extents === null) return -EINVAL
  if (!mayMap(ns, parent, name, extents, opener, writer)) return -EPERM
  for (const extent of extents) {
    const first = mapRange(parent, name, extent.kernelFirst, extent.count)
    if (first === NO_ID) return -EPERM
    extent.kernelFirst = first
  }
  map.extents = extents
  return 0
}

/** new_idmap_permitted. */
function mayMap(
  ns: UserNamespace,
  parent: UserNamespace,
  name: IdMapName,
  extents: readonly IdExtent[],
  opener: Creds,
  writer: Creds,
): boolean {
  if (name === 'uid' && !mayMapRoot(ns, extents, opener)) return false
  const only = extents[0]!
  // Nobody is harmed by who maps but himself.
  if (extents.length === 1 && only.count === 1 && ns.ownerUid === opener.euid) {
    if (name === 'uid' && parent.uid(only.kernelFirst) === opener.euid) return true
    if (name === 'gid' && parent.gid(only.kernelFirst) === opener.egid && !ns.setgroupsAllowed)
      return true
  }
  if (name === 'projid') return true
  const cap = name === 'uid' ? CAP_SETUID : CAP_SETGID
  return writer.capableIn(parent, cap) && opener.capableIn(parent, cap)
}

/** Mapping the parent's root lets file capabilities be made that count there: verify_root_map. */
function mayMapRoot(ns: UserNamespace, extents: readonly IdExtent[], opener: Creds): boolean {
  if (!extents.some(({ kernelFirst }) => kernelFirst === 0)) return true
  return opener.userNs === ns ? ns.parentCouldSetfcap : opener.capableIn(ns.parent!, CAP_SETFCAP)
}

/** A whole range of the parent's ids in kernel terms, or NO_ID when not all of it is mapped as one. */
function mapRange(parent: UserNamespace, name: IdMapName, first: number, count: number): number {
  for (const extent of parent.maps[name].extents) {
    if (first >= extent.first && first + count <= extent.first + extent.count) {
      return extent.kernelFirst + (first - extent.first)
    }
  }
  return NO_ID
}

/** Write /proc/PID/setgroups: proc_setgroups_write. */
export function writeSetgroups(ns: UserNamespace, text: string, opener: Creds): number {
  const word = text.trimEnd()
  if (text.length >= 8 || (word !== 'allow' && word !== 'deny')) return -EINVAL
  if (!opener.capableIn(ns, CAP_SYS_ADMIN)) return -EPERM
  if (word === 'allow') return ns.setgroupsAllowed ? 0 : -EPERM
  // Once gids are mapped, somebody may rely on setgroups.
  if (ns.maps.gid.extents.length > 0) return -EPERM
  ns.setgroupsAllowed = false
  return 0
}
