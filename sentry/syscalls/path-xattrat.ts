// Extended attributes relative to a directory descriptor: fs/xattr.c, since Linux 6.13.

import { EBADF, EINVAL } from '../../syscall-table/errno.ts'
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, O_PATH } from '../../syscall-table/flags.ts'
import { newXattrArgs, readXattrArgs, SIZEOF_XATTR_ARGS } from '../../syscall-table/structs.gen.ts'
import type { Task } from '../kernel/task.ts'
import { WALK_EMPTY, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { copyExtensible } from './extensible-struct.ts'
import { getUserXattr, listUserXattr, removeUserXattr, setUserXattr } from './path-xattr.ts'

const args = newXattrArgs()

function readArgs(task: Task, addr: number, size: number): number {
  const error = copyExtensible(task, addr, size, SIZEOF_XATTR_ARGS, SIZEOF_XATTR_ARGS)
  if (error < 0) return error
  readXattrArgs(task.kernel.scratchView, 0, args)
  return 0
}

/** With AT_EMPTY_PATH the calls are those by descriptor, which refuse one that was opened with O_PATH. */
export function walkAt(task: Task, dfd: number, pathAddr: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL
  const mayBeEmpty = (flags & AT_EMPTY_PATH) !== 0
  const path = mayBeEmpty && pathAddr === 0 ? '' : task.mm.readString(task, pathAddr)
  if (typeof path === 'number') return path
  const file = path === '' && mayBeEmpty ? task.files.get(dfd) : undefined
  if (file !== undefined && (file.flags & O_PATH) !== 0) return -EBADF
  const follow = (flags & AT_SYMLINK_NOFOLLOW) === 0 ? WALK_FOLLOW : 0
  return walkPath(task, dfd, path, follow | (mayBeEmpty ? WALK_EMPTY : 0))
}

export function sys_setxattrat(
  task: Task,
  dfd: number,
  path: number,
  flags: number,
  name: number,
  argsAddr: number,
  size: number,
): number {
  const error = readArgs(task, argsAddr, size)
  if (error < 0) return error
  const n = walkAt(task, dfd, path, flags)
  if (n < 0) return n
  return setUserXattr(task, walk.mount, walk.dentry, name, args.value, args.size, args.flags)
}

export function sys_getxattrat(
  task: Task,
  dfd: number,
  path: number,
  flags: number,
  name: number,
  argsAddr: number,
  size: number,
): number {
  const error = readArgs(task, argsAddr, size)
  if (error < 0) return error
  if (args.flags !== 0) return -EINVAL
  const n = walkAt(task, dfd, path, flags)
  return n < 0 ? n : getUserXattr(task, walk.dentry.inode!, name, args.value, args.size)
}

export function sys_listxattrat(
  task: Task,
  dfd: number,
  path: number,
  flags: number,
  list: number,
  size: number,
): number {
  const n = walkAt(task, dfd, path, flags)
  return n < 0 ? n : listUserXattr(task, walk.dentry.inode!, list, size)
}

export function sys_removexattrat(
  task: Task,
  dfd: number,
  path: number,
  flags: number,
  name: number,
): number {
  const n = walkAt(task, dfd, path, flags)
  return n < 0 ? n : removeUserXattr(task, walk.mount, walk.dentry, name)
}
