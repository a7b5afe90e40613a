// Changing attributes: notify_change and setattr_prepare (fs/attr.c), utimes, truncate.

import { EINVAL, EISDIR, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_CHOWN,
  CAP_FSETID,
  FS_APPEND_FL,
  FS_IMMUTABLE_FL,
  FS_NOATIME_FL,
  MS_NOATIME,
  MS_NODIRATIME,
  MS_RDONLY,
  MS_RELATIME,
  O_NOATIME,
  S_ISGID,
  S_ISUID,
  S_IXGRP,
} from '../../syscall-table/flags.ts'
import type { Creds } from '../kernel/creds.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { aclMode } from './acl.ts'
import type { File } from './file.ts'
import type { Inode, SetAttr } from './inode.ts'
import { breakLeases } from './leases.ts'
import type { Mount } from './mount.ts'
import { walksChanged } from './path-cache.ts'
import { isLocked, MAY_WRITE, mountWritable, ownerOrCapable, permission } from './permission.ts'

const NO_ID = 0xffffffff

/** chmod(2) on an inode. */
export function changeMode(task: Task, mount: Mount, inode: Inode, mode: number): number {
  const error = mountWritable(mount)
  if (error < 0) return error
  const { creds } = task
  if (isLocked(inode) || !ownerOrCapable(creds, inode)) return -EPERM
  let bits = mode & 0o7777
  if (!creds.inGroup(inode.gid) && !creds.capableOver(inode, CAP_FSETID)) bits &= ~S_ISGID
  if (inode.isDir) walksChanged()
  return inode.setattr({ mode: bits })
}

/** chown(2) on an inode; an id of -1 stays. Set-id bits of files are lost. */
export function changeOwner(
  task: Task,
  mount: Mount,
  inode: Inode,
  uid: number,
  gid: number,
): number {
  const error = mountWritable(mount)
  if (error < 0) return error
  const { creds } = task
  const attr: SetAttr = {}
  if (isLocked(inode) && (uid !== NO_ID || gid !== NO_ID)) return -EPERM
  if (uid !== NO_ID) {
    if (!(creds.fsuid === inode.uid && uid === inode.uid) && !creds.capableOver(inode, CAP_CHOWN))
      return -EPERM
    attr.uid = uid
  }
  if (gid !== NO_ID) {
    const own = creds.fsuid === inode.uid && (creds.inGroup(gid) || gid === inode.gid)
    if (!own && !creds.capableOver(inode, CAP_CHOWN)) return -EPERM
    attr.gid = gid
  }
  if (!inode.isDir) {
    const mode = withoutSetId(inode.mode)
    if (mode !== inode.mode) attr.mode = mode & 0o7777
  } else walksChanged()
  return inode.setattr(attr)
}

/** The mode without set-user-id, and without set-group-id where that is not the mark of mandatory locks. */
function withoutSetId(mode: number): number {
  let bits = mode & ~S_ISUID
  if ((mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP)) bits &= ~S_ISGID
  return bits
}

/** file_remove_privs: a write or truncation by someone without CAP_FSETID clears the set-id bits. */
export function removePrivileges(task: Task, inode: Inode): number {
  if ((inode.mode & (S_ISUID | S_ISGID)) === 0 || !inode.isRegular) return 0
  if (task.creds.capableOver(inode, CAP_FSETID)) return 0
  const mode = withoutSetId(inode.mode)
  return mode === inode.mode ? 0 : inode.setattr({ mode: mode & 0o7777 })
}

/**
 * The mode of a new file in `dir`: the umask counts unless the directory has a default access list. LIMIT: where it takes a
 * message to know that, the umask counts as well, until somebody has asked for the list.
 */
export function maskedMode(task: Task, dir: Inode, mode: number): number {
  const { defaultAcl } = dir
  return defaultAcl === null ? mode & ~task.fs.umask : mode & (aclMode(defaultAcl) | ~0o777)
}

/** What utimensat(2) asks for one of the two times. */
export interface TimeChange {
  /** UTIME_NOW: the present; UTIME_OMIT: neither. */
  now: boolean
  omit: boolean
  sec: number
  nsec: number
}

