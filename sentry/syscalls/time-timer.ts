// Interval timers and POSIX timers: setitimer(2), alarm(2), timer_create(2).

import { EFAULT, EINVAL, EOPNOTSUPP } from '../../syscall-table/errno.ts'
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
  CLOCKFD,
  CPUCLOCK_CLOCK_MASK,
  CPUCLOCK_PERTHREAD_MASK,
  ITIMER_PROF,
  ITIMER_REAL,
  NSIG,
  SIGALRM,
  SIGEV_NONE,
  SIGEV_SIGNAL,
  SIGEV_THREAD,
  SIGEV_THREAD_ID,
  TIMER_ABSTIME,
} from '../../syscall-table/flags.ts'
import { armInterval, getInterval, type IntervalState } from '../kernel/itimer.ts'
import { addPosixTimer, deletePosixTimer, PosixTimer } from '../kernel/posix-timer.ts'
import type { Task } from '../kernel/task.ts'
import {
  NS_PER_SEC,
  readItimerspec,
  readItimerval,
  timer,
  writeItimerspec,
  writeItimerval,
} from './time-values.ts'

const SIGEVENT_SIZE = 64
const TIMER_CLOCKS: readonly number[] = [
  CLOCK_REALTIME,
  CLOCK_MONOTONIC,
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_THREAD_CPUTIME_ID,
  CLOCK_BOOTTIME,
  CLOCK_REALTIME_ALARM,
  CLOCK_BOOTTIME_ALARM,
  CLOCK_TAI,
]

/** Clocks that can only be read. */
const UNTIMED_CLOCKS: readonly number[] = [
  CLOCK_MONOTONIC_RAW,
  CLOCK_REALTIME_COARSE,
  CLOCK_MONOTONIC_COARSE,
]

const state: IntervalState = { valueNs: 0, intervalNs: 0 }

/** getitimer(2). */
export function sys_getitimer(task: Task, which: number, addr: number): number {
  if (which < ITIMER_REAL || which > ITIMER_PROF) return -EINVAL
  getInterval(task.group, which, state)
  return writeItimerval(task, addr, state.intervalNs, state.valueNs)
}

/** setitimer(2). A null new value disarms, which is Linux's old habit. */
export function sys_setitimer(task: Task, which: number, newAddr: number, oldAddr: number): number {
  timer.valueSec = timer.valueNsec = timer.intervalNs = 0
  const error = newAddr === 0 ? 0 : readItimerval(task, newAddr)
  if (error < 0) return error
  if (which < ITIMER_REAL || which > ITIMER_PROF) return -EINVAL
  const { group } = task
  getInterval(group, which, state)
  armInterval(group, which, timer.valueSec * NS_PER_SEC + timer.valueNsec, timer.intervalNs)
  return oldAddr === 0 ? 0 : writeItimerval(task, oldAddr, state.intervalNs, state.valueNs)
}

/** alarm(2): shares ITIMER_REAL. Returns the seconds that were left, rounded as Linux rounds them. */
export function sys_alarm(task: Task, seconds: number): number {
  const { group } = task
  getInterval(group, ITIMER_REAL, state)
  armInterval(group, ITIMER_REAL, seconds * NS_PER_SEC, 0)
  const left = state.valueNs / NS_PER_SEC
  if (left === 0) return 0
  return left < 1 ? 1 : Math.floor(left + 0.5)
}

/**
 * The clock that a timer runs on: the C library names the caller's CPU clocks by the numbers that
 * clock_getcpuclockid(3) makes. -EINVAL for none, or one of another process.
 */
function timerClock(task: Task, clock: number): number {
  if (clock >= 0) {
    if (UNTIMED_CLOCKS.includes(clock)) return -EOPNOTSUPP
    return TIMER_CLOCKS.includes(clock) ? clock : -EINVAL
  }
  if ((clock & CPUCLOCK_CLOCK_MASK) === CLOCKFD) return -EINVAL
  const pid = ~(clock >> 3)
  if ((clock & CPUCLOCK_PERTHREAD_MASK) !== 0) {
    return pid === 0 || pid === task.tid ? CLOCK_THREAD_CPUTIME_ID : -EINVAL
  }
  return pid === 0 || pid === task.group.tgid ? CLOCK_PROCESS_CPUTIME_ID : -EINVAL
}

/** timer_create(2). */
export function sys_timer_create(
  task: Task,
  clockId: number,
  eventAddr: number,
  idAddr: number,
): number {
  const clock = timerClock(task, clockId)
  if (clock < 0) return clock
  const { scratch, scratchView } = task.kernel
  let notify = SIGEV_SIGNAL
  let signo = SIGALRM
  let valueLo = -1
  let valueHi = 0
  let target: Task | null = null
  if (eventAddr !== 0) {
    if (task.mm.copyIn(task, eventAddr, scratch, 0, SIGEVENT_SIZE) < 0) return -EFAULT
    valueLo = scratchView.getUint32(0, true)
    valueHi = scratchView.getUint32(4, true)
    signo = scratchView.getInt32(8, true)
    notify = scratchView.getInt32(12, true)
    if (notify === SIGEV_THREAD_ID) {
      target = task.pidNs.task(scratchView.getInt32(16, true)) ?? null
      if (target === null || target.group !== task.group) return -EINVAL
    } else if (notify !== SIGEV_SIGNAL && notify !== SIGEV_THREAD && notify !== SIGEV_NONE)
      return -EINVAL
    if (notify !== SIGEV_NONE && (signo < 1 || signo > NSIG)) return -EINVAL
  }
  const byDefault = eventAddr === 0
  const id = addPosixTimer(task, timerId => {
    return new PosixTimer(
      timerId,
      clock,
      task,
      notify,
      signo,
      byDefault ? timerId : valueLo,
      valueHi,
      target,
    )
  })
  if (id < 0) return id
  scratchView.setInt32(0, id, true)
  if (task.mm.copyResult(task, idAddr, scratch, 0, 4) === 0) return 0
  deletePosixTimer(task.group, id)
  return -EFAULT
}

/** timer_settime(2). */
export function sys_timer_settime(
  task: Task,
  id: number,
  flags: number,
  newAddr: number,
  oldAddr: number,
): number {
  if (newAddr === 0) return -EINVAL
  const error = readItimerspec(task, newAddr)
  if (error < 0) return error
  const found = task.group.posixTimers?.get(id)
  if (found === undefined) return -EINVAL
  const left = found.left()
  const { intervalNs } = found
  found.set(
    timer.valueSec * NS_PER_SEC + timer.valueNsec,
    timer.intervalNs,
    (flags & TIMER_ABSTIME) !== 0,
  )
  return oldAddr === 0 ? 0 : writeItimerspec(task, oldAddr, intervalNs, left)
}

/** timer_gettime(2). */
export function sys_timer_gettime(task: Task, id: number, addr: number): number {
  const found = task.group.posixTimers?.get(id)
  return found === undefined ? -EINVAL : writeItimerspec(task, addr, found.intervalNs, found.left())
}

/** timer_getoverrun(2). */
export function sys_timer_getoverrun(task: Task, id: number): number {
  return task.group.posixTimers?.get(id)?.takenOverrun ?? -EINVAL
}

/** timer_delete(2). */
export function sys_timer_delete(task: Task, id: number): number {
  return deletePosixTimer(task.group, id)
}
