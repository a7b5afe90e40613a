// Mounts and mount namespaces: struct mount and mnt_namespace; mount_namespaces(7).

import { Changes } from '../kernel/changes.ts'
import { Namespace, newNamespaceIno } from '../kernel/namespace.ts'
import type { UserNamespace } from '../kernel/user-namespace.ts'
import type { Dentry } from './dentry.ts'
import type { FsContext } from './fs-context.ts'
import type { SuperBlock } from './inode.ts'
import { walksChanged } from './path-cache.ts'

/** Mounts of one namespace: fs.mount-max would allow 100000; each costs the kernel memory. */
const MOUNTS_MAX = 10_000
/** Mounts of all namespaces: copies of namespaces and propagation multiply them. */
const MOUNTS_TOTAL = 100_000

/** Numbers that are never given again are above those that may be: MNT_UNIQUE_ID_OFFSET. */
export const UNIQUE_ID_OFFSET = 2 ** 31

/** Mounts that have been made and not released. */
let living = 0

/** One is gone for good. */
export function mountReleased(): void {
  living--
}

/** Whether `count` more mounts may be made, for `namespace` if they are for one. */
export function mayMakeMounts(namespace: MountNamespace | null, count: number): boolean {
  if (living + count > MOUNTS_TOTAL) return false
  return namespace === null || namespace.mounts.size + namespace.expected + count <= MOUNTS_MAX
}

let lastId = 19
let lastPeerGroup = 0
/** Order in which mount namespaces were made: a file of one may only be mounted in a younger one. */
let lastSequence = 0

/** Mounts that tell each other what is mounted on and unmounted from them: a peer group. */
export class PeerGroup {
  readonly id = ++lastPeerGroup
  readonly members = new Set<Mount>()
  /** Mounts that hear of this group's changes, and not the other way round. */
  readonly slaves = new Set<Mount>()
}

/** One file system, or a part of it (bind), at one place. */
export class Mount {
  readonly id = ++lastId
  readonly sb: SuperBlock
  /** What of the file system is visible here: its root, or a bind mount's source. */
  readonly root: Dentry
  /** Where it is mounted; null for the root of a tree. */
  parent: Mount | null = null
  mountpoint: Dentry | null = null
  readonly children = new Set<Mount>()
  /** MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_NOSYMFOLLOW. */
  flags: number
  /** First column of /proc/mounts. */
  readonly source: string
  /** Null for what no namespace shows: detached trees, and the kernel's own file systems. */
  namespace: MountNamespace | null = null
  /** Shared: the group it belongs to. */
  peers: PeerGroup | null = null
  /** Slave: the group it listens to. */
  master: PeerGroup | null = null
  unbindable = false
  /** Came from a more privileged namespace: it cannot be unmounted alone, nor lose what it covers. MNT_LOCKED. */
  locked = false
  /** Flags that a less privileged namespace may not clear: MNT_LOCK_*. */
  lockedFlags = 0
  /** Made by open_tree(2) or fsmount(2), and not attached yet. */
  floating = false
  /** Open files. */
  opens = 0
  /** Those of them that may write to a regular file. */
  writers = 0
  /** Walks that came here over the mountpoint, as far as no cache knew the way; umount2's MNT_EXPIRE. */
  crossings = 0
  /** `crossings` when MNT_EXPIRE was last asked for, else -1. */
  expiryMark = -1
  /** Unmounted while it was in use: what the file system holds goes with the last user. */
  abandoned = false

  get uniqueId(): number {
    return UNIQUE_ID_OFFSET + this.id
  }

  constructor(sb: SuperBlock, root: Dentry, flags: number, source: string) {
    this.sb = sb
    this.root = root
    this.flags = flags
    this.source = source
    living++
    sb.mounts.add(this)
    root.opens++
    if (root.inode !== null && root.inode.pins++ === 0) root.inode.pinned()
  }

  /** Put this tree on `dentry` as seen through `parent`. */
  attach(parent: Mount, dentry: Dentry): void {
    this.parent = parent
    this.mountpoint = dentry
    dentry.mounted ??= new Map()
    dentry.mounted.set(parent, this)
    parent.children.add(this)
    walksChanged()
  }

  /** Take this tree off its mountpoint. */
  detach(): void {
    const { parent, mountpoint } = this
    if (parent === null) return
    parent.children.delete(this)
    const mounted = mountpoint!.mounted!
    if (mounted.get(parent) === this) mounted.delete(parent)
    if (mounted.size === 0) mountpoint!.mounted = null
    this.parent = this.mountpoint = null
    walksChanged()
  }

  /** Whether this is `top` or mounted somewhere below it. */
  isBelow(top: Mount): boolean {
    for (let m: Mount | null = this; m !== null; m = m.parent) if (m === top) return true
    return false
  }

  /** This mount and all below it, parents first. */
  tree(): Mount[] {
    const found: Mount[] = [this]
    for (let i = 0; i < found.length; i++) for (const child of found[i]!.children) found.push(child)
    return found
  }
}

/** A place in the tree: struct path. */
export interface Path {
  mount: Mount
  dentry: Dentry
}

/** What is on top of a place: follow_down. */
export function topOf(place: Path): Path {
  let { mount, dentry } = place
  for (;;) {
    const above = dentry.mounted?.get(mount)
    if (above === undefined) return { mount, dentry }
    mount = above
    dentry = above.root
  }
}

/** Whether one can come from `from` down to a place: is_path_reachable. */
export function isReachable(place: Path, from: Path): boolean {
  let { mount, dentry } = place
  while (mount !== from.mount) {
    if (mount.parent === null) return false
    dentry = mount.mountpoint!
    mount = mount.parent
  }
  return from.dentry.contains(dentry)
}

export class MountNamespace extends Namespace {
  root!: Mount
  /** In the order in which they came, as /proc/mounts lists them. */
  readonly mounts = new Set<Mount>()
  /** Copies that are on their way here. */
  expected = 0
  readonly sequence = ++lastSequence
  /** Of what /proc/PID/mounts shows. */
  readonly changes = new Changes()
  /** Set by mounting.ts: unmounts everything. */
  onReleased: ((ns: MountNamespace) => void) | null = null
  /** What each mount of the namespace that this one was copied from became; for `enterCopy`. */
  copies: Map<Mount, Mount> | null = null

  constructor(owner: UserNamespace, ino = newNamespaceIno()) {
    super('mnt', ino, owner)
  }

  /** A tree becomes visible here. */
  adopt(tree: readonly Mount[]): void {
    for (const mount of tree) {
      mount.namespace = this
      this.mounts.add(mount)
    }
    walksChanged()
    this.changes.note()
  }

  remove(mount: Mount): void {
    mount.namespace = null
    this.mounts.delete(mount)
    this.changes.note()
  }

  /** Whoever lived in the namespace that was copied finds himself at the same places of the copy. */
  enterCopy(fs: FsContext): void {
    const { copies } = this
    if (copies === null) return
    fs.root = { mount: copies.get(fs.root.mount) ?? fs.root.mount, dentry: fs.root.dentry }
    fs.cwd = { mount: copies.get(fs.cwd.mount) ?? fs.cwd.mount, dentry: fs.cwd.dentry }
    this.copies = null
  }

  protected override released(): void {
    this.onReleased?.(this)
  }
}
