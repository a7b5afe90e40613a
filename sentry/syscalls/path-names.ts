// mkdir, mknod, symlink, link, unlink, rmdir, rename.

import { EINVAL } from '../../syscall-table/errno.ts'
import { AT_FDCWD, AT_REMOVEDIR } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import {
  makeDirectory,
  makeLink,
  makeNode,
  makeSymlink,
  removeDirectory,
  renameName,
  unlinkName,
} from '../vfs/names.ts'

export function sys_mkdir(task: Task, path: number, mode: number): number {
  return sys_mkdirat(task, AT_FDCWD, path, mode)
}

export function sys_mkdirat(task: Task, dfd: number, pathAddr: number, mode: number): number {
  const path = task.mm.readString(task, pathAddr)
  return typeof path === 'number' ? path : makeDirectory(task, dfd, path, mode)
}

export function sys_mknod(task: Task, path: number, mode: number, dev: number): number {
  return sys_mknodat(task, AT_FDCWD, path, mode, dev)
}

export function sys_mknodat(
  task: Task,
  dfd: number,
  pathAddr: number,
  mode: number,
  dev: number,
): number {
  const path = task.mm.readString(task, pathAddr)
  return typeof path === 'number' ? path : makeNode(task, dfd, path, mode, dev)
}

export function sys_symlink(task: Task, target: number, linkpath: number): number {
  return sys_symlinkat(task, target, AT_FDCWD, linkpath)
}

export function sys_symlinkat(
  task: Task,
  targetAddr: number,
  dfd: number,
  pathAddr: number,
): number {
  const target = task.mm.readString(task, targetAddr)
  if (typeof target === 'number') return target
  const path = task.mm.readString(task, pathAddr)
  return typeof path === 'number' ? path : makeSymlink(task, target, dfd, path)
}

export function sys_link(task: Task, oldpath: number, newpath: number): number {
  return sys_linkat(task, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0)
}

export function sys_linkat(
  task: Task,
  oldDfd: number,
  oldAddr: number,
  newDfd: number,
  newAddr: number,
  flags: number,
): number {
  const oldPath = task.mm.readString(task, oldAddr)
  if (typeof oldPath === 'number') return oldPath
  const newPath = task.mm.readString(task, newAddr)
  if (typeof newPath === 'number') return newPath
  return makeLink(task, oldDfd, oldPath, newDfd, newPath, flags)
}

export function sys_unlink(task: Task, path: number): number {
  return sys_unlinkat(task, AT_FDCWD, path, 0)
}

export function sys_rmdir(task: Task, path: number): number {
  return sys_unlinkat(task, AT_FDCWD, path, AT_REMOVEDIR)
}

export function sys_unlinkat(task: Task, dfd: number, pathAddr: number, flags: number): number {
  if ((flags & ~AT_REMOVEDIR) !== 0) return -EINVAL
  const path = task.mm.readString(task, pathAddr)
  if (typeof path === 'number') return path
  return flags === AT_REMOVEDIR ? removeDirectory(task, dfd, path) : unlinkName(task, dfd, path)
}

export function sys_rename(task: Task, oldpath: number, newpath: number): number {
  return sys_renameat2(task, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0)
}

export function sys_renameat(
  task: Task,
  oldDfd: number,
  oldpath: number,
  newDfd: number,
  newpath: number,
): number {
  return sys_renameat2(task, oldDfd, oldpath, newDfd, newpath, 0)
}

export function sys_renameat2(
  task: Task,
  oldDfd: number,
  oldAddr: number,
  newDfd: number,
  newAddr: number,
  flags: number,
): number {
  const oldPath = task.mm.readString(task, oldAddr)
  if (typeof oldPath === 'number') return oldPath
  const newPath = task.mm.readString(task, newAddr)
  if (typeof newPath === 'number') return newPath
  return renameName(task, oldDfd, oldPath, newDfd, newPath, flags)
}
