// Event counters: eventfd(2), fs/eventfd.c. The 64-bit counter is kept as two u32 words.

import { EAGAIN, EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import {
  O_RDWR,
  POLLERR,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
} from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { WaitQueue } from '../kernel/wait-queue.ts'
import type { Io } from '../mm/io.ts'
import { anonFile } from '../vfs/anon.ts'
import { type File, FileOps } from '../vfs/file.ts'

const MAX_WORD = 0xffffffff
/** Each transfer moves one u64. */
const bytes = new Uint8Array(8)
const words = new Uint32Array(bytes.buffer)

class EventFd extends FileOps {
  override spliceable = false
  override readonly queue = new WaitQueue()
  readonly #semaphore: boolean
  #low: number
  #high = 0

  constructor(count: number, semaphore: boolean) {
    super()
    this.#low = count
    this.#semaphore = semaphore
  }

  override read(_file: File, io: Io): number {
    if (io.remaining < 8) return -EINVAL
    if (this.#low === 0 && this.#high === 0) return -EAGAIN
    words[0] = this.#semaphore ? 1 : this.#low
    words[1] = this.#semaphore ? 0 : this.#high
    if (io.put(bytes, 0, 8) < 8) return -EFAULT
    if (!this.#semaphore) this.#low = this.#high = 0
    else if (this.#low > 0) this.#low--
    else {
      this.#low = MAX_WORD
      this.#high--
    }
    this.queue.wake(POLLOUT | POLLWRNORM)
    return 8
  }

  override write(_file: File, io: Io): number {
    if (io.remaining !== 8) return -EINVAL
    if (io.take(bytes, 0, 8) < 8) return -EFAULT
    const low = words[0]!
    const high = words[1]!
    if (low === MAX_WORD && high === MAX_WORD) return -EINVAL
    const sum = this.#low + low
    const newLow = sum >>> 0
    const newHigh = this.#high + high + (sum > MAX_WORD ? 1 : 0)
    // The counter stops at 2^64 - 2.
    if (newHigh > MAX_WORD || (newHigh === MAX_WORD && newLow === MAX_WORD)) return -EAGAIN
    this.#low = newLow
    this.#high = newHigh
    if (low !== 0 || high !== 0) this.queue.wake(POLLIN | POLLRDNORM)
    return 8
  }

  override seek(): number {
    return 0
  }

  signal(): void {
    if (this.#high === MAX_WORD && this.#low === MAX_WORD) return
    this.#low = (this.#low + 1) >>> 0
    if (this.#low === 0) this.#high++
    this.queue.wake(POLLIN | POLLRDNORM)
  }

  override poll(): number {
    let events = 0
    if (this.#low !== 0 || this.#high !== 0) events |= POLLIN
    if (this.#high !== MAX_WORD || this.#low < MAX_WORD - 1) events |= POLLOUT
    if (this.#high === MAX_WORD && this.#low === MAX_WORD) events |= POLLERR
    return events
  }

  override fdinfo(): string {
    const count = (BigInt(this.#high) << 32n) | BigInt(this.#low)
    return (
      `eventfd-count: ${count.toString(16).padStart(16)}\n` +
      `eventfd-semaphore: ${this.#semaphore ? 1 : 0}\n`
    )
  }
}

/** Whether a file is an event counter. */
export function isEventFd(file: File): boolean {
  return file.ops instanceof EventFd
}

/** eventfd_signal: count one event, and no more than fit. */
export function signalEventFd(file: File): void {
  if (file.ops instanceof EventFd) file.ops.signal()
}

/** A new event counter; `flags` are O_*. */
export function createEventFd(
  kernel: Kernel,
  count: number,
  semaphore: boolean,
  flags: number,
): File {
  return anonFile(kernel, new EventFd(count, semaphore), '[eventfd]', O_RDWR | flags)
}
