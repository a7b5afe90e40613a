// Clocks and sleeping: clock_gettime(2), nanosleep(2), times(2). Timers are in time-timer.ts.

import {
  EFAULT,
  EINTR,
  EINVAL,
  EOPNOTSUPP,
  ERESTART_RESTARTBLOCK,
  ERESTARTNOHAND,
} from '../../syscall-table/errno.ts'
import {
  CLOCK_MONOTONIC_COARSE,
  CLOCK_MONOTONIC_RAW,
  CLOCK_REALTIME_COARSE,
  CLOCK_THREAD_CPUTIME_ID,
  CPUCLOCK_PERTHREAD_MASK,
  TIMER_ABSTIME,
} from '../../syscall-table/flags.ts'
import { groupCpu } from '../kernel/accounting.ts'
import { deadlineOf, isCpuClock, readClock, type Timespec } from '../kernel/clocks.ts'
import { askThreadClock } from '../kernel/host-usage.ts'
import { signalPending } from '../kernel/signal.ts'
import type { Task } from '../kernel/task.ts'
import { NS_PER_SEC, readTimespec, spec, writeTimespec } from './time-values.ts'

export { sys_timerfd_create, sys_timerfd_gettime, sys_timerfd_settime } from './time-fd.ts'
export {
  sys_adjtimex,
  sys_clock_adjtime,
  sys_clock_settime,
  sys_settimeofday,
} from './time-set.ts'
export {
  sys_alarm,
  sys_getitimer,
  sys_setitimer,
  sys_timer_create,
  sys_timer_delete,
  sys_timer_getoverrun,
  sys_timer_gettime,
  sys_timer_settime,
} from './time-timer.ts'

/** Resolution of the coarse clocks: a tick at CONFIG_HZ=250. */
const COARSE_NS = 4_000_000
const NS_PER_TICK = 1e7

const now: Timespec = { sec: 0, nsec: 0 }

/** clock_gettime(2). */
export function sys_clock_gettime(task: Task, clock: number, addr: number): number {
  // Of several threads, only the thread itself learns its part from the host.
  const own = clock === CLOCK_THREAD_CPUTIME_ID && task.group.threaded
  if (own && askThreadClock(task, addr)) return 0
  return readClock(task, clock, now) ? writeTimespec(task, addr, now.sec, now.nsec) : -EINVAL
}

/** clock_getres(2). */
export function sys_clock_getres(task: Task, clock: number, addr: number): number {
  if (!readClock(task, clock, now)) return -EINVAL
  const coarse = clock === CLOCK_REALTIME_COARSE || clock === CLOCK_MONOTONIC_COARSE
  return addr === 0 ? 0 : writeTimespec(task, addr, 0, coarse ? COARSE_NS : 1)
}

/** gettimeofday(2). */
export function sys_gettimeofday(task: Task, tv: number, tz: number): number {
  const { kernel } = task
  kernel.clock.realtime(now)
  if (tv !== 0 && writeTimespec(task, tv, now.sec, Math.floor(now.nsec / 1000)) < 0) return -EFAULT
  if (tz === 0) return 0
  kernel.scratch.fill(0, 0, 8)
  return task.mm.copyResult(task, tz, kernel.scratch, 0, 8)
}

/** time(2). */
export function sys_time(task: Task, addr: number): number {
  const { kernel } = task
  kernel.clock.realtime(now)
  const { sec } = now
  if (addr === 0) return sec
  kernel.scratchView.setUint32(0, sec % 2 ** 32, true)
  kernel.scratchView.setUint32(4, Math.floor(sec / 2 ** 32), true)
  return task.mm.copyResult(task, addr, kernel.scratch, 0, 8) < 0 ? -EFAULT : sec
}

/** times(2). Returns ticks since some point in the past. */
export function sys_times(task: Task, addr: number): number {
  const { group, kernel } = task
  const ticks = Math.floor(kernel.clock.monotonicNs() / NS_PER_TICK)
  if (addr === 0) return ticks
  const { userNs, systemNs } = groupCpu(group)
  const values = [userNs, systemNs, group.childUtimeNs, group.childStimeNs]
  values.forEach((ns, i) => {
    const value = Math.floor(ns / NS_PER_TICK)
    kernel.scratchView.setUint32(i * 8, value % 2 ** 32, true)
    kernel.scratchView.setUint32(i * 8 + 4, Math.floor(value / 2 ** 32), true)
  })
  return task.mm.copyResult(task, addr, kernel.scratch, 0, 32) < 0 ? -EFAULT : ticks
}

