// What mounting and unmounting brings about on other mounts: propagate_mnt and propagate_umount in fs/pnode.c.

import { ENOSPC } from '../../syscall-table/errno.ts'
import type { Dentry } from './dentry.ts'
import { type Mount, mayMakeMounts, type Path, type PeerGroup } from './mount.ts'
import { AS_ORIGINAL, AS_SLAVE, copyTree, disposeTree, lockTree } from './mount-copy.ts'
import { makeShared, receivers } from './propagation.ts'

/** A copy of a tree, and the place that it is going to be put to. */
export interface Arrival {
  tree: Mount
  at: Path
}

/** A group that hears of a change, and the tree that its members' copies follow. */
interface Hearing {
  group: PeerGroup
  model: Mount
  /** The first copy is a slave of the model, and the model of the others. */
  slaves: boolean
}

/**
 * Make the copies that mounting `tree` on `dentry` of the shared mount `parent` brings about elsewhere; all of
 * `tree` is shared already. Nothing is attached yet. -ENOSPC when there would be too many.
 */
export function arrivalsOf(tree: Mount, parent: Mount, dentry: Dentry): Arrival[] | number {
  const arrivals: Arrival[] = []
  const error = collect(arrivals, tree, parent, dentry)
  for (const { at } of arrivals) at.mount.namespace!.expected = 0
  if (error === 0) return arrivals
  for (const arrival of arrivals) disposeTree(arrival.tree)
  return error
}

function collect(arrivals: Arrival[], tree: Mount, parent: Mount, dentry: Dentry): number {
  const count = tree.tree().length
  const hearings: Hearing[] = [{ group: parent.peers!, model: tree, slaves: false }]
  for (let i = 0; i < hearings.length; i++) {
    const { group, slaves } = hearings[i]!
    let { model } = hearings[i]!
    let asSlave = slaves
    for (const member of group.members) {
      if (member === parent) continue
      if (!mayMakeMounts(member.namespace, count)) return -ENOSPC
      const copy = arrive(arrivals, model, member, dentry, asSlave ? AS_SLAVE : AS_ORIGINAL)
      if (copy === null || !asSlave) continue
      for (const mount of copy.tree()) makeShared(mount)
      model = copy
      asSlave = false
    }
    const seen = new Set<PeerGroup>()
    for (const slave of group.slaves) {
      const { peers } = slave
      if (peers === null) {
        if (!mayMakeMounts(slave.namespace, count)) return -ENOSPC
        arrive(arrivals, model, slave, dentry, AS_SLAVE)
      } else if (!seen.has(peers)) {
        seen.add(peers)
        hearings.push({ group: peers, model, slaves: true })
      }
    }
  }
  return 0
}

/** One copy, unless the place is not part of what `parent` shows, or nobody shows `parent`. */
function arrive(
  arrivals: Arrival[],
  model: Mount,
  parent: Mount,
  dentry: Dentry,
  how: number,
): Mount | null {
  if (parent.namespace === null || !parent.root.contains(dentry)) return null
  const tree = copyTree(model, model.root, how)
  if (typeof tree === 'number') return null
  parent.namespace.expected += tree.tree().length
  arrivals.push({ tree, at: { mount: parent, dentry } })
  return tree
}

/** Put a copy to its place, below what is mounted there already. */
export function putArrival({ tree, at }: Arrival, source: Mount): void {
  const { namespace } = at.mount
  const covered = at.dentry.mounted?.get(at.mount)
  covered?.detach()
  if (namespace !== null) {
    if (source.namespace?.owner !== namespace.owner) lockTree(tree)
    namespace.adopt(tree.tree())
  }
  tree.attach(at.mount, at.dentry)
  covered?.attach(tree, tree.root)
}

/** What is mounted at the same place of mounts that hear of `mount`'s parent. */
export function counterparts(mount: Mount): Mount[] {
  const { parent, mountpoint } = mount
  if (parent === null) return []
  const found: Mount[] = []
  for (const receiver of receivers(parent)) {
    const child = mountpoint!.mounted?.get(receiver)
    if (child !== undefined) found.push(child)
  }
  return found
}
