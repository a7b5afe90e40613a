// Looking ahead, where the sandbox has the files for itself: a program that goes through a tree gets what it will ask for
// next together with what it asks for. How much that is follows from how much of it was used the last time.

import { FileAttr, LIST_XATTRS, OPEN_FILES_MAX, TREE_NAMES_MAX } from '../../../gofer/protocol.ts'
import { close, type HostFd } from '../../../native/index.ts'
import { S_IFDIR, S_IFREG } from '../../../syscall-table/flags.ts'
import type { Page, TreePage } from './dir-page.ts'
import type { GoferDir } from './directory.ts'
import { wayDown } from './inode.ts'
import { Listing } from './listing.ts'
import type { GoferFile } from './regular.ts'
import type { GoferSuperBlock } from './super.ts'

const BUDGET_MIN = 16 * 1024
const BUDGET_MAX = 192 * 1024
/** Listings that nobody has read for so long are asked for again: others may change what the sandbox has not seen yet. */
const BROUGHT_FRESH_NS = 1e9
/** Descriptors of files which may be opened next, of all directories. */
const OPENED_MAX = 1536
/** So many files of a directory are opened one by one first, as long as not so many directories were read completely. */
const ASKED_MIN = 2
const COMPLETED_MIN = 3
/** Whose files were asked for so often will be asked for the rest. */
const ASKED_MANY = ASKED_MIN + 3
/** When a directory holds less, more of them are asked for. */
const FEW = 32
/** Descriptors that a directory may hold when it asks for more. */
const HELD_MAX = 256

const attr = new FileAttr()
const tree: TreePage[] = []
const names: string[] = []
const fds = new Int32Array(OPEN_FILES_MAX)

/** What all directories of a connection share. */
export class LookAhead {
  /** Bytes of listings that are worth to ask for. */
  budget = BUDGET_MIN
  /** Listings that the last request has brought, and how many of them somebody has read. */
  brought = 0
  used = 0
  /** Extended attributes of listed files were asked for. */
  xattrs = false
  /** Directories that hold descriptors, oldest first, and how many these are. */
  readonly #opened = new Set<OpenedAhead>()
  #held = 0
  /** Directories in a row whose files were opened to the last one that had come along. */
  #completed = 0

  nextBudget(): number {
    if (this.used * 2 < this.brought) this.budget = BUDGET_MIN
    else if (this.brought > 0) this.budget = Math.min(BUDGET_MAX, this.budget * 2)
    this.brought = this.used = 0
    return this.budget
  }

