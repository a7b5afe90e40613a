// Extended attributes by descriptor.

import { EBADF } from '../../syscall-table/errno.ts'
import { O_PATH } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from '../vfs/file.ts'
import { getUserXattr, listUserXattr, removeUserXattr, setUserXattr } from './path-xattr.ts'

function realFile(task: Task, fd: number): File | undefined {
  const file = task.files.get(fd)
  return file === undefined || (file.flags & O_PATH) !== 0 ? undefined : file
}

export function sys_fsetxattr(
  task: Task,
  fd: number,
  name: number,
  value: number,
  size: number,
  flags: number,
): number {
  const file = realFile(task, fd)
  return file === undefined
    ? -EBADF
    : setUserXattr(task, file.mount, file.dentry, name, value, size, flags)
}

export function sys_fgetxattr(
  task: Task,
  fd: number,
  name: number,
  value: number,
  size: number,
): number {
  const file = realFile(task, fd)
  return file === undefined ? -EBADF : getUserXattr(task, file.inode, name, value, size)
}

export function sys_flistxattr(task: Task, fd: number, list: number, size: number): number {
  const file = realFile(task, fd)
  return file === undefined ? -EBADF : listUserXattr(task, file.inode, list, size)
}

export function sys_fremovexattr(task: Task, fd: number, name: number): number {
  const file = realFile(task, fd)
  return file === undefined ? -EBADF : removeUserXattr(task, file.mount, file.dentry, name)
}
