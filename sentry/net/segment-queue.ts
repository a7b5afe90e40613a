// The receive queue of a socket: segments of bytes, for AF_UNIX with the sender's identity and the files that
// travel along. Senders pay for what lies here out of their send buffer.

import { POLLOUT, POLLWRBAND, POLLWRNORM } from '../../syscall-table/flags.ts'
import type { Pid } from '../kernel/pid-namespace.ts'
import type { WaitQueue } from '../kernel/wait-queue.ts'
import type { File } from '../vfs/file.ts'
import type { Ucred } from './message.ts'
import { landed } from './unix-gc.ts'

/** What a message costs its sender beyond its bytes, so that empty ones are bounded as well. */
export const MESSAGE_OVERHEAD = 256
/** The sender of what does not say who has sent it. */
export const NOBODY: Ucred = { pid: null, uid: 0, gid: 0 }
/** Small writes to a stream share segments of this size. */
const SEGMENT_SIZE = 4096
/** Largest buffer that is kept for the next segment. */
const MAX_SPARE = 65536

/** What a queue needs to know of the sockets whose bytes lie in it. */
export interface Sender {
  readonly queue: WaitQueue
  /** The sockaddr of the sender's name is written from this: sun_path, empty outside of AF_UNIX. */
  readonly name: string
  /** Whether poll tells that it can write. */
  readonly mayWrite: boolean
  /** Bytes of its send buffer that lie in other sockets' queues. */
  inFlight: number
}

export class Segment {
  readonly data: Uint8Array
  start = 0
  end = 0
  readonly sender: Sender
  readonly pid: Pid | null
  readonly uid: number
  readonly gid: number
  rights: File[] | null = null
  /** TCP's urgent byte: this segment is it, and has been read out of line when `urgentRead`. */
  urgent = false
  urgentRead = false
  /** Bytes charged to the sender. */
  charge = 0
  next: Segment | null = null

  constructor(data: Uint8Array, sender: Sender, ucred: Ucred) {
    this.data = data
    this.sender = sender
    this.pid = ucred.pid
    this.uid = ucred.uid
    this.gid = ucred.gid
  }

  get length(): number {
    return this.end - this.start
  }

  sameSender(other: Segment): boolean {
    return this.pid === other.pid && this.uid === other.uid && this.gid === other.gid
  }
}

export class SegmentQueue {
  head: Segment | null = null
  tail: Segment | null = null
  count = 0
  /** Bytes in all segments. */
  bytes = 0
  #spare: Uint8Array | null = null

  /** Room for `length` bytes: a kept buffer when it is large enough. */
  buffer(length: number, stream: boolean): Uint8Array {
    const spare = this.#spare
    if (spare !== null && spare.length >= length) {
      this.#spare = null
      return spare
    }
    return new Uint8Array(stream ? Math.max(length, SEGMENT_SIZE) : length)
  }

  push(segment: Segment): void {
    if (this.tail === null) this.head = segment
    else this.tail.next = segment
    this.tail = segment
    this.count++
    this.bytes += segment.length
  }

  /** Take the first segment off, and give its sender the room back. */
  shift(): void {
    const segment = this.head!
    this.head = segment.next
    if (this.head === null) this.tail = null
    this.count--
    this.bytes -= segment.length
    refund(segment, segment.charge)
    if (segment.data.length <= MAX_SPARE) this.#spare = segment.data
  }

  /** The first `n` bytes of the first segment have been read. */
  consume(n: number): void {
    const segment = this.head!
    if (n === segment.length) {
      this.shift()
      return
    }
    segment.start += n
    this.bytes -= n
    refund(segment, n)
  }

  /** An urgent byte has been read out of line: its segment stays, empty, where the byte was. */
  drain(segment: Segment): void {
    const { length } = segment
    segment.start = segment.end
    this.bytes -= length
    refund(segment, Math.min(length, segment.charge))
  }

  /** Make a segment of its own of the last byte; the queue is not empty. */
  splitLast(): Segment {
    const last = this.tail!
    if (last.length === 1) return last
    last.end--
    const data = last.data.slice(last.end, last.end + 1)
    const { pid, uid, gid } = last
    const single = new Segment(data, last.sender, { pid, uid, gid })
    single.end = 1
    single.charge = Math.min(1, last.charge)
    last.charge -= single.charge
    last.next = this.tail = single
    this.count++
    return single
  }

  /** Drop everything, and the files that nobody will receive. */
  clear(): void {
    while (this.head !== null) {
      const { rights } = this.head
      this.head.rights = null
      this.shift()
      if (rights === null) continue
      landed(rights)
      for (const file of rights) file.unref()
    }
    this.#spare = null
  }
}

/** Give `n` bytes of its send buffer back to a sender, and wake it once it can write again. */
function refund(segment: Segment, n: number): void {
  const { sender } = segment
  const was = sender.mayWrite
  sender.inFlight -= n
  segment.charge -= n
  if (!was && sender.mayWrite) sender.queue.wake(POLLOUT | POLLWRNORM | POLLWRBAND)
}
