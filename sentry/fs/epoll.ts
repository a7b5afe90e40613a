// epoll(7): fs/eventpoll.c. An item per watched file is linked into the file's wait queue; a wake-up puts it
// on the ready list, and epoll_wait asks the files on that list again.

import { EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOSPC, EPERM } from '../../syscall-table/errno.ts'
import {
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLONESHOT,
  EPOLLWAKEUP,
  O_RDWR,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLRDNORM,
} from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { WaitEntry, WaitQueue } from '../kernel/wait-queue.ts'
import { anonFile } from '../vfs/anon.ts'
import { type File, FileOps, type FileWatcher } from '../vfs/file.ts'

/** Bits that are modes, not events: EP_PRIVATE_BITS. */
const MODE_BITS = (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE) >>> 0
/** What EPOLLEXCLUSIVE goes together with: EPOLLEXCLUSIVE_OK_BITS. */
const EXCLUSIVE_OK = (0x1 | 0x4 | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE) >>> 0
/** Longest chain of epoll files that watch each other: EP_MAX_NESTS. */
const MAX_NESTS = 4
/** fs.epoll.max_user_watches, for the whole sandbox. */
const MAX_WATCHES = 1 << 20

let watches = 0

class EpollItem extends WaitEntry implements FileWatcher {
  readonly epoll: Epoll
  readonly file: File
  readonly fd: number
  /** EPOLL* as given; only the mode bits are left once a one-shot item has fired. */
  mask: number
  dataLow: number
  dataHigh: number
  ready = false
  prevReady: EpollItem | null = null
  nextReady: EpollItem | null = null
  nextWatcher: FileWatcher | null = null

  constructor(
    epoll: Epoll,
    file: File,
    fd: number,
    mask: number,
    dataLow: number,
    dataHigh: number,
  ) {
    super()
    this.epoll = epoll
    this.file = file
    this.fd = fd
    this.mask = mask
    this.dataLow = dataLow
    this.dataHigh = dataHigh
    this.exclusive = (mask & EPOLLEXCLUSIVE) !== 0
  }

  /** Events that the item reports now. */
  poll(): number {
    return (this.mask & ~MODE_BITS) === 0 ? 0 : this.file.ops.poll(this.file) & this.mask
  }

  override onWake(): void {
    if ((this.mask & ~MODE_BITS) === 0) return
    this.epoll.addReady(this)
    this.epoll.queue.wake(POLLIN | POLLRDNORM)
  }

  onFileReleased(): void {
    this.epoll.forget(this)
  }
}

/** Receives what epoll_wait reports. */
export interface EventSink {
  event(events: number, dataLow: number, dataHigh: number): void
}

export class Epoll extends FileOps {
  override spliceable = false
  override readonly queue = new WaitQueue()
  /** Items by descriptor; a descriptor may stand for several files, after closes that left a duplicate. */
  readonly #items = new Map<number, EpollItem[]>()
  #firstReady: EpollItem | null = null
  #lastReady: EpollItem | null = null
  #readyCount = 0
  /** The file number `offset` of those that were added as descriptor `fd`. */
  watchedAs(fd: number, offset: number): File | undefined {
    return this.#items.get(fd)?.[offset]?.file
  }

  /** Items that `collect` will ask. */
  get readyCount(): number {
    return this.#readyCount
  }
  /** The open file of this instance. */
  file!: File

