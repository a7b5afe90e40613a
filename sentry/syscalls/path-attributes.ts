// chmod, chown, utimes and truncate, by path and by descriptor; umask.

import { EBADF, EFAULT, EFBIG, EINVAL, EOPNOTSUPP, EPERM } from '../../syscall-table/errno.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  FS_APPEND_FL,
  IN_ACCESS,
  IN_ATTRIB,
  IN_MODIFY,
  O_PATH,
  RLIMIT_FSIZE,
  UTIME_NOW,
  UTIME_OMIT,
} from '../../syscall-table/flags.ts'
import { landlockAllows, mayTruncateFile, TRUNCATE } from '../kernel/landlock.ts'
import type { Task } from '../kernel/task.ts'
import { NO_ID } from '../kernel/user-namespace.ts'
import {
  changeMode,
  changeOwner,
  changeTimes,
  mayTruncate,
  setSize,
  type TimeChange,
} from '../vfs/attributes.ts'
import type { Dentry } from '../vfs/dentry.ts'
import type { File } from '../vfs/file.ts'
import type { Inode } from '../vfs/inode.ts'
import type { Mount } from '../vfs/mount.ts'
import { notifyChanged } from '../vfs/notify.ts'
import { walk } from '../vfs/path-walk.ts'
import { fileTooBig } from './file-io.ts'
import { walkUser } from './path-stat.ts'

export function sys_chmod(task: Task, path: number, mode: number): number {
  return chmodPath(task, AT_FDCWD, path, mode, 0)
}

export function sys_fchmodat(task: Task, dfd: number, path: number, mode: number): number {
  return chmodPath(task, dfd, path, mode, 0)
}

export function sys_fchmodat2(
  task: Task,
  dfd: number,
  path: number,
  mode: number,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL
  return chmodPath(task, dfd, path, mode, flags)
}

function chmodPath(task: Task, dfd: number, path: number, mode: number, flags: number): number {
  const n = walkUser(task, dfd, path, flags)
  if (n < 0) return n
  const inode = walk.dentry.inode!
  // The mode of a symlink cannot be changed; Linux says EOPNOTSUPP.
  if (inode.isSymlink) return -EOPNOTSUPP
  return notifyChanged(walk.dentry, IN_ATTRIB, changeMode(task, walk.mount, inode, mode))
}

/** An open descriptor that is not O_PATH. */
function realFile(task: Task, fd: number): File | undefined {
  const file = task.files.get(fd)
  return file === undefined || (file.flags & O_PATH) !== 0 ? undefined : file
}

export function sys_fchmod(task: Task, fd: number, mode: number): number {
  const file = realFile(task, fd)
  if (file === undefined) return -EBADF
  return notifyChanged(file.dentry, IN_ATTRIB, changeMode(task, file.mount, file.inode, mode))
}

export function sys_chown(task: Task, path: number, owner: number, group: number): number {
  return chownPath(task, AT_FDCWD, path, owner, group, 0)
}

export function sys_lchown(task: Task, path: number, owner: number, group: number): number {
  return chownPath(task, AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW)
}

export function sys_fchownat(
  task: Task,
  dfd: number,
  path: number,
  owner: number,
  group: number,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL
  return chownPath(task, dfd, path, owner, group, flags)
}

function chownPath(
  task: Task,
  dfd: number,
  path: number,
  owner: number,
  group: number,
  flags: number,
): number {
  const n = walkUser(task, dfd, path, flags)
  return n < 0 ? n : changeOwnerOf(task, walk.mount, walk.dentry, owner, group)
}

export function sys_fchown(task: Task, fd: number, owner: number, group: number): number {
  const file = realFile(task, fd)
  if (file === undefined) return -EBADF
  return changeOwnerOf(task, file.mount, file.dentry, owner, group)
}

/** An id of -1: it stays as it is. */
const KEEP_ID = 0xffffffff

/** Ids of the caller's user namespace; those that it does not have are no owners. Both -1 change nothing, and nobody is told. */
function changeOwnerOf(
  task: Task,
  mount: Mount,
  dentry: Dentry,
  owner: number,
  group: number,
): number {
  const { userNs } = task.creds
  const uid = owner === KEEP_ID ? NO_ID : userNs.uid(owner)
  const gid = group === KEEP_ID ? NO_ID : userNs.gid(group)
  if ((uid === NO_ID && owner !== KEEP_ID) || (gid === NO_ID && group !== KEEP_ID)) return -EINVAL
  const event = uid === NO_ID && gid === NO_ID ? 0 : IN_ATTRIB
  return notifyChanged(dentry, event, changeOwner(task, mount, dentry.inode!, uid, gid))
}

export function sys_umask(task: Task, mask: number): number {
  const old = task.fs.umask
  task.fs.umask = mask & 0o777
  return old
}

export function sys_truncate(task: Task, path: number, length: number): number {
  if (length < 0) return -EINVAL
  const n = walkUser(task, AT_FDCWD, path, 0)
  if (n < 0) return n
  const { mount, dentry } = walk
  const inode = dentry.inode!
  const error =
    mayTruncate(task, mount, inode) ||
    landlockAllows(task, mount, dentry, TRUNCATE) ||
    checkSize(task, inode, length)
  return error < 0 ? error : notifyChanged(dentry, IN_MODIFY, setSize(task, inode, length))
}

