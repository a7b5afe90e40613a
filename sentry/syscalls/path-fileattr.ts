// file_getattr(2) and file_setattr(2), Linux 6.17: the flags of chattr(1), by path.

import { E2BIG, EINVAL, ENOTTY, EOPNOTSUPP } from '../../syscall-table/errno.ts'
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  FS_XFLAG_HASATTR,
  IN_ATTRIB,
  PAGE_SIZE,
} from '../../syscall-table/flags.ts'
import {
  newFileAttr,
  readFileAttr,
  SIZEOF_FILE_ATTR,
  writeFileAttr,
} from '../../syscall-table/structs.gen.ts'
import type { Task } from '../kernel/task.ts'
import { attributesOf, changeAttributes, xflagsOf } from '../vfs/file-attributes.ts'
import { notifyChanged } from '../vfs/notify.ts'
import { walk } from '../vfs/path-walk.ts'
import { copyExtensible } from './extensible-struct.ts'
import { walkAt } from './path-xattrat.ts'

const attr = newFileAttr()
/** FS_XFLAGS_MASK: the lowest 17 bits but two, and that there are attributes of other kinds. */
const KNOWN_XFLAGS = 0x1fffb | FS_XFLAG_HASATTR

export function sys_file_getattr(
  task: Task,
  dfd: number,
  path: number,
  addr: number,
  size: number,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL
  if (size > PAGE_SIZE) return -E2BIG
  if (size < SIZEOF_FILE_ATTR) return -EINVAL
  const n = walkAt(task, dfd, path, flags)
  if (n < 0) return n
  const inode = walk.dentry.inode!
  if (inode.knownAttributes === 0) return -EOPNOTSUPP
  const { scratch, scratchView } = task.kernel
  scratch.fill(0, 0, size)
  attr.xflags = xflagsOf(inode.attributes)
  attr.extsize = attr.nextents = attr.projid = attr.cowextsize = 0
  writeFileAttr(scratchView, 0, attr)
  return task.mm.copyResult(task, addr, scratch, 0, size)
}

export function sys_file_setattr(
  task: Task,
  dfd: number,
  path: number,
  addr: number,
  size: number,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL
  const error = copyExtensible(task, addr, size, SIZEOF_FILE_ATTR, SIZEOF_FILE_ATTR)
  if (error < 0) return error
  readFileAttr(task.kernel.scratchView, 0, attr)
  const { xflags, extsize, projid, cowextsize } = attr
  if (xflags >= 2 ** 32 || (xflags & ~KNOWN_XFLAGS) !== 0) return -EINVAL
  const n = walkAt(task, dfd, path, flags)
  if (n < 0) return n
  const { mount, dentry } = walk
  const attributes = attributesOf(xflags | 0)
  if (attributes < 0 || extsize !== 0 || projid !== 0 || cowextsize !== 0) return -EOPNOTSUPP
  const done = changeAttributes(task, mount, dentry.inode!, attributes)
  return notifyChanged(dentry, IN_ATTRIB, done === -ENOTTY ? -EOPNOTSUPP : done)
}
