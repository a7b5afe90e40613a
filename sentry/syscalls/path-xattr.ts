// Extended attributes by path; file-xattr.ts has those by descriptor.

import { E2BIG, EFAULT, EINVAL, ERANGE } from '../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  IN_ATTRIB,
  XATTR_CREATE,
  XATTR_NAME_MAX,
  XATTR_REPLACE,
  XATTR_SIZE_MAX,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { Dentry } from '../vfs/dentry.ts'
import type { Inode } from '../vfs/inode.ts'
import type { Mount } from '../vfs/mount.ts'
import { notifyChanged } from '../vfs/notify.ts'
import { walk } from '../vfs/path-walk.ts'
import { getXattr, listXattr, removeXattr, setXattr } from '../vfs/xattr.ts'
import { walkUser } from './path-stat.ts'

export function sys_setxattr(
  task: Task,
  path: number,
  name: number,
  value: number,
  size: number,
  flags: number,
): number {
  const n = walkUser(task, AT_FDCWD, path, 0)
  return n < 0 ? n : setUserXattr(task, walk.mount, walk.dentry, name, value, size, flags)
}

export function sys_lsetxattr(
  task: Task,
  path: number,
  name: number,
  value: number,
  size: number,
  flags: number,
): number {
  const n = walkUser(task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
  return n < 0 ? n : setUserXattr(task, walk.mount, walk.dentry, name, value, size, flags)
}

export function sys_getxattr(
  task: Task,
  path: number,
  name: number,
  value: number,
  size: number,
): number {
  const n = walkUser(task, AT_FDCWD, path, 0)
  return n < 0 ? n : getUserXattr(task, walk.dentry.inode!, name, value, size)
}

export function sys_lgetxattr(
  task: Task,
  path: number,
  name: number,
  value: number,
  size: number,
): number {
  const n = walkUser(task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
  return n < 0 ? n : getUserXattr(task, walk.dentry.inode!, name, value, size)
}

export function sys_listxattr(task: Task, path: number, list: number, size: number): number {
  const n = walkUser(task, AT_FDCWD, path, 0)
  return n < 0 ? n : listUserXattr(task, walk.dentry.inode!, list, size)
}

export function sys_llistxattr(task: Task, path: number, list: number, size: number): number {
  const n = walkUser(task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
  return n < 0 ? n : listUserXattr(task, walk.dentry.inode!, list, size)
}

export function sys_removexattr(task: Task, path: number, name: number): number {
  const n = walkUser(task, AT_FDCWD, path, 0)
  return n < 0 ? n : removeUserXattr(task, walk.mount, walk.dentry, name)
}

export function sys_lremovexattr(task: Task, path: number, name: number): number {
  const n = walkUser(task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
  return n < 0 ? n : removeUserXattr(task, walk.mount, walk.dentry, name)
}

/** A name is 1 to 255 bytes; everything else is out of range. */
function readName(task: Task, addr: number): string | number {
  const name = task.mm.readString(task, addr, XATTR_NAME_MAX + 1)
  if (typeof name === 'number') return name === -EFAULT ? name : -ERANGE
  return name === '' ? -ERANGE : name
}

/** fsetxattr and its kin, after the file has been found. */
export function setUserXattr(
  task: Task,
  mount: Mount,
  dentry: Dentry,
  nameAddr: number,
  value: number,
  size: number,
  flags: number,
): number {
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) return -EINVAL
  const name = readName(task, nameAddr)
  if (typeof name === 'number') return name
  if (size > XATTR_SIZE_MAX) return -E2BIG
  const bytes = new Uint8Array(size)
  const error = task.mm.copyIn(task, value, bytes, 0, size)
  if (error < 0) return error
  const n = setXattr(task, mount, dentry.inode!, name, bytes, flags)
  return notifyChanged(dentry, IN_ATTRIB, n)
}

/** With size 0 only the length of the value is asked for. */
export function getUserXattr(
  task: Task,
  inode: Inode,
  nameAddr: number,
  value: number,
  size: number,
): number {
  const name = readName(task, nameAddr)
  if (typeof name === 'number') return name
  const bytes = getXattr(task, inode, name)
  if (typeof bytes === 'number' || size === 0)
    return typeof bytes === 'number' ? bytes : bytes.length
  if (bytes.length > size) return -ERANGE
  const error = task.mm.copyResult(task, value, bytes, 0, bytes.length)
  return error < 0 ? error : bytes.length
}

export function listUserXattr(task: Task, inode: Inode, list: number, size: number): number {
  const names = listXattr(task, inode)
  if (typeof names === 'number' || size === 0)
    return typeof names === 'number' ? names : names.length
  if (names.length > size) return -ERANGE
  const bytes = Buffer.from(names, 'latin1')
  const error = task.mm.copyResult(task, list, bytes, 0, bytes.length)
  return error < 0 ? error : bytes.length
}

export function removeUserXattr(
  task: Task,
  mount: Mount,
  dentry: Dentry,
  nameAddr: number,
): number {
  const name = readName(task, nameAddr)
  if (typeof name === 'number') return name
  return notifyChanged(dentry, IN_ATTRIB, removeXattr(task, mount, dentry.inode!, name))
}
