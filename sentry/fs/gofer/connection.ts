// What all file systems of one gofer share: the client, and bounds on handles and host descriptors. Both are
// caches: a handle can be had again by walking from the parent, a descriptor by opening again.

import { close, type HostFd } from '../../../native/index.ts'
import { ENFILE } from '../../../syscall-table/errno.ts'
import { LookAhead } from './ahead.ts'
import type { GoferClient } from './client.ts'
import { PageReader } from './dir-page.ts'
import { ListingCache } from './listing.ts'
import { NewFile, WalkResult } from './results.ts'
import { Watches } from './watches.ts'

/** Handles kept; the gofer's own table is larger. */
const HANDLES_MAX = 2048
/** Host descriptors of files that nobody has open. */
const IDLE_FDS_MAX = 512

/** Something that owns a handle and can do without. */
export interface HandleOwner {
  handle: number
}

/** Something that owns host descriptors and can do without, as long as it is not in use. */
export interface FdOwner {
  closeFds(): void
}

export class GoferConnection {
  readonly client: GoferClient
  /** In order of acquisition. */
  readonly #handles = new Set<HandleOwner>()
  readonly #idle = new Set<FdOwner>()
  // Scratch for one request at a time.
  readonly walkResult = new WalkResult()
  readonly newFile = new NewFile()
  readonly pages = new PageReader()
  readonly listings = new ListingCache()
  readonly ahead = new LookAhead()
  readonly watches: Watches

  constructor(client: GoferClient) {
    this.client = client
    this.watches = new Watches(client)
  }

  /** `owner` has got a handle that it could get again. The oldest ones go when there are too many. */
  addHandle(owner: HandleOwner): void {
    this.#handles.add(owner)
    if (this.#handles.size > HANDLES_MAX) this.dropHandles(HANDLES_MAX / 4, owner)
  }

  /** `owner`'s handle must stay from now on, or is being closed by its owner. */
  forgetHandle(owner: HandleOwner): void {
    this.#handles.delete(owner)
  }

  /** Give back the `count` oldest handles. */
  dropHandles(count: number, except: HandleOwner | null): void {
    let left = count
    for (const owner of this.#handles) {
      if (left-- <= 0) break
      if (owner === except) continue
      this.#handles.delete(owner)
      this.client.close(owner.handle)
      owner.handle = 0
    }
  }

  /** The gofer has no room for another handle: make some. True when it is worth to try again. */
  makeRoom(error: number): boolean {
    if (error !== -ENFILE || this.#handles.size === 0) return false
    this.dropHandles(Math.ceil(this.#handles.size / 2), null)
    this.client.flush()
    return true
  }

  /** Nobody uses the descriptors of `owner` any more; they are kept for the next open. */
  fdsIdle(owner: FdOwner): void {
    this.#idle.add(owner)
    if (this.#idle.size <= IDLE_FDS_MAX) return
    for (const oldest of this.#idle) {
      this.#idle.delete(oldest)
      oldest.closeFds()
      return
    }
  }

  /** Descriptors have become scarce. True when some were closed. */
  closeIdle(): boolean {
    const some = this.#idle.size > 0
    for (const owner of this.#idle) owner.closeFds()
    this.#idle.clear()
    return this.ahead.closeOpened() || some
  }

  fdsBusy(owner: FdOwner): void {
    this.#idle.delete(owner)
  }
}

/** Close a host descriptor unless it is -1; returns -1. */
export function closeFd(fd: HostFd): HostFd {
  if (fd >= 0) close(fd)
  return -1
}
