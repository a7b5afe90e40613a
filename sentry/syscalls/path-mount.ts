// mount(2) and umount2(2).

import { EFAULT, EINVAL, ENAMETOOLONG, EPERM } from '../../syscall-table/errno.ts'
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
  MS_REMOUNT,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
  UMOUNT_NOFOLLOW,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { Path } from '../vfs/mount.ts'
import { bindMount, mountNew, moveMount, remount, unmount } from '../vfs/mounting.ts'
import { WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'

/** Mount options and names are at most a page. */
const OPTIONS_MAX = 4096
const PROPAGATION = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE

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
  const source = optionalString(task, sourceAddr)
  if (typeof source === 'number') return source
  const at = findPath(task, targetAddr, WALK_FOLLOW)
  if (typeof at === 'number') return at
  if (!task.creds.capable(CAP_SYS_ADMIN)) return -EPERM
  if ((flags & MS_REMOUNT) !== 0) return remount(at, flags)
  if ((flags & MS_BIND) !== 0) {
    const from = findString(task, source)
    return typeof from === 'number' ? from : bindMount(from, at, flags)
  }
  if ((flags & PROPAGATION) !== 0) return changePropagation(flags, at)
  if ((flags & MS_MOVE) !== 0) {
    const from = findString(task, source)
    return typeof from === 'number' ? from : moveMount(from, at)
  }
  if (typeAddr === 0) return -EINVAL
  const type = optionalString(task, typeAddr)
  if (typeof type === 'number') return type
  const data = optionalString(task, dataAddr)
  return typeof data === 'number' ? data : mountNew(task, at, type, source, data, flags)
}

/** All mounts are private for good: there is only one namespace. LIMIT: shared mounts do not exist. */
function changePropagation(flags: number, at: Path): number {
  if (at.dentry !== at.mount.root || (flags & MS_SHARED) !== 0) return -EINVAL
  return 0
}

function optionalString(task: Task, addr: number): string | number {
  if (addr === 0) return ''
  const text = task.mm.readString(task, addr, OPTIONS_MAX)
  return text === -ENAMETOOLONG ? -EFAULT : text
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

export function sys_umount2(task: Task, target: number, flags: number): number {
  if ((flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) !== 0) return -EINVAL
  if ((flags & MNT_EXPIRE) !== 0) return -EINVAL
  if (!task.creds.capable(CAP_SYS_ADMIN)) return -EPERM
  const at = findPath(task, target, (flags & UMOUNT_NOFOLLOW) !== 0 ? 0 : WALK_FOLLOW)
  return typeof at === 'number' ? at : unmount(task.kernel, at, (flags & MNT_DETACH) !== 0)
}
