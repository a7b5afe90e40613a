// What an overlay's upper layer holds, as a sequence of entries: everything that differs from the lower layer.

import { S_IFCHR } from '../../../syscall-table/flags.ts'
import type { Inode } from '../../vfs/inode.ts'
import type { MemoryInode } from '../tmpfs/tmpfs.ts'
import { OverlayDir } from './directory.ts'
import type { OverlaySuperBlock } from './overlay.ts'

/** One entry. A whiteout (a name that is gone from the lower layer) has no inode. */
export interface UpperEntry {
  /** Without a slash in front; the root's is ''. */
  path: string
  inode: MemoryInode | null
  /** A directory that hides one of the lower layer. */
  opaque: boolean
}

/** The mode of a whiteout: a character device with number 0, as overlayfs has it. */
export const WHITEOUT_MODE = S_IFCHR

interface Pending {
  path: string
  dir: OverlayDir
  /** It has been moved here: what is below is nowhere in the lower layer, and belongs to the upper one. */
  whole: boolean
}

/**
 * Walks the upper layer, a directory at a time: parents come before what is in them. Inodes are pinned until `close`.
 * Directories of the lower layer are looked through only while changed inodes are missing.
 */
export class UpperWalk {
  readonly #sb: OverlaySuperBlock
  readonly #ready: UpperEntry[] = []
  readonly #pending: Pending[] = []
  readonly #pinned: Inode[] = []
  readonly #missing: Set<MemoryInode>

  constructor(sb: OverlaySuperBlock) {
    this.#sb = sb
    this.#missing = new Set(sb.changed.values())
    this.#found('', sb.root, false, false)
  }

  /** The next entry, or null at the end; -errno when a directory cannot be read. */
  next(): UpperEntry | null | number {
    while (this.#ready.length === 0) {
      const pending = this.#pending.pop()
      if (pending === undefined) return null
      const error = this.#enter(pending)
      if (error < 0) return error
    }
    return this.#ready.shift()!
  }

  close(): void {
    for (const inode of this.#pinned.splice(0)) if (--inode.pins === 0) inode.evict()
  }

  /** An inode of the merged tree: it is an entry if it is an upper one, and searched if it is a directory. */
  #found(path: string, inode: MemoryInode, opaque: boolean, whole: boolean): void {
    inode.pins++
    this.#pinned.push(inode)
    const { lower = null } = inode as { lower?: Inode | null }
    const changed = lower === null || this.#sb.changed.get(lower) === inode
    this.#missing.delete(inode)
    if (changed || whole) this.#ready.push({ path, inode, opaque })
    if (inode instanceof OverlayDir) this.#pending.push({ path, dir: inode, whole })
  }

  #enter({ path, dir, whole }: Pending): number {
    const prefix = path === '' ? '' : `${path}/`
    for (const [name, { inode }] of dir.entries) {
      const isDir = inode instanceof OverlayDir
      const moved = isDir && inode.lower !== null
      this.#found(prefix + name, inode, isDir && dir.hidesLower(name), whole || moved)
    }
    for (const name of dir.hiddenNames())
      if (!whole && !dir.entries.has(name))
        this.#ready.push({ path: prefix + name, inode: null, opaque: false })
    if (dir.lower === null || (!whole && this.#missing.size === 0)) return 0
    return this.#enterLower(prefix, dir, whole)
  }

  /** Names of the lower layer that are visible, and may lead to what has been changed. */
  #enterLower(prefix: string, dir: OverlayDir, whole: boolean): number {
    const task = this.#sb.kernel.init.leader
    const names = dir.visibleLowerNames()
    if (typeof names === 'number') return names
    for (const name of names) {
      const inode = dir.lookup(name, task)
      // Gone since: then it is none of ours.
      if (typeof inode === 'number') continue
      const { lower } = inode as { lower?: Inode }
      const kept = whole || (lower !== undefined && this.#sb.changed.get(lower) === inode)
      if (kept || inode instanceof OverlayDir)
        this.#found(prefix + name, inode as MemoryInode, false, whole)
      else if (inode.pins === 0) inode.evict()
    }
    return 0
  }
}
