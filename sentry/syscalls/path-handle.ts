// File handles: name_to_handle_at(2) and open_by_handle_at(2), fs/fhandle.c.

import {
  EBADF,
  EFAULT,
  EINVAL,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  ESTALE,
} from '../../syscall-table/errno.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_HANDLE_FID,
  AT_HANDLE_MNT_ID_UNIQUE,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  CAP_DAC_READ_SEARCH,
  MAX_HANDLE_SZ,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { lookupDentry } from '../vfs/dcache.ts'
import { Dentry } from '../vfs/dentry.ts'
import type { SuperBlock } from '../vfs/inode.ts'
import type { Mount } from '../vfs/mount.ts'
import { openByDentry } from '../vfs/open.ts'
import { walk } from '../vfs/path-walk.ts'
import { installFile } from './path-open.ts'
import { walkUser } from './path-stat.ts'

/** struct file_handle: length and type. */
const HEADER_SIZE = 8
/** Generation and inode number, as tmpfs has them. Numbers are not given twice, so that the generation is always the same. */
const HANDLE_SIZE = 12
const HANDLE_TYPE = 1

/**
 * name_to_handle_at(2). LIMIT: only what is kept in memory has handles; the gofer finds files by their names.
 */
export function sys_name_to_handle_at(
  task: Task,
  dfd: number,
  path: number,
  handle: number,
  mountId: number,
  flags: number,
): number {
  const known = AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID | AT_HANDLE_MNT_ID_UNIQUE
  if ((flags & ~known) !== 0) return -EINVAL
  const follow = (flags & AT_SYMLINK_FOLLOW) !== 0 ? 0 : AT_SYMLINK_NOFOLLOW
  const n = walkUser(task, dfd, path, (flags & AT_EMPTY_PATH) | follow)
  if (n < 0) return n
  const { mount, dentry } = walk
  const { handles } = mount.sb
  if (handles === null) return -EOPNOTSUPP
  const { scratch, scratchView: v } = task.kernel
  if (task.mm.copyIn(task, handle, scratch, 0, HEADER_SIZE) < 0) return -EFAULT
  const room = v.getUint32(0, true)
  if (room > MAX_HANDLE_SZ) return -EINVAL
  const unique = (flags & AT_HANDLE_MNT_ID_UNIQUE) !== 0
  v.setUint32(0, unique ? mount.uniqueId : mount.id, true)
  v.setUint32(4, 0, true)
  if (task.mm.copyOut(task, mountId, scratch, 0, unique ? 8 : 4) < 0) return -EFAULT
  v.setUint32(0, HANDLE_SIZE, true)
  if (room < HANDLE_SIZE) {
    // The program learns how much it takes.
    v.setInt32(4, 255, true)
    return task.mm.copyOut(task, handle, scratch, 0, HEADER_SIZE) < 0 ? -EFAULT : -EOVERFLOW
  }
  const { ino } = dentry.inode!
  v.setInt32(4, HANDLE_TYPE, true)
  v.setUint32(8, 0, true)
  v.setUint32(12, ino >>> 0, true)
  v.setUint32(16, Math.floor(ino / 2 ** 32), true)
  handles.set(ino, dentry)
  return task.mm.copyResult(task, handle, scratch, 0, HEADER_SIZE + HANDLE_SIZE)
}

/** open_by_handle_at(2): no path is walked, so that no permission on the way counts. */
export function sys_open_by_handle_at(
  task: Task,
  mountFd: number,
  handle: number,
  flags: number,
): number {
  const mount = mountFd === AT_FDCWD ? task.fs.cwd.mount : task.files.getReal(mountFd)?.mount
  if (mount === undefined) return -EBADF
  const ino = readHandle(task, handle)
  if (ino < 0) return ino
  const dentry = decode(task, mount, ino)
  if (dentry === null) return -ESTALE
  const file = openByDentry(task, mount, dentry, flags)
  return typeof file === 'number' ? file : installFile(task, file, flags)
}

/** The inode number that a handle of ours holds; infinite for another one. */
function readHandle(task: Task, addr: number): number {
  const { scratch, scratchView: v } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, HEADER_SIZE) < 0) return -EFAULT
  const length = v.getUint32(0, true)
  const type = v.getInt32(4, true)
  if (length > MAX_HANDLE_SZ || length === 0 || type < 0) return -EINVAL
  if (!task.creds.capable(CAP_DAC_READ_SEARCH)) return -EPERM
  if (task.mm.copyIn(task, addr + HEADER_SIZE, scratch, 0, length) < 0) return -EFAULT
  const ours = type === HANDLE_TYPE && length >= HANDLE_SIZE && v.getUint32(0, true) === 0
  return ours ? v.getUint32(8, true) * 2 ** 32 + v.getUint32(4, true) : Number.POSITIVE_INFINITY
}

/** A dentry of the inode with this number, if it has been given a handle and is still there. */
function decode(task: Task, { sb }: Mount, ino: number): Dentry | null {
  const known = sb.handles?.get(ino)
  if (known === undefined || known.inode === null) return null
  return stillCached(known) ?? lookUpAgain(task, sb, known)
}

const stillCached = (dentry: Dentry): Dentry | null =>
  dentry.cached && !dentry.deleted ? dentry : null

function lookUpAgain(task: Task, sb: SuperBlock, known: Dentry): Dentry | null {
  const inode = known.inode!
  const parent = known.parent === null ? null : stillCached(known.parent)
  const found = parent === null ? -ESTALE : lookupDentry(parent, known.name, task)
  if (typeof found !== 'number' && found.inode === inode) return found
  // A directory must not have two dentries; a file may, under a name that nobody finds.
  if (inode.isDir) return null
  const unnamed = new Dentry(known.name, sb.rootDentry, inode)
  unnamed.deleted = inode.nlink === 0
  return unnamed
}
