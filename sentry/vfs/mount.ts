// Mounts and mount namespaces: struct mount and mnt_namespace, with private propagation.

import type { Dentry } from './dentry.ts'
import type { SuperBlock } from './inode.ts'
import { walksChanged } from './path-cache.ts'

/** One file system, or a part of it (bind), at one place. */
export class Mount {
  readonly id: number
  readonly sb: SuperBlock
  /** What of the file system is visible here: its root, or a bind mount's source. */
  readonly root: Dentry
  /** Where it is mounted; null for the root of the namespace. */
  parent: Mount | null = null
  mountpoint: Dentry | null = null
  /** MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME. */
  flags: number
  /** First column of /proc/mounts. */
  readonly source: string
  readonly namespace: MountNamespace

  constructor(
    namespace: MountNamespace,
    sb: SuperBlock,
    root: Dentry,
    flags: number,
    source: string,
  ) {
    this.id = namespace.nextId++
    this.namespace = namespace
    this.sb = sb
    this.root = root
    this.flags = flags
    this.source = source
  }
}

/** A place in the tree: struct path. */
export interface Path {
  mount: Mount
  dentry: Dentry
}

export class MountNamespace {
  nextId = 20
  root!: Mount
  /** In mount order, as /proc/mounts lists them. */
  readonly mounts: Mount[] = []

  /** Attach `mount` over `at` (or as the root when null). */
  attach(mount: Mount, at: Path | null): void {
    if (at === null) this.root = mount
    else {
      mount.parent = at.mount
      mount.mountpoint = at.dentry
      at.dentry.mounted ??= []
      at.dentry.mounted.push(mount)
    }
    this.mounts.push(mount)
    walksChanged()
  }

  detach(mount: Mount): void {
    const at = mount.mountpoint
    if (at?.mounted) {
      at.mounted = at.mounted.filter(m => m !== mount)
      if (at.mounted.length === 0) at.mounted = null
    }
    mount.parent = mount.mountpoint = null
    walksChanged()
    const index = this.mounts.indexOf(mount)
    if (index >= 0) this.mounts.splice(index, 1)
  }

  /** The topmost mount on `dentry` as seen through `parent`, or null. */
  mountedOn(parent: Mount, dentry: Dentry): Mount | null {
    if (dentry.mounted === null) return null
    for (let i = dentry.mounted.length - 1; i >= 0; i--) {
      if (dentry.mounted[i]!.parent === parent) return dentry.mounted[i]!
    }
    return null
  }
}
