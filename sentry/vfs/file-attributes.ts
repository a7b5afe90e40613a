// Inode flags that chattr(1) sets: fs/file_attr.c. The same ones have two encodings, FS_*_FL and FS_XFLAG_*.

import { ENOTTY, EOPNOTSUPP, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_LINUX_IMMUTABLE,
  FS_APPEND_FL,
  FS_DAX_FL,
  FS_IMMUTABLE_FL,
  FS_NOATIME_FL,
  FS_NODUMP_FL,
  FS_PROJINHERIT_FL,
  FS_SYNC_FL,
  FS_XFLAG_APPEND,
  FS_XFLAG_DAX,
  FS_XFLAG_IMMUTABLE,
  FS_XFLAG_NOATIME,
  FS_XFLAG_NODUMP,
  FS_XFLAG_PROJINHERIT,
  FS_XFLAG_SYNC,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { Inode } from './inode.ts'
import type { Mount } from './mount.ts'
import { mountWritable, ownerOrCapable } from './permission.ts'

const PAIRS = [
  [FS_SYNC_FL, FS_XFLAG_SYNC],
  [FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE],
  [FS_APPEND_FL, FS_XFLAG_APPEND],
  [FS_NODUMP_FL, FS_XFLAG_NODUMP],
  [FS_NOATIME_FL, FS_XFLAG_NOATIME],
  [FS_DAX_FL, FS_XFLAG_DAX],
  [FS_PROJINHERIT_FL, FS_XFLAG_PROJINHERIT],
] as const

/** FS_*_FL as FS_XFLAG_*. */
export function xflagsOf(attributes: number): number {
  let xflags = 0
  for (const [flag, xflag] of PAIRS) if ((attributes & flag) !== 0) xflags |= xflag
  return xflags
}

/** FS_XFLAG_* as FS_*_FL, or -EOPNOTSUPP for what only that encoding has. */
export function attributesOf(xflags: number): number {
  let attributes = 0
  let rest = xflags
  for (const [flag, xflag] of PAIRS) {
    if ((xflags & xflag) === 0) continue
    attributes |= flag
    rest &= ~xflag
  }
  return rest === 0 ? attributes : -EOPNOTSUPP
}

/** vfs_fileattr_set: -ENOTTY where the file system has no such flags. */
export function changeAttributes(
  task: Task,
  mount: Mount,
  inode: Inode,
  attributes: number,
): number {
  const error = mountWritable(mount)
  if (error < 0) return error
  if (inode.knownAttributes === 0) return -ENOTTY
  if (!ownerOrCapable(task.creds, inode)) return -EPERM
  const guarded = (attributes ^ inode.attributes) & (FS_IMMUTABLE_FL | FS_APPEND_FL)
  if (guarded !== 0 && !task.creds.capable(CAP_LINUX_IMMUTABLE)) return -EPERM
  if ((attributes & ~inode.knownAttributes) !== 0) return -EOPNOTSUPP
  return inode.setAttributes(attributes)
}
