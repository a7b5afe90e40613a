// Propagation types of mounts: mount_namespaces(7), fs/pnode.c. What is mounted on a shared mount is mounted on its
// peers and their slaves as well.

import { MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE } from '../../syscall-table/flags.ts'
import { type Mount, PeerGroup } from './mount.ts'

/** Become a member of `group`. */
function join(mount: Mount, group: PeerGroup): void {
  mount.peers = group
  group.members.add(mount)
}

/** Listen to `master`, or to nobody. */
export function follow(mount: Mount, master: PeerGroup | null): void {
  mount.master?.slaves.delete(mount)
  mount.master = master
  master?.slaves.add(mount)
}

/** Share with others; a mount that is shared already stays in its group. */
export function makeShared(mount: Mount): void {
  if (mount.peers === null) join(mount, new PeerGroup())
}

/** `copy` shows the same as `original`: it takes part in the same way. */
export function sharePropagation(original: Mount, copy: Mount): void {
  if (original.peers !== null) join(copy, original.peers)
  follow(copy, original.master)
}

/** Leave the peer group. Slaves of a group that is empty then listen to what its last member listens to. */
function leavePeers(mount: Mount): void {
  const group = mount.peers
  if (group === null) return
  mount.peers = null
  group.members.delete(mount)
  if (group.members.size > 0) return
  for (const slave of [...group.slaves]) follow(slave, mount.master)
}

function makeSlave(mount: Mount): void {
  const group = mount.peers
  leavePeers(mount)
  if (group !== null && group.members.size > 0) follow(mount, group)
}

function makePrivate(mount: Mount): void {
  leavePeers(mount)
  follow(mount, null)
}

/** MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE. */
export function changePropagation(mount: Mount, type: number): void {
  if (type === MS_SHARED) {
    mount.unbindable = false
    makeShared(mount)
    return
  }
  if (type === MS_SLAVE) makeSlave(mount)
  else makePrivate(mount)
  mount.unbindable = type === MS_UNBINDABLE
}

/** The mount is gone: it takes part in nothing. */
export function endPropagation(mount: Mount): void {
  changePropagation(mount, MS_PRIVATE)
}

/** All that hear of a change of `mount`, without itself: peers, slaves, and their peers and slaves. */
export function receivers(mount: Mount): Mount[] {
  const found: Mount[] = []
  const groups = new Set<PeerGroup>()
  if (mount.peers !== null) groups.add(mount.peers)
  for (const group of groups) {
    for (const member of group.members) if (member !== mount) found.push(member)
    for (const slave of group.slaves) {
      if (slave.peers === null) found.push(slave)
      else groups.add(slave.peers)
    }
  }
  return found
}
