// Bytes that wait for more, so that they fill a segment: MSG_MORE and TCP_CORK of tcp(7).

import { EFAULT } from '../../../syscall-table/errno.ts'
import { POLLIN, POLLRDNORM } from '../../../syscall-table/flags.ts'
import { Timer } from '../../kernel/timer.ts'
import type { Message } from '../message.ts'
import { NOBODY, Segment } from '../segment-queue.ts'
import type { TcpSocket } from './tcp.ts'
import { SEGMENT_SIZE } from './tcp-info.ts'

/** Linux sends what it has after the first time-out. */
const LONGEST_NS = 200e6

/** What one socket holds back. */
export class Held extends Timer {
  readonly #socket: TcpSocket
  #parts: Uint8Array[] = []
  bytes = 0

  constructor(socket: TcpSocket) {
    super()
    this.#socket = socket
  }

  /** Whether the rest of a message is to be held: it does not fill a segment. */
  takes({ io }: Message): boolean {
    return io.remaining > 0 && this.bytes + io.remaining < SEGMENT_SIZE
  }

  /** Hold the rest of a message. Returns its length, or -EFAULT; less when the program's memory ends within it. */
  add({ io }: Message): number {
    const length = io.remaining
    const data = new Uint8Array(length)
    const n = io.take(data, 0, length)
    if (n <= 0) return -EFAULT
    this.#parts.push(data.subarray(0, n))
    this.bytes += n
    const { timers, clock } = this.#socket.kernel
    if (!this.armed) timers.arm(this, clock.monotonicNs() + LONGEST_NS)
    return n
  }

  /** Send what is held. */
  release(): void {
    const parts = this.#parts
    this.drop()
    const { peer } = this.#socket
    if (peer === null || peer.dead) return
    for (const data of parts) {
      const segment = new Segment(data, this.#socket, NOBODY)
      segment.end = segment.charge = data.length
      this.#socket.inFlight += data.length
      peer.incoming.push(segment)
    }
    if (parts.length > 0) peer.queue.wake(POLLIN | POLLRDNORM)
  }

  drop(): void {
    this.#socket.kernel.timers.cancel(this)
    this.#parts = []
    this.bytes = 0
  }

  override onTimer(): void {
    this.release()
  }
}
