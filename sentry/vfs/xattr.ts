// Extended attributes: fs/xattr.c, xattr(7). The rules of the name spaces; inodes only store.

import { EACCES, EINVAL, ENODATA, EOPNOTSUPP, EPERM, ERANGE } from '../../syscall-table/errno.ts'
import {
  CAP_FSETID,
  CAP_SETFCAP,
  CAP_SYS_ADMIN,
  S_ISGID,
  S_ISVTX,
  XATTR_LIST_MAX,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import {
  ACL_ACCESS,
  ACL_DEFAULT,
  type Acl,
  aclMode,
  formatAcl,
  isAclName,
  isPlain,
  parseAcl,
} from './acl.ts'
import { protocolName } from './anon.ts'
import type { Inode } from './inode.ts'
import type { Mount } from './mount.ts'
import { walksChanged } from './path-cache.ts'
import {
  isLocked,
  MAY_READ,
  MAY_WRITE,
  mountWritable,
  ownerOrCapable,
  permission,
} from './permission.ts'

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

const PROTOCOL_NAME = 'system.sockprotoname'

export function getXattr(task: Task, inode: Inode, name: string): Uint8Array | number {
  if (name === PROTOCOL_NAME) {
    const protocol = protocolName(inode)
    return protocol === null ? -EOPNOTSUPP : Buffer.from(`${protocol}\0`, 'latin1')
  }
  if (isAclName(name)) return getAcl(task, inode, name)
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
  const denied = mountWritable(mount) || (isLocked(inode) ? -EPERM : 0)
  if (denied < 0) return denied
  if (isAclName(name)) {
    const acl = parseAcl(value, task.creds.userNs)
    return typeof acl === 'number' ? acl : setAcl(task, inode, name, acl)
  }
  return xattrPermission(task, inode, name, MAY_WRITE) || inode.setxattr(name, value, flags)
}

export function removeXattr(task: Task, mount: Mount, inode: Inode, name: string): number {
  const denied = mountWritable(mount) || (isLocked(inode) ? -EPERM : 0)
  if (denied < 0) return denied
  if (isAclName(name)) return setAcl(task, inode, name, null)
  return xattrPermission(task, inode, name, MAY_WRITE) || inode.removexattr(name)
}

/** Everybody who finds the file may read its lists. */
function getAcl(task: Task, inode: Inode, name: string): Uint8Array | number {
  if (!inode.takesAcl) return -EOPNOTSUPP
  const error = inode.refreshAcls()
  if (error < 0) return error
  const acl = name === ACL_DEFAULT ? inode.defaultAcl : inode.acl
  return acl === null ? -ENODATA : formatAcl(acl, task.creds.userNs)
}

/** set_posix_acl and posix_acl_update_mode. The flags of setxattr(2) mean nothing here. */
function setAcl(task: Task, inode: Inode, name: string, acl: Acl | null): number {
  const { creds } = task
  if (!inode.takesAcl) return -EOPNOTSUPP
  if (name === ACL_DEFAULT) {
    if (!inode.isDir) return acl === null ? 0 : -EACCES
    return ownerOrCapable(creds, inode) ? inode.setAcl(true, acl, inode.mode & 0o7777) : -EPERM
  }
  if (!ownerOrCapable(creds, inode)) return -EPERM
  let mode = inode.mode & 0o7777
  if (acl !== null) mode = (mode & ~0o777) | aclMode(acl)
  if (!creds.inGroup(inode.gid) && !creds.capableOver(inode, CAP_FSETID)) mode &= ~S_ISGID
  if (inode.isDir) walksChanged()
  return inode.setAcl(false, acl === null || isPlain(acl) ? null : acl, mode)
}

/** All names that the task may know, each with its NUL, as one latin1 string. */
export function listXattr(task: Task, inode: Inode): string | number {
  const error = inode.refreshAcls()
  if (error < 0 && error !== -EOPNOTSUPP) return error
  const names = inode.listxattr()
  if (typeof names === 'number') return names === -EOPNOTSUPP ? '' : names
  let list = inode.acl === null ? '' : `${ACL_ACCESS}\0`
  if (protocolName(inode) !== null) list += `${PROTOCOL_NAME}\0`
  if (inode.defaultAcl !== null) list += `${ACL_DEFAULT}\0`
  for (const name of names) {
    if (isAclName(name)) continue
    if (name.startsWith('trusted.') && !task.creds.capable(CAP_SYS_ADMIN)) continue
    list += `${name}\0`
  }
  return list.length > XATTR_LIST_MAX ? -ERANGE : list
}
