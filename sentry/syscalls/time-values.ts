// Times of the program: struct timespec, timeval, itimerspec and itimerval, checked as Linux checks them.

import { EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import type { Task } from '../kernel/task.ts'

export const NS_PER_SEC = 1e9
/** KTIME_SEC_MAX: longer times mean "for ever", which is as far as the clock reaches. */
const MAX_SEC = 9223372036

/** What `readTimespec` has read last. */
export const spec = { sec: 0, nsec: 0 }

/** What `readItimerspec` and `readItimerval` have read last, in ns. */
export const timer = { valueSec: 0, valueNsec: 0, intervalNs: 0 }

function readLong(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
}

function writeLong(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true)
  view.setInt32(at + 4, Math.floor(value / 2 ** 32), true)
}

/** Read a struct timespec into `spec`: 0, -EFAULT or -EINVAL. */
export function readTimespec(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 16) < 0) return -EFAULT
  spec.sec = Math.min(readLong(scratchView, 0), MAX_SEC)
  spec.nsec = readLong(scratchView, 8)
  return spec.sec < 0 || spec.nsec < 0 || spec.nsec >= NS_PER_SEC ? -EINVAL : 0
}

/** Write a time as struct timespec. */
export function writeTimespec(task: Task, addr: number, sec: number, nsec: number): number {
  const { scratch, scratchView } = task.kernel
  writeLong(scratchView, 0, sec)
  writeLong(scratchView, 8, nsec)
  return task.mm.copyResult(task, addr, scratch, 0, 16)
}

/** Read a struct itimerspec into `timer`. */
export function readItimerspec(task: Task, addr: number): number {
  return readTimer(task, addr, 1)
}

/** Read a struct itimerval into `timer`. */
export function readItimerval(task: Task, addr: number): number {
  return readTimer(task, addr, 1000)
}

function readTimer(task: Task, addr: number, unit: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 32) < 0) return -EFAULT
  const intervalSec = readLong(scratchView, 0)
  const intervalPart = readLong(scratchView, 8)
  const sec = readLong(scratchView, 16)
  const part = readLong(scratchView, 24)
  const limit = NS_PER_SEC / unit
  if (intervalSec < 0 || intervalPart < 0 || intervalPart >= limit) return -EINVAL
  if (sec < 0 || part < 0 || part >= limit) return -EINVAL
  timer.intervalNs = Math.min(intervalSec, MAX_SEC) * NS_PER_SEC + intervalPart * unit
  timer.valueSec = Math.min(sec, MAX_SEC)
  timer.valueNsec = part * unit
  return 0
}

/** Write interval and value (in ns) as struct itimerspec. */
export function writeItimerspec(
  task: Task,
  addr: number,
  intervalNs: number,
  valueNs: number,
): number {
  return writeTimer(task, addr, intervalNs, valueNs, 1)
}

/** Write interval and value (in ns) as struct itimerval. */
export function writeItimerval(
  task: Task,
  addr: number,
  intervalNs: number,
  valueNs: number,
): number {
  return writeTimer(task, addr, intervalNs, valueNs, 1000)
}

function writeTimer(
  task: Task,
  addr: number,
  intervalNs: number,
  valueNs: number,
  unit: number,
): number {
  const { scratch, scratchView } = task.kernel
  writeLong(scratchView, 0, Math.floor(intervalNs / NS_PER_SEC))
  writeLong(scratchView, 8, Math.floor((intervalNs % NS_PER_SEC) / unit))
  writeLong(scratchView, 16, Math.floor(valueNs / NS_PER_SEC))
  writeLong(scratchView, 24, Math.floor((valueNs % NS_PER_SEC) / unit))
  return task.mm.copyResult(task, addr, scratch, 0, 32)
}
