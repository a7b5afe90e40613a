// Adding to the mount tree: mount(2) in fs/namespace.c.

import { EBUSY, EINVAL, ENODEV, ENOENT, ENOSPC, ENOTDIR, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_ADMIN,
  MS_BIND,
  MS_DIRSYNC,
  MS_LAZYTIME,
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
} from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { Dentry } from './dentry.ts'
import type { SuperBlock } from './inode.ts'
import {
  isReachable,
  Mount,
  type MountNamespace,
  mayMakeMounts,
  type Path,
  topOf,
} from './mount.ts'
import {
  AS_ORIGINAL,
  ATIME_FLAGS,
  cloneMount,
  copyTree,
  disposeTree,
  hasLockedChildren,
  lockTree,
  SHARED_AS_SLAVE,
  WITH_UNBINDABLE,
} from './mount-copy.ts'
import { type Arrival, arrivalsOf, putArrival } from './mount-events.ts'
import { walksChanged } from './path-cache.ts'
import { changePropagation, endPropagation, makeShared } from './propagation.ts'
import { fileSystemType, USER_MOUNTABLE } from './super.ts'
import { unmountAll } from './unmounting.ts'

/** Flags that belong to a mount. */
export const MOUNT_FLAGS =
  MS_RDONLY |
  MS_NOSUID |
  MS_NODEV |
  MS_NOEXEC |
  MS_NOATIME |
  MS_NODIRATIME |
  MS_RELATIME |
  MS_NOSYMFOLLOW

/** Flags that belong to a file system, and those of them that a remount changes. */
const SUPER_FLAGS = MS_SYNCHRONOUS | MS_DIRSYNC | MS_MANDLOCK | MS_LAZYTIME
const REMOUNT_FLAGS = MS_SYNCHRONOUS | MS_MANDLOCK | MS_LAZYTIME

/** The flags of a mount as mount(2) was asked for them: relatime unless another policy is given. */
export function mountFlags(flags: number): number {
  let kept = flags & MOUNT_FLAGS
  if ((flags & MS_STRICTATIME) !== 0) kept &= ~(MS_RELATIME | MS_NOATIME)
  if ((flags & (MS_NOATIME | MS_STRICTATIME)) === 0) kept |= MS_RELATIME
  return kept
}

/** The root dentry of a file system, one for all its mounts. */
export function rootDentry(sb: SuperBlock): Dentry {
  if (sb.rootDentry === null) {
    sb.rootDentry = new Dentry('/', null, sb.root)
    sb.rootDentry.cached = true
    sb.root.pins++
  }
  return sb.rootDentry
}

/** Make the first mount of a namespace: the root of everything in it. */
export function mountRoot(
  namespace: MountNamespace,
  sb: SuperBlock,
  flags: number,
  source: string,
): Mount {
  namespace.onReleased = unmountAll
  const mount = new Mount(sb, rootDentry(sb), flags, source)
  namespace.root = mount
  namespace.adopt([mount])
  return mount
}

/** CLONE_NEWNS: a namespace that looks like the old one. Whoever moves there calls `enterCopy`. */
export function copyMountNamespace(old: MountNamespace, namespace: MountNamespace): number {
  const lessPrivileged = namespace.owner !== old.owner
  const how = WITH_UNBINDABLE | (lessPrivileged ? SHARED_AS_SLAVE : AS_ORIGINAL)
  const copies = new Map<Mount, Mount>()
  const root = copyTree(old.root, old.root.root, how, copies)
  if (typeof root === 'number') return root
  if (lessPrivileged) lockTree(root)
  namespace.root = root
  namespace.onReleased = unmountAll
  namespace.copies = copies
  // In the order of the old namespace, which need not be that of the tree.
  for (const mount of old.mounts) {
    const copy = copies.get(mount)
    if (copy !== undefined) namespace.adopt([copy])
  }
  return 0
}

/** Mount a file system on `at`. Returns the mount, or -errno. */
export function mountOn(at: Path, sb: SuperBlock, flags: number, source: string): Mount | number {
  const mount = new Mount(sb, rootDentry(sb), flags, source)
  const error = graft(mount, at)
  if (error < 0) {
    disposeTree(mount)
    return error
  }
  return mount
}

/** Put a new tree on `at`, and its copies wherever that propagates to. */
export function graft(tree: Mount, place: Path): number {
  const at = topOf(place)
  const { namespace } = at.mount
  if (namespace === null) return -EINVAL
  if (at.dentry.deleted) return -ENOENT
  if (tree.root.inode!.isDir !== at.dentry.inode!.isDir) return -ENOTDIR
  return attachTree(tree, at, namespace)
}

