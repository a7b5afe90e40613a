// timerfd_create(2), timerfd_settime(2), timerfd_gettime(2).

import { EBADF, EINVAL, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_WAKE_ALARM,
  CLOCK_BOOTTIME,
  CLOCK_BOOTTIME_ALARM,
  CLOCK_MONOTONIC,
  CLOCK_REALTIME,
  CLOCK_REALTIME_ALARM,
  O_NONBLOCK,
  O_RDWR,
  RLIMIT_NOFILE,
  TFD_CLOEXEC,
  TFD_NONBLOCK,
  TFD_TIMER_ABSTIME,
  TFD_TIMER_CANCEL_ON_SET,
} from '../../syscall-table/flags.ts'
import { TimerfdOps } from '../fs/timerfd.ts'
import type { Task } from '../kernel/task.ts'
import { anonFile } from '../vfs/anon.ts'
import { readItimerspec, timer, writeItimerspec } from './time-values.ts'

const CLOCKS: readonly number[] = [
  CLOCK_REALTIME,
  CLOCK_MONOTONIC,
  CLOCK_BOOTTIME,
  CLOCK_REALTIME_ALARM,
  CLOCK_BOOTTIME_ALARM,
]

/** timerfd_create(2). The alarm clocks wake a sleeping machine, which takes CAP_WAKE_ALARM. */
export function sys_timerfd_create(task: Task, clock: number, flags: number): number {
  if ((flags & ~(TFD_CLOEXEC | TFD_NONBLOCK)) !== 0 || !CLOCKS.includes(clock)) return -EINVAL
  const alarm = clock === CLOCK_REALTIME_ALARM || clock === CLOCK_BOOTTIME_ALARM
  if (alarm && !task.creds.capable(CAP_WAKE_ALARM)) return -EPERM
  const nonblock = (flags & TFD_NONBLOCK) !== 0 ? O_NONBLOCK : 0
  const file = anonFile(
    task.kernel,
    new TimerfdOps(task.kernel, clock),
    '[timerfd]',
    O_RDWR | nonblock,
  )
  const fd = task.files.install(
    file,
    (flags & TFD_CLOEXEC) !== 0,
    task.group.rlimits[RLIMIT_NOFILE]!.cur,
  )
  if (fd < 0) file.unref()
  return fd
}

function timerfd(task: Task, fd: number): TimerfdOps | number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  return file.ops instanceof TimerfdOps ? file.ops : -EINVAL
}

/** timerfd_settime(2). TFD_TIMER_CANCEL_ON_SET never fires: nobody can set the clock. */
export function sys_timerfd_settime(
  task: Task,
  fd: number,
  flags: number,
  newAddr: number,
  oldAddr: number,
): number {
  const error = readItimerspec(task, newAddr)
  if (error < 0) return error
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) !== 0) return -EINVAL
  const ops = timerfd(task, fd)
  if (typeof ops === 'number') return ops
  const left = ops.left()
  const { intervalNs } = ops
  ops.settimeFlags = flags
  ops.set(timer.valueSec, timer.valueNsec, timer.intervalNs, (flags & TFD_TIMER_ABSTIME) !== 0)
  return oldAddr === 0 ? 0 : writeItimerspec(task, oldAddr, intervalNs, left)
}

/** timerfd_gettime(2). */
export function sys_timerfd_gettime(task: Task, fd: number, addr: number): number {
  const ops = timerfd(task, fd)
  return typeof ops === 'number' ? ops : writeItimerspec(task, addr, ops.intervalNs, ops.left())
}