/** nanosleep(2): measured by CLOCK_MONOTONIC, as in Linux. */
export function sys_nanosleep(task: Task, request: number, remain: number): number {
  if (task.restart.deadline > 0) return sleep(task, remain)
  const error = readTimespec(task, request)
  if (error < 0) return error
  return startSleep(
    task,
    task.kernel.clock.monotonicNs() + spec.sec * NS_PER_SEC + spec.nsec,
    remain,
  )
}

/** clock_nanosleep(2). An absolute sleep has no remaining time, and simply starts again after a signal. */
export function sys_clock_nanosleep(
  task: Task,
  clock: number,
  flags: number,
  request: number,
  remain: number,
): number {
  const absolute = (flags & TIMER_ABSTIME) !== 0
  if (isCpuClock(clock)) return sleepOnCpuClock(task, clock, absolute, request)
  switch (clock) {
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
      return -EOPNOTSUPP
    default:
      if (!readClock(task, clock, now)) return -EINVAL
  }
  if (task.restart.deadline > 0) return absolute ? sleepUntil(task) : sleep(task, remain)
  const error = readTimespec(task, request)
  if (error < 0) return error
  const { kernel } = task
  if (absolute) {
    task.restart.deadline = Math.max(deadlineOf(kernel, clock, spec.sec, spec.nsec), 1)
    return sleepUntil(task)
  }
  return startSleep(task, kernel.clock.monotonicNs() + spec.sec * NS_PER_SEC + spec.nsec, remain)
}

function startSleep(task: Task, deadline: number, remain: number): number {
  task.restart.deadline = deadline
  return sleep(task, remain)
}

function isOver(task: Task): boolean {
  return task.restart.timedOut || task.kernel.clock.monotonicNs() >= task.restart.deadline
}

function sleep(task: Task, remain: number): number {
  if (isOver(task)) return 0
  if (!(task.work && signalPending(task))) return task.block(null, 0)
  // What is left counts only if a handler runs: without one the sleep goes on to its deadline.
  const left = Math.max(task.restart.deadline - task.kernel.clock.monotonicNs(), 1)
  if (
    remain !== 0 &&
    writeTimespec(task, remain, Math.floor(left / NS_PER_SEC), Math.floor(left % NS_PER_SEC)) < 0
  ) {
    return -EFAULT
  }
  return -ERESTART_RESTARTBLOCK
}

function sleepUntil(task: Task): number {
  if (isOver(task)) return 0
  return task.work && signalPending(task) ? -ERESTARTNOHAND : task.block(null, 0)
}

/**
 * CLOCK_PROCESS_CPUTIME_ID: looked at when the time could have passed at the earliest. A thread cannot wait
 * for its own clock, which stands still meanwhile.
 */
function sleepOnCpuClock(task: Task, clock: number, absolute: boolean, request: number): number {
  if (clock === CLOCK_THREAD_CPUTIME_ID) return -EOPNOTSUPP
  if (clock < 0 && (clock & CPUCLOCK_PERTHREAD_MASK) !== 0) {
    const tid = ~(clock >> 3)
    if (tid === 0 || tid === task.pid.numberIn(task.pidNs)) return -EINVAL
  }
  if (!readClock(task, clock, now)) return -EINVAL
  const { restart, kernel } = task
  const used = now.sec * NS_PER_SEC + now.nsec
  if (restart.data === null) {
    const error = readTimespec(task, request)
    if (error < 0) return error
    restart.data = spec.sec * NS_PER_SEC + spec.nsec + (absolute ? 0 : used)
  }
  const left = (restart.data as number) - used
  if (left <= 0) return 0
  if (task.work && signalPending(task)) return -EINTR
  restart.deadline = kernel.clock.monotonicNs() + Math.max(left / kernel.cpus, 1e6)
  restart.timedOut = false
  return task.block(null, 0)
}
