// Moving mounts: MS_MOVE and move_mount(2), do_move_mount and do_set_group in fs/namespace.c.

import { EINVAL, ELOOP, ENOENT, EPERM } from '../../syscall-table/errno.ts'
import { CAP_SYS_ADMIN } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { Dentry } from './dentry.ts'
import { type Mount, type Path, topOf } from './mount.ts'
import { hasLockedChildren } from './mount-copy.ts'
import { attachTree } from './mounting.ts'
import { receivers, sharePropagation } from './propagation.ts'

/** Put the tree whose root `from` is on top of `place`. */
export function moveMount(task: Task, from: Path, place: Path): number {
  const at = topOf(place)
  const error = mayMove(task, from, at)
  return error < 0 ? error : attachMoved(task, from.mount, at)
}

/** MOVE_MOUNT_BENEATH: between the topmost mount of `place` and what that is mounted on. */
export function moveBeneath(task: Task, from: Path, place: Path): number {
  const top = topOf(place)
  const above = top.mount
  const { parent, mountpoint } = above
  if (top.dentry !== above.root || parent === null) return -EINVAL
  const error = mayMove(task, from, top) || mayMoveBeneath(task, from.mount, above)
  if (error < 0) return error
  const at = { mount: parent, dentry: mountpoint! }
  above.detach()
  const moved = attachMoved(task, from.mount, at)
  if (moved < 0) above.attach(at.mount, at.dentry)
  else above.attach(from.mount, from.mount.root)
  return moved
}

/** What stands against moving `from` whatever becomes of the place `at`. */
function mayMove(task: Task, from: Path, at: Path): number {
  const { mount } = from
  const { mnt } = task.nsproxy
  const attached = mount.parent !== null
  if (at.mount.namespace !== mnt) return -EINVAL
  // A detached tree may come from open_tree or fsmount.
  if (attached ? mount.namespace !== mnt || mount.locked : !isDetachedTree(mount)) return -EINVAL
  if (from.dentry !== mount.root) return -EINVAL
  if (at.dentry.deleted) return -ENOENT
  if (mount.root.inode!.isDir !== at.dentry.inode!.isDir) return -EINVAL
  return attached && mount.parent!.peers !== null ? -EINVAL : 0
}

/** Made by open_tree(2) or fsmount(2), and not attached or thrown away yet. */
function isDetachedTree(mount: Mount): boolean {
  return mount.namespace === null && mount.floating
}

/** can_move_mount_beneath. */
function mayMoveBeneath(task: Task, mount: Mount, above: Mount): number {
  if (above.locked || mount.root.mounted?.has(mount)) return -EINVAL
  if (above === task.fs.root.mount || mount.isBelow(above)) return -EINVAL
  const parent = above.parent!
  const overmounts = (other: Mount): boolean => wouldOvermount(parent, above.mountpoint!, other)
  return overmounts(above) || overmounts(mount) ? -EINVAL : 0
}

/** Whether what is mounted on `dentry` of `parent` also comes on top of `other`: propagation_would_overmount. */
function wouldOvermount(parent: Mount, dentry: Dentry, other: Mount): boolean {
  return parent.peers !== null && other.root === dentry && receivers(parent).includes(other)
}

function attachMoved(task: Task, mount: Mount, at: Path): number {
  if (at.mount.peers !== null && mount.tree().some(each => each.unbindable)) return -EINVAL
  if (at.mount.isBelow(mount)) return -ELOOP
  return attachTree(mount, at, task.nsproxy.mnt)
}

/** MOVE_MOUNT_SET_GROUP: the private mount `to` takes part in what `from` does. */
export function setGroup(task: Task, from: Path, to: Path): number {
  for (const { mount } of [from, to]) {
    const owner = mount.namespace?.owner
    if (!owner) return -EINVAL
    if (!task.creds.capableIn(owner, CAP_SYS_ADMIN)) return -EPERM
  }
  const { mount: source } = from
  const { mount } = to
  if (from.dentry !== source.root || to.dentry !== mount.root) return -EINVAL
  if (source.sb !== mount.sb || !source.root.contains(mount.root)) return -EINVAL
  if (hasLockedChildren(source, mount.root)) return -EINVAL
  if (mount.peers !== null || mount.master !== null) return -EINVAL
  if (source.peers === null && source.master === null) return -EINVAL
  sharePropagation(source, mount)
  return 0
}
