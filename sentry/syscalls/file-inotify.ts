// inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2).

import { EBADF, EINVAL, EMFILE, ENOENT } from '../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  IN_ALL_EVENTS,
  IN_CLOEXEC,
  IN_DONT_FOLLOW,
  IN_EXCL_UNLINK,
  IN_IGNORED,
  IN_ISDIR,
  IN_MASK_ADD,
  IN_MASK_CREATE,
  IN_NONBLOCK,
  IN_ONESHOT,
  IN_ONLYDIR,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
} from '../../syscall-table/flags.ts'
import { InotifyOps } from '../fs/inotify.ts'
import type { Task } from '../kernel/task.ts'
import { anonFile } from '../vfs/anon.ts'
import { WALK_DIRECTORY, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { MAY_READ, permission } from '../vfs/permission.ts'
import { installFile } from './path-open.ts'

/** Every bit that has a meaning, also those that only come back. */
const KNOWN =
  IN_ALL_EVENTS |
  IN_UNMOUNT |
  IN_Q_OVERFLOW |
  IN_IGNORED |
  IN_ONLYDIR |
  IN_DONT_FOLLOW |
  IN_EXCL_UNLINK |
  IN_MASK_ADD |
  IN_MASK_CREATE |
  IN_ISDIR |
  IN_ONESHOT

/** inotify_init(2): inotify_init1 without flags. */
export function sys_inotify_init(task: Task): number {
  return sys_inotify_init1(task, 0)
}

export function sys_inotify_init1(task: Task, flags: number): number {
  if ((flags & ~(IN_CLOEXEC | IN_NONBLOCK)) !== 0) return -EINVAL
  const { inotify } = task.kernel
  const { uid } = task.creds
  if (inotify.use(uid).instances >= inotify.instances) return -EMFILE
  const ops = new InotifyOps(task.kernel, uid)
  const nonblock = (flags & IN_NONBLOCK) !== 0 ? O_NONBLOCK : 0
  const file = anonFile(task.kernel, ops, 'inotify', O_RDONLY | nonblock)
  return installFile(task, file, (flags & IN_CLOEXEC) !== 0 ? O_CLOEXEC : 0)
}

function inotifyOf(task: Task, fd: number): InotifyOps | number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  return file.ops instanceof InotifyOps ? file.ops : -EINVAL
}

export function sys_inotify_add_watch(
  task: Task,
  fd: number,
  pathAddr: number,
  mask: number,
): number {
  if ((mask & ~KNOWN) !== 0 || mask === 0) return -EINVAL
  if (task.files.getReal(fd) === undefined) return -EBADF
  if ((mask & IN_MASK_ADD) !== 0 && (mask & IN_MASK_CREATE) !== 0) return -EINVAL
  const ops = inotifyOf(task, fd)
  if (typeof ops === 'number') return ops
  const path = task.mm.readString(task, pathAddr)
  if (typeof path === 'number') return path
  let how = 0
  if ((mask & IN_DONT_FOLLOW) === 0) how |= WALK_FOLLOW
  if ((mask & IN_ONLYDIR) !== 0) how |= WALK_DIRECTORY
  const n = walkPath(task, AT_FDCWD, path, how)
  if (n < 0) return n
  const { inode } = walk.dentry
  if (inode === null) return -ENOENT
  const denied = permission(task.creds, inode, MAY_READ)
  return denied < 0 ? denied : ops.watch(inode, mask)
}

export function sys_inotify_rm_watch(task: Task, fd: number, wd: number): number {
  const ops = inotifyOf(task, fd)
  return typeof ops === 'number' ? ops : ops.unwatch(wd)
}
