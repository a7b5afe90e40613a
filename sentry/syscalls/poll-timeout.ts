// Timeouts of the polling calls: relative on the way in, an absolute deadline while the call lasts, and what
// is left of them on the way out.

import { EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import { signalPending } from '../kernel/signal.ts'
import type { Task } from '../kernel/task.ts'

/** No timeout: wait for ever. */
export const FOREVER = -1
const NS_PER_SEC = 1e9
/** Longer timeouts than this (104 days) are beyond what clocks resolve, and taken as for ever. */
const LONGEST_NS = 2 ** 53

/** `ms` of poll and epoll_wait: negative is FOREVER. Returns ns. */
export function fromMs(ms: number): number {
  return ms < 0 ? FOREVER : ms * 1e6
}

/** Read a struct timespec (0: FOREVER). Returns ns, or -EINVAL or -EFAULT. */
export function readTimeout(task: Task, addr: number): number {
  return addr === 0 ? FOREVER : read(task, addr, 1)
}

/** Read a struct timeval (0: FOREVER), whose microseconds may exceed a second. */
export function readTimevalTimeout(task: Task, addr: number): number {
  return addr === 0 ? FOREVER : read(task, addr, 1000)
}

function read(task: Task, addr: number, unit: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 16) < 0) return -EFAULT
  const sec = scratchView.getInt32(4, true) * 2 ** 32 + scratchView.getUint32(0, true)
  const part = scratchView.getInt32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
  if (sec < 0 || part < 0 || (unit === 1 && part >= NS_PER_SEC)) return -EINVAL
  const ns = sec * NS_PER_SEC + part * unit
  return ns >= LONGEST_NS ? FOREVER : ns
}

/** Whether `read*Timeout` failed: FOREVER is negative too. */
export function isError(ns: number): boolean {
  return ns < FOREVER
}

/** Set the deadline of a call that is about to block; the first pass decides. */
export function setDeadline(task: Task, timeoutNs: number): void {
  const { restart } = task
  if (timeoutNs === FOREVER || restart.deadline > 0) return
  restart.deadline = task.kernel.clock.monotonicNs() + timeoutNs
}

/**
 * Nothing was ready in time, but a signal is due: it ends the call, whatever the timeout, and ppoll's mask stays
 * in force until it is delivered. do_poll and do_select look at the time last.
 */
export function signalPrevails(task: Task): boolean {
  return task.work && signalPending(task)
}

/** Tell the program what is left of its struct timespec (or timeval). Linux ignores a failure, too. */
export function writeRemaining(
  task: Task,
  addr: number,
  timeoutNs: number,
  nsPerUnit: number,
): void {
  if (addr === 0 || timeoutNs === FOREVER) return
  const { restart, kernel } = task
  let left = timeoutNs
  if (restart.timedOut) left = 0
  else if (restart.deadline > 0) left = Math.max(0, restart.deadline - kernel.clock.monotonicNs())
  const { scratch, scratchView } = kernel
  const sec = Math.floor(left / NS_PER_SEC)
  const part = Math.floor((left - sec * NS_PER_SEC) / nsPerUnit)
  scratchView.setUint32(0, sec % 2 ** 32, true)
  scratchView.setUint32(4, Math.floor(sec / 2 ** 32), true)
  scratchView.setUint32(8, part, true)
  scratchView.setUint32(12, 0, true)
  if (task.mm.copyResult(task, addr, scratch, 0, 16) < 0) return
}
