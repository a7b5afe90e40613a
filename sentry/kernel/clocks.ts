// The clocks of clock_gettime(2), and the way from their times to the kernel's own (CLOCK_MONOTONIC in ns).

import {
  CLOCK_BOOTTIME,
  CLOCK_BOOTTIME_ALARM,
  CLOCK_MONOTONIC,
  CLOCK_MONOTONIC_COARSE,
  CLOCK_MONOTONIC_RAW,
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_REALTIME,
  CLOCK_REALTIME_ALARM,
  CLOCK_REALTIME_COARSE,
  CLOCK_TAI,
  CLOCK_THREAD_CPUTIME_ID,
} from '../../syscall-table/flags.ts'
import { cpuClockNs, groupCpu, taskCpuNs } from './accounting.ts'
import type { Kernel } from './kernel.ts'
import type { Task } from './task.ts'

export const NS_PER_SEC = 1e9

export interface Timespec {
  sec: number
  nsec: number
}

/** Clocks that follow the time of day. */
export function isRealtime(clock: number): boolean {
  return (
    clock === CLOCK_REALTIME ||
    clock === CLOCK_REALTIME_COARSE ||
    clock === CLOCK_REALTIME_ALARM ||
    clock === CLOCK_TAI
  )
}

/** Clocks that count from the start of the machine. */
export function isMonotonic(clock: number): boolean {
  return (
    clock === CLOCK_MONOTONIC ||
    clock === CLOCK_MONOTONIC_RAW ||
    clock === CLOCK_MONOTONIC_COARSE ||
    clock === CLOCK_BOOTTIME ||
    clock === CLOCK_BOOTTIME_ALARM
  )
}

export function isCpuClock(clock: number): boolean {
  return clock === CLOCK_PROCESS_CPUTIME_ID || clock === CLOCK_THREAD_CPUTIME_ID || clock < 0
}

/** Read a clock. False when there is no such clock. */
export function readClock(task: Task, clock: number, into: Timespec): boolean {
  const { kernel } = task
  if (isRealtime(clock)) {
    kernel.clock.realtime(into)
    return true
  }
  let ns: number
  if (isMonotonic(clock)) ns = kernel.clock.monotonicNs()
  else if (clock === CLOCK_PROCESS_CPUTIME_ID || clock === CLOCK_THREAD_CPUTIME_ID)
    ns = cpuClockNs(task, clock)
  else if (clock < 0) ns = dynamicCpuClock(task, clock)
  else return false
  if (ns < 0) return false
  into.sec = Math.floor(ns / NS_PER_SEC)
  into.nsec = Math.floor(ns % NS_PER_SEC)
  return true
}

/**
 * clock_getcpuclockid(3): ~pid << 3, bit 2 for a thread, the low bits the kind of time. The clock of another
 * process may be read by anyone. -1 when there is none.
 */
function dynamicCpuClock(task: Task, clock: number): number {
  const kind = clock & 3
  if (kind === 3) return -1
  const pid = ~(clock >> 3)
  const { pidNs, group } = task
  if ((clock & 4) !== 0) {
    const other = pid === 0 ? task : pidNs.task(pid)
    return other === undefined || other.group !== group ? -1 : taskCpuNs(other)
  }
  const other = pid === 0 ? group : pidNs.group(pid)
  if (other === undefined) return -1
  const { userNs, systemNs } = groupCpu(other)
  return userNs + systemNs
}

/** Nanoseconds of a time on `clock`, as CLOCK_MONOTONIC: exact enough for a wait. */
export function toMonotonicNs(kernel: Kernel, clock: number, ns: number): number {
  if (!isRealtime(clock)) return ns
  kernel.clock.realtime(now)
  return kernel.clock.monotonicNs() + (ns - (now.sec * NS_PER_SEC + now.nsec))
}

/** As `toMonotonicNs` for a split time: loses nothing when the time is far from 1970. */
export function deadlineOf(kernel: Kernel, clock: number, sec: number, nsec: number): number {
  if (!isRealtime(clock)) return sec * NS_PER_SEC + nsec
  kernel.clock.realtime(now)
  return kernel.clock.monotonicNs() + (sec - now.sec) * NS_PER_SEC + (nsec - now.nsec)
}

const now: Timespec = { sec: 0, nsec: 0 }
