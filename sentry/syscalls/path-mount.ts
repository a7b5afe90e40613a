// mount(2), umount2(2) and pivot_root(2).

import { latin1 } from '../../native/index.ts'
import { EINVAL, ENAMETOOLONG, EPERM } from '../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  CAP_SYS_ADMIN,
  MNT_DETACH,
  MNT_EXPIRE,
  MNT_FORCE,
  MS_BIND,
  MS_MGC_MSK,
  MS_MGC_VAL,
  MS_MOVE,
  MS_PRIVATE,
  MS_REC,
  MS_REMOUNT,
  MS_SHARED,
  MS_SILENT,
  MS_SLAVE,
  MS_UNBINDABLE,
  UMOUNT_NOFOLLOW,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { type Path, topOf } from '../vfs/mount.ts'
import { bindMount, mountNew, pivotRoot, remount, setPropagation } from '../vfs/mounting.ts'
import { moveMount } from '../vfs/moving.ts'
import { walksChanged } from '../vfs/path-cache.ts'
import { WALK_DIRECTORY, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { unmount } from '../vfs/unmounting.ts'

/** Mount options and names are at most a page. */
const OPTIONS_MAX = 4096
const PROPAGATION = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE
/** The kernel's own flag that a superblock must not be mounted by users. */
const MS_NOUSER = 1 << 31

/** Whether the task may change its mount tree: may_mount. */
export function mayMount(task: Task): boolean {
  return task.creds.capableIn(task.nsproxy.mnt.owner!, CAP_SYS_ADMIN)
}

export function sys_mount(
  task: Task,
  sourceAddr: number,
  targetAddr: number,
  typeAddr: number,
  allFlags: number,
  dataAddr: number,
): number {
  let flags = (allFlags % 2 ** 32) | 0
  if ((flags & MS_MGC_MSK) >>> 0 === MS_MGC_VAL >>> 0) flags &= ~MS_MGC_MSK
  const type = typeAddr === 0 ? null : optionalString(task, typeAddr)
  if (typeof type === 'number') return type
  const source = optionalString(task, sourceAddr)
  if (typeof source === 'number') return source
  const data = readOptions(task, dataAddr)
  if (typeof data === 'number') return data
  const place = findPath(task, targetAddr, WALK_FOLLOW)
  if (typeof place === 'number') return place
  if (task.landlock !== null) return -EPERM
  if ((flags & MS_NOUSER) !== 0) return -EINVAL
  if (!mayMount(task)) return -EPERM
  if ((flags & MS_REMOUNT) !== 0) return remount(task, place, flags, data)
  if ((flags & MS_BIND) !== 0) {
    const from = findString(task, source)
    return typeof from === 'number' ? from : bindMount(task, from, place, flags)
  }
  if ((flags & PROPAGATION) !== 0) {
    const kind = flags & ~(MS_REC | MS_SILENT)
    if ((kind & ~PROPAGATION) !== 0 || (kind & (kind - 1)) !== 0) return -EINVAL
    return setPropagation(task, place, kind, flags & MS_REC)
  }
  if ((flags & MS_MOVE) !== 0) {
    const from = findString(task, source)
    return typeof from === 'number' ? from : moveMount(task, from, place)
  }
  if (type === null) return -EINVAL
  if (topOf(place).mount.namespace !== task.nsproxy.mnt) return -EINVAL
  return mountNew(task, place, type, source, data, flags)
}

function optionalString(task: Task, addr: number): string | number {
  if (addr === 0) return ''
  const text = task.mm.readString(task, addr, OPTIONS_MAX)
  return text === -ENAMETOOLONG ? -EINVAL : text
}

/** Options are a page, of which the last byte is not used. */
function readOptions(task: Task, addr: number): string | number {
  const text = optionalString(task, addr)
  if (text !== -EINVAL) return text
  const { scratch } = task.kernel
  const n = task.mm.copyIn(task, addr, scratch, 0, OPTIONS_MAX - 1)
  return n < 0 ? n : latin1(scratch, 0, OPTIONS_MAX - 1)
}

function findPath(task: Task, addr: number, how: number): Path | number {
  const path = task.mm.readString(task, addr)
  if (typeof path === 'number') return path
  const n = walkPath(task, AT_FDCWD, path, how)
  return n < 0 ? n : { mount: walk.mount, dentry: walk.dentry }
}

function findString(task: Task, path: string): Path | number {
  if (path === '') return -EINVAL
  const n = walkPath(task, AT_FDCWD, path, WALK_FOLLOW)
  return n < 0 ? n : { mount: walk.mount, dentry: walk.dentry }
}

/** umount2(2). */
export function sys_umount2(task: Task, target: number, flags: number): number {
  if ((flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) !== 0) return -EINVAL
  // So that this very walk is counted, whatever is in the cache.
  if ((flags & MNT_EXPIRE) !== 0) walksChanged()
  const place = findPath(task, target, (flags & UMOUNT_NOFOLLOW) !== 0 ? 0 : WALK_FOLLOW)
  if (typeof place === 'number') return place
  if (!mayMount(task) || task.landlock !== null) return -EPERM
  // "." after pivot_root(".", ".") is what lies on top of the working directory.
  return unmount(task, topOf(place), flags)
}

/** pivot_root(2). */
export function sys_pivot_root(task: Task, newRoot: number, putOld: number): number {
  if (!mayMount(task) || task.landlock !== null) return -EPERM
  const to = findPath(task, newRoot, WALK_FOLLOW | WALK_DIRECTORY)
  if (typeof to === 'number') return to
  const old = findPath(task, putOld, WALK_FOLLOW | WALK_DIRECTORY)
  return typeof old === 'number' ? old : pivotRoot(task, to, old)
}
