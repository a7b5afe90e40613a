// Who may do what to an inode: fs/namei.c (inode_permission, may_delete) and fs/attr.c.

import { EACCES, EPERM, EROFS } from '../../syscall-table/errno.ts'
import {
  CAP_DAC_OVERRIDE,
  CAP_DAC_READ_SEARCH,
  CAP_FOWNER,
  CAP_FSETID,
  FS_APPEND_FL,
  FS_IMMUTABLE_FL,
  MS_RDONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFSOCK,
  S_IRWXG,
  S_ISGID,
  S_ISVTX,
  S_IXGRP,
} from '../../syscall-table/flags.ts'
import type { Creds } from '../kernel/creds.ts'
import { aclPermission } from './acl.ts'
import type { Inode } from './inode.ts'
import type { Mount } from './mount.ts'

export const MAY_EXEC = 1
export const MAY_WRITE = 2
export const MAY_READ = 4
const SETGID_EXEC = S_ISGID | S_IXGRP

/**
 * Whether `creds` may access the inode as `mask` says: 0, -EACCES, -EPERM or -EROFS. The mount's read-only flag is
 * the business of `mountWritable`.
 */
export function permission(creds: Creds, inode: Inode, mask: number): number {
  if ((mask & MAY_WRITE) !== 0) {
    if (inode.sb.readonly && !isSpecial(inode.mode)) return -EROFS
    // Not even root may, and no capability helps.
    if ((inode.attributes & FS_IMMUTABLE_FL) !== 0) return -EPERM
  }
  const { mode } = inode
  if (creds.fsuid === inode.uid) {
    if (((mode >> 6) & mask) === mask) return 0
  } else if (inode.remoteAcls && (mode & S_IRWXG) !== 0) {
    return remotePermission(creds, inode, mask)
  } else if (inode.acl !== null && (mode & S_IRWXG) !== 0) {
    if (aclPermission(creds, inode.gid, inode.acl, mask) === 0) return 0
  } else if ((mode & 0o77) === (mode & 7) * 9) {
    // Group and others have the same rights: no need to look the group up.
    if ((mode & mask) === mask) return 0
  } else if (((creds.inGroup(inode.gid) ? mode >> 3 : mode) & mask) === mask) return 0
  return overridden(creds, inode, mask) ? 0 : -EACCES
}

/** As `permission`, of who does not own the file and where it takes a message to know its access list. */
function remotePermission(creds: Creds, inode: Inode, mask: number): number {
  if (overridden(creds, inode, mask)) return 0
  const { mode, gid } = inode
  // Where there is a list, it allows nobody more than the bits of the group or of others say.
  if (((mode >> 3) & mask) !== mask && (mode & mask) !== mask) return -EACCES
  const error = inode.refreshAcls()
  if (error < 0) return error
  if (inode.acl !== null) return aclPermission(creds, gid, inode.acl, mask)
  return ((creds.inGroup(gid) ? mode >> 3 : mode) & mask) === mask ? 0 : -EACCES
}

/** CAP_DAC_*: everything on directories; on files execution only when somebody may execute. */
function overridden(creds: Creds, inode: Inode, mask: number): boolean {
  const { mode } = inode
  const isDir = (mode & S_IFMT) === S_IFDIR
  if (
    creds.capableOver(inode, CAP_DAC_OVERRIDE) &&
    (isDir || (mask & MAY_EXEC) === 0 || (mode & 0o111) !== 0)
  ) {
    return true
  }
  const reading = isDir ? (mask & MAY_WRITE) === 0 : mask === MAY_READ
  return reading && creds.capableOver(inode, CAP_DAC_READ_SEARCH)
}

function isSpecial(mode: number): boolean {
  const type = mode & S_IFMT
  return type === S_IFCHR || type === S_IFBLK || type === S_IFIFO || type === S_IFSOCK
}

/** mnt_want_write: 0 or -EROFS. */
export function mountWritable(mount: Mount): number {
  return (mount.flags & MS_RDONLY) !== 0 || mount.sb.readonly ? -EROFS : 0
}

/** Writing to devices, FIFOs and sockets does not write to the file system that names them. */
export function openWritable(mount: Mount, inode: Inode): number {
  return isSpecial(inode.mode) ? 0 : mountWritable(mount)
}

/** Whether the caller owns the inode, or may act as its owner. */
export function ownerOrCapable(creds: Creds, inode: Inode): boolean {
  if (creds.fsuid === inode.uid) return true
  return creds.holds(CAP_FOWNER) && creds.userNs.hasUid(inode.uid)
}

export function isImmutable(inode: Inode): boolean {
  return (inode.attributes & FS_IMMUTABLE_FL) !== 0
}

/** Immutable or append-only: neither names nor attributes may change. */
export function isLocked(inode: Inode): boolean {
  return (inode.attributes & (FS_IMMUTABLE_FL | FS_APPEND_FL)) !== 0
}

/** Whether a new name may be put into a directory. */
export function mayCreate(creds: Creds, dir: Inode): number {
  return permission(creds, dir, MAY_WRITE | MAY_EXEC)
}

/** Whether the name of `victim` may be removed from `dir`: rights on the directory, and its sticky bit. */
export function mayDelete(creds: Creds, dir: Inode, victim: Inode): number {
  const error = permission(creds, dir, MAY_WRITE | MAY_EXEC)
  if (error < 0) return error
  if ((dir.attributes & FS_APPEND_FL) !== 0 || isLocked(victim)) return -EPERM
  if ((dir.mode & S_ISVTX) === 0) return 0
  if (victim.uid === creds.fsuid || dir.uid === creds.fsuid) return 0
  if (creds.capableOver(victim, CAP_FOWNER)) return 0
  return -EPERM
}

/** Owner and mode of a new inode: inode_init_owner. Sets uid and gid, and S_ISGID of directories. */
export function initOwner(inode: Inode, dir: Inode, creds: Creds): void {
  inode.uid = creds.fsuid
  inode.gid = creds.fsgid
  if ((dir.mode & S_ISGID) === 0) return
  inode.gid = dir.gid
  if (inode.isDir) inode.mode |= S_ISGID
  else if (
    (inode.mode & SETGID_EXEC) === SETGID_EXEC &&
    !creds.inGroup(dir.gid) &&
    !creds.capableOver(dir, CAP_FSETID)
  ) {
    // Else a directory's group could be borrowed by whoever may create files in it.
    inode.mode &= ~S_ISGID
  }
}