const present = { sec: 0, nsec: 0 }

/** Set access and modification time. Setting both to the present needs write access only. */
export function changeTimes(
  task: Task,
  mount: Mount,
  inode: Inode,
  atime: TimeChange,
  mtime: TimeChange,
): number {
  if (atime.omit && mtime.omit) return 0
  const error = mountWritable(mount)
  if (error < 0) return error
  if (isLocked(inode)) {
    const touch = atime.now && mtime.now
    if (!touch || (inode.attributes & FS_IMMUTABLE_FL) !== 0) return -EPERM
  }
  if (!ownerOrCapable(task.creds, inode)) {
    if (!atime.now || !mtime.now) return -EPERM
    const denied = permission(task.creds, inode, MAY_WRITE)
    if (denied < 0) return denied
  }
  const attr: SetAttr = {}
  task.kernel.clock.realtime(present)
  if (!atime.omit) {
    attr.atimeSec = atime.now ? present.sec : atime.sec
    attr.atimeNsec = atime.now ? present.nsec : atime.nsec
  }
  if (!mtime.omit) {
    attr.mtimeSec = mtime.now ? present.sec : mtime.sec
    attr.mtimeNsec = mtime.now ? present.nsec : mtime.nsec
  }
  return inode.setattr(attr)
}

/** What truncate(2) asks of a path; ftruncate's checks are those of the open. */
export function mayTruncate(task: Task, mount: Mount, inode: Inode): number {
  if (inode.isDir) return -EISDIR
  if (!inode.isRegular) return -EINVAL
  return (
    mountWritable(mount) ||
    permission(task.creds, inode, MAY_WRITE) ||
    ((inode.attributes & FS_APPEND_FL) !== 0 ? -EPERM : 0) ||
    breakLeases(task, inode, true, true)
  )
}

/** Change the size of a file that may be written. RLIMIT_FSIZE is the caller's business. */
export function setSize(task: Task, inode: Inode, size: number): number {
  return removePrivileges(task, inode) || inode.setattr({ size })
}

/** Copy of the credentials with the real ids in effect, as access(2) judges. */
export function realCreds(creds: Creds): Creds {
  const real = creds.copy()
  real.fsuid = creds.uid
  real.fsgid = creds.gid
  // access(2) by a set-uid-root program must not be answered by root's capabilities.
  if (creds.uid !== creds.userNs.uid(0)) real.effective = { lo: 0, hi: 0 }
  else real.effective = creds.permitted
  return real
}

/** An open file has been read or mapped: file_accessed. */
export function fileAccessed(kernel: Kernel, file: File): void {
  if ((file.flags & O_NOATIME) === 0) pathAccessed(kernel, file.mount, file.inode)
}

/** A file has been read, as seen through `mount`: touch_atime. */
export function pathAccessed(kernel: Kernel, mount: Mount, inode: Inode): void {
  const { flags } = mount
  if ((flags & (MS_NOATIME | MS_RDONLY)) !== 0 || mount.sb.readonly) return
  if (inode.isDir && (flags & MS_NODIRATIME) !== 0) return
  if ((inode.attributes & FS_NOATIME_FL) !== 0) return
  if ((flags & MS_RELATIME) !== 0) touchAccessed(kernel, inode)
  else accessedNow(kernel, inode)
}

/** Reads update the access time if it is not newer than the last change: relatime. */
export function touchAccessed(kernel: Kernel, inode: Inode): void {
  const { atimeSec: sec, atimeNsec: nsec } = inode
  const afterModified = sec > inode.mtimeSec || (sec === inode.mtimeSec && nsec > inode.mtimeNsec)
  const afterChanged = sec > inode.ctimeSec || (sec === inode.ctimeSec && nsec > inode.ctimeNsec)
  if (!afterModified || !afterChanged) accessedNow(kernel, inode)
}

function accessedNow(kernel: Kernel, inode: Inode): void {
  kernel.clock.realtime(present)
  inode.atimeSec = present.sec
  inode.atimeNsec = present.nsec
}
