// Directories behind the gofer.

import { FileAttr, MESSAGE_MAX, WALK_MAX } from '../../../gofer/protocol.ts'
import { latin1 } from '../../../native/index.ts'
import { EINVAL, EIO, ENOENT, EXDEV } from '../../../syscall-table/errno.ts'
import {
  AT_REMOVEDIR,
  O_RDWR,
  RENAME_EXCHANGE,
  S_IFMT,
  S_IFREG,
  S_ISGID,
} from '../../../syscall-table/flags.ts'
import type { Creds } from '../../kernel/creds.ts'
import type { Task } from '../../kernel/task.ts'
import { attachDentry, cachedDentries, DCACHE_LIMIT } from '../../vfs/dcache.ts'
import type { Dentry } from '../../vfs/dentry.ts'
import { DirectoryOps, type File, type FileOps } from '../../vfs/file.ts'
import { type DirSink, type Inode, LOOKUP_OPEN } from '../../vfs/inode.ts'
import { touchChanged, touchModified } from '../../vfs/super.ts'
import { devMajor, devMinor } from '../dev/registry.ts'
import { FIRST_COOKIE, listDots } from '../tmpfs/directory.ts'
import { closeFd } from './connection.ts'
import { DirEntry } from './dir-page.ts'
import { BRING_PAGE, GoferInode } from './inode.ts'
import { GoferFile } from './regular.ts'

const directoryOps = new DirectoryOps()
const attr = new FileAttr()
const entry = new DirEntry()
const scanBuffer = new Uint8Array(MESSAGE_MAX)
/** Components resolved by one message: few paths are longer. */
const CHAIN_MAX = Math.min(16, WALK_MAX)

/** The page of entries that an open directory holds. */
interface Listing {
  names: string[]
  inodes: (GoferInode | null)[]
  inos: number[]
  types: number[]
  /** Position of the first entry. */
  start: number
  cookieLow: number
  cookieHigh: number
  complete: boolean
}

/** So many questions for attributes of entries are worth one for all of them. */
const SCAN_AFTER = 8

/** A directory with at most so many entries keeps its listing, until its names change. */
const KEPT_ENTRIES_MAX = 1000

export class GoferDir extends GoferInode {
  /** The whole listing, as it was at `#keptVersion`. */
  #kept: Listing | null = null
  #keptVersion = 0
  /** The entries that have extended attributes, as of `#scanVersion`; null when that could not be told. */
  #attributed: Set<string> | null = null
  #scanVersion = -1
  #xattrQuestions = 0
  #scanAfter = SCAN_AFTER

  override lookup(name: string, _task: Task | null): Inode | number {
    const chain = this.#walk([name], 0)
    if (typeof chain === 'number') return chain
    return chain[0] ?? -ENOENT
  }

  override lookupChain(path: string, at: number, intent: number): readonly (Inode | null)[] | null {
    const names = componentsOf(path, at)
    // A single one is no more than a lookup.
    if (names.length < 2 && intent === 0) return null
    const chain = this.#walk(names, intent)
    return typeof chain === 'number' ? null : chain
  }

