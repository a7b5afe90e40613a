// Setting and tuning the time of day, which only the host may: settimeofday(2), adjtimex(2). Arguments are
// checked as Linux checks them, so that a program sees the errors it would see without CAP_SYS_TIME.

import { EFAULT, EINVAL, EOPNOTSUPP, EPERM } from '../../syscall-table/errno.ts'
import { CAP_SYS_TIME, CLOCK_REALTIME } from '../../syscall-table/flags.ts'
import { SIZEOF_TIMEX, type Timex, writeTimex } from '../../syscall-table/structs.gen.ts'
import { readClock, type Timespec } from '../kernel/clocks.ts'
import type { Task } from '../kernel/task.ts'
import { readTimespec } from './time-values.ts'

/** STA_UNSYNC with TIME_ERROR: nobody tells this kernel how good the host's clock is. */
const STA_UNSYNC = 0x40
const TIME_ERROR = 5
/** USER_TICK_USEC. */
const TICK_USEC = 10_000
// Of struct timex.
const TICK_AT = 88
const FRACTION_AT = 80
const ADJ_SETOFFSET = 0x100
const ADJ_NANO = 0x2000
const ADJ_TICK = 0x4000
/** Of adjtime(3): with it a mode stands for an adjustment at once. */
const ADJ_ADJTIME = 0x8000
const OFFSET_SINGLESHOT = 1
/** NTP's largest error, in µs. */
const MAX_ERROR = 16_000_000
/** ADJ_OFFSET_SS_READ: a mode that reads. */
const OFFSET_SS_READ = 0xa001

const now: Timespec = { sec: 0, nsec: 0 }

/** settimeofday(2). */
export function sys_settimeofday(task: Task, tv: number, tz: number): number {
  const { scratch, scratchView } = task.kernel
  if (tv !== 0) {
    if (task.mm.copyIn(task, tv, scratch, 0, 16) < 0) return -EFAULT
    const usec = scratchView.getUint32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
    if (usec >= 1e6 || scratchView.getInt32(4, true) < 0) return -EINVAL
  }
  if (tz !== 0 && task.mm.copyIn(task, tz, scratch, 0, 8) < 0) return -EFAULT
  return -EPERM
}

/** clock_settime(2). Only the time of day can be set at all. */
export function sys_clock_settime(task: Task, clock: number, addr: number): number {
  if (clock !== CLOCK_REALTIME) {
    // Those of other processes have a call that refuses; the caller's own have none.
    return clock < 0 && readClock(task, clock, now) ? -EPERM : -EINVAL
  }
  const error = readTimespec(task, addr)
  return error < 0 ? error : -EPERM
}

/** adjtimex(2). */
export function sys_adjtimex(task: Task, addr: number): number {
  return sys_clock_adjtime(task, CLOCK_REALTIME, addr)
}

/** What Linux refuses before it changes anything: timekeeping_validate_timex. */
function plausible(view: DataView, modes: number): boolean {
  if ((modes & ADJ_ADJTIME) !== 0) return (modes & OFFSET_SINGLESHOT) !== 0
  const long = (at: number) => view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
  const tick = long(TICK_AT)
  if ((modes & ADJ_TICK) !== 0 && (tick < TICK_USEC * 0.9 || tick > TICK_USEC * 1.1)) return false
  if ((modes & ADJ_SETOFFSET) === 0) return true
  const fraction = long(FRACTION_AT)
  return fraction >= 0 && fraction < ((modes & ADJ_NANO) !== 0 ? 1e9 : 1e6)
}

/** clock_adjtime(2). Modes that change something need CAP_SYS_TIME over the host. */
export function sys_clock_adjtime(task: Task, clock: number, addr: number): number {
  const { kernel } = task
  if (task.mm.copyIn(task, addr, kernel.scratch, 0, SIZEOF_TIMEX) < 0) return -EFAULT
  if (clock !== CLOCK_REALTIME) return readClock(task, clock, now) ? -EOPNOTSUPP : -EINVAL
  const modes = kernel.scratchView.getUint32(0, true)
  if (modes !== 0 && modes !== OFFSET_SS_READ)
    return task.creds.capable(CAP_SYS_TIME) && !plausible(kernel.scratchView, modes)
      ? -EINVAL
      : -EPERM
  kernel.clock.realtime(now)
  const timex: Timex = {
    ...{ modes, offset: 0, freq: 0, maxerror: MAX_ERROR, esterror: MAX_ERROR, status: STA_UNSYNC },
    ...{ constant: 2, precision: 1, tolerance: 32768000, tick: TICK_USEC, ppsfreq: 0, jitter: 0 },
    ...{ shift: 0, stabil: 0, jitcnt: 0, calcnt: 0, errcnt: 0, stbcnt: 0, tai: 0 },
    time: { sec: now.sec, usec: Math.floor(now.nsec / 1000) },
  }
  writeTimex(kernel.scratchView, 0, timex)
  return task.mm.copyResult(task, addr, kernel.scratch, 0, SIZEOF_TIMEX) < 0 ? -EFAULT : TIME_ERROR
}
