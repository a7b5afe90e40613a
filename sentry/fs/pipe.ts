// Pipes and FIFOs: fs/pipe.c, pipe(7). A pipe is a ring of bytes that grows up to its capacity; its open ends
// are PipeEnd objects, one per open file.

import {
  EAGAIN,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOTTY,
  ENXIO,
  EPERM,
  EPIPE,
} from '../../syscall-table/errno.ts'
import {
  CAP_SYS_RESOURCE,
  FIONREAD,
  O_ACCMODE,
  O_DIRECT,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  PIPE_BUF,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  SIGPIPE,
} from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { sendSignal } from '../kernel/signal-send.ts'
import type { RestartResource, Task } from '../kernel/task.ts'
import { WaitQueue } from '../kernel/wait-queue.ts'
import type { Io } from '../mm/io.ts'
import { inodeFile, pipeInode } from '../vfs/anon.ts'
import { type File, FileOps } from '../vfs/file.ts'
import type { Inode } from '../vfs/inode.ts'
import { setFifoOpener } from './special.ts'

export const PIPE_CAPACITY = 65536
/** The most that fs.pipe-max-size can be. */
export const PIPE_MAX_SIZE = 1 << 20
const PAGE = 4096

const READABLE = POLLIN | POLLRDNORM
const WRITABLE = POLLOUT | POLLWRNORM

/**
 * What a pipe of `task` may grow to: fs.pipe-max-size, which CAP_SYS_RESOURCE exceeds.
 * LIMIT: nobody gets more than 1 MiB, as the memory is the kernel's own here.
 */
export function pipeLimit({ creds, kernel }: Task): number {
  return creds.capable(CAP_SYS_RESOURCE) ? PIPE_MAX_SIZE : kernel.tunables.pipeMaxSize
}

/** struct pipe_inode_info. */
export class Pipe {
  readonly queue = new WaitQueue()
  /** Woken when an end is opened. */
  readonly openQueue = new WaitQueue()
  readers = 0
  writers = 0
  /** Ends ever opened. */
  readerCount = 0
  writerCount = 0
  /** Bytes in the pipe. */
  used = 0
  #capacity: number
  #buffer: Uint8Array = EMPTY
  #head = 0
  /** O_DIRECT packets, in order, among stretches of plain bytes (negative); null when there are only bytes. */
  #marks: number[] | null = null

  constructor(limit = PIPE_MAX_SIZE) {
    this.#capacity = Math.min(PIPE_CAPACITY, limit)
  }

  get capacity(): number {
    return this.#capacity
  }

  /** No room for an atomic write: what poll calls not writable. */
  get full(): boolean {
    return this.used > this.#capacity - PIPE_BUF || this.#packetsFull
  }

  /** Bytes that a write could add now. */
  get room(): number {
    return this.#packetsFull ? 0 : this.#capacity - this.used
  }