/** attach_recursive_mnt. `at` is on top of its place. */
export function attachTree(tree: Mount, at: Path, namespace: MountNamespace): number {
  const mounts = tree.tree()
  const fresh = mounts.filter(mount => mount.namespace !== namespace).length
  if (!mayMakeMounts(namespace, fresh)) return -ENOSPC
  let arrivals: Arrival[] = []
  if (at.mount.peers !== null) {
    const before = mounts.filter(mount => mount.peers === null)
    for (const mount of mounts) makeShared(mount)
    const found = arrivalsOf(tree, at.mount, at.dentry)
    if (typeof found === 'number') {
      for (const mount of before) endPropagation(mount)
      return found
    }
    arrivals = found
  }
  tree.detach()
  tree.floating = false
  namespace.adopt(mounts)
  tree.attach(at.mount, at.dentry)
  for (const arrival of arrivals) putArrival(arrival, at.mount)
  return 0
}

/** mount(2) of a new file system by its type's name. */
export function mountNew(
  task: Task,
  at: Path,
  type: string,
  source: string,
  data: string,
  flags: number,
): number {
  const sb = makeSuperBlock(task, type, source, data)
  if (typeof sb === 'number') return sb
  const wanted = mountFlags(flags)
  if (tooRevealing(task, sb, wanted)) return -EPERM
  if (sb.ownReadonly) {
    sb.readonly = (flags & MS_RDONLY) !== 0
    sb.flags = flags & SUPER_FLAGS
  }
  const mount = mountOn(at, sb, wanted, source)
  return typeof mount === 'number' ? mount : 0
}

/** A new file system, if the task may mount its type. */
export function makeSuperBlock(
  task: Task,
  type: string,
  source: string,
  data: string,
): SuperBlock | number {
  const factory = fileSystemType(type)
  if (factory === undefined) return -ENODEV
  const { userNs } = task.creds
  if (
    USER_MOUNTABLE.has(type) ? !task.creds.holds(CAP_SYS_ADMIN) : !task.creds.capable(CAP_SYS_ADMIN)
  )
    return -EPERM
  const sb = factory(task.kernel, task, source, data)
  if (typeof sb !== 'number') sb.userNs = userNs
  return sb
}

/**
 * proc and sysfs must not show more to a user namespace than was shown to it before, where parts may be covered:
 * mount_too_revealing.
 */
export function tooRevealing(task: Task, sb: SuperBlock, flags: number): boolean {
  const { mnt } = task.nsproxy
  if (mnt.owner!.initial || (sb.type !== 'proc' && sb.type !== 'sysfs')) return false
  for (const mount of mnt.mounts) {
    if (mount.sb.type !== sb.type || mount.root !== mount.sb.rootDentry) continue
    const locked = mount.lockedFlags & MS_RDONLY
    if ((locked & ~flags) !== 0) continue
    if (![...mount.children].some(child => child.locked && !coversNothing(child))) return false
  }
  return true
}

/** Mounted on a directory that is empty for good. */
function coversNothing(child: Mount): boolean {
  const inode = child.mountpoint!.inode!
  return inode.isDir && inode.alwaysEmpty
}

/** A detached copy of what is at `from`; with MS_REC of what is mounted below it as well. */
export function copyForBind(task: Task, from: Path, flags: number): Mount | number {
  const { mount, dentry } = from
  if (mount.unbindable) return -EINVAL
  const namespaceFile = mount.sb.type === 'nsfs'
  if (mount.namespace !== task.nsproxy.mnt && !namespaceFile) return -EINVAL
  if (dentry.inode!.bindLoops(task)) return -EINVAL
  if ((flags & MS_REC) === 0 && hasLockedChildren(mount, dentry)) return -EINVAL
  if ((flags & MS_REC) !== 0) return copyTree(mount, dentry, AS_ORIGINAL)
  const copy = cloneMount(mount, dentry, AS_ORIGINAL)
  copy.locked = false
  return copy
}

/** MS_BIND: show `from` at `at` as well, with MS_REC including what is mounted below it. */
export function bindMount(task: Task, from: Path, at: Path, flags: number): number {
  if (at.mount.namespace !== task.nsproxy.mnt) return -EINVAL
  if (from.dentry.deleted) return -ENOENT
  const copy = copyForBind(task, from, flags)
  if (typeof copy === 'number') return copy
  const error = graft(copy, at)
  if (error < 0) disposeTree(copy)
  return error
}

