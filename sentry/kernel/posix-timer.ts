// POSIX timers: timer_create(2), kernel/time/posix-timers.c.

import { EAGAIN, EINVAL } from '../../syscall-table/errno.ts'
import {
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_THREAD_CPUTIME_ID,
  RLIMIT_SIGPENDING,
  SI_TIMER,
  SIGEV_NONE,
  SIGEV_THREAD_ID,
} from '../../syscall-table/flags.ts'
import { cpuClockNs } from './accounting.ts'
import { toMonotonicNs } from './clocks.ts'
import { removeSignal, sendToGroup, sendToTask, unchargeSignal } from './signal-send.ts'
import { type SigInfo, sigInfo } from './signal-state.ts'
import type { Task } from './task.ts'
import type { ThreadGroup } from './thread-group.ts'
import { MIN_PERIOD_NS, Timer } from './timer.ts'

/** Besides RLIMIT_SIGPENDING, which counts timers too: each keeps room for its signal. */
const MAX_TIMERS = 1024
/** DELAYTIMER_MAX. */
const OVERRUN_MAX = 0x7fffffff
/** CPU clocks are looked at no more often than this. */
const MIN_CHECK_NS = 1e6

export class PosixTimer extends Timer {
  readonly id: number
  readonly clock: number
  readonly group: ThreadGroup
  /** The task that a thread CPU clock measures. */
  readonly owner: Task
  /** SIGEV_*. */
  readonly notify: number
  readonly signo: number
  readonly valueLo: number
  readonly valueHi: number
  /** SIGEV_THREAD_ID: the task that gets the signal. */
  readonly target: Task | null
  /** The user whose RLIMIT_SIGPENDING it counts for. */
  charged = -1
  /** Expiry on the clock that `now` reads, 0 when disarmed. */
  expiryNs = 0
  intervalNs = 0
  /** Expirations since the signal in the queue, and those the last delivered signal stood for. */
  overrun = 0
  /** Overruns of the signal before the one that is queued. */
  #takenOverrun = 0
  #queued: SigInfo | null = null

  constructor(
    id: number,
    clock: number,
    owner: Task,
    notify: number,
    signo: number,
    valueLo: number,
    valueHi: number,
    target: Task | null,
  ) {
    super()
    this.id = id
    this.clock = clock
    this.owner = owner
    this.group = owner.group
    this.notify = notify
    this.signo = signo
    this.valueLo = valueLo
    this.valueHi = valueHi
    this.target = target
  }