  /** Resolve names one below the other. A null at the end means that the name does not exist. */
  #walk(names: readonly string[], intent: number): (GoferInode | null)[] | number {
    const { connection } = this.sb
    const result = connection.walkResult
    let n = this.#ask(names, intent)
    if (n >= 0 && connection.makeRoom(result.stop)) {
      result.fd = closeFd(result.fd)
      n = this.#ask(names, intent)
    }
    if (n < 0) return n
    const chain = this.#chainOf(n, names)
    if (result.fd >= 0) {
      const last = typeof chain === 'number' ? null : chain[names.length - 1]
      if (last instanceof GoferFile) last.adoptReadFd(result.fd)
      else closeFd(result.fd)
    }
    return chain
  }

  #ask(names: readonly string[], intent: number): number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    const { client, walkResult } = this.sb.connection
    if (intent === LOOKUP_OPEN) return client.walkOpen(handle, names, 0, names.length, walkResult)
    return client.walk(handle, names, 0, names.length, walkResult)
  }

  /** The inodes that a walk has found. */
  #chainOf(n: number, names: readonly string[]): (GoferInode | null)[] | number {
    const result = this.sb.connection.walkResult
    const { stop } = result
    if (n === 0 && stop !== 0 && stop !== -ENOENT) return stop
    const chain: (GoferInode | null)[] = []
    let dir: GoferDir = this
    for (let i = 0; i < n; i++) {
      const inode = this.sb.inodeFor(result.attrs[i]!, result.handles[i]!, dir, names[i]!)
      chain.push(inode)
      if (!(inode instanceof GoferDir)) break
      dir = inode
    }
    if (n < names.length && stop === -ENOENT && chain.length === n) chain.push(null)
    return chain
  }

  override mknod(name: string, mode: number, rdev: number, creds: Creds): Inode | number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    const { client, newFile } = this.sb.connection
    const regular = (mode & S_IFMT) === S_IFREG
    const gid = this.#groupFor(creds)
    const n = this.#retry(() =>
      regular
        ? client.create(this.handle, name, O_RDWR, mode & 0o7777, creds.fsuid, gid, newFile)
        : client.mknod(
            this.handle,
            name,
            mode,
            creds.fsuid,
            gid,
            devMajor(rdev),
            devMinor(rdev),
            newFile,
          ),
    )
    if (n < 0) return n
    const inode = this.#added(name)
    if (regular) (inode as GoferFile).adoptFd(newFile.fd)
    return inode
  }

  override mkdir(name: string, mode: number, creds: Creds): Inode | number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    const { client, newFile } = this.sb.connection
    const bits = mode | (this.mode & S_ISGID)
    const gid = this.#groupFor(creds)
    const n = this.#retry(() => client.mkdir(this.handle, name, bits, creds.fsuid, gid, newFile))
    if (n < 0) return n
    this.nlink++
    return this.#added(name)
  }

  override symlink(name: string, target: string, creds: Creds): Inode | number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    const { client, newFile } = this.sb.connection
    const gid = this.#groupFor(creds)
    const n = this.#retry(() =>
      client.symlink(this.handle, name, target, creds.fsuid, gid, newFile),
    )
    return n < 0 ? n : this.#added(name)
  }

  /** A new file's group is the directory's when that has its set-group-id bit. */
  #groupFor(creds: Creds): number {
    return (this.mode & S_ISGID) !== 0 ? this.gid : creds.fsgid
  }

  /** Make room for another handle and try again, when that was the trouble. */
  #retry(request: () => number): number {
    const n = request()
    if (n >= 0 || !this.sb.connection.makeRoom(n)) return n
    const handle = this.needHandle()
    return handle < 0 ? handle : request()
  }

  #added(name: string): GoferInode {
    const { newFile } = this.sb.connection
    touchModified(this.sb.kernel, this)
    return this.sb.inodeFor(newFile.attr, newFile.handle, this, name)
  }

  override link(name: string, target: Inode): number {
    if (!(target instanceof GoferInode)) return -EXDEV
    const from = target.needHandle()
    if (from < 0) return from
    const handle = this.needHandle()
    if (handle < 0) return handle
    // Getting the one handle may have cost the other.
    const n = this.sb.connection.client.link(target.needHandle(), handle, name, attr)
    if (n < 0) return n
    target.update(attr)
    target.found(0, this, name)
    touchModified(this.sb.kernel, this)
    return 0
  }

  override unlink(name: string, victim: Inode): number {
    return this.#remove(name, victim as GoferInode, 0)
  }

  override rmdir(name: string, victim: Inode): number {
    const n = this.#remove(name, victim as GoferInode, AT_REMOVEDIR)
    if (n === 0) this.nlink--
    return n
  }

  #remove(name: string, victim: GoferInode, flags: number): number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    const kept = victim.aboutToLoseName()
    if (kept < 0) return kept
    const n = this.sb.connection.client.unlink(handle, name, flags)
    if (n < 0) return n
    touchModified(this.sb.kernel, this)
    victim.lostName(flags !== 0)
    return 0
  }

  override rename(
    name: string,
    newDir: Inode,
    newName: string,
    flags: number,
    inode: Inode,
    target: Inode | null,
  ): number {
    if (!(newDir instanceof GoferDir)) return -EINVAL
    const moved = inode as GoferInode
    const replaced = target as GoferInode | null
    if (replaced !== null && (flags & RENAME_EXCHANGE) === 0) {
      const kept = replaced.aboutToLoseName()
      if (kept < 0) return kept
    }
    const from = this.needHandle()
    if (from < 0) return from
    const to = newDir.needHandle()
    if (to < 0) return to
    const n = this.sb.connection.client.rename(this.needHandle(), name, to, newName, flags)
    if (n < 0) return n
    moved.found(0, newDir, newName)
    touchChanged(this.sb.kernel, moved)
    touchModified(this.sb.kernel, this)
    touchModified(this.sb.kernel, newDir)
    if ((flags & RENAME_EXCHANGE) !== 0) replaced?.found(0, this, name)
    else replaced?.lostName(replaced.isDir)
    this.#countMoved(moved, newDir, replaced, flags)
    return 0
  }

  #countMoved(
    moved: GoferInode,
    newDir: GoferDir,
    replaced: GoferInode | null,
    flags: number,
  ): void {
    const away = moved.isDir ? 1 : 0
    const back = (flags & RENAME_EXCHANGE) !== 0 && replaced?.isDir ? 1 : 0
    const gone = (flags & RENAME_EXCHANGE) === 0 && replaced?.isDir ? 1 : 0
    this.nlink += back - away
    newDir.nlink += away - back - gone
  }

  /**
   * Whether the entry `name` is known to have no extended attributes. When many entries are asked about (`ls -l`), the gofer
   * is asked about all of them at once.
   */
  withoutXattrs(name: string): boolean {
    if (this.#scanVersion !== this.version) {
      if (++this.#xattrQuestions < this.#scanAfter) return false
      this.#scanXattrs()
    }
    return this.#attributed !== null && !this.#attributed.has(name)
  }

  #scanXattrs(): void {
    this.#xattrQuestions = 0
    // Where names keep changing, less and less often.
    this.#scanAfter *= 4
    this.#scanVersion = this.version
    this.#attributed = null
    const handle = this.needHandle()
    if (handle < 0) return
    const n = this.sb.connection.client.scanxattr(handle, scanBuffer)
    if (n < 0) return
    this.#attributed = new Set(latin1(scanBuffer, 0, n).split('\0'))
  }

  override open(_task: Task, _flags: number): FileOps | number {
    return directoryOps
  }

  override readdir(file: File, pos: number, sink: DirSink, dentry: Dentry): number {
    if (!listDots(this, pos, sink, dentry)) return 0
    let at = Math.max(pos, FIRST_COOKIE)
    for (;;) {
      const listing = this.#listingAt(file, at, dentry)
      if (typeof listing === 'number') return listing
      const { names, start } = listing
      for (; at - start < names.length; at++) {
        const i = at - start
        const inode = listing.inodes[i] ?? undefined
        if (!sink.entry(names[i]!, listing.inos[i]!, listing.types[i]!, at + 1, inode)) return 0
        // Nobody wanted to keep it.
        if (inode?.pins === 0) inode.evict()
      }
      if (listing.complete) return 0
    }
  }

  /**
   * The part of the listing that position `at` lies in. Positions count entries: LIMIT: seekdir(3) to an
   * earlier place is inexact when names were removed meanwhile.
   */
  #listingAt(file: File, at: number, dentry: Dentry): Listing | number {
    let listing = file.data as Listing | null
    if (listing === null || at < listing.start || at === FIRST_COOKIE) {
      listing =
        this.#kept !== null && this.#keptVersion === this.version ? this.#kept : emptyListing()
      file.data = listing
    }
    while (at >= listing.start + listing.names.length && !listing.complete) {
      const n = this.#nextPage(listing, dentry)
      if (n < 0) return n
    }
    return listing
  }

  /** Load the page after `listing` into `connection.page`. */
  #loadPage(listing: Listing): number {
    const { page, client } = this.sb.connection
    const first = listing.cookieLow === 0 && listing.cookieHigh === 0
    if (this.handle === 0 && first) {
      const n = this.walkHere(BRING_PAGE)
      if (n < 0) return n
      if (page.loaded) return 0
    }
    const handle = this.needHandle()
    if (handle < 0) return handle
    return client.readdir(handle, listing.cookieLow, listing.cookieHigh, page)
  }

  #nextPage(listing: Listing, dentry: Dentry): number {
    const n = this.#loadPage(listing)
    if (n < 0) return n
    const { page } = this.sb.connection
    listing.start += listing.names.length
    listing.names = []
    listing.inodes = []
    listing.inos = []
    listing.types = []
    for (;;) {
      const more = page.next(entry)
      if (more < 0) return -EIO
      if (more === 0) break
      listing.names.push(entry.name)
      listing.inos.push(entry.attr.ino)
      listing.types.push((entry.attr.mode & S_IFMT) >> 12)
      listing.inodes.push(this.#learn(entry, dentry))
    }
    listing.cookieLow = page.cookieLow
    listing.cookieHigh = page.cookieHigh
    listing.complete = page.complete
    const whole = page.complete && listing.start === FIRST_COOKIE
    if (whole && listing.names.length <= KEPT_ENTRIES_MAX && this.sb.cacheable) {
      this.#kept = { ...listing, inodes: [] }
      this.#keptVersion = this.version
    }
    return 0
  }

  /** The attributes came with the entry: keep them, so that a stat of each name costs no message. */
  #learn(found: DirEntry, dentry: Dentry): GoferInode | null {
    if (!this.sb.cacheable || cachedDentries() > DCACHE_LIMIT) return null
    const own = dentry.inode === this
    if (own && dentry.children.has(found.name)) return null
    const inode = this.sb.inodeFor(found.attr, 0, this, found.name)
    if (own) attachDentry(dentry, found.name, inode)
    return inode
  }
}

function emptyListing(): Listing {
  return {
    names: [],
    inodes: [],
    inos: [],
    types: [],
    start: FIRST_COOKIE,
    cookieLow: 0,
    cookieHigh: 0,
    complete: false,
  }
}

/** The components of `path` from `at` on that one walk may resolve: up to ".", ".." or the bound. */
function componentsOf(path: string, at: number): string[] {
  const names: string[] = []
  for (const name of path.slice(at).split('/')) {
    if (name === '') continue
    if (name === '.' || name === '..' || name.length > 255 || names.length === CHAIN_MAX) break
    names.push(name)
  }
  return names
}
