// Directories behind the gofer.

import { FileAttr, WALK_MAX } from '../../../gofer/protocol.ts'
import { EINVAL, ENOENT, EXDEV } from '../../../syscall-table/errno.ts'
import {
  AT_REMOVEDIR,
  O_RDWR,
  RENAME_EXCHANGE,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  S_ISGID,
} from '../../../syscall-table/flags.ts'
import type { Creds } from '../../kernel/creds.ts'
import type { Task } from '../../kernel/task.ts'
import type { Dentry } from '../../vfs/dentry.ts'
import { DirectoryOps, type File, type FileOps } from '../../vfs/file.ts'
import {
  type DirSink,
  type Inode,
  LOOK_FIRST,
  LOOKUP_CREATE,
  LOOKUP_OPEN,
} from '../../vfs/inode.ts'
import { currentMoment } from '../../vfs/moment.ts'
import { touchChanged, touchModified } from '../../vfs/super.ts'
import { devMajor, devMinor } from '../dev/registry.ts'
import { FIRST_COOKIE, listDots } from '../tmpfs/directory.ts'
import { isFresh, listAhead, OpenedAhead } from './ahead.ts'
import { AttributedEntries } from './attributed.ts'
import { closeFd } from './connection.ts'
import { BRING_PAGE, bound, GoferInode } from './inode.ts'
import { DirCursor, Listing, type ListingOwner } from './listing.ts'
import { GoferFile } from './regular.ts'
import type { Guard } from './results.ts'
import type { Watch } from './watches.ts'

const directoryOps = new DirectoryOps()
const attr = new FileAttr()
/** Components resolved by one message: few paths are longer. */
const CHAIN_MAX = Math.min(16, WALK_MAX)

/** So many names asked for, where others may change them, are worth to be told of changes. */
const WATCH_AFTER = 4
/** Pages of the listing of a watched directory. */
const WATCHED_PAGES_MAX = 2

export class GoferDir extends GoferInode implements ListingOwner {
  /** What is known of the entries, as they were at its version. */
  listing: Listing | null = null
  #attributed: AttributedEntries | null = null
  /** Directories in this one whose entries had to be asked for. */
  #listedBelow = 0
  #opened: OpenedAhead | null = null
  /** Where others may change names, and the host tells of that. */
  watch: Watch | null = null
  watchAfter = WATCH_AFTER
  #asked = 0

  override keepsName(name: string, toldAt: number): boolean {
    if (this.watch === null) return false
    this.sb.connection.watches.poll()
    return this.#keeps(name, toldAt)
  }