  get #packetsFull(): boolean {
    return this.#marks !== null && this.#marks.length >= this.#capacity / PAGE
  }

  /** fcntl(F_SETPIPE_SZ): the new capacity, or -errno. It grows to no more than `most`. */
  resize(wanted: number, most: number): number {
    if (wanted > 2 ** 31) return -EINVAL
    let size = PAGE
    while (size < wanted) size *= 2
    if (size > most && size > this.#capacity) return -EPERM
    if (size < this.used || (this.#marks !== null && this.#marks.length > size / PAGE))
      return -EBUSY
    const wasFull = this.full
    this.#capacity = size
    if (this.#buffer.length > size) this.#reallocate(size)
    if (wasFull && !this.full) this.queue.wake(WRITABLE)
    return size
  }

  /** Move bytes out into `io`. Returns the count, 0 when empty, or -EFAULT. */
  take(io: Io): number {
    const wasFull = this.full
    const mark = this.#marks === null ? 0 : this.#marks[0]!
    const want = Math.min(io.remaining, mark === 0 ? this.used : Math.abs(mark))
    const first = Math.min(want, this.#buffer.length - this.#head)
    let n = io.put(this.#buffer, this.#head, first)
    if (n < 0) return n
    if (n === first && first < want) {
      const rest = io.put(this.#buffer, 0, want - first)
      if (rest > 0) n += rest
    }
    // What a read leaves of a packet is lost.
    this.consume(mark > 0 ? mark : n, wasFull)
    return n
  }

  /** Copy up to `length` bytes from the front without taking them: tee(2), and splice before it is certain. */
  peek(into: Uint8Array, at: number, length: number): number {
    const mark = this.#marks === null ? this.used : Math.abs(this.#marks[0]!)
    const n = Math.min(length, mark)
    const first = Math.min(n, this.#buffer.length - this.#head)
    into.set(this.#buffer.subarray(this.#head, this.#head + first), at)
    if (first < n) into.set(this.#buffer.subarray(0, n - first), at + first)
    return n
  }

  /** Drop `n` bytes from the front. */
  consume(n: number, wasFull: boolean = this.full): void {
    this.used -= n
    this.#head = (this.#head + n) % Math.max(1, this.#buffer.length)
    if (this.#marks !== null) this.#consumeMark(n)
    if (this.used === 0) {
      this.#head = 0
      this.#marks = null
      if (this.#buffer.length > PIPE_CAPACITY) this.#buffer = EMPTY
    }
    if (wasFull) this.queue.wake(WRITABLE)
  }

  /**
   * Take bytes from `io`: as many as fit, all or none when they are at most PIPE_BUF. Returns the count,
   * -EAGAIN without room, or -EFAULT. `packet`: as one packet of at most PIPE_BUF bytes.
   */
  put(io: Io, packet: boolean): number {
    const { room } = this
    const want = packet ? Math.min(io.remaining, PIPE_BUF) : io.remaining
    if (room === 0 || (want <= PIPE_BUF && room < want)) return -EAGAIN
    const count = Math.min(want, room)
    if (this.used + count > this.#buffer.length) this.#grow(this.used + count)
    const { length } = this.#buffer
    const tail = (this.#head + this.used) % length
    const first = Math.min(count, length - tail)
    let n = io.take(this.#buffer, tail, first)
    if (n < 0) return n
    if (n === first && first < count) {
      const rest = io.take(this.#buffer, 0, count - first)
      if (rest > 0) n += rest
    }
    if (packet || this.#marks !== null) this.#addMark(n, packet)
    this.used += n
    if (n > 0) this.queue.wake(READABLE)
    return n
  }

  #addMark(n: number, packet: boolean): void {
    this.#marks ??= this.used > 0 ? [-this.used] : []
    const last = this.#marks.length - 1
    if (packet) this.#marks.push(n)
    else if (last >= 0 && this.#marks[last]! < 0) this.#marks[last]! -= n
    else this.#marks.push(-n)
  }

  #consumeMark(n: number): void {
    const marks = this.#marks!
    const left = Math.abs(marks[0]!) - n
    if (left <= 0) marks.shift()
    else marks[0] = marks[0]! > 0 ? left : -left
  }

  #grow(needed: number): void {
    let size = Math.max(PAGE, this.#buffer.length)
    while (size < needed) size *= 2
    this.#reallocate(Math.min(size, this.#capacity))
  }

  #reallocate(size: number): void {
    const buffer = new Uint8Array(size)
    const first = Math.min(this.used, this.#buffer.length - this.#head)
    buffer.set(this.#buffer.subarray(this.#head, this.#head + first), 0)
    buffer.set(this.#buffer.subarray(0, this.used - first), first)
    this.#buffer = buffer
    this.#head = 0
  }
}

const EMPTY = new Uint8Array(0)

/** One open end, or both (a FIFO opened O_RDWR). */
class PipeEnd extends FileOps {
  readonly pipe: Pipe
  readonly #inode: Inode
  readonly #reads: boolean
  readonly #writes: boolean
  /** Writers that had been there when a FIFO was opened without one: no POLLHUP before there is another. */
  quietUntil = -1

  constructor(pipe: Pipe, inode: Inode, flags: number) {
    super()
    const mode = flags & O_ACCMODE
    this.pipe = pipe
    this.queue = pipe.queue
    this.#inode = inode
    this.#reads = mode === O_RDONLY || mode === O_RDWR
    this.#writes = mode === O_WRONLY || mode === O_RDWR
    if (this.#reads) {
      pipe.readers++
      pipe.readerCount++
    }
    if (this.#writes) {
      pipe.writers++
      pipe.writerCount++
    }
    pipe.openQueue.wake(0)
  }

  /** Openings of the other side so far. */
  get partnerCount(): number {
    return this.#reads ? this.pipe.writerCount : this.pipe.readerCount
  }

  override read(_file: File, io: Io): number {
    const { pipe } = this
    if (io.remaining === 0) return 0
    if (pipe.used === 0) return pipe.writers === 0 ? 0 : -EAGAIN
    return pipe.take(io)
  }

  override write(file: File, io: Io, _pos: number, task: Task): number {
    const { pipe } = this
    if (io.remaining === 0) return 0
    // A blocking write of the program comes back for the bytes it could not place before.
    const resumable = io === task.io && !file.nonblocking
    if (resumable && task.restart.done > 0) io.skip(task.restart.done)
    const packet = (file.flags & O_DIRECT) !== 0
    let error = 0
    while (io.remaining > 0) {
      if (pipe.readers === 0) {
        sendSignal(task, SIGPIPE)
        error = -EPIPE
        break
      }
      const n = pipe.put(io, packet)
      if (n === -EAGAIN && resumable) {
        task.restart.done = io.done
        return -EAGAIN
      }
      if (n <= 0) {
        error = n === 0 ? -EFAULT : n
        break
      }
    }
    return io.finish(error)
  }

  override poll(_file: File): number {
    const { pipe } = this
    let events = 0
    if (this.#reads) {
      if (pipe.used > 0) events |= READABLE
      if (pipe.writers === 0 && pipe.writerCount !== this.quietUntil) events |= POLLHUP
    }
    if (this.#writes) {
      if (!pipe.full) events |= WRITABLE
      // Linux reports POLLERR, not POLLHUP, to writers without readers.
      if (pipe.readers === 0) events |= POLLERR
    }
    return events
  }

  override ioctl(_file: File, task: Task, request: number, arg: number): number {
    if (request !== FIONREAD) return -ENOTTY
    const { scratch, scratchView } = task.kernel
    scratchView.setInt32(0, this.pipe.used, true)
    return task.mm.copyResult(task, arg, scratch, 0, 4)
  }

  override release(): void {
    const { pipe } = this
    if (this.#reads) pipe.readers--
    if (this.#writes) pipe.writers--
    if (pipe.readers + pipe.writers === 0) {
      // A FIFO without users forgets its contents.
      if (this.#inode.endpoint === pipe) this.#inode.endpoint = null
      return
    }
    if (pipe.readers === 0 || pipe.writers === 0)
      pipe.queue.wake(READABLE | WRITABLE | POLLHUP | POLLERR)
  }
}

/** The pipe behind an open file: fcntl(F_SETPIPE_SZ), splice(2). */
export function pipeOf(file: File): Pipe | null {
  return file.ops instanceof PipeEnd ? file.ops.pipe : null
}

/** A new pipe's read end and write end, with O_NONBLOCK and O_DIRECT as in `flags`. `limit` is the maker's. */
export function createPipe(kernel: Kernel, flags: number, limit = PIPE_MAX_SIZE): [File, File] {
  const inode = pipeInode(kernel)
  const pipe = new Pipe(limit)
  inode.endpoint = pipe
  const kept = flags & (O_NONBLOCK | O_DIRECT)
  const reader = inodeFile(
    inode,
    new PipeEnd(pipe, inode, O_RDONLY),
    O_RDONLY | (flags & O_NONBLOCK),
  )
  const writer = inodeFile(inode, new PipeEnd(pipe, inode, O_WRONLY), O_WRONLY | kept)
  return [reader, writer]
}

/** An end of a FIFO whose open waits for the other side; it counts as opened meanwhile. */
class FifoOpening implements RestartResource {
  readonly inode: Inode
  readonly end: PipeEnd
  /** Openings of the other side when this one began: one more ends the wait. */
  readonly partners: number
  constructor(inode: Inode, end: PipeEnd, partners: number) {
    this.inode = inode
    this.end = end
    this.partners = partners
  }

  abandon(): void {
    this.end.release()
  }
}

/** Open a FIFO, fifo(7); -EBLOCKED until the other side is there. */
export function openFifo(inode: Inode, task: Task, flags: number): FileOps | number {
  const { restart } = task
  const opening = restart.resource
  if (opening instanceof FifoOpening && opening.inode === inode)
    return continueOpening(task, opening)
  const pipe = inode.endpoint instanceof Pipe ? inode.endpoint : new Pipe(pipeLimit(task))
  const mode = flags & O_ACCMODE
  // A pipe that is opened again through /proc/PID/fd never waits for its other side.
  const isPipe = inode.sb.type === 'pipefs'
  const nonblocking = isPipe || (flags & O_NONBLOCK) !== 0
  if (mode === O_WRONLY && nonblocking && !isPipe && pipe.readers === 0) return -ENXIO
  if (mode !== O_RDONLY && mode !== O_WRONLY && mode !== O_RDWR) return -EINVAL
  inode.endpoint = pipe
  const writers = pipe.writers
  const end = new PipeEnd(pipe, inode, flags)
  if (mode === O_RDONLY && writers === 0) {
    if (!nonblocking) return waitForPartner(task, new FifoOpening(inode, end, pipe.writerCount))
    if (!isPipe) end.quietUntil = pipe.writerCount
  }
  if (mode === O_WRONLY && pipe.readers === 0 && !isPipe) {
    return waitForPartner(task, new FifoOpening(inode, end, pipe.readerCount))
  }
  return end
}

function waitForPartner(task: Task, opening: FifoOpening): number {
  task.restart.resource = opening
  return task.block(opening.end.pipe.openQueue, 0)
}

function continueOpening(task: Task, opening: FifoOpening): FileOps | number {
  const { end } = opening
  const count = end.partnerCount
  if (count === opening.partners) return task.block(end.pipe.openQueue, 0)
  task.restart.resource = null
  return end
}

setFifoOpener(openFifo)
