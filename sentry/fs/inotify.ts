// The file of inotify_init(2): a queue of events of the files it watches. fs/notify/inotify, inotify(7).

import { EAGAIN, EEXIST, EFAULT, EINVAL, ENOSPC } from '../../syscall-table/errno.ts'
import {
  FIONREAD,
  IN_ALL_EVENTS,
  IN_DELETE_SELF,
  IN_EXCL_UNLINK,
  IN_IGNORED,
  IN_ISDIR,
  IN_MASK_ADD,
  IN_MASK_CREATE,
  IN_MOVE_SELF,
  IN_ONESHOT,
  IN_Q_OVERFLOW,
  POLLIN,
  POLLRDNORM,
} from '../../syscall-table/flags.ts'
import { SIZEOF_INOTIFY_EVENT } from '../../syscall-table/structs.gen.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { WaitQueue } from '../kernel/wait-queue.ts'
import type { Io } from '../mm/io.ts'
import { type File, FileOps } from '../vfs/file.ts'
import type { Inode } from '../vfs/inode.ts'
import { addWatch, removeWatch, Watch, watchCount } from '../vfs/notify.ts'
import type { InotifyLimits, InotifyUse } from './inotify-limits.ts'

/** Over all users, who can be many: Linux charges the memory to cgroups instead. */
const EVENTS_MAX = 1 << 20
const WATCHES_MAX = 1 << 20
let queuedOverall = 0

interface QueuedEvent {
  wd: number
  mask: number
  cookie: number
  name: string
}

const WD_MAX = 0x7fffffff

class InotifyWatch extends Watch {
  readonly wd: number
  readonly #owner: InotifyOps
  /** IN_EXCL_UNLINK and IN_ONESHOT. */
  flags: number

  constructor(owner: InotifyOps, wd: number, inode: Inode, mask: number) {
    super(inode, mask & IN_ALL_EVENTS)
    this.#owner = owner
    this.wd = wd
    this.flags = mask & (IN_EXCL_UNLINK | IN_ONESHOT)
  }

  override notify(event: number, name: string, cookie: number, unlinked: boolean): void {
    if (unlinked && (this.flags & IN_EXCL_UNLINK) !== 0) return
    // What a directory does to itself is not marked as a directory's, other than the rest.
    const self = (event & (IN_MOVE_SELF | IN_DELETE_SELF)) !== 0
    this.#owner.queueEvent(this.wd, self ? event & ~IN_ISDIR : event, cookie, name)
    if ((this.flags & IN_ONESHOT) === 0) return
    removeWatch(this)
    this.ended()
  }

  override ended(): void {
    this.#owner.watchEnded(this)
  }
}

const record = new Uint8Array(SIZEOF_INOTIFY_EVENT + 272)
const recordView = new DataView(record.buffer)

/** Length of the name's field: with its NUL, and so that the next event is aligned. */
function nameLength(name: string): number {
  if (name === '') return 0
  return Math.ceil((name.length + 1) / SIZEOF_INOTIFY_EVENT) * SIZEOF_INOTIFY_EVENT
}

export class InotifyOps extends FileOps {
  override spliceable = false
  override readonly queue = new WaitQueue()
  readonly #limits: InotifyLimits
  readonly #use: InotifyUse
  readonly #watches = new Map<number, InotifyWatch>()
  readonly #byInode = new Map<Inode, InotifyWatch>()
  #events: QueuedEvent[] = []
  /** Events before this one have been read. */
  #head = 0
  #overflowing = false
  #lastWd = 0

  constructor(kernel: Kernel, uid: number) {
    super()
    this.#limits = kernel.inotify
    this.#use = this.#limits.use(uid)
    this.#use.instances++
  }

