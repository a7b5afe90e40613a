// What the host tells of a thread only to that thread: its own CPU time, page faults, context switches, and the most
// memory of its process. The stub asks for it, straight into the program's buffer; the call comes back to us then and is
// finished here. What stands in the buffer may be anything by then, and is told to nobody but the program.

import { EFAULT } from '../../syscall-table/errno.ts'
import { RUSAGE_THREAD } from '../../syscall-table/flags.ts'
import {
  newRusage,
  newTimespec,
  type Rusage,
  readRusage,
  readTimespec,
  SIZEOF_RUSAGE,
  SIZEOF_TIMESPEC,
  writeRusage,
  writeTimespec,
} from '../../syscall-table/structs.gen.ts'
import { groupCpu, threadTimes } from './accounting.ts'
import { type OpsContinuation, stopAfterOps } from './ops-barrier.ts'
import type { Task } from './task.ts'

const NS_PER_SEC = 1e9
const NS_PER_US = 1000

/** Put CPU times into a struct rusage. */
export function setTimes(rusage: Rusage, userNs: number, systemNs: number): void {
  rusage.utime.sec = Math.floor(userNs / NS_PER_SEC)
  rusage.utime.usec = Math.floor((userNs % NS_PER_SEC) / NS_PER_US)
  rusage.stime.sec = Math.floor(systemNs / NS_PER_SEC)
  rusage.stime.usec = Math.floor((systemNs % NS_PER_SEC) / NS_PER_US)
}

const timevalNs = ({ sec, usec }: { sec: number; usec: number }): number =>
  sec * NS_PER_SEC + usec * NS_PER_US

/** getrusage(2) for RUSAGE_SELF and RUSAGE_THREAD. False when the platform cannot ask. */
export function askUsage(task: Task, who: number, addr: number): boolean {
  const ops = task.kernel.platform.ops(task.thread)
  if (ops.getrusage === undefined) return false
  ops.getrusage(who, addr)
  stopAfterOps(task, new UsageAsked(who, addr))
  return true
}

const told = newRusage()

class UsageAsked implements OpsContinuation {
  readonly #who: number
  readonly #addr: number

  constructor(who: number, addr: number) {
    this.#who = who
    this.#addr = addr
  }

  /** Also when the buffer was the fault: that shows itself again. */
  afterOps(task: Task): number {
    const { scratch, scratchView } = task.kernel
    if (task.mm.copyIn(task, this.#addr, scratch, 0, SIZEOF_RUSAGE) < 0) return -EFAULT
    readRusage(scratchView, 0, told)
    const { group } = task
    const { userNs, systemNs } =
      this.#who === RUSAGE_THREAD
        ? threadTimes(task, timevalNs(told.utime), timevalNs(told.stime))
        : groupCpu(group)
    setTimes(told, userNs, systemNs)
    // Of the programs before this one as well.
    if (Number.isSafeInteger(told.maxrss)) group.maxRssKb = Math.max(group.maxRssKb, told.maxrss)
    told.maxrss = group.maxRssKb
    // The stub does no I/O of its own, and ours is not the host's to count.
    told.inblock = told.oublock = 0
    writeRusage(scratchView, 0, told)
    return task.mm.copyResult(task, this.#addr, scratch, 0, SIZEOF_RUSAGE)
  }

  opsFailed(_task: Task, errno: number): number {
    return -errno
  }
}

/** CLOCK_THREAD_CPUTIME_ID of one thread among several. False when the platform cannot ask. */
export function askThreadClock(task: Task, addr: number): boolean {
  const ops = task.kernel.platform.ops(task.thread)
  if (ops.threadClock === undefined) return false
  ops.threadClock(addr)
  stopAfterOps(task, new ClockAsked(addr))
  return true
}

const clock = newTimespec()

class ClockAsked implements OpsContinuation {
  readonly #addr: number

  constructor(addr: number) {
    this.#addr = addr
  }

  afterOps(task: Task): number {
    const { scratch, scratchView } = task.kernel
    if (task.mm.copyIn(task, this.#addr, scratch, 0, SIZEOF_TIMESPEC) < 0) return -EFAULT
    readTimespec(scratchView, 0, clock)
    const { userNs, systemNs } = threadTimes(task, clock.sec * NS_PER_SEC + clock.nsec, 0)
    const ns = userNs + systemNs
    clock.sec = Math.floor(ns / NS_PER_SEC)
    clock.nsec = Math.floor(ns % NS_PER_SEC)
    writeTimespec(scratchView, 0, clock)
    return task.mm.copyResult(task, this.#addr, scratch, 0, SIZEOF_TIMESPEC)
  }

  opsFailed(_task: Task, errno: number): number {
    return -errno
  }
}