  /** epoll_ctl(EPOLL_CTL_ADD). */
  add(file: File, fd: number, events: number, dataLow: number, dataHigh: number): number {
    if (this.#find(file, fd) !== undefined) return -EEXIST
    if ((events & EPOLLEXCLUSIVE) !== 0) {
      if (file.ops instanceof Epoll || (events & ~EXCLUSIVE_OK) !== 0) return -EINVAL
    }
    if (file.ops.queue === null) return -EPERM
    if (file.ops instanceof Epoll && !this.#mayWatch(file.ops)) return -ELOOP
    if (watches >= MAX_WATCHES) return -ENOSPC
    watches++
    const item = new EpollItem(this, file, fd, withErrors(events), dataLow, dataHigh)
    const same = this.#items.get(fd)
    if (same === undefined) this.#items.set(fd, [item])
    else same.push(item)
    item.nextWatcher = file.watchers
    file.watchers = item
    this.#arm(item)
    return 0
  }

  /** epoll_ctl(EPOLL_CTL_MOD). */
  modify(file: File, fd: number, events: number, dataLow: number, dataHigh: number): number {
    const item = this.#find(file, fd)
    if (item === undefined) return -ENOENT
    if (((events | item.mask) & EPOLLEXCLUSIVE) !== 0) return -EINVAL
    item.mask = withErrors(events)
    item.dataLow = dataLow
    item.dataHigh = dataHigh
    this.#arm(item)
    return 0
  }

  /** epoll_ctl(EPOLL_CTL_DEL). */
  delete(file: File, fd: number): number {
    const item = this.#find(file, fd)
    if (item === undefined) return -ENOENT
    unwatch(item)
    this.forget(item)
    return 0
  }

  /**
   * Report up to `max` ready items. Level-triggered ones go to the end of the list, so that all files get
   * their turn. Returns how many were reported.
   */
  collect(max: number, sink: EventSink): number {
    let reported = 0
    for (let left = this.#readyCount; left > 0 && reported < max; left--) {
      const item = this.#firstReady!
      this.#removeReady(item)
      const events = item.poll()
      if (events === 0) continue
      sink.event(events, item.dataLow, item.dataHigh)
      reported++
      if ((item.mask & EPOLLONESHOT) !== 0) item.mask &= MODE_BITS
      else if ((item.mask & EPOLLET) === 0) this.addReady(item)
    }
    return reported
  }

  /** Readable when a watched file is ready. */
  override poll(): number {
    for (let left = this.#readyCount; left > 0; left--) {
      const item = this.#firstReady!
      if (item.poll() !== 0) return POLLIN | POLLRDNORM
      this.#removeReady(item)
    }
    return 0
  }

  override release(): void {
    for (const items of this.#items.values()) {
      for (const item of items) {
        unwatch(item)
        item.unlink()
        watches--
      }
    }
    this.#items.clear()
    this.#firstReady = this.#lastReady = null
    this.#readyCount = 0
  }

  override fdinfo(): string {
    let text = ''
    for (const items of this.#items.values()) {
      for (const { fd, mask, dataLow, dataHigh, file } of items) {
        const data = (BigInt(dataHigh) << 32n) | BigInt(dataLow)
        text +=
          `tfd: ${String(fd).padStart(8)} events: ${(mask >>> 0).toString(16).padStart(8)}` +
          ` data: ${data.toString(16).padStart(16)}  pos:${file.pos} ino:${file.inode.ino.toString(16)}` +
          ` sdev:${file.inode.sb.dev.toString(16)}\n`
      }
    }
    return text
  }

  addReady(item: EpollItem): void {
    if (item.ready) return
    item.ready = true
    item.prevReady = this.#lastReady
    if (this.#lastReady === null) this.#firstReady = item
    else this.#lastReady.nextReady = item
    this.#lastReady = item
    this.#readyCount++
  }

  /** The item's file is gone, or it is no longer watched. */
  forget(item: EpollItem): void {
    item.unlink()
    if (item.ready) this.#removeReady(item)
    const same = this.#items.get(item.fd)!
    if (same.length === 1) this.#items.delete(item.fd)
    else same.splice(same.indexOf(item), 1)
    watches--
  }

  #find(file: File, fd: number): EpollItem | undefined {
    return this.#items.get(fd)?.find(item => item.file === file)
  }

  /** Start to watch, and look whether the file is ready already. */
  #arm(item: EpollItem): void {
    item.file.ops.queue!.add(item, item.mask & ~MODE_BITS)
    if (item.poll() === 0) return
    this.addReady(item)
    this.queue.wake(POLLIN | POLLRDNORM)
  }

  #removeReady(item: EpollItem): void {
    item.ready = false
    if (item.prevReady === null) this.#firstReady = item.nextReady
    else item.prevReady.nextReady = item.nextReady
    if (item.nextReady === null) this.#lastReady = item.prevReady
    else item.nextReady.prevReady = item.prevReady
    item.prevReady = item.nextReady = null
    this.#readyCount--
  }

  /** No circle, and no chain that is too long: wake-ups run along it. */
  #mayWatch(other: Epoll): boolean {
    const below = other.#depth(this, 0)
    return below >= 0 && below + 1 + this.#height(0) <= MAX_NESTS
  }

  /** Longest chain of epoll files from this one down; -1 when it leads to `forbidden` or is too long. */
  #depth(forbidden: Epoll, nests: number): number {
    if (this === forbidden || nests > MAX_NESTS) return -1
    let deepest = 0
    for (const items of this.#items.values()) {
      for (const { file } of items) {
        if (!(file.ops instanceof Epoll)) continue
        const depth = file.ops.#depth(forbidden, nests + 1)
        if (depth < 0) return -1
        deepest = Math.max(deepest, depth + 1)
      }
    }
    return deepest
  }

  /** Longest chain of epoll files that watch this one. */
  #height(nests: number): number {
    let highest = 0
    if (nests > MAX_NESTS) return nests
    for (let w = this.file.watchers; w !== null; w = w.nextWatcher) {
      if (w instanceof EpollItem) highest = Math.max(highest, 1 + w.epoll.#height(nests + 1))
    }
    return highest
  }
}

/** Errors and hang-ups are always reported. */
function withErrors(events: number): number {
  return (events | POLLERR | POLLHUP) >>> 0
}

function unwatch(item: EpollItem): void {
  const { file } = item
  if (file.watchers === item) {
    file.watchers = item.nextWatcher
    return
  }
  for (let w = file.watchers; w !== null; w = w.nextWatcher) {
    if (w.nextWatcher === item) {
      w.nextWatcher = item.nextWatcher
      return
    }
  }
}

/** The epoll instance behind `file`: -EBADF without a file, -EINVAL when it is another kind. */
export function epollOf(file: File | undefined): Epoll | number {
  if (file === undefined) return -EBADF
  return file.ops instanceof Epoll ? file.ops : -EINVAL
}

/** A new epoll instance. */
export function createEpoll(kernel: Kernel): File {
  const epoll = new Epoll()
  epoll.file = anonFile(kernel, epoll, '[eventpoll]', O_RDWR)
  return epoll.file
}
