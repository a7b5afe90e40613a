// Directories of an overlay: the names of the upper layer, and those of the lower one that are not hidden.

import { EISDIR, ENOENT } from '../../../syscall-table/errno.ts'
import { O_DIRECTORY, O_RDONLY, RENAME_EXCHANGE } from '../../../syscall-table/flags.ts'
import type { Creds } from '../../kernel/creds.ts'
import type { Task } from '../../kernel/task.ts'
import { type Acl, adoptAcls } from '../../vfs/acl.ts'
import type { Dentry } from '../../vfs/dentry.ts'
import type { File } from '../../vfs/file.ts'
import type { DirSink, Inode, SetAttr } from '../../vfs/inode.ts'
import { touchModified } from '../../vfs/super.ts'
import { FIRST_COOKIE, listDots, MemoryDir } from '../tmpfs/directory.ts'
import type { MemoryInode } from '../tmpfs/tmpfs.ts'
import { lowerFile } from './lower-file.ts'
import type { OverlaySuperBlock } from './overlay.ts'

/** A merged listing, made when an open directory is read from its start. */
interface Listing {
  names: string[]
  inos: number[]
  types: number[]
}

export class OverlayDir extends MemoryDir {
  /** The directory below, or null for one made here (or opaque). */
  readonly lower: Inode | null
  /** Lower names that are gone, or hidden by a name above. */
  #whiteouts: Set<string> | null = null
  /** The lower file system does not count the links of directories, and shows 1: then neither do we. */
  #uncounted: boolean

  constructor(sb: OverlaySuperBlock, ino: number, mode: number, lower: Inode | null) {
    super(sb, ino, mode)
    this.lower = lower
    this.#uncounted = lower !== null && lower.nlink < 2
  }

  /** Whether `name` is gone from the lower layer, or hidden by a name above. */
  isHidden(name: string): boolean {
    return this.entries.has(name) || this.#whiteouts?.has(name) === true
  }

  /** Lower names that will never show again. */
  get whiteoutCount(): number {
    return this.#whiteouts?.size ?? 0
  }

  /** Whether a name of the lower layer would show if the one above it were not there. */
  hidesLower(name: string): boolean {
    return this.#whiteouts?.has(name) === true
  }

  /** Lower names that will never show again. */
  hiddenNames(): Iterable<string> {
    return this.#whiteouts ?? []
  }

