// POSIX access control lists: fs/posix_acl.c, acl(5). An inode has its lists in parsed form, with ids of the kernel;
// programs see them as the extended attributes system.posix_acl_access and system.posix_acl_default.

import { EACCES, EINVAL, EOPNOTSUPP } from '../../syscall-table/errno.ts'
import type { Creds } from '../kernel/creds.ts'
import { NO_ID, type UserNamespace } from '../kernel/user-namespace.ts'
import type { Inode } from './inode.ts'

export const ACL_ACCESS = 'system.posix_acl_access'
export const ACL_DEFAULT = 'system.posix_acl_default'

export const isAclName = (name: string): boolean => name === ACL_ACCESS || name === ACL_DEFAULT

const USER_OBJ = 0x01
const USER = 0x02
const GROUP_OBJ = 0x04
const GROUP = 0x08
const MASK = 0x10
const OTHER = 0x20

const VERSION = 2
const HEADER_SIZE = 4
const ENTRY_SIZE = 8
const PERMISSIONS = 7

/** `id` counts for USER and GROUP only. */
interface AclEntry {
  readonly tag: number
  readonly perm: number
  readonly id: number
}

/** Entries in the order USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER. Never changed once made. */
export type Acl = readonly AclEntry[]

/** Parse the value of an attribute: null for an empty list, or -errno. posix_acl_from_xattr. */
export function parseAcl(bytes: Uint8Array, userNs: UserNamespace): Acl | null | number {
  if (bytes.length === 0) return null
  if (bytes.length < HEADER_SIZE) return -EINVAL
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (v.getUint32(0, true) !== VERSION) return -EOPNOTSUPP
  if ((bytes.length - HEADER_SIZE) % ENTRY_SIZE !== 0) return -EINVAL
  const acl: AclEntry[] = []
  for (let at = HEADER_SIZE; at < bytes.length; at += ENTRY_SIZE) {
    const tag = v.getUint16(at, true)
    const shown = v.getUint32(at + 4, true)
    const id = tag === USER ? userNs.uid(shown) : tag === GROUP ? userNs.gid(shown) : NO_ID
    if ((tag === USER || tag === GROUP) && id === NO_ID) return -EINVAL
    acl.push({ tag, perm: v.getUint16(at + 2, true), id })
  }
  if (acl.length === 0) return null
  return isValid(acl) ? acl : -EINVAL
}

/** The value of an attribute, with ids as `userNs` shows them. */
export function formatAcl(acl: Acl, userNs: UserNamespace): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + acl.length * ENTRY_SIZE)
  const v = new DataView(bytes.buffer)
  v.setUint32(0, VERSION, true)
  let at = HEADER_SIZE
  for (const { tag, perm, id } of acl) {
    const shown = tag === USER ? userNs.showUid(id) : tag === GROUP ? userNs.showGid(id) : NO_ID
    v.setUint16(at, tag, true)
    v.setUint16(at + 2, perm, true)
    v.setUint32(at + 4, shown, true)
    at += ENTRY_SIZE
  }
  return bytes
}

/** posix_acl_valid: one entry each for owner, group and others, in order; named ones need a mask. */
function isValid(acl: Acl): boolean {
  let last = 0
  let seen = 0
  for (const { tag, perm } of acl) {
    if ((perm & ~PERMISSIONS) !== 0 || tag < last) return false
    if (tag !== USER && tag !== GROUP && tag === last) return false
    if (tag === 0 || tag > OTHER || (tag & (tag - 1)) !== 0) return false
    last = tag
    seen |= tag
  }
  const needed = USER_OBJ | GROUP_OBJ | OTHER | ((seen & (USER | GROUP)) !== 0 ? MASK : 0)
  return (seen & needed) === needed
}

/**
 * Whether somebody who does not own the file may access it as `mask` says: 0 or -EACCES. posix_acl_permission. The owner's
 * entry is what the mode says, so that the caller has dealt with it.
 */
export function aclPermission(creds: Creds, gid: number, acl: Acl, mask: number): number {
  const limit = permOf(acl, MASK) ?? PERMISSIONS
  let inSome = false
  for (const { tag, perm, id } of acl) {
    if (tag === USER && id === creds.fsuid) return (perm & limit & mask) === mask ? 0 : -EACCES
    if (tag !== GROUP_OBJ && tag !== GROUP) continue
    if (!creds.inGroup(tag === GROUP ? id : gid)) continue
    inSome = true
    // One of the groups has to allow all of it.
    if ((perm & mask) === mask) return (perm & limit & mask) === mask ? 0 : -EACCES
  }
  if (inSome) return -EACCES
  return ((permOf(acl, OTHER) ?? 0) & mask) === mask ? 0 : -EACCES
}

function permOf(acl: Acl, tag: number): number | undefined {
  return acl.find(entry => entry.tag === tag)?.perm
}

/** The permission bits that show such a list: the mask stands where the group's are. */
export function aclMode(acl: Acl): number {
  const group = permOf(acl, MASK) ?? permOf(acl, GROUP_OBJ)!
  return (permOf(acl, USER_OBJ)! << 6) | (group << 3) | permOf(acl, OTHER)!
}

/** Whether the permission bits tell all of it, so that there is no need to keep the list. */
export function isPlain(acl: Acl): boolean {
  return acl.length === 3
}

/** What chmod(2) makes of a list: __posix_acl_chmod_masq. */
export function withMode(acl: Acl, mode: number): Acl {
  const masked = permOf(acl, MASK) !== undefined
  return acl.map(entry => {
    const { tag, id } = entry
    if (tag === USER_OBJ) return { tag, perm: (mode >> 6) & 7, id }
    if (tag === OTHER) return { tag, perm: mode & 7, id }
    const shown = masked ? tag === MASK : tag === GROUP_OBJ
    return shown ? { tag, perm: (mode >> 3) & 7, id } : entry
  })
}

/** What a new file gets of its directory's default list: not more than `mode` asks for. posix_acl_create_masq. */
export function inherited(acl: Acl, mode: number): Acl {
  return withMode(acl, mode & aclMode(acl))
}

/** Take over the access lists of another inode. Returns 0 or -errno. */
export function adoptAcls(from: Inode, to: Inode): number {
  const error = from.refreshAcls()
  to.acl = from.acl
  to.defaultAcl = from.defaultAcl
  return error
}