  /** To be asked after a poll, which may end the watch. */
  #keeps(name: string, toldAt: number): boolean {
    return this.watch?.keeps(name, toldAt) ?? false
  }

  override lookup(name: string, _task: Task | null): Inode | number {
    const listed = this.#listed(name)
    if (listed !== null) return listed
    const chain = this.#walk([name], 0)
    if (typeof chain === 'number') return chain
    return chain[0] ?? -ENOENT
  }

  override lookupChain(path: string, at: number, intent: number): readonly (Inode | null)[] | null {
    const names = componentsOf(path, at)
    // A single one is no more than a lookup.
    if (names.length < 2 && intent === 0) return null
    if (names.length > 0 && this.sb.cacheable && this.#currentListing()?.find(names[0]!))
      return null
    if (names.length > 0 && !this.sb.cacheable && intent !== LOOKUP_CREATE) {
      const listed = this.#listed(names[0]!)
      if (listed !== null) return [listed]
    }
    const chain = this.#walk(names, intent)
    return typeof chain === 'number' ? null : chain
  }

  /**
   * The entry `name`, when it has been listed. What has not been listed may exist all the same: `docker cp` puts files into
   * the root of a running container.
   */
  #listed(name: string): GoferInode | null {
    if (this.watch !== null) this.#listWatched()
    const listing = this.#currentListing()
    const page = listing?.find(name) ?? null
    if (page === null) return null
    page.attr(page.foundAt, attr)
    return this.sb.cacheable
      ? this.sb.inodeListed(attr, this, name)
      : this.#stillListed(name, listing!.moment)
  }

  /** The inode of `name`, which was listed at `moment` with the attributes in `attr`, when that is certain. */
  #stillListed(name: string, moment: number): GoferInode | null {
    const type = attr.mode & S_IFMT
    if ((type !== S_IFDIR && type !== S_IFREG) || !this.#keeps(name, moment)) return null
    const known = this.sb.inodeInUse(attr)
    const older = known === null || known.validAt <= moment
    const inode = this.sb.inodeListed(attr, this, name)
    if (inode === null) return null
    if (older) {
      if (inode.isDir) inode.update(attr)
      inode.validAt = moment
    }
    if (inode.confirm()) return inode
    if (inode.pins === 0) this.sb.forget(inode)
    return null
  }

  /** Names of a watched directory are asked for one by one: get the listing, as far as that is not too much. */
  #listWatched(): void {
    if (this.#currentListing() !== null || this.watch === null) return
    const { watch } = this
    if (++watch.asked < watch.listAfter && !this.#isRead()) return
    watch.asked = 0
    watch.listAfter *= 2
    const listing = this.#listingToRead()
    while (listing.kept && !listing.complete && listing.pages.length < WATCHED_PAGES_MAX)
      if (this.#nextPage(listing) < 0) return
  }

  /** A program that opens all files of a tree will probably open those of this directory, and makes none in it. */
  #isRead(): boolean {
    return this.version === 0 && this.sb.connection.ahead.opensAll
  }

  /** Where others may change names: one of this directory had to be asked for. */
  #countAsked(): void {
    if (this.watch !== null) return
    if (++this.#asked < this.watchAfter && !this.#isRead()) return
    this.#asked = 0
    this.sb.watch(this)
  }

  /** The listing, if it still holds. */
  #currentListing(): Listing | null {
    const { listing } = this
    if (listing === null || listing.version !== this.version) return null
    if (!this.sb.cacheable) return this.#isWatchedSince(listing.moment) ? listing : null
    return listing.generation === this.sb.listingGeneration && isFresh(listing, this.sb)
      ? listing
      : null
  }

  #isWatchedSince(moment: number): boolean {
    if (this.watch === null) return false
    this.sb.connection.watches.poll()
    return this.watch !== null && this.watch.since <= moment
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
    if (!this.sb.cacheable && intent !== LOOKUP_CREATE && typeof chain !== 'number') {
      const above = chain.at(-2) ?? this
      if (above instanceof GoferDir) above.#countAsked()
    }
    return chain
  }

  #ask(names: readonly string[], intent: number): number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    const { client, walkResult } = this.sb.connection
    if (intent === LOOKUP_OPEN) return client.walkOpen(handle, names, 0, names.length, walkResult)
    // Handles of all the directories on the way make the next creation there a single message: `guardNext`.
    if (intent === LOOKUP_CREATE && !this.sb.cacheable)
      return client.walkHandles(handle, names, 0, names.length, walkResult)
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

  override get createsUnseen(): boolean {
    return true
  }

  override guardNext(path: readonly Dentry[]): boolean {
    if (this.handle === 0 || path.length > WALK_MAX) return false
    const guards: Guard[] = []
    for (const { name, parent, inode } of path) {
      const dir = parent!.inode
      // A path may lead through file systems of other gofers.
      if (!(dir instanceof GoferDir && inode instanceof GoferDir && inode.sb === this.sb))
        return false
      const guard = inode.guard(dir.handle, name)
      if (guard === null) return false
      guards.push(guard)
    }
    this.sb.connection.client.guardNext(guards)
    return true
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

  override bindSocket(name: string, type: number, mode: number, creds: Creds): Inode | number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    const { client, newFile } = this.sb.connection
    const [uid, gid] = [creds.fsuid, this.#groupFor(creds)]
    const n = this.#retry(() =>
      client.bind(this.handle, name, type, mode & 0o7777, uid, gid, newFile),
    )
    if (n < 0) return n
    const { fd } = newFile
    const inode = this.#added(name)
    if (fd >= 0) bound.set(inode, { fd, listen: backlog => client.listen(fd, backlog) })
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

  override unlinkUnseen(name: string, known: Inode | null): number {
    if (this.sb.cacheable) return LOOK_FIRST
    // What is in use needs a handle of its own, which only the name can yield.
    if (known instanceof GoferInode && (known.isDir || known.needsHandleToStay())) return LOOK_FIRST
    const handle = this.needHandle()
    if (handle < 0) return handle
    const n = this.sb.connection.client.unlinkTelling(handle, name, attr)
    if (n < 0) return n
    touchModified(this.sb.kernel, this)
    this.sb.lostName(attr, this, name)
    return 0
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

  /** Whether the entry `name`, which is `inode`, is known to have no extended attributes. */
  withoutXattrs(name: string, inode: GoferInode): boolean {
    // It may have got some when it was in use before, which does not show in the directory.
    if (this.sb.isOutgrown(inode)) return false
    this.#attributed ??= new AttributedEntries(this)
    return this.#attributed.lacks(name, this.#currentListing())
  }

  override open(_task: Task, _flags: number): FileOps | number {
    return directoryOps
  }

  override readdir(file: File, pos: number, sink: DirSink, dentry: Dentry): number {
    if (!listDots(this, pos, sink, dentry)) return 0
    const cursor = this.#cursor(file, Math.max(pos, FIRST_COOKIE))
    for (;;) {
      if (!cursor.offer(sink) || cursor.listing.complete) return 0
      const n = this.#nextPage(cursor.listing)
      if (n < 0) return n
    }
  }

  /**
   * How far `file` has been read. Positions count entries: LIMIT: seekdir(3) to an earlier place is inexact when names were
   * removed meanwhile.
   */
  #cursor(file: File, at: number): DirCursor {
    const known = file.data as DirCursor | null
    const rewound = known === null || at === FIRST_COOKIE || at < known.listing.start
    if (!rewound && known.position === at) return known
    const cursor = new DirCursor(rewound ? this.#listingToRead() : known.listing, at)
    file.data = cursor
    return cursor
  }

  #listingToRead(): Listing {
    const above = this.dir
    const current = this.#currentListing() ?? (above === null ? null : above.#listingBelow(this))
    if (current !== null) {
      if (current.broughtNs !== 0) this.sb.connection.ahead.used++
      current.broughtNs = 0
      return current
    }
    const { cacheable, listingGeneration, connection } = this.sb
    if (this.listing !== null) connection.listings.drop(this.listing)
    if (!cacheable && this.#isRead()) this.sb.watch(this)
    const kept = cacheable || this.watch !== null
    const moment = Math.max(currentMoment(), this.watch?.since ?? 0)
    const listing = new Listing(this, this.version, listingGeneration, kept, moment)
    if (kept) this.listing = listing
    return listing
  }

  /** The entries of `child` have come along with those of others, and it has not been in use so far. */
  #listingBelow(child: GoferDir): Listing | null {
    const listing = this.#currentListing()?.below?.get(child.name)
    if (listing === undefined) return null
    this.listing!.below!.delete(child.name)
    if (!listing.kept || child.listing !== null || child.version !== 0) return null
    if (this.sb.isOutgrown(child) || !isFresh(listing, this.sb)) return null
    listing.owner = child
    child.listing = listing
    return listing
  }

  /** A tree is being gone through: this directory's entries have come together with those of the next ones. */
  #listAhead(listing: Listing): boolean {
    const { dir } = this
    if (!this.sb.cacheable) return false
    if (dir === null || !listing.kept || listing.end !== FIRST_COOKIE) return false
    const siblings = dir.#currentListing()
    if (siblings === null || (++dir.#listedBelow < 2 && !siblings.ahead)) return false
    return listAhead(this, listing, dir, siblings)
  }

  #nextPage(listing: Listing): number {
    if (this.#listAhead(listing)) return 0
    const { pages, listings } = this.sb.connection
    const n = this.#loadPage(listing)
    if (n < 0) return n
    listings.add(listing, pages.page!)
    return 0
  }

  /** Load the page after those of `listing` into `connection.pages`. */
  #loadPage(listing: Listing): number {
    const { pages, client } = this.sb.connection
    const last = listing.pages.at(-1)
    pages.reset()
    if (this.handle === 0 && last === undefined) {
      const n = this.walkHere(BRING_PAGE)
      if (n < 0 || pages.page !== null) return Math.min(n, 0)
    }
    const handle = this.needHandle()
    if (handle < 0) return handle
    return client.readdir(handle, last?.cookieLow ?? 0, last?.cookieHigh ?? 0, pages)
  }

  /** A descriptor of the regular file `name` that was to be opened next, or that is got together with others; or -1. */
  openedAhead(name: string): number {
    if (!this.sb.cacheable && this.watch === null) return -1
    this.#opened ??= new OpenedAhead(this)
    return this.#opened.take(name, this.#currentListing())
  }

  override evict(): void {
    this.#opened?.close()
    this.sb.connection.watches.remove(this)
    if (this.listing !== null) this.sb.connection.listings.drop(this.listing)
    super.evict()
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
