// Copies of mounts and of trees of them: clone_mnt and copy_tree in fs/namespace.c.

import { EINVAL, ENOSPC, EPERM } from '../../syscall-table/errno.ts'
import {
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_RELATIME,
} from '../../syscall-table/flags.ts'
import { forgetTree } from './dcache.ts'
import type { Dentry } from './dentry.ts'
import { Mount, mayMakeMounts, mountReleased } from './mount.ts'
import { notifyUnmounted } from './notify.ts'
import { endPropagation, follow, sharePropagation } from './propagation.ts'

/** How a copy takes part in propagation. */
export const AS_ORIGINAL = 0
/** It listens to the original, which is shared. */
export const AS_SLAVE = 1
/** As AS_SLAVE where the original is shared, for a less privileged namespace. */
export const SHARED_AS_SLAVE = 2
/** Unbindable mounts are copied, too: a new namespace must look like the old one. */
export const WITH_UNBINDABLE = 4

export const ATIME_FLAGS = MS_NOATIME | MS_NODIRATIME | MS_RELATIME
/** Flags that protect: they can be locked. */
const PROTECTING = MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC

/** A mount of `root`, a dentry of the original's file system that the original shows. */
export function cloneMount(original: Mount, root: Dentry, how: number): Mount {
  const copy = new Mount(original.sb, root, original.flags, original.source)
  copy.lockedFlags = original.lockedFlags
  copy.locked = original.locked
  const slave = (how & AS_SLAVE) !== 0 || ((how & SHARED_AS_SLAVE) !== 0 && original.peers !== null)
  if (slave) follow(copy, original.peers ?? original.master)
  else {
    sharePropagation(original, copy)
    copy.unbindable = original.unbindable
  }
  return copy
}

/**
 * Copy `original`, of which only `root` and what is below is shown, with all that is mounted there. -EINVAL when
 * it must not be copied, -EPERM when that would uncover something, -ENOSPC when there are too many mounts.
 */
export function copyTree(
  original: Mount,
  root: Dentry,
  how: number,
  copies: Map<Mount, Mount> = new Map(),
): Mount | number {
  if (original.unbindable && (how & WITH_UNBINDABLE) === 0) return -EINVAL
  if (!mayMakeMounts(null, original.tree().length)) return -ENOSPC
  const top = cloneMount(original, root, how)
  // Alone it covers nothing any more.
  top.locked = false
  copies.set(original, top)
  const pending: Mount[] = [original]
  for (let i = 0; i < pending.length; i++) {
    const parent = pending[i]!
    for (const child of parent.children) {
      if (parent === original && !root.contains(child.mountpoint!)) continue
      if (child.unbindable && (how & WITH_UNBINDABLE) === 0) {
        if (!child.locked) continue
        disposeTree(top)
        return -EPERM
      }
      const copy = cloneMount(child, child.root, how)
      copies.set(child, copy)
      copy.attach(copies.get(parent)!, child.mountpoint!)
      pending.push(child)
    }
  }
  return top
}

/** Whether a bind mount without what is below would uncover something: has_locked_children. */
export function hasLockedChildren(mount: Mount, root: Dentry): boolean {
  for (const child of mount.children)
    if (child.locked && root.contains(child.mountpoint!)) return true
  return false
}

/** Nobody in a less privileged namespace may take the tree apart, or undo its flags: lock_mnt_tree. */
export function lockTree(top: Mount): void {
  for (const mount of top.tree()) {
    mount.lockedFlags |= (mount.flags & PROTECTING) | ATIME_FLAGS
    if (mount !== top) mount.locked = true
  }
}

/** A tree that nobody has seen is not needed after all. */
export function disposeTree(top: Mount): void {
  for (const mount of top.tree().reverse()) {
    mount.detach()
    endPropagation(mount)
    releaseMount(mount)
  }
}

/** Nothing shows or uses the mount any more. */
export function releaseMount(mount: Mount): void {
  if (!mount.sb.mounts.delete(mount)) return
  mountReleased()
  mount.root.opens--
  const { inode } = mount.root
  if (inode !== null && --inode.pins === 0) inode.evict()
  const { sb } = mount
  if (sb.mounts.size > 0 || sb.rootDentry === null) return
  // The last mount of the file system: what the cache knows goes before the memory that it tells of.
  for (const child of [...sb.rootDentry.children.values()]) forgetTree(child)
  notifyUnmounted(sb)
  sb.unmounted()
}