  get #onCpuClock(): boolean {
    return this.clock === CLOCK_PROCESS_CPUTIME_ID || this.clock === CLOCK_THREAD_CPUTIME_ID
  }

  now(): number {
    if (this.#onCpuClock) return cpuClockNs(this.owner, this.clock)
    return this.group.kernel.clock.monotonicNs()
  }

  /** Arm with the first expiry after `valueNs` (or at it, when `absolute`); 0 disarms. */
  set(valueNs: number, intervalNs: number, absolute: boolean): void {
    this.group.kernel.timers.cancel(this)
    this.forgetSignal()
    this.intervalNs = intervalNs
    this.expiryNs = 0
    if (valueNs === 0) return
    const now = this.now()
    if (!absolute) this.expiryNs = now + valueNs
    else
      this.expiryNs = this.#onCpuClock
        ? valueNs
        : toMonotonicNs(this.group.kernel, this.clock, valueNs)
    // Zero means disarmed: a time before the start of the clock has just passed.
    this.expiryNs = Math.max(this.expiryNs, 1)
    this.#schedule(now)
  }

  /** Time left, in ns: at least one while armed. */
  left(): number {
    if (this.expiryNs === 0) return 0
    const left = this.expiryNs - this.now()
    if (left > 0 || this.notify !== SIGEV_NONE) return Math.max(left, 1)
    return this.intervalNs === 0 ? 0 : this.intervalNs + (left % this.intervalNs)
  }

  override onTimer(): void {
    const now = this.now()
    if (this.expiryNs === 0) return
    if (now < this.expiryNs) {
      this.#schedule(now)
      return
    }
    let expirations = 1
    if (this.intervalNs === 0) this.expiryNs = 0
    else {
      const missed = Math.floor((now - this.expiryNs) / this.intervalNs)
      expirations += missed
      this.expiryNs += expirations * this.intervalNs
      this.#schedule(now, MIN_PERIOD_NS)
    }
    this.#signal(expirations)
  }

  #schedule(now: number, pauseNs = 0): void {
    // Nobody hears of it: what is left is computed when it is asked for.
    if (this.notify === SIGEV_NONE) return
    const { kernel } = this.group
    if (!this.#onCpuClock) {
      kernel.timers.arm(this, Math.max(this.expiryNs, now + pauseNs))
      return
    }
    const left = (this.expiryNs - now) / kernel.cpus
    kernel.timers.arm(this, kernel.clock.monotonicNs() + Math.max(left, MIN_CHECK_NS))
  }

  /** timer_getoverrun(2): what the last signal that was taken told, whatever has expired since. */
  get takenOverrun(): number {
    const queued = this.#queued
    return queued !== null && queued.charged < 0 ? queued.status : this.#takenOverrun
  }

  /** The signal that is queued is of a setting that is no more. */
  forgetSignal(): void {
    this.overrun = 0
    const queued = this.#queued
    if (queued === null || queued.charged < 0) return
    this.#queued = null
    const { pending } = this.target === null ? this.group : this.target.signals
    removeSignal(this.group, pending, queued)
  }

  /** Just before its signal is taken: what has expired until now counts, whether it has been looked at or not. */
  beforeDelivery(): void {
    const now = this.now()
    if (this.expiryNs > 0 && this.intervalNs > 0 && now >= this.expiryNs) this.onTimer()
  }

  /** Queue the signal, or count into the one that has not been taken yet. */
  #signal(expirations: number): void {
    if (this.notify === SIGEV_NONE) return
    if (this.#queued !== null && this.#queued.charged >= 0) {
      this.overrun = Math.min(this.overrun + expirations, OVERRUN_MAX)
      this.#queued.status = this.overrun
      return
    }
    if (this.#queued !== null) this.#takenOverrun = this.#queued.status
    this.overrun = Math.min(expirations - 1, OVERRUN_MAX)
    const info = sigInfo(this.signo, SI_TIMER)
    info.timerId = this.id
    info.status = this.overrun
    info.valueLo = this.valueLo
    info.valueHi = this.valueHi
    info.timer = this
    this.#queued = info
    if (this.notify === SIGEV_THREAD_ID) void sendToTask(this.target!, info)
    else void sendToGroup(this.group, info)
  }
}

/** The lowest free id gets `make`'s timer. Returns the id or -EAGAIN. */
export function addPosixTimer(task: Task, make: (id: number) => PosixTimer): number {
  const { group, creds } = task
  const { queuedSignals } = group.kernel
  const used = queuedSignals.get(creds.uid) ?? 0
  if (used >= group.rlimits[RLIMIT_SIGPENDING]!.cur) return -EAGAIN
  group.posixTimers ??= new Map()
  const timers = group.posixTimers
  if (timers.size >= MAX_TIMERS) return -EAGAIN
  let id = 0
  while (timers.has(id)) id++
  const timer = make(id)
  timer.charged = creds.uid
  queuedSignals.set(creds.uid, used + 1)
  timers.set(id, timer)
  return id
}

export function deletePosixTimer(group: ThreadGroup, id: number): number {
  const timer = group.posixTimers?.get(id)
  if (timer === undefined) return -EINVAL
  group.kernel.timers.cancel(timer)
  timer.forgetSignal()
  unchargeSignal(group.kernel, timer.charged)
  group.posixTimers!.delete(id)
  return 0
}

/** exec and the end of a process delete all of its timers. */
export function deletePosixTimers(group: ThreadGroup): void {
  if (group.posixTimers === null) return
  for (const timer of group.posixTimers.values()) group.kernel.timers.cancel(timer)
  group.posixTimers = null
}