  /** Lower names that show, or -errno. */
  visibleLowerNames(): string[] | number {
    const names: string[] = []
    const error = this.#lowerNames({
      entry(name) {
        names.push(name)
        return true
      },
    })
    return error < 0 ? error : names
  }

  #hide(name: string): void {
    this.#whiteouts ??= new Set()
    this.#whiteouts.add(name)
  }

  get #overlay(): OverlaySuperBlock {
    return this.sb as OverlaySuperBlock
  }

  override makeDir(mode: number): MemoryDir {
    return new OverlayDir(this.#overlay, this.sb.nextIno(), mode, null)
  }

  override lookup(name: string, task: Task | null): Inode | number {
    const upper = this.entries.get(name)
    if (upper !== undefined) return upper.inode
    if (this.lower === null || this.#whiteouts?.has(name)) return -ENOENT
    const found = this.lower.lookup(name, task)
    return typeof found === 'number' ? found : this.#overlay.inodeOver(found)
  }

  override lookupChain(path: string, at: number, intent: number): readonly (Inode | null)[] | null {
    const first = nameAt(path, at)
    if (this.lower === null || this.isHidden(first)) return null
    const chain = this.lower.lookupChain(path, at, intent)
    if (chain === null) return null
    const result: (Inode | null)[] = []
    let position = at + first.length
    let open = true
    for (const lower of chain) {
      if (open) {
        const inode = lower === null ? null : this.#overlay.inodeOver(lower)
        result.push(inode)
        while (path.charCodeAt(position) === 47) position++
        const next = nameAt(path, position)
        position += next.length
        // Names below may be different here: leave them to a lookup of their own.
        open = inode instanceof OverlayDir && inode.lower !== null && !inode.isHidden(next)
      } else if (lower !== null && lower.pins === 0) lower.evict()
    }
    return result
  }

  /** This directory is about to differ from the lower one. */
  #keep(): number {
    return this.lower === null ? 0 : this.#overlay.keep(this, this.lower)
  }

  override mknod(name: string, mode: number, rdev: number, creds: Creds): Inode | number {
    const error = this.#keep()
    return error < 0 ? error : super.mknod(name, mode, rdev, creds)
  }

  override mkdir(name: string, mode: number, creds: Creds): Inode | number {
    const error = this.#keep()
    if (error < 0) return error
    const made = super.mkdir(name, mode, creds)
    this.#settleLinks()
    return made
  }

  override symlink(name: string, target: string, creds: Creds): Inode | number {
    const error = this.#keep()
    return error < 0 ? error : super.symlink(name, target, creds)
  }

  override link(name: string, target: Inode): number {
    const error = this.#keep() || this.#keepOther(target)
    return error < 0 ? error : super.link(name, target)
  }

  /** A count that turns out too low was never one; and at 0 the directory would be taken for a removed one. */
  #settleLinks(): void {
    if (this.dead) return
    if (this.nlink < 2) this.#uncounted = true
    if (this.#uncounted) this.nlink = 1
  }

  /** A lower file that gets another name or loses one, or moves: its changes must last. */
  #keepOther(inode: Inode): number {
    const lower = (inode as { lower?: Inode | null }).lower ?? null
    return lower === null ? 0 : this.#overlay.keep(inode as MemoryInode, lower)
  }

  override unlink(name: string, victim: Inode): number {
    // Without a name left there is nothing that must last.
    const error = this.#keep() || (victim.nlink > 1 ? this.#keepOther(victim) : 0)
    return error < 0 ? error : super.unlink(name, victim)
  }

  override rmdir(name: string, victim: Inode): number {
    const error = this.#keep()
    if (error < 0) return error
    const n = super.rmdir(name, victim)
    this.#settleLinks()
    return n
  }

  override rename(
    name: string,
    newDir: Inode,
    newName: string,
    flags: number,
    inode: Inode,
    replaced: Inode | null,
    creds: Creds,
  ): number {
    const target = newDir as OverlayDir
    if (target.dead) return -ENOENT
    let error = this.#keep() || target.#keep() || this.#keepOther(inode)
    if (error < 0) return error
    if (replaced !== null) {
      error =
        (flags & RENAME_EXCHANGE) !== 0
          ? target.#pullUp(newName, replaced)
          : target.#remove(newName, replaced)
      if (error < 0) return error
    }
    error = this.#pullUp(name, inode)
    // Both names are upper ones now, and it is a rename within memory.
    const n = error < 0 ? error : super.rename(name, newDir, newName, flags, inode, replaced, creds)
    this.#settleLinks()
    target.#settleLinks()
    return n
  }

  #remove(name: string, victim: Inode): number {
    return victim.isDir ? this.rmdir(name, victim) : this.unlink(name, victim)
  }

  /** Make a lower name an upper one. Returns 0 or -ENOSPC. */
  #pullUp(name: string, inode: Inode): number {
    if (this.entries.has(name)) return 0
    const error = this.#keepOther(inode)
    if (error < 0) return error
    this.#hide(name)
    this.addEntry(name, inode as MemoryInode)
    return 0
  }

  /** A name that is not among the entries is a lower one. Others need no whiteout: they have never been below. */
  override removeEntry(name: string): void {
    if (this.lower === null || this.entries.has(name)) {
      super.removeEntry(name)
      return
    }
    this.#hide(name)
    touchModified(this.sb.kernel, this)
  }

  override get empty(): boolean {
    if (this.entries.size > 0) return false
    if (this.lower === null) return true
    return this.#lowerNames(null) === 0
  }

  override setattr(attr: SetAttr): number {
    if (attr.size !== undefined) return -EISDIR
    return this.#keep() || super.setattr(attr)
  }

  override get remoteAcls(): boolean {
    return this.#unchanged && this.lower!.remoteAcls
  }

  override refreshAcls(): number {
    return this.#unchanged ? adoptAcls(this.lower!, this) : 0
  }

  override setAcl(isDefault: boolean, acl: Acl | null, mode: number): number {
    return this.#keep() || super.setAcl(isDefault, acl, mode)
  }

  override setAttributes(attributes: number): number {
    return this.#keep() || super.setAttributes(attributes)
  }

  override setxattr(name: string, value: Uint8Array, flags: number): number {
    return this.#keep() || super.setxattr(name, value, flags)
  }

  override removexattr(name: string): number {
    return this.#keep() || super.removexattr(name)
  }

  override getxattr(name: string): Uint8Array | number {
    return this.#unchanged ? this.lower!.getxattr(name) : super.getxattr(name)
  }

  override listxattr(): string[] {
    if (!this.#unchanged) return super.listxattr()
    const names = this.lower!.listxattr()
    return typeof names === 'number' ? [] : names
  }

  get #unchanged(): boolean {
    return this.lower !== null && this.#overlay.changed.get(this.lower) !== this
  }

  override readdir(file: File, pos: number, sink: DirSink, dentry: Dentry): number {
    if (this.lower === null) return super.readdir(file, pos, sink, dentry)
    if (!listDots(this, pos, sink, dentry)) return 0
    const at = Math.max(pos, FIRST_COOKIE)
    let listing = file.data as Listing | null
    if (listing === null || at === FIRST_COOKIE) {
      listing = { names: [], inos: [], types: [] }
      const error = this.#merge(listing)
      if (error < 0) return error
      file.data = listing
    }
    for (let i = at - FIRST_COOKIE; i < listing.names.length; i++) {
      if (!sink.entry(listing.names[i]!, listing.inos[i]!, listing.types[i]!, FIRST_COOKIE + i + 1))
        return 0
    }
    return 0
  }

  #merge(into: Listing): number {
    const error = this.#lowerNames({
      entry: (name, ino, type) => {
        into.names.push(name)
        into.inos.push(ino)
        into.types.push(type)
        return true
      },
    })
    if (error < 0) return error
    for (const [name, { inode }] of this.entries) {
      into.names.push(name)
      into.inos.push(inode.ino)
      into.types.push(inode.mode >> 12)
    }
    return 0
  }

  /**
   * Offer the visible lower names to `sink`; with null, only find out whether there is one: 1 or 0.
   * Returns 0 or -errno otherwise.
   */
  #lowerNames(sink: DirSink | null): number {
    const lower = this.lower!
    const filter = new VisibleNames(this, sink)
    const task = this.sb.kernel.init.leader
    const ops = lower.open(task, O_RDONLY | O_DIRECTORY)
    if (typeof ops === 'number') return ops
    const file = lowerFile(ops, lower, O_RDONLY | O_DIRECTORY)
    let error = 0
    let before: number
    do {
      before = filter.next
      error = lower.readdir(file, filter.next, filter, file.dentry)
    } while (error === 0 && !filter.stopped && filter.next > before)
    file.unref()
    if (error < 0) return error
    return sink === null && filter.found ? 1 : 0
  }

  override evict(): void {
    if (this.lower === null) super.evict()
    else this.#overlay.evicted(this, this.lower)
  }
}

/** Lower names without dots, whiteouts, and names that are above. */
class VisibleNames implements DirSink {
  readonly #dir: OverlayDir
  readonly #sink: DirSink | null
  next = 0
  found = false
  stopped = false

  constructor(dir: OverlayDir, sink: DirSink | null) {
    this.#dir = dir
    this.#sink = sink
  }

  entry(name: string, ino: number, type: number, next: number): boolean {
    this.next = next
    if (name === '.' || name === '..') return true
    if (this.#dir.isHidden(name)) return true
    this.found = true
    if (this.#sink === null) {
      this.stopped = true
      return false
    }
    return this.#sink.entry(name, ino, type, next)
  }
}

/** The component of `path` that starts at `at`. */
function nameAt(path: string, at: number): string {
  const end = path.indexOf('/', at)
  return end < 0 ? path.slice(at) : path.slice(at, end)
}
