// open(2), openat2(2) and the task's directories: fs/open.c.

import {
  EAGAIN,
  EBADF,
  EINVAL,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  EPERM,
  ERANGE,
} from '../../syscall-table/errno.ts'
import {
  __O_TMPFILE,
  AT_FDCWD,
  CAP_SYS_CHROOT,
  FASYNC,
  O_ACCMODE,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_EXCL,
  O_LARGEFILE,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
  RESOLVE_CACHED,
  RLIMIT_NOFILE,
} from '../../syscall-table/flags.ts'
import { newOpenHow, readOpenHow, SIZEOF_OPEN_HOW } from '../../syscall-table/structs.gen.ts'
import type { Task } from '../kernel/task.ts'
import { pathBelow } from '../vfs/d-path.ts'
import type { File } from '../vfs/file.ts'
import { openPath } from '../vfs/open.ts'
import { checkResolve, WALK_DIRECTORY, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { MAY_EXEC, permission } from '../vfs/permission.ts'
import { copyExtensible } from './extensible-struct.ts'

const KNOWN_FLAGS =
  O_ACCMODE |
  O_CREAT |
  O_EXCL |
  O_NOCTTY |
  O_TRUNC |
  O_APPEND |
  O_NONBLOCK |
  O_SYNC |
  FASYNC |
  O_DIRECT |
  O_LARGEFILE |
  O_DIRECTORY |
  O_NOFOLLOW |
  O_NOATIME |
  O_CLOEXEC |
  O_PATH |
  __O_TMPFILE

export function sys_open(task: Task, path: number, flags: number, mode: number): number {
  return openUser(task, AT_FDCWD, path, flags & KNOWN_FLAGS, mode, 0)
}

/** openat(2). Unknown flags are ignored, as they always were; openat2 refuses them. */
export function sys_openat(
  task: Task,
  dfd: number,
  path: number,
  flags: number,
  mode: number,
): number {
  return openUser(task, dfd, path, flags & KNOWN_FLAGS, mode, 0)
}

export function sys_creat(task: Task, path: number, mode: number): number {
  return openUser(task, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, 0)
}

function openUser(
  task: Task,
  dfd: number,
  pathAddr: number,
  flags: number,
  mode: number,
  resolve: number,
): number {
  const path = task.mm.readString(task, pathAddr)
  if (typeof path === 'number') return path
  const file = openPath(task, dfd, path, flags, mode, resolve)
  return typeof file === 'number' ? file : installFile(task, file, flags)
}

/** Give an open file a descriptor; with none left the file is closed. */
export function installFile(task: Task, file: File, flags: number): number {
  const limit = task.group.rlimits[RLIMIT_NOFILE]!.cur
  const fd = task.files.install(file, (flags & O_CLOEXEC) !== 0, limit)
  if (fd < 0) file.unref()
  return fd
}

const how = newOpenHow()

/** openat2(2): an extensible struct, and every unknown bit is an error. */
export function sys_openat2(
  task: Task,
  dfd: number,
  path: number,
  howAddr: number,
  size: number,
): number {
  const error = copyExtensible(task, howAddr, size, SIZEOF_OPEN_HOW, SIZEOF_OPEN_HOW)
  if (error < 0) return error
  readOpenHow(task.kernel.scratchView, 0, how)
  const { flagsLo: flags, modeLo: mode, resolveLo: resolve } = how
  if (how.flagsHi !== 0 || how.modeHi !== 0 || how.resolveHi !== 0) return -EINVAL
  if ((flags & ~KNOWN_FLAGS) !== 0 || (mode & ~0o7777) !== 0) return -EINVAL
  const creates = (flags & (O_CREAT | __O_TMPFILE)) !== 0
  if (!creates && mode !== 0) return -EINVAL
  if ((flags & O_PATH) !== 0 && (flags & ~(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) !== 0)
    return -EINVAL
  const bad = checkResolve(resolve)
  if (bad < 0) return bad
  // What is made or emptied is not in the cache alone.
  if ((resolve & RESOLVE_CACHED) !== 0 && (creates || (flags & O_TRUNC) !== 0)) return -EAGAIN
  return openUser(task, dfd, path, flags, mode, resolve)
}

export function sys_chdir(task: Task, pathAddr: number): number {
  const n = walkToDirectory(task, pathAddr)
  if (n < 0) return n
  task.fs.cwd = { mount: walk.mount, dentry: walk.dentry }
  return 0
}

function walkToDirectory(task: Task, pathAddr: number): number {
  const path = task.mm.readString(task, pathAddr)
  if (typeof path === 'number') return path
  const n = walkPath(task, AT_FDCWD, path, WALK_FOLLOW | WALK_DIRECTORY)
  return n < 0 ? n : permission(task.creds, walk.dentry.inode!, MAY_EXEC)
}

export function sys_fchdir(task: Task, fd: number): number {
  const file = task.files.get(fd)
  if (file === undefined) return -EBADF
  if (!file.inode.isDir) return -ENOTDIR
  const denied = permission(task.creds, file.inode, MAY_EXEC)
  if (denied < 0) return denied
  task.fs.cwd = { mount: file.mount, dentry: file.dentry }
  return 0
}

export function sys_chroot(task: Task, pathAddr: number): number {
  const n = walkToDirectory(task, pathAddr)
  if (n < 0) return n
  if (!task.creds.holds(CAP_SYS_CHROOT)) return -EPERM
  task.fs.root = { mount: walk.mount, dentry: walk.dentry }
  return 0
}

/** getcwd(2): the length with the terminating NUL. A removed directory has no path. */
export function sys_getcwd(task: Task, buf: number, size: number): number {
  const { cwd, root } = task.fs
  if (cwd.dentry.deleted) return -ENOENT
  let path = pathBelow(cwd.mount, cwd.dentry, root)
  // Outside of the root the path is marked, so that nobody takes it for a usable one.
  if (path === null) path = `(unreachable)${pathBelow(cwd.mount, cwd.dentry, topOf(task)) ?? '/'}`
  const { scratch } = task.kernel
  if (path.length + 1 > 4096) return -ENAMETOOLONG
  if (path.length + 1 > size) return -ERANGE
  for (let i = 0; i < path.length; i++) scratch[i] = path.charCodeAt(i)
  scratch[path.length] = 0
  const error = task.mm.copyResult(task, buf, scratch, 0, path.length + 1)
  return error < 0 ? error : path.length + 1
}

function topOf(task: Task): { mount: typeof walk.mount; dentry: typeof walk.dentry } {
  let { mount } = task.fs.cwd
  while (mount.parent !== null) mount = mount.parent
  return { mount, dentry: mount.root }
}
