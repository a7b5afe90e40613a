// Interval timers and the CPU limit of a process: setitimer(2), alarm(2), RLIMIT_CPU. Timers that count CPU
// time are looked at when they could have expired at the earliest: when all CPUs had been busy for them.

import {
  ITIMER_REAL,
  RLIMIT_CPU,
  SIGALRM,
  SIGKILL,
  SIGPROF,
  SIGVTALRM,
  SIGXCPU,
} from '../../syscall-table/flags.ts'
import { groupCpu } from './accounting.ts'
import { groupExit } from './exit.ts'
import { signalGroup } from './signal-send.ts'
import type { ThreadGroup } from './thread-group.ts'
import { MIN_PERIOD_NS, Timer } from './timer.ts'

/** CPU timers are looked at no more often than this: the granularity of the host's own accounting. */
const MIN_CHECK_NS = 1e6
const NS_PER_SEC = 1e9
const SIGNALS = [SIGALRM, SIGVTALRM, SIGPROF]

/** One of the three interval timers. */
class IntervalTimer extends Timer {
  readonly group: ThreadGroup
  readonly which: number
  /** Absolute time on the timer's own clock, 0 when disarmed. */
  expiryNs = 0
  intervalNs = 0

  constructor(group: ThreadGroup, which: number) {
    super()
    this.group = group
    this.which = which
  }

  now(): number {
    if (this.which === ITIMER_REAL) return this.group.kernel.clock.monotonicNs()
    const { userNs, systemNs } = groupCpu(this.group)
    return userNs + systemNs
  }

  schedule(now: number, pauseNs = 0): void {
    const { kernel } = this.group
    const left = this.expiryNs - now
    if (this.which === ITIMER_REAL) kernel.timers.arm(this, Math.max(this.expiryNs, now + pauseNs))
    else
      kernel.timers.arm(
        this,
        kernel.clock.monotonicNs() + Math.max(left / kernel.cpus, MIN_CHECK_NS),
      )
  }

  override onTimer(): void {
    const now = this.now()
    if (this.expiryNs === 0) return
    if (now < this.expiryNs) {
      this.schedule(now)
      return
    }
    signalGroup(this.group, SIGNALS[this.which]!)
    if (this.group.exiting || this.intervalNs === 0) {
      this.expiryNs = 0
      return
    }
    const missed = Math.floor((now - this.expiryNs) / this.intervalNs)
    this.expiryNs += (missed + 1) * this.intervalNs
    this.schedule(now, MIN_PERIOD_NS)
  }
}

/** Sends SIGXCPU each second above the soft limit, SIGKILL at the hard one. */
class CpuLimitTimer extends Timer {
  readonly group: ThreadGroup
  #nextNs = 0

  constructor(group: ThreadGroup) {
    super()
    this.group = group
  }

  restart(): void {
    this.#nextNs = 0
    this.onTimer()
  }

  override onTimer(): void {
    const { kernel, rlimits } = this.group
    const { cur, max } = rlimits[RLIMIT_CPU]!
    if (max === Number.POSITIVE_INFINITY && cur === max) return
    const { userNs, systemNs } = groupCpu(this.group)
    const used = userNs + systemNs
    if (used >= max * NS_PER_SEC) {
      groupExit(this.group, SIGKILL)
      return
    }
    this.#nextNs = Math.max(this.#nextNs, cur * NS_PER_SEC)
    if (used >= this.#nextNs) {
      signalGroup(this.group, SIGXCPU)
      if (this.group.exiting) return
      this.#nextNs = used + NS_PER_SEC
    }
    const left = Math.min(this.#nextNs, max * NS_PER_SEC) - used
    kernel.timers.arm(this, kernel.clock.monotonicNs() + Math.max(left / kernel.cpus, MIN_CHECK_NS))
  }
}

/** The timers of one process. */
export class IntervalTimers {
  readonly timers: readonly IntervalTimer[]
  readonly cpuLimit: CpuLimitTimer

  constructor(group: ThreadGroup) {
    this.timers = SIGNALS.map((_, which) => new IntervalTimer(group, which))
    this.cpuLimit = new CpuLimitTimer(group)
  }
}

function timersOf(group: ThreadGroup): IntervalTimers {
  group.itimers ??= new IntervalTimers(group)
  return group.itimers
}

/** What getitimer(2) reports, in ns. */
export interface IntervalState {
  valueNs: number
  intervalNs: number
}

/** getitimer(2). An armed timer never shows zero. */
export function getInterval(group: ThreadGroup, which: number, into: IntervalState): void {
  const timer = group.itimers?.timers[which]
  into.intervalNs = timer?.intervalNs ?? 0
  into.valueNs =
    timer === undefined || timer.expiryNs === 0 ? 0 : Math.max(timer.expiryNs - timer.now(), 1000)
}

/** setitimer(2): `valueNs` 0 disarms; the timers of CPU time remember their interval even so. */
export function armInterval(
  group: ThreadGroup,
  which: number,
  valueNs: number,
  intervalNs: number,
): void {
  const kept = valueNs === 0 && which === ITIMER_REAL ? 0 : intervalNs
  if (valueNs === 0 && kept === 0 && group.itimers === null) return
  const timer = timersOf(group).timers[which]!
  group.kernel.timers.cancel(timer)
  timer.intervalNs = kept
  timer.expiryNs = 0
  if (valueNs === 0) return
  const now = timer.now()
  timer.expiryNs = now + valueNs
  timer.schedule(now)
}

/** RLIMIT_CPU has been set. */
export function watchCpuLimit(group: ThreadGroup): void {
  timersOf(group).cpuLimit.restart()
}

/** The process has ended. */
export function cancelIntervalTimers(group: ThreadGroup): void {
  const { itimers, kernel } = group
  if (itimers === null) return
  for (const timer of itimers.timers) kernel.timers.cancel(timer)
  kernel.timers.cancel(itimers.cpuLimit)
  group.itimers = null
}
