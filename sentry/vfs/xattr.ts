// Extended attributes: fs/xattr.c, xattr(7). The rules of the name spaces; inodes only store.

import { EINVAL, ENODATA, EOPNOTSUPP, EPERM, ERANGE } from '../../syscall-table/errno.ts'
import { CAP_SETFCAP, CAP_SYS_ADMIN, S_ISVTX, XATTR_LIST_MAX } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { Inode } from './inode.ts'
import type { Mount } from './mount.ts'
import { MAY_READ, MAY_WRITE, mountWritable, ownerOrCapable, permission } from './permission.ts'

/** Whether the task may read (or write) attribute `name`: 0 or -errno. */
function xattrPermission(task: Task, inode: Inode, name: string, mask: number): number {
  const { creds } = task
  // A prefix alone is no name.
  if (name.indexOf('.') === name.length - 1) return -EINVAL
  if (name.startsWith('security.')) {
    if (mask === MAY_READ) return 0
    const cap = name === 'security.capability' ? CAP_SETFCAP : CAP_SYS_ADMIN
    return creds.capable(cap) ? 0 : -EPERM
  }
  if (name.startsWith('trusted.')) {
    if (creds.capable(CAP_SYS_ADMIN)) return 0
    return mask === MAY_READ ? -ENODATA : -EPERM
  }
  if (name.startsWith('system.')) return -EOPNOTSUPP
  if (!name.startsWith('user.')) return permission(creds, inode, mask) || -EOPNOTSUPP
  // Else devices and symlinks of others, which everyone may "write", could be filled without quota.
  if (!inode.isRegular && !inode.isDir) return mask === MAY_READ ? -ENODATA : -EPERM
  const foreign = inode.isDir && (inode.mode & S_ISVTX) !== 0 && !ownerOrCapable(creds, inode)
  if (foreign && mask === MAY_WRITE) return -EPERM
  return permission(creds, inode, mask)
}

export function getXattr(task: Task, inode: Inode, name: string): Uint8Array | number {
  const denied = xattrPermission(task, inode, name, MAY_READ)
  return denied < 0 ? denied : inode.getxattr(name)
}

export function setXattr(
  task: Task,
  mount: Mount,
  inode: Inode,
  name: string,
  value: Uint8Array,
  flags: number,
): number {
  const denied = mountWritable(mount) || xattrPermission(task, inode, name, MAY_WRITE)
  return denied < 0 ? denied : inode.setxattr(name, value, flags)
}

export function removeXattr(task: Task, mount: Mount, inode: Inode, name: string): number {
  const denied = mountWritable(mount) || xattrPermission(task, inode, name, MAY_WRITE)
  return denied < 0 ? denied : inode.removexattr(name)
}

/** All names that the task may know, each with its NUL, as one latin1 string. */
export function listXattr(task: Task, inode: Inode): string | number {
  const names = inode.listxattr()
  if (typeof names === 'number') return names === -EOPNOTSUPP ? '' : names
  let list = ''
  for (const name of names) {
    if (name.startsWith('trusted.') && !task.creds.capable(CAP_SYS_ADMIN)) continue
    list += `${name}\0`
  }
  return list.length > XATTR_LIST_MAX ? -ERANGE : list
}