export function sys_ftruncate(task: Task, fd: number, length: number): number {
  if (length < 0) return -EINVAL
  const file = realFile(task, fd)
  if (file === undefined) return -EBADF
  if (!file.inode.isRegular || !file.writable) return -EINVAL
  if ((file.inode.attributes & FS_APPEND_FL) !== 0) return -EPERM
  const error = mayTruncateFile(file) || checkSize(task, file.inode, length)
  if (error < 0) return error
  return notifyChanged(file.dentry, IN_MODIFY, setSize(task, file.inode, length))
}

/** RLIMIT_FSIZE, and what offsets can express. */
function checkSize(task: Task, inode: Inode, size: number): number {
  if (size <= inode.size) return 0
  if (size > task.group.rlimits[RLIMIT_FSIZE]!.cur) return fileTooBig(task)
  return size > Number.MAX_SAFE_INTEGER ? -EFBIG : 0
}

const atime: TimeChange = { now: true, omit: false, sec: 0, nsec: 0 }
const mtime: TimeChange = { now: true, omit: false, sec: 0, nsec: 0 }

function setTime(into: TimeChange, sec: number, nsec: number): void {
  into.now = nsec === UTIME_NOW
  into.omit = nsec === UTIME_OMIT
  into.sec = sec
  into.nsec = nsec
}

/** Read a pair of (seconds, fraction); `unit` ns per fraction, 0 for whole seconds only (struct utimbuf). */
function readTimes(task: Task, addr: number, unit: number): number {
  if (addr === 0) {
    setTime(atime, 0, UTIME_NOW)
    setTime(mtime, 0, UTIME_NOW)
    return 0
  }
  const { scratch, scratchView: v } = task.kernel
  const step = unit === 0 ? 8 : 16
  if (task.mm.copyIn(task, addr, scratch, 0, 2 * step) < 0) return -EFAULT
  for (let i = 0; i < 2; i++) {
    const at = i * step
    const sec = v.getInt32(at + 4, true) * 2 ** 32 + v.getUint32(at, true)
    const part = unit === 0 ? 0 : v.getInt32(at + 12, true) * 2 ** 32 + v.getUint32(at + 8, true)
    const special = unit === 1 && (part === UTIME_NOW || part === UTIME_OMIT)
    // utimensat(2) looks for the file before it minds the nanoseconds.
    if (unit !== 1 && (part < 0 || part * unit > 999_999_999)) return -EINVAL
    setTime(i === 0 ? atime : mtime, sec, special ? part : part * unit)
  }
  return 0
}

function isValid(time: TimeChange): boolean {
  return time.now || time.omit || (time.nsec >= 0 && time.nsec <= 999_999_999)
}

function setTimesOfPath(task: Task, dfd: number, path: number, flags: number): number {
  const n = walkUser(task, dfd, path, flags)
  return n < 0 ? n : changeTimesOf(task, walk.mount, walk.dentry)
}

function changeTimesOf(task: Task, mount: Mount, dentry: Dentry): number {
  if (!isValid(atime) || !isValid(mtime)) return -EINVAL
  // One time alone counts as what would have changed it.
  const event = atime.omit ? IN_MODIFY : mtime.omit ? IN_ACCESS : IN_ATTRIB
  const changed = !atime.omit || !mtime.omit
  const n = changeTimes(task, mount, dentry.inode!, atime, mtime)
  return notifyChanged(dentry, changed ? event : 0, n)
}

/** utimensat(2): a null path means the descriptor itself. */
export function sys_utimensat(
  task: Task,
  dfd: number,
  path: number,
  times: number,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL
  const n = readTimes(task, times, 1)
  if (n < 0) return n
  // Nothing to do: Linux does not even look for the file.
  if (atime.omit && mtime.omit) return 0
  if (path !== 0 || dfd === AT_FDCWD) return setTimesOfPath(task, dfd, path, flags)
  if (flags !== 0) return -EINVAL
  const file = realFile(task, dfd)
  return file === undefined ? -EBADF : changeTimesOf(task, file.mount, file.dentry)
}

export function sys_futimesat(task: Task, dfd: number, path: number, times: number): number {
  const n = readTimes(task, times, 1000)
  if (n < 0) return n
  // Without a path the times are those of `dfd`; that is no file when it is AT_FDCWD, so Linux reads the path.
  if (path !== 0 || dfd === AT_FDCWD) return setTimesOfPath(task, dfd, path, 0)
  const file = realFile(task, dfd)
  return file === undefined ? -EBADF : changeTimesOf(task, file.mount, file.dentry)
}

export function sys_utimes(task: Task, path: number, times: number): number {
  const n = readTimes(task, times, 1000)
  return n < 0 ? n : setTimesOfPath(task, AT_FDCWD, path, 0)
}

export function sys_utime(task: Task, path: number, times: number): number {
  const n = readTimes(task, times, 0)
  return n < 0 ? n : setTimesOfPath(task, AT_FDCWD, path, 0)
}
