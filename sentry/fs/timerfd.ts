// The file of timerfd_create(2): fs/timerfd.c.

import { EAGAIN, EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import { POLLIN, POLLRDNORM } from '../../syscall-table/flags.ts'
import { deadlineOf } from '../kernel/clocks.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { MIN_PERIOD_NS, Timer } from '../kernel/timer.ts'
import { WaitQueue } from '../kernel/wait-queue.ts'
import type { Io } from '../mm/io.ts'
import { type File, FileOps } from '../vfs/file.ts'

const count = new Uint8Array(8)
const countView = new DataView(count.buffer)

class FileTimer extends Timer {
  readonly ops: TimerfdOps
  constructor(ops: TimerfdOps) {
    super()
    this.ops = ops
  }
  override onTimer(nowNs: number): void {
    this.ops.expired(nowNs)
  }
}

export class TimerfdOps extends FileOps {
  override spliceable = false
  readonly clock: number
  readonly #kernel: Kernel
  readonly #timer: FileTimer
  readonly #queue = new WaitQueue()
  /** Expirations since the last read or set. */
  #ticks = 0
  /** CLOCK_MONOTONIC ns of the next expiry, 0 when disarmed. */
  #expiryNs = 0
  intervalNs = 0
  /** The flags of timerfd_settime, for fdinfo. */
  settimeFlags = 0

  constructor(kernel: Kernel, clock: number) {
    super()
    this.#kernel = kernel
    this.clock = clock
    this.#timer = new FileTimer(this)
    this.queue = this.#queue
  }

  /** Arm at sec and nsec: a time on the clock when `absolute`, else from now; 0 disarms. */
  set(sec: number, nsec: number, intervalNs: number, absolute: boolean): void {
    const { timers, clock } = this.#kernel
    timers.cancel(this.#timer)
    this.#ticks = 0
    this.#expiryNs = 0
    this.intervalNs = intervalNs
    if (sec === 0 && nsec === 0) return
    const expiry = absolute
      ? deadlineOf(this.#kernel, this.clock, sec, nsec)
      : clock.monotonicNs() + sec * 1e9 + nsec
    this.#expiryNs = Math.max(expiry, 1)
    if (this.#expiryNs <= clock.monotonicNs()) this.expired(clock.monotonicNs())
    else timers.arm(this.#timer, this.#expiryNs)
  }

  /** Time left, in ns: at least one while armed. */
  left(): number {
    return this.#expiryNs === 0 ? 0 : Math.max(this.#expiryNs - this.#kernel.clock.monotonicNs(), 1)
  }

  expired(nowNs: number): void {
    if (this.#expiryNs === 0) return
    let expirations = 1
    if (this.intervalNs === 0) this.#expiryNs = 0
    else {
      expirations += Math.max(Math.floor((nowNs - this.#expiryNs) / this.intervalNs), 0)
      this.#expiryNs += expirations * this.intervalNs
      this.#kernel.timers.arm(this.#timer, Math.max(this.#expiryNs, nowNs + MIN_PERIOD_NS))
    }
    this.#ticks += expirations
    this.#queue.wake(POLLIN | POLLRDNORM)
  }

  override read(_file: File, io: Io): number {
    if (io.remaining < 8) return -EINVAL
    if (this.#ticks === 0) return -EAGAIN
    countView.setUint32(0, this.#ticks % 2 ** 32, true)
    countView.setUint32(4, Math.floor(this.#ticks / 2 ** 32), true)
    this.#ticks = 0
    return io.put(count, 0, 8) === 8 ? 8 : -EFAULT
  }

  override seek(): number {
    return 0
  }

  override poll(): number {
    return this.#ticks > 0 ? POLLIN | POLLRDNORM : 0
  }

  override release(): void {
    this.#kernel.timers.cancel(this.#timer)
  }

  override fdinfo(): string {
    const pair = (ns: number): string => `(${Math.floor(ns / 1e9)}, ${Math.floor(ns % 1e9)})`
    return (
      `clockid: ${this.clock}\nticks: ${this.#ticks}\nsettime flags: 0${this.settimeFlags.toString(8)}\n` +
      `it_value: ${pair(this.left())}\nit_interval: ${pair(this.intervalNs)}\n`
    )
  }
}
