// Dentries: names in the tree, and the cache of lookups. A dentry without an inode is negative: the name is
// known not to exist. File systems whose `cacheable` is false are asked again at each moment (moment.ts).

import type { Inode } from './inode.ts'
import { currentMoment } from './moment.ts'
import type { Mount } from './mount.ts'

/** Of the many that have none, and never will: never to be added to. */
const NO_CHILDREN = new Map<string, Dentry>()

export class Dentry {
  name: string
  parent: Dentry | null
  inode: Inode | null
  /** Names looked up below this directory. See `addChild`. */
  children = NO_CHILDREN
  /** What is mounted here, by the mount through which this is seen (of any namespace); null for nearly all. */
  mounted: Map<Mount, Mount> | null = null
  /** Removed from the tree, but still held by open files or working directories. */
  deleted = false
  /** Never in a tree: `name` is the whole of what d_path shows (`pipe:[7]`, `anon_inode:[eventfd]`). */
  detached = false
  /** An O_TMPFILE file that linkat(2) may still give a name to. */
  linkable = false
  /** The name was not looked up, and may exist. */
  unseen = false
  /** In the tree: a lookup of the name finds this dentry. */
  cached = false
  /** Open files that hold this dentry in the cache. */
  opens = 0
  /** When the file system last said so; counts where others may change it. See moment.ts. */
  validAt = currentMoment()
  /** Looked up since the cache was last trimmed. */
  used = true

  constructor(name: string, parent: Dentry | null, inode: Inode | null) {
    this.name = name
    this.parent = parent
    this.inode = inode
  }

  addChild(name: string, child: Dentry): void {
    if (this.children === NO_CHILDREN) this.children = new Map()
    this.children.set(name, child)
  }

  /** Whether `this` is `other` or lies above it. */
  contains(other: Dentry): boolean {
    for (let d: Dentry | null = other; d !== null; d = d.parent) if (d === this) return true
    return false
  }
}