  /** Watch `inode`, or change how it is watched. `mask` has been checked. Returns the watch descriptor. */
  watch(inode: Inode, mask: number): number {
    const known = this.#byInode.get(inode)
    if (known !== undefined) {
      if ((mask & IN_MASK_CREATE) !== 0) return -EEXIST
      const kept = (mask & IN_MASK_ADD) !== 0
      known.mask = (mask & IN_ALL_EVENTS) | (kept ? known.mask : 0)
      known.flags = (mask & (IN_EXCL_UNLINK | IN_ONESHOT)) | (kept ? known.flags : 0)
      return known.wd
    }
    if (this.#use.watches >= this.#limits.watches || watchCount() >= WATCHES_MAX) return -ENOSPC
    const wd = this.#freeNumber()
    const watch = new InotifyWatch(this, wd, inode, mask)
    this.#watches.set(wd, watch)
    this.#byInode.set(inode, watch)
    this.#use.watches++
    addWatch(watch)
    return wd
  }

  /** In rising order, so that an old number does not soon mean another file. */
  #freeNumber(): number {
    do this.#lastWd = this.#lastWd === WD_MAX ? 1 : this.#lastWd + 1
    while (this.#watches.has(this.#lastWd))
    return this.#lastWd
  }

  unwatch(wd: number): number {
    const watch = this.#watches.get(wd)
    if (watch === undefined) return -EINVAL
    removeWatch(watch)
    this.watchEnded(watch)
    return 0
  }

  watchEnded(watch: InotifyWatch): void {
    this.#watches.delete(watch.wd)
    this.#byInode.delete(watch.inode)
    this.#use.watches--
    this.queueEvent(watch.wd, IN_IGNORED, 0, '')
  }

  queueEvent(wd: number, mask: number, cookie: number, name: string): void {
    const events = this.#events
    const pending = events.length - this.#head
    if (pending > 0) {
      const last = events[events.length - 1]!
      const same = last.wd === wd && last.mask === mask && last.name === name
      if (same && (mask & IN_IGNORED) === 0) return
    }
    if (pending >= this.#limits.queuedEvents || queuedOverall >= EVENTS_MAX) {
      if (this.#overflowing) return
      this.#overflowing = true
      events.push({ wd: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: '' })
    } else events.push({ wd, mask, cookie, name })
    queuedOverall++
    this.queue.wake(POLLIN | POLLRDNORM)
  }

  override read(_file: File, io: Io): number {
    if (this.#head === this.#events.length) return -EAGAIN
    let done = 0
    while (this.#head < this.#events.length) {
      const event = this.#events[this.#head]!
      const length = fillRecord(event)
      if (length > io.remaining) {
        if (done === 0) return -EINVAL
        break
      }
      if (io.put(record, 0, length) !== length) {
        if (done === 0) return -EFAULT
        break
      }
      done += length
      this.#head++
      queuedOverall--
      if (event.mask === IN_Q_OVERFLOW) this.#overflowing = false
    }
    this.#forgetRead()
    return done
  }

  /** Drop the events that have been read, when they are the larger part. */
  #forgetRead(): void {
    if (this.#head * 2 < this.#events.length) return
    this.#events = this.#events.slice(this.#head)
    this.#head = 0
  }

  override poll(): number {
    return this.#head < this.#events.length ? POLLIN | POLLRDNORM : 0
  }

  /** Positions mean nothing, but asking for one is no error. */
  override seek(): number {
    return 0
  }

  override ioctl(file: File, task: Task, request: number, arg: number): number {
    if (request !== FIONREAD) return super.ioctl(file, task, request, arg)
    let bytes = 0
    for (let i = this.#head; i < this.#events.length; i++)
      bytes += SIZEOF_INOTIFY_EVENT + nameLength(this.#events[i]!.name)
    const { scratch, scratchView } = task.kernel
    scratchView.setInt32(0, bytes, true)
    return task.mm.copyResult(task, arg, scratch, 0, 4)
  }

  override release(): void {
    for (const watch of this.#watches.values()) removeWatch(watch)
    this.#use.watches -= this.#watches.size
    this.#use.instances--
    this.#watches.clear()
    this.#byInode.clear()
    queuedOverall -= this.#events.length - this.#head
    this.#events = []
    this.#head = 0
  }

  override fdinfo(): string {
    let text = ''
    for (const { wd, inode, mask, flags } of this.#watches.values()) {
      const { dev } = inode.sb
      const device = ((((dev >>> 8) & 0xfff) << 20) | (dev & 0xff) | ((dev >>> 12) & 0xfff00)) >>> 0
      const bits = (mask | flags) >>> 0
      text += `inotify wd:${wd} ino:${inode.ino.toString(16)} sdev:${device.toString(16)} `
      text += `mask:${bits.toString(16)} ignored_mask:0 \n`
    }
    return text
  }
}

/** struct inotify_event. Returns its length. */
function fillRecord(event: QueuedEvent): number {
  const length = nameLength(event.name)
  recordView.setInt32(0, event.wd, true)
  recordView.setUint32(4, event.mask >>> 0, true)
  recordView.setUint32(8, event.cookie, true)
  recordView.setUint32(12, length, true)
  record.fill(0, SIZEOF_INOTIFY_EVENT, SIZEOF_INOTIFY_EVENT + length)
  for (let i = 0; i < event.name.length; i++)
    record[SIZEOF_INOTIFY_EVENT + i] = event.name.charCodeAt(i)
  return SIZEOF_INOTIFY_EVENT + length
}
