// Where the bytes of a read or write go to or come from: program memory (UserIo, possibly scattered over an
// iovec) or a kernel buffer (KernelIo). File operations see only Io, so one body serves read, readv, pread,
// exec, sendfile and splice. The role of Linux's iov_iter.

import { EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import type { Task } from '../kernel/task.ts'

/** Most bytes that one call transfers: Linux's MAX_RW_COUNT. */
export const MAX_RW_COUNT = 0x7ffff000
/** TASK_SIZE, which mm.ts cannot lend to what it imports. */
const USER_END = 2 ** 47 - 4096

/** access_ok: whether a program may have memory there at all. */
export function isUserRange(addr: number, length: number): boolean {
  return addr + Math.min(length, MAX_RW_COUNT) <= USER_END
}
/** Most segments of an iovec: UIO_MAXIOV. */
export const UIO_MAXIOV = 1024

/**
 * A window of bytes that is consumed from front to back. `put` and `take` move at most the remaining bytes,
 * return the number moved (short where program memory ends) or -EFAULT when none could be moved.
 */
export abstract class Io {
  /** Bytes not yet transferred. */
  remaining = 0
  /** Bytes transferred so far. */
  done = 0

  /** Move bytes into the window (the program reads). */
  abstract put(from: Uint8Array, at: number, length: number): number
  /** Move bytes out of the window (the program writes). */
  abstract take(into: Uint8Array, at: number, length: number): number

  /** Pass over `n` bytes that an earlier pass of the same call has moved; they count as transferred. */
  abstract skip(n: number): void

  /** What the call returns after a transfer loop ended with `error` (0 or -errno): a count wins over an error. */
  finish(error: number): number {
    return this.done > 0 ? this.done : error
  }
}

/** Program memory. One per task, reused by every call. */
export class UserIo extends Io {
  readonly #task: Task
  readonly #base = new Float64Array(UIO_MAXIOV)
  readonly #length = new Float64Array(UIO_MAXIOV)
  #segments = 0
  #segment = 0

  constructor(task: Task) {
    super()
    this.#task = task
  }

  /** The segments, as `vector` has loaded them. */
  baseOf(segment: number): number {
    return this.#base[segment]!
  }
  lengthOf(segment: number): number {
    return this.#length[segment]!
  }

  /** One buffer. Lengths above MAX_RW_COUNT are cut, as in Linux. */
  single(addr: number, length: number): this {
    this.#base[0] = addr
    this.#length[0] = this.remaining = Math.min(length, MAX_RW_COUNT)
    this.#segments = 1
    this.#segment = this.done = 0
    return this
  }

  /** Load an iovec array from program memory. Returns 0, -EINVAL or -EFAULT. */
  vector(addr: number, count: number): number {
    if (count < 0 || count > UIO_MAXIOV) return -EINVAL
    const { scratch, scratchView } = this.#task.kernel
    if (count > 0) {
      const n = this.#task.mm.copyIn(this.#task, addr, scratch, 0, count * 16)
      if (n < 0) return n
    }
    let total = 0
    for (let i = 0; i < count; i++) {
      const base =
        scratchView.getUint32(i * 16 + 4, true) * 2 ** 32 + scratchView.getUint32(i * 16, true)
      const length =
        scratchView.getUint32(i * 16 + 12, true) * 2 ** 32 + scratchView.getUint32(i * 16 + 8, true)
      if (scratchView.getUint32(i * 16 + 12, true) >= 2 ** 31) return -EINVAL
      // A lone segment is cut to what one call transfers before it is looked at.
      const checked = count === 1 ? Math.min(length, MAX_RW_COUNT) : length
      if (base + checked > USER_END) return -EFAULT
      this.#base[i] = base
      this.#length[i] = Math.min(length, MAX_RW_COUNT - total)
      total += this.#length[i]!
    }
    this.#segments = count
    this.#segment = this.done = 0
    this.remaining = total
    return 0
  }

  put(from: Uint8Array, at: number, length: number): number {
    return this.#move(from, at, length, true)
  }

  take(into: Uint8Array, at: number, length: number): number {
    return this.#move(into, at, length, false)
  }

  /** Program address of the next byte, for transfers that native code does by itself; valid for `segmentLeft` bytes. */
  get address(): number {
    this.#skipEmpty()
    return this.#base[this.#segment]!
  }

  get segmentLeft(): number {
    this.#skipEmpty()
    return this.#segment < this.#segments ? this.#length[this.#segment]! : 0
  }

  /** Account for `n` bytes that were moved at `address`. */
  advance(n: number): void {
    this.#base[this.#segment]! += n
    this.#length[this.#segment]! -= n
    this.remaining -= n
    this.done += n
  }

  skip(n: number): void {
    let left = Math.min(n, this.remaining)
    while (left > 0) {
      const part = Math.min(left, this.segmentLeft)
      this.advance(part)
      left -= part
    }
  }

  #skipEmpty(): void {
    while (this.#segment < this.#segments && this.#length[this.#segment] === 0) this.#segment++
  }

  #move(buffer: Uint8Array, at: number, length: number, out: boolean): number {
    let moved = 0
    const want = Math.min(length, this.remaining)
    while (moved < want) {
      const part = Math.min(want - moved, this.segmentLeft)
      const addr = this.#base[this.#segment]!
      const mm = this.#task.mm
      const n = out
        ? mm.copyResultPartial(this.#task, addr, buffer, at + moved, part)
        : mm.copyInPartial(this.#task, addr, buffer, at + moved, part)
      if (n <= 0) return moved > 0 ? moved : -EFAULT
      this.advance(n)
      moved += n
      if (n < part) return moved
    }
    return moved
  }
}

/** A kernel buffer. */
export class KernelIo extends Io {
  #buffer: Uint8Array
  #at = 0

  constructor(buffer: Uint8Array) {
    super()
    this.#buffer = buffer
    this.remaining = buffer.length
  }

  /** Start over with `length` bytes at offset `at` of `buffer`. */
  reset(buffer: Uint8Array, at: number, length: number): this {
    this.#buffer = buffer
    this.#at = at
    this.remaining = length
    this.done = 0
    return this
  }

  put(from: Uint8Array, at: number, length: number): number {
    const n = Math.min(length, this.remaining)
    this.#buffer.set(n === from.length && at === 0 ? from : from.subarray(at, at + n), this.#at)
    return this.#advance(n)
  }

  take(into: Uint8Array, at: number, length: number): number {
    const n = Math.min(length, this.remaining)
    into.set(this.#buffer.subarray(this.#at, this.#at + n), at)
    return this.#advance(n)
  }

  skip(n: number): void {
    this.#advance(Math.min(n, this.remaining))
  }

  #advance(n: number): number {
    this.#at += n
    this.remaining -= n
    this.done += n
    return n
  }
}
