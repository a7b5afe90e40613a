// Taking from the mount tree: umount2(2), and the end of mount namespaces.

import { EAGAIN, EBUSY, EINVAL, EPERM } from '../../syscall-table/errno.ts'
import { CAP_SYS_ADMIN, MNT_DETACH, MNT_EXPIRE, MNT_FORCE } from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import type { Dentry } from './dentry.ts'
import type { Mount, MountNamespace, Path } from './mount.ts'
import { releaseMount } from './mount-copy.ts'
import { counterparts } from './mount-events.ts'
import { walksChanged } from './path-cache.ts'
import { endPropagation } from './propagation.ts'

/** umount2(2) of the mount whose root `at` is. */
export function unmount(task: Task, at: Path, flags: number): number {
  const { kernel } = task
  const { mount } = at
  if (at.dentry !== mount.root || mount.namespace !== task.nsproxy.mnt || mount.locked)
    return -EINVAL
  if ((flags & MNT_FORCE) !== 0 && !task.creds.capable(CAP_SYS_ADMIN)) return -EPERM
  const lazy = (flags & MNT_DETACH) !== 0
  if (mount.parent === null) return lazy || (flags & MNT_EXPIRE) !== 0 ? -EINVAL : -EBUSY
  if ((flags & MNT_EXPIRE) !== 0) {
    const error = expire(task, mount, flags)
    if (error < 0) return error
  }
  if (lazy) {
    unmountTree(kernel, mount)
    return 0
  }
  // What covers the root of the mount is found by the walk first, so children are below it.
  if (mount.children.size > 0 || inUse(kernel, mount)) return -EBUSY
  for (const other of counterparts(mount)) {
    if (other.children.size === 0 && inUse(kernel, other)) return -EBUSY
  }
  unmountTree(kernel, mount)
  return 0
}

/** MNT_EXPIRE: the first call marks the mount; the second unmounts if nobody has been there in between. */
function expire(task: Task, mount: Mount, flags: number): number {
  if (mount === task.fs.root.mount || (flags & (MNT_FORCE | MNT_DETACH)) !== 0) return -EINVAL
  if (mount.children.size > 0 || inUse(task.kernel, mount)) return -EBUSY
  // The walk of this very call has been there, too.
  const untouched = mount.expiryMark >= 0 && mount.crossings <= mount.expiryMark + 1
  mount.expiryMark = mount.crossings
  walksChanged()
  return untouched ? 0 : -EAGAIN
}

/** Unmount a tree whoever uses it, and what is in its place where that propagates to. */
function unmountTree(kernel: Kernel, top: Mount): void {
  const gone = top.tree()
  const leaving = new Set<Mount>(gone)
  for (const mount of gone) {
    for (const other of counterparts(mount)) if (!leaving.has(other)) leavePlace(other, leaving)
  }
  const all = [...leaving]
  for (let i = all.length - 1; i >= 0; i--) drop(kernel, all[i]!)
}

/** By propagation only what carries nothing else goes; something on its root takes its place instead. */
function leavePlace(mount: Mount, leaving: Set<Mount>): void {
  if (mount.locked) return
  let cover: Mount | null = null
  for (const child of mount.children) {
    if (leaving.has(child)) continue
    if (child.mountpoint !== mount.root) return
    cover = child
  }
  leaving.add(mount)
  if (cover === null) return
  const { parent, mountpoint } = mount
  cover.detach()
  mount.detach()
  cover.attach(parent!, mountpoint!)
}

function drop(kernel: Kernel, mount: Mount): void {
  mount.detach()
  mount.namespace?.remove(mount)
  endPropagation(mount)
  if (inUse(kernel, mount)) mount.abandoned = true
  else releaseMount(mount)
}

/** A detached tree is not wanted any more: dissolve_on_fput. */
export function dissolveTree(kernel: Kernel, top: Mount): void {
  top.floating = false
  for (const mount of top.tree().reverse()) drop(kernel, mount)
}

/** A working directory, a root or an open file is on the mount. */
function inUse(kernel: Kernel, mount: Mount): boolean {
  if (mount.opens > 0) return true
  for (const { fs } of kernel.tasks)
    if (fs.cwd.mount === mount || fs.root.mount === mount) return true
  return false
}

/** The last user of a mount namespace is gone. */
export function unmountAll(namespace: MountNamespace): void {
  const mounts = [...namespace.mounts]
  for (let i = mounts.length - 1; i >= 0; i--) {
    const mount = mounts[i]!
    mount.detach()
    namespace.remove(mount)
    endPropagation(mount)
    if (mount.opens > 0) mount.abandoned = true
    else releaseMount(mount)
  }
}

/** Whether something is mounted on `dentry` in the mount namespace of `task`: is_local_mountpoint. */
export function isMountpoint(task: Task, dentry: Dentry): boolean {
  if (dentry.mounted === null) return false
  for (const parent of dentry.mounted.keys()) if (parent.namespace === task.nsproxy.mnt) return true
  return false
}

/** The name of `dentry` is going: what other namespaces have mounted on it is unmounted. */
export function unmountElsewhere(kernel: Kernel, dentry: Dentry): void {
  while (dentry.mounted !== null) {
    const mount = dentry.mounted.values().next().value
    if (mount === undefined) return
    unmountTree(kernel, mount)
  }
}
