// stat(2) and its relatives, access(2), readlink(2), statfs(2).

import { EACCES, EBADF, EINVAL, ENOENT, EROFS } from '../../syscall-table/errno.ts'
import {
  AT_EACCESS,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_STATX_SYNC_TYPE,
  AT_SYMLINK_NOFOLLOW,
  MS_NOEXEC,
  R_OK,
  STATX__RESERVED,
  STATX_MNT_ID_UNIQUE,
  W_OK,
  X_OK,
} from '../../syscall-table/flags.ts'
import { SIZEOF_STAT, SIZEOF_STATFS, SIZEOF_STATX } from '../../syscall-table/structs.gen.ts'
import type { Creds } from '../kernel/creds.ts'
import type { Task } from '../kernel/task.ts'
import { pathAccessed, realCreds } from '../vfs/attributes.ts'
import type { Inode } from '../vfs/inode.ts'
import { WALK_EMPTY, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { openWritable, permission } from '../vfs/permission.ts'
import { fillStat, fillStatFs, fillStatx, fillUniqueMountId } from '../vfs/stat.ts'

/** Resolve a path in program memory with AT_* `flags`. Returns 0 with the result in `walk`, or -errno. */
export function walkUser(task: Task, dfd: number, pathAddr: number, flags: number): number {
  const path = task.mm.readString(task, pathAddr)
  return typeof path === 'number' ? path : walkString(task, dfd, path, flags)
}

/** For what tells of a file: there, a null pointer is an empty path too (getname_maybe_null). */
function walkToStat(task: Task, dfd: number, pathAddr: number, flags: number): number {
  const none = pathAddr === 0 && (flags & AT_EMPTY_PATH) !== 0
  return none ? walkString(task, dfd, '', flags) : walkUser(task, dfd, pathAddr, flags)
}

function walkString(task: Task, dfd: number, path: string, flags: number): number {
  const empty = (flags & AT_EMPTY_PATH) !== 0
  const how = ((flags & AT_SYMLINK_NOFOLLOW) === 0 ? WALK_FOLLOW : 0) | (empty ? WALK_EMPTY : 0)
  return walkPath(task, dfd, path, how)
}

export function sys_stat(task: Task, path: number, statbuf: number): number {
  return statPath(task, AT_FDCWD, path, statbuf, 0)
}

export function sys_lstat(task: Task, path: number, statbuf: number): number {
  return statPath(task, AT_FDCWD, path, statbuf, AT_SYMLINK_NOFOLLOW)
}

export function sys_newfstatat(
  task: Task,
  dfd: number,
  path: number,
  statbuf: number,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) !== 0) return -EINVAL
  return statPath(task, dfd, path, statbuf, flags)
}

function statPath(task: Task, dfd: number, path: number, statbuf: number, flags: number): number {
  const n = walkToStat(task, dfd, path, flags)
  return n < 0 ? n : copyOutStat(task, walk.dentry.inode!, statbuf)
}

/** fstat(2); works on O_PATH descriptors, too. */
export function sys_fstat(task: Task, fd: number, statbuf: number): number {
  const file = task.files.get(fd)
  return file === undefined ? -EBADF : copyOutStat(task, file.inode, statbuf)
}

function copyOutStat(task: Task, inode: Inode, statbuf: number): number {
  const error = inode.refresh()
  if (error < 0) return error
  fillStat(task.kernel.scratchView, inode, task.creds.userNs)
  return task.mm.copyResult(task, statbuf, task.kernel.scratch, 0, SIZEOF_STAT)
}

export function sys_statx(
  task: Task,
  dfd: number,
  path: number,
  flags: number,
  mask: number,
  statxbuf: number,
): number {
  const known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE
  if ((mask & STATX__RESERVED) !== 0 || (flags & ~known) !== 0) return -EINVAL
  if ((flags & AT_STATX_SYNC_TYPE) === AT_STATX_SYNC_TYPE) return -EINVAL
  const n = walkToStat(task, dfd, path, flags)
  if (n < 0) return n
  const { dentry, mount } = walk
  const inode = dentry.inode!
  const error = inode.refresh()
  if (error < 0) return error
  fillStatx(task.kernel.scratchView, inode, mount, dentry, task.creds.userNs)
  if ((mask & STATX_MNT_ID_UNIQUE) !== 0) fillUniqueMountId(task.kernel.scratchView, mount)
  return task.mm.copyResult(task, statxbuf, task.kernel.scratch, 0, SIZEOF_STATX)
}

