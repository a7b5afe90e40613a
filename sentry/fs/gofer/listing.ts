// What is known of a directory's entries, and how far somebody has read them.

import type { DirSink } from '../../vfs/inode.ts'
import { FIRST_COOKIE } from '../tmpfs/directory.ts'
import type { Page } from './dir-page.ts'

/** A directory whose listing is larger is read page by page, and forgotten. */
const KEPT_BYTES_MAX = 1024 * 1024

/** Bytes of all kept listings. */
const CACHE_BYTES_MAX = 16 * 1024 * 1024

/** Who keeps a listing. */
export interface ListingOwner {
  listing: Listing | null
}

/** The entries of a directory as they were at one time, as far as they have been asked for. */
export class Listing {
  /** Null as long as the directory is not in use. */
  owner: ListingOwner | null
  /** The directory's version and its file system's generation when the first page was asked for. */
  readonly version: number
  readonly generation: number
  /** Where others may change names: the moment (vfs/moment.ts) that it tells of. */
  readonly moment: number
  readonly pages: Page[] = []
  /** The positions of their first entries. */
  readonly starts: number[] = []
  /** Position after the last page. */
  end = FIRST_COOKIE
  bytes = 0
  /** The directory ends with the last page. */
  complete = false
  /** The pages stay, for whoever looks a name up or reads the directory again. */
  kept: boolean

  /** It came along with another one, at this time; 0 once somebody has read it, or when it was asked for. */
  broughtNs = 0
  ahead = false
  /** Listings of directories that it holds and that are not in use. */
  below: Map<string, Listing> | null = null

  constructor(
    owner: ListingOwner | null,
    version: number,
    generation: number,
    kept: boolean,
    moment: number,
  ) {
    this.owner = owner
    this.version = version
    this.generation = generation
    this.kept = kept
    this.moment = moment
  }

  add(page: Page): void {
    const size = page.end - page.first
    if (this.bytes + size > KEPT_BYTES_MAX) this.kept = false
    if (!this.kept) {
      this.pages.length = this.starts.length = 0
      this.bytes = 0
    }
    this.pages.push(page)
    this.starts.push(this.end)
    this.bytes += size
    this.end += page.count
    this.complete = page.complete
  }

  /** Position of the first entry that is still here. */
  get start(): number {
    return this.starts[0] ?? FIRST_COOKIE
  }

  /** The page with the entry `name`, at its `foundAt`; null if there is none. */
  find(name: string): Page | null {
    for (const page of this.pages) if (page.find(name)) return page
    return null
  }
}

/** How far an open directory has been read. */
export class DirCursor {
  readonly listing: Listing
  /** Of the next entry. */
  position: number
  /** The page that it is on, and where; null when that is not known. */
  #page: Page | null = null
  #at = 0

  constructor(listing: Listing, position: number) {
    this.listing = listing
    this.position = position
  }

  /** Offer what has been loaded to `sink`: false when it wants no more. */
  offer(sink: DirSink): boolean {
    while (this.#enter()) {
      const all = sink.packed === undefined ? this.#each(sink) : this.#packed(sink)
      if (!all) return false
    }
    return true
  }

  /** Find the page of the next entry; false when it has not been loaded yet. */
  #enter(): boolean {
    const { pages, starts } = this.listing
    if (this.#page !== null && this.#at < this.#page.end) return true
    for (let i = pages.length - 1; i >= 0; i--) {
      const page = pages[i]!
      const ahead = this.position - starts[i]!
      if (ahead < 0 || ahead >= page.count) continue
      this.#page = page
      this.#at = page.first
      for (let skip = 0; skip < ahead; skip++) this.#at = page.after(this.#at)
      return true
    }
    return false
  }

  #each(sink: DirSink): boolean {
    const page = this.#page!
    for (; this.#at < page.end; this.#at = page.after(this.#at)) {
      const at = this.#at
      if (!sink.entry(page.name(at), page.ino(at), page.type(at) >> 12, this.position + 1))
        return false
      this.position++
    }
    return true
  }

  #packed(sink: DirSink): boolean {
    const page = this.#page!
    this.position += sink.packed!(page.bytes, this.#at, page.end, this.position)
    this.#at = sink.packedEnd!
    return this.#at >= page.end
  }
}

/** The kept listings of one gofer's file systems, oldest first, and their bound. */
export class ListingCache {
  readonly #listings = new Set<Listing>()
  #bytes = 0

  /** Put a page at the end of a listing. */
  add(listing: Listing, page: Page): void {
    if (this.#listings.delete(listing)) this.#bytes -= listing.bytes
    listing.add(page)
    if (!listing.kept) {
      this.drop(listing)
      return
    }
    this.#listings.add(listing)
    this.#bytes += listing.bytes
    for (const oldest of this.#listings) {
      if (this.#bytes <= CACHE_BYTES_MAX || oldest === listing) break
      this.drop(oldest)
    }
  }

  /** Nobody will find the listing any more. Who is reading it reads on. */
  drop(listing: Listing): void {
    listing.kept = false
    if (this.#listings.delete(listing)) this.#bytes -= listing.bytes
    if (listing.owner === null) listing.pages.length = 0
    else if (listing.owner.listing === listing) listing.owner.listing = null
    if (listing.below !== null) for (const below of listing.below.values()) this.drop(below)
    listing.below = null
  }
}