  /** `opened` holds `count` descriptors more. */
  addOpened(opened: OpenedAhead, count: number): void {
    this.#opened.add(opened)
    this.#held += count
    for (const oldest of this.#opened) {
      if (this.#held <= OPENED_MAX || oldest === opened) return
      oldest.close()
    }
  }

  /** One of the descriptors of `opened` was taken; `completed`: the last one that was expected to be. */
  takenOpened(opened: OpenedAhead, left: number, completed: boolean): void {
    this.#held--
    if (completed) this.#completed++
    if (left === 0) this.#opened.delete(opened)
  }

  /** `opened` gives up `count` descriptors, `wasted` of which were expected to be taken. */
  removeOpened(opened: OpenedAhead, count: number, wasted: number): void {
    if (wasted > 0) this.#completed = 0
    this.#held -= count
    this.#opened.delete(opened)
  }

  /** Descriptors have become scarce. True when some were closed. */
  closeOpened(): boolean {
    const some = this.#opened.size > 0
    for (const opened of this.#opened) opened.close()
    return some
  }

  /** A program seems to open all files of a tree. */
  get opensAll(): boolean {
    return this.#completed >= COMPLETED_MIN
  }
}

/**
 * The name `first` and others of the listing that are `wanted`, at most `most`: those after it first, as most programs take
 * names in this order. They are valid until the next call.
 */
function withOthers(
  listing: Listing,
  first: string,
  most: number,
  wanted: (page: Page, at: number) => boolean,
): readonly string[] {
  names.length = 0
  names.push(first)
  const page = listing.find(first)
  if (page === null) return names
  const { pages } = listing
  const from = page.after(page.foundAt)
  const index = pages.indexOf(page)
  for (let i = 0; i <= pages.length && names.length < most; i++) {
    const current = pages[(index + i) % pages.length]!
    let at = i === 0 ? from : current.first
    // The round ends with what is before `first` on its page.
    const end = i === pages.length ? page.foundAt : current.end
    for (; at < end && names.length < most; at = current.after(at))
      if (wanted(current, at)) names.push(current.name(at))
  }
  return names
}

/**
 * Ask for the entries of `dir` and of all directories below it, and for those of the directories after it in `siblings`, the
 * listing that it is in. True when that has filled `listing`, which is the listing of `dir`.
 */
export function listAhead(
  dir: GoferDir,
  listing: Listing,
  parent: GoferDir,
  siblings: Listing,
): boolean {
  const { client, pages, ahead, listings } = dir.sb.connection
  const start = parent.nearestHandle()
  if (start < 0) return false
  const next = withOthers(siblings, dir.name, TREE_NAMES_MAX, (page, at) => {
    if (page.type(at) !== S_IFDIR || siblings.below?.has(page.name(at))) return false
    page.attr(at, attr)
    const inUse = dir.sb.inodeInUse(attr) as GoferDir | null
    return inUse === null || inUse.listing === null
  })
  const flags = ahead.xattrs ? LIST_XATTRS : 0
  const budget = ahead.nextBudget()
  const n = client.listTree(start, wayDown, next, budget, flags, pages, tree)
  if (n < 0) return false
  listings.add(listing, tree[0]!.page)
  const filled: (Listing | null)[] = [listing]
  for (let i = 1; i < n; i++) {
    const { parent, name, page } = tree[i]!
    const above = parent === 0 ? siblings : filled[parent - 1]!
    const known = above === null ? null : emptyListing(dir.sb, above, name)
    filled.push(known)
    if (known !== null) listings.add(known, page)
  }
  ahead.brought += n - 1
  return true
}

/** Where to put the entries of `name`, an entry of the listing `above`; null when they are of no use. */
function emptyListing(sb: GoferSuperBlock, above: Listing, name: string): Listing | null {
  const page = above.kept ? above.find(name) : null
  if (page === null || page.type(page.foundAt) !== S_IFDIR) return null
  page.attr(page.foundAt, attr)
  const inUse = sb.inodeInUse(attr)
  if (inUse !== null && (!inUse.isDir || (inUse as GoferDir).listing !== null)) return null
  const owner = inUse as GoferDir | null
  const listing = new Listing(owner, owner?.version ?? 0, sb.listingGeneration, true, 0)
  listing.ahead = true
  listing.broughtNs = sb.kernel.clock.monotonicNs()
  if (owner !== null) owner.listing = listing
  else {
    above.below ??= new Map()
    above.below.set(name, listing)
  }
  return listing
}

/** The listing may be taken for what the directory holds now: it has been asked for, or brought along just now. */
export function isFresh(listing: Listing, sb: GoferSuperBlock): boolean {
  return (
    listing.broughtNs === 0 || sb.kernel.clock.monotonicNs() - listing.broughtNs < BROUGHT_FRESH_NS
  )
}

/** Descriptors of a directory's files that may be opened next, by name. */
export class OpenedAhead {
  readonly #dir: GoferDir
  readonly #fds = new Map<string, HostFd>()
  /** Those of them that have been looked at before: whoever goes through the directory will not come back to them. */
  readonly #seen = new Set<string>()
  /** Names whose descriptors are on their way; null for none. */
  #awaited: readonly string[] | null = null
  /** The last name that was asked for, behind which more may follow. */
  #last = ''
  /** Names that were asked for since the directory has held none. */
  #count = 0
  /** The directory's version, and its file system's generation, when they were asked for. */
  #version = 0
  #generation = 0
  /** Files that had to be asked for, since looking ahead was last given up. */
  #asked = 0

  constructor(dir: GoferDir) {
    this.#dir = dir
  }

  /** A descriptor of the file `name`, or -1. */
  take(name: string, listing: Listing | null): HostFd {
    if (!this.#holds()) this.close()
    if (this.#awaited?.includes(name) && !this.#fds.has(name))
      this.#dir.sb.connection.client.settle()
    const fd = this.#fds.get(name)
    if (fd === undefined) return listing === null ? -1 : this.#ask(name, listing)
    this.#fds.delete(name)
    const { size } = this.#fds
    const completed = size === 0 || (!this.#seen.delete(name) && size === this.#seen.size)
    this.#dir.sb.connection.ahead.takenOpened(this, size, completed)
    if (listing !== null && size < FEW && this.#last !== '') this.#askMore(listing)
    return fd
  }

  #holds(): boolean {
    const { version, sb } = this.#dir
    return this.#version === version && this.#generation === sb.listingGeneration
  }

  #ask(name: string, listing: Listing): HostFd {
    const dir = this.#dir
    const { client, ahead } = dir.sb.connection
    this.#asked++
    if (this.#asked <= ASKED_MIN && !ahead.opensAll) return -1
    client.settle()
    if (this.#fds.size > HELD_MAX) this.close()
    const most = ahead.opensAll ? OPEN_FILES_MAX : Math.min(OPEN_FILES_MAX, 2 << this.#asked)
    const next = withOthers(listing, name, most, (page, at) => {
      if (page.type(at) !== S_IFREG || this.#fds.has(page.name(at))) return false
      page.attr(at, attr)
      const inUse = dir.sb.inodeInUse(attr) as GoferFile | null
      return inUse === null || inUse.readFd < 0
    })
    this.#expect(next)
    const start = next.length < 2 ? -1 : dir.nearestHandle()
    if (start < 0 || client.openFiles(start, wayDown, next, fds) < 0) return -1
    this.#version = dir.version
    this.#generation = dir.sb.listingGeneration
    const asked = fds[0]!
    this.#add(listing, next, 1)
    this.#askMore(listing)
    return asked
  }

  /** The descriptors in `fds`, of `names` from the one at `first` on. */
  #add(listing: Listing, names: readonly string[], first: number): void {
    const before = this.#fds.size
    for (let i = first; i < names.length; i++) {
      if (fds[i]! < 0) continue
      this.#fds.set(names[i]!, fds[i]!)
      const page = listing.find(names[i]!)
      if (page === null) continue
      page.attr(page.foundAt, attr)
      if (this.#dir.sb.inodeInUse(attr) !== null) this.#seen.add(names[i]!)
    }
    const more = this.#fds.size - before
    if (more > 0) this.#dir.sb.connection.ahead.addOpened(this, more)
  }

  /** Have the gofer open the files after those that were asked for, and do not wait for it. */
  #askMore(listing: Listing): void {
    const dir = this.#dir
    const { client, ahead } = dir.sb.connection
    if (!ahead.opensAll && this.#asked < ASKED_MANY) return
    // Once round: what has been taken must not come again.
    if (client.posted || this.#fds.size > HELD_MAX || this.#count > listing.end) return
    const others = withOthers(listing, this.#last, OPEN_FILES_MAX + 1, (page, at) => {
      if (page.type(at) !== S_IFREG || this.#fds.has(page.name(at))) return false
      page.attr(at, attr)
      return dir.sb.inodeInUse(attr) === null
    })
    const more = others.slice(1)
    if (more.length === 0) this.#last = ''
    const start = more.length === 0 ? -1 : dir.nearestHandle()
    if (start < 0) return
    this.#expect(more)
    this.#awaited = more
    client.postOpenFiles(start, wayDown, more, fds, n => this.#arrived(listing, more, n))
  }

  #expect(names: readonly string[]): void {
    this.#last = names[names.length - 1]!
    this.#count += names.length
  }

  #arrived(listing: Listing, names: readonly string[], n: number): void {
    const wanted = this.#awaited === names
    if (wanted) this.#awaited = null
    if (n < 0) return
    if (wanted) this.#add(listing, names, 0)
    else for (let i = 0; i < names.length; i++) if (fds[i]! >= 0) close(fds[i]!)
  }

  /** Nobody is going to take the rest. */
  close(): void {
    const { size } = this.#fds
    if (size > 0) this.#asked = 0
    for (const fd of this.#fds.values()) close(fd)
    this.#dir.sb.connection.ahead.removeOpened(this, size, size - this.#seen.size)
    this.#fds.clear()
    this.#seen.clear()
    // What is still to come will not be taken.
    this.#awaited = null
    this.#last = ''
    this.#count = 0
    this.#version = this.#dir.version
    this.#generation = this.#dir.sb.listingGeneration
  }
}