export function sys_access(task: Task, path: number, mode: number): number {
  return accessPath(task, AT_FDCWD, path, mode, 0)
}

export function sys_faccessat(task: Task, dfd: number, path: number, mode: number): number {
  return accessPath(task, dfd, path, mode, 0)
}

export function sys_faccessat2(
  task: Task,
  dfd: number,
  path: number,
  mode: number,
  flags: number,
): number {
  return accessPath(task, dfd, path, mode, flags)
}

/** Judged by the real ids unless AT_EACCESS asks for the effective ones. */
function accessPath(
  task: Task,
  dfd: number,
  pathAddr: number,
  mode: number,
  flags: number,
): number {
  if ((mode & ~(R_OK | W_OK | X_OK)) !== 0) return -EINVAL
  if ((flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL
  const { creds } = task
  if ((flags & AT_EACCESS) === 0 && realDiffers(creds)) task.creds = realCreds(creds)
  const n = accessWalked(task, dfd, pathAddr, mode, flags)
  task.creds = creds
  return n
}

/** Whether the real ids may be answered differently: access_need_override_creds. */
function realDiffers(creds: Creds): boolean {
  if (creds.uid !== creds.fsuid || creds.gid !== creds.fsgid) return true
  const { effective, permitted } = creds
  if (creds.uid === 0) return effective.lo !== permitted.lo || effective.hi !== permitted.hi
  return effective.lo !== 0 || effective.hi !== 0
}

function accessWalked(
  task: Task,
  dfd: number,
  pathAddr: number,
  mode: number,
  flags: number,
): number {
  const n = walkUser(task, dfd, pathAddr, flags & ~AT_EACCESS)
  if (n < 0) return n
  const { mount, dentry } = walk
  const inode = dentry.inode!
  if ((mode & X_OK) !== 0 && inode.isRegular && (mount.flags & MS_NOEXEC) !== 0) return -EACCES
  const denied = mode === 0 ? 0 : permission(task.creds, inode, mode)
  if (denied < 0 || (mode & W_OK) === 0) return denied
  return openWritable(mount, inode) < 0 ? -EROFS : 0
}

export function sys_readlink(task: Task, path: number, buf: number, bufsiz: number): number {
  return sys_readlinkat(task, AT_FDCWD, path, buf, bufsiz)
}

/** readlinkat(2): an empty path reads the link that an O_PATH descriptor holds. */
export function sys_readlinkat(
  task: Task,
  dfd: number,
  pathAddr: number,
  buf: number,
  bufsiz: number,
): number {
  if (bufsiz <= 0) return -EINVAL
  const path = task.mm.readString(task, pathAddr)
  if (typeof path === 'number') return path
  const n = walkPath(task, dfd, path, WALK_EMPTY)
  if (n < 0) return n
  const inode = walk.dentry.inode!
  if (!inode.isSymlink) return path === '' ? -ENOENT : -EINVAL
  pathAccessed(task.kernel, walk.mount, inode)
  const target = inode.readlink(task)
  if (typeof target === 'number') return target
  const { scratch } = task.kernel
  const length = Math.min(target.length, bufsiz, scratch.length)
  for (let i = 0; i < length; i++) scratch[i] = target.charCodeAt(i)
  const error = task.mm.copyResult(task, buf, scratch, 0, length)
  return error < 0 ? error : length
}

export function sys_statfs(task: Task, path: number, buf: number): number {
  const n = walkUser(task, AT_FDCWD, path, 0)
  if (n < 0) return n
  const error = fillStatFs(task.kernel.scratchView, walk.dentry.inode!, walk.mount)
  return error < 0 ? error : task.mm.copyResult(task, buf, task.kernel.scratch, 0, SIZEOF_STATFS)
}

export function sys_fstatfs(task: Task, fd: number, buf: number): number {
  const file = task.files.get(fd)
  if (file === undefined) return -EBADF
  const error = fillStatFs(task.kernel.scratchView, file.inode, file.mount)
  return error < 0 ? error : task.mm.copyResult(task, buf, task.kernel.scratch, 0, SIZEOF_STATFS)
}