/** MS_REMOUNT: change the flags of the mount whose root `at` is, and without MS_BIND its file system. */
export function remount(task: Task, at: Path, flags: number, data: string): number {
  const { mount, dentry } = at
  if (mount.namespace !== task.nsproxy.mnt || dentry !== mount.root) return -EINVAL
  let wanted = mountFlags(flags)
  // Without a word about access times they stay as they are.
  if ((flags & (ATIME_FLAGS | MS_STRICTATIME)) === 0)
    wanted = (wanted & ~ATIME_FLAGS) | (mount.flags & ATIME_FLAGS)
  if (!mayHaveFlags(mount, wanted)) return -EPERM
  const error =
    (flags & MS_BIND) !== 0
      ? mayBecomeReadonly([mount], wanted)
      : reconfigure(task, mount.sb, flags, data) || mayBecomeReadonly([mount], wanted)
  if (error < 0) return error
  mount.flags = wanted
  walksChanged()
  task.nsproxy.mnt.changes.note()
  return 0
}

/** -EBUSY while files of a mount are open for writing: mnt_hold_writers. */
export function mayBecomeReadonly(mounts: Iterable<Mount>, flags: number): number {
  if ((flags & MS_RDONLY) === 0) return 0
  for (const mount of mounts)
    if ((mount.flags & MS_RDONLY) === 0 && mount.writers > 0) return -EBUSY
  return 0
}

/** reconfigure_super: `flags` are MS_* of the file system as a whole. */
export function reconfigure(task: Task, sb: SuperBlock, flags: number, data: string): number {
  if (!task.creds.capableIn(sb.userNs, CAP_SYS_ADMIN)) return -EPERM
  // Without a state of its own only the mount changes, which is its caller's business.
  const held = sb.ownReadonly && !sb.readonly ? mayBecomeReadonly(sb.mounts, flags) : 0
  const error = held || sb.reconfigure(data)
  if (error < 0 || !sb.ownReadonly) return error
  sb.readonly = (flags & MS_RDONLY) !== 0
  sb.flags = (sb.flags & ~REMOUNT_FLAGS) | (flags & REMOUNT_FLAGS)
  return 0
}

/** Whether none of the changes concerns a locked flag: can_change_locked_flags. */
export function mayHaveFlags(mount: Mount, wanted: number): boolean {
  const protecting = mount.lockedFlags & ~ATIME_FLAGS
  if ((mount.flags & protecting & ~wanted) !== 0) return false
  return (mount.lockedFlags & ATIME_FLAGS) === 0 || ((mount.flags ^ wanted) & ATIME_FLAGS) === 0
}

/** MS_SHARED and its like, with MS_REC on all mounts below. */
export function setPropagation(task: Task, at: Path, type: number, recursive: number): number {
  const { mount, dentry } = at
  // Of another namespace, too, if one has power over that.
  const owner = mount.namespace?.owner
  if (dentry !== mount.root || !owner) return -EINVAL
  if (!task.creds.capableIn(owner, CAP_SYS_ADMIN)) return -EPERM
  for (const each of recursive !== 0 ? mount.tree() : [mount]) changePropagation(each, type)
  return 0
}

/** pivot_root(2): `newRoot` becomes the root of the namespace, the old one is moved to `putOld`. */
export function pivotRoot(task: Task, newRoot: Path, putOld: Path): number {
  const { mnt } = task.nsproxy
  const { root } = task.fs
  const old = topOf(putOld)
  const oldMount = root.mount
  const mount = newRoot.mount
  const { parent } = mount
  if (old.mount.peers !== null || parent?.peers || oldMount.parent?.peers) return -EINVAL
  if (oldMount.namespace !== mnt || mount.namespace !== mnt || mount.locked) return -EINVAL
  if (newRoot.dentry.deleted) return -ENOENT
  if (mount === oldMount || old.mount === oldMount) return -EBUSY
  if (root.dentry !== oldMount.root || newRoot.dentry !== mount.root || parent === null)
    return -EINVAL
  if (!isReachable(old, newRoot) || !isReachable(newRoot, root)) return -EINVAL
  const above =
    oldMount.parent === null ? null : { mount: oldMount.parent, dentry: oldMount.mountpoint! }
  mount.detach()
  oldMount.detach()
  if (oldMount.locked) {
    mount.locked = true
    oldMount.locked = false
  }
  oldMount.attach(old.mount, old.dentry)
  if (above === null) mnt.root = mount
  else mount.attach(above.mount, above.dentry)
  moveTasks(task.kernel, root, newRoot)
  return 0
}

/** Whoever has the old root as root or working directory gets the new one: chroot_fs_refs. */
function moveTasks(kernel: Kernel, { mount, dentry }: Path, to: Path): void {
  const isOld = (place: Path) => place.mount === mount && place.dentry === dentry
  for (const { fs } of kernel.tasks) {
    if (isOld(fs.root)) fs.root = { ...to }
    if (isOld(fs.cwd)) fs.cwd = { ...to }
  }
}
