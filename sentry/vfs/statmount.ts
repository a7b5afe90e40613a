// What statmount(2) tells of a mount: struct statmount, do_statmount in fs/namespace.c.

import { EOVERFLOW } from '../../syscall-table/errno.ts'
import {
  MS_DIRSYNC,
  MS_LAZYTIME,
  MS_PRIVATE,
  MS_RDONLY,
  MS_SHARED,
  MS_SLAVE,
  MS_SYNCHRONOUS,
  MS_UNBINDABLE,
} from '../../syscall-table/flags.ts'
import { devMajor, devMinor } from '../fs/dev/registry.ts'
import { pathBelow, pathInFilesystem } from './d-path.ts'
import type { StatFs } from './inode.ts'
import { isReachable, type Mount, type MountNamespace, type Path } from './mount.ts'
import { attributesOf } from './mount-attributes.ts'

/** sizeof(struct statmount): strings are behind it. */
export const STATMOUNT_SIZE = 512

const SB_BASIC = 0x1
const MNT_BASIC = 0x2
const PROPAGATE_FROM = 0x4
const MNT_ROOT = 0x8
const MNT_POINT = 0x10
const FS_TYPE = 0x20
const MNT_NS_ID = 0x40
const MNT_OPTS = 0x80
/** No file system has one. */
const FS_SUBTYPE = 0x100
const SB_SOURCE = 0x200
const OPT_ARRAY = 0x400
const SUPPORTED_MASK = 0x1000
const SUPPORTED =
  SB_BASIC |
  MNT_BASIC |
  PROPAGATE_FROM |
  MNT_ROOT |
  MNT_POINT |
  FS_TYPE |
  MNT_NS_ID |
  MNT_OPTS |
  FS_SUBTYPE |
  SB_SOURCE |
  OPT_ARRAY |
  SUPPORTED_MASK
const SHOWN_FLAGS = MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME

/** Offsets in struct statmount. */
const AT = {
  options: 4,
  mask: 8,
  major: 16,
  minor: 20,
  magic: 24,
  sbFlags: 32,
  type: 36,
  id: 40,
  parent: 48,
  oldId: 56,
  oldParent: 60,
  attributes: 64,
  propagation: 72,
  peerGroup: 80,
  master: 88,
  from: 96,
  root: 104,
  point: 108,
  namespace: 112,
  source: 124,
  optionCount: 128,
  optionArray: 132,
  supported: 144,
} as const

const statfs: StatFs = {
  type: 0,
  bsize: 0,
  blocks: 0,
  bfree: 0,
  bavail: 0,
  files: 0,
  ffree: 0,
  namelen: 0,
  frsize: 0,
}

function putU64(v: DataView, at: number, n: number): void {
  v.setUint32(at, n % 2 ** 32, true)
  v.setUint32(at + 4, Math.floor(n / 2 ** 32), true)
}

/**
 * Fill the struct with what `mask` asks for, and return the strings, which come behind it; -EOVERFLOW when they have no place in
 * `room` bytes. `size` is the caller's to fill in.
 */
export function fillStatmount(
  v: DataView,
  mount: Mount,
  ns: MountNamespace,
  root: Path,
  mask: number,
  room: number,
): string | number {
  // Bits from 2^32 on stand for nothing yet.
  const asked = (mask % 2 ** 32) & SUPPORTED
  for (let i = 0; i < STATMOUNT_SIZE; i += 4) v.setUint32(i, 0, true)
  let told = asked & (SB_BASIC | MNT_BASIC | PROPAGATE_FROM | MNT_NS_ID | SUPPORTED_MASK)
  if ((asked & SB_BASIC) !== 0) fillSuper(v, mount)
  if ((asked & MNT_BASIC) !== 0) fillMount(v, mount)
  if ((asked & PROPAGATE_FROM) !== 0) putU64(v, AT.from, dominatingGroup(mount, root))
  if ((asked & MNT_NS_ID) !== 0) putU64(v, AT.namespace, ns.sequence)
  if ((asked & SUPPORTED_MASK) !== 0) putU64(v, AT.supported, SUPPORTED)
  let text = ''
  for (const [bit, at, string] of stringsOf(mount, root, asked, v)) {
    // Offset 0 is an empty string, to which refers what is not told.
    if (text === '') text = '\0'
    if (STATMOUNT_SIZE + text.length >= room) return -EOVERFLOW
    if (string === '') continue
    v.setUint32(at, text.length, true)
    text += `${string}\0`
    if (STATMOUNT_SIZE + text.length > room) return -EOVERFLOW
    told |= bit
  }
  putU64(v, AT.mask, told)
  return text
}

function fillSuper(v: DataView, { sb, flags }: Mount): void {
  sb.statfs(statfs)
  v.setUint32(AT.major, devMajor(sb.dev), true)
  v.setUint32(AT.minor, devMinor(sb.dev), true)
  putU64(v, AT.magic, statfs.type)
  const readonly = sb.readonly || (!sb.ownReadonly && (flags & MS_RDONLY) !== 0)
  v.setUint32(AT.sbFlags, (sb.flags & SHOWN_FLAGS) | (readonly ? MS_RDONLY : 0), true)
}

function fillMount(v: DataView, mount: Mount): void {
  const { parent, peers, master, unbindable } = mount
  putU64(v, AT.id, mount.uniqueId)
  putU64(v, AT.parent, (parent ?? mount).uniqueId)
  v.setUint32(AT.oldId, mount.id, true)
  v.setUint32(AT.oldParent, (parent ?? mount).id, true)
  putU64(v, AT.attributes, attributesOf(mount))
  const types =
    (peers !== null ? MS_SHARED : 0) |
    (master !== null ? MS_SLAVE : 0) |
    (unbindable ? MS_UNBINDABLE : 0)
  putU64(v, AT.propagation, types || MS_PRIVATE)
  putU64(v, AT.peerGroup, peers?.id ?? 0)
  putU64(v, AT.master, master?.id ?? 0)
}

/** The nearest group above that has a member which can be seen: get_dominating_id. */
function dominatingGroup({ master, namespace }: Mount, root: Path): number {
  for (let group = master; group !== null; ) {
    for (const member of group.members) {
      const place = { mount: member, dentry: member.root }
      if (member.namespace === namespace && isReachable(place, root)) return group.id
    }
    const [first] = group.members
    group = first?.master ?? null
  }
  return 0
}

/** Bit, offset and text of each string that is asked for, in Linux's order. */
function stringsOf(
  mount: Mount,
  root: Path,
  asked: number,
  v: DataView,
): (readonly [number, number, string])[] {
  const found: (readonly [number, number, string])[] = []
  const add = (bit: number, at: number, text: () => string): void => {
    if ((asked & bit) !== 0) found.push([bit, at, text()])
  }
  const { sb } = mount
  add(FS_TYPE, AT.type, () => sb.type)
  add(MNT_ROOT, AT.root, () => pathInFilesystem(mount.root))
  add(MNT_POINT, AT.point, () => pathBelow(mount, mount.root, root) ?? '')
  const options = sb.options().slice(1)
  add(MNT_OPTS, AT.options, () => options)
  add(OPT_ARRAY, AT.optionArray, () => options.replaceAll(',', '\0'))
  if ((asked & OPT_ARRAY) !== 0 && options !== '')
    v.setUint32(AT.optionCount, options.split(',').length, true)
  add(SB_SOURCE, AT.source, () => mount.source || 'none')
  return found
}
