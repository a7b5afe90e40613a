// CPU time of tasks and processes: times(2), getrusage(2), CPU clocks. It is made of what the host counts for the stub's
// threads, and of the kernel's own work for them, which is system time.
// DIFFERS: the host tells of a process only as a whole: its first thread is shown with the time of all of them.

import { CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID } from '../../syscall-table/flags.ts'
import type { ThreadContext } from '../platform.ts'
import type { Kernel } from './kernel.ts'
import { DEAD, RUNNING, STARTING, type Task, ZOMBIE } from './task.ts'
import type { ThreadGroup } from './thread-group.ts'

export interface CpuTimes {
  userNs: number
  systemNs: number
}

const PAGE_KB = 4

/** What the platform tells: see Platform.cpuTimes. */
const host = new Float64Array(4)
const TOTAL = 0
const USER = 1
const SERVED_ASLEEP = 2
const SERVED_SPINNING = 3

/** Sums of the same; filled by `addThread`. */
const sum = new Float64Array(4)

function addThread(kernel: Kernel, thread: ThreadContext): void {
  const { platform } = kernel
  if (platform.cpuTimes === undefined || platform.cpuTimes(thread, host) < 0) return
  for (let i = 0; i < sum.length; i++) sum[i]! += host[i]!
}

/** Split `sum`. A thread that spins for its answer uses CPU time in user mode, but is in the kernel. */
function split(): CpuTimes {
  const spun = Math.min(sum[SERVED_SPINNING]!, sum[USER]!)
  const userNs = sum[USER]! - spun
  return { userNs, systemNs: sum[TOTAL]! - userNs + sum[SERVED_ASLEEP]! }
}

/** Of one host thread; the object is the caller's. */
function threadCpu(kernel: Kernel, thread: ThreadContext): CpuTimes {
  sum.fill(0)
  addThread(kernel, thread)
  return split()
}

const counts = ({ state, group }: Task): boolean =>
  state !== ZOMBIE && state !== DEAD && state !== STARTING && !group.exiting

/** CPU time of one task, over all host threads it has had. */
export function taskCpu(task: Task): CpuTimes {
  const { earlierCpu } = task
  if (!counts(task)) return earlierCpu
  const now = threadCpu(task.kernel, task.thread)
  return {
    userNs: earlierCpu.userNs + now.userNs,
    systemNs: earlierCpu.systemNs + now.systemNs,
  }
}

export function taskCpuNs(task: Task): number {
  const { userNs, systemNs } = taskCpu(task)
  return userNs + systemNs
}

/** A task's host thread is about to end: keep what it has used. */
export function keepCpuTimes(task: Task): void {
  task.earlierCpu = taskCpu(task)
}

/** The same for the thread of the program before an exec. */
export function keepThreadTimes(task: Task, thread: ThreadContext): void {
  const { earlierCpu } = task
  const { userNs, systemNs } = threadCpu(task.kernel, thread)
  task.earlierCpu = {
    userNs: earlierCpu.userNs + userNs,
    systemNs: earlierCpu.systemNs + systemNs,
  }
}

/** CPU time of a process: its living threads and those that have ended. */
export function groupCpu(group: ThreadGroup): CpuTimes {
  let userNs = group.endedUtimeNs
  let systemNs = group.endedStimeNs
  sum.fill(0)
  for (const task of group.tasks) {
    userNs += task.earlierCpu.userNs
    systemNs += task.earlierCpu.systemNs
    if (counts(task)) addThread(group.kernel, task.thread)
  }
  const now = split()
  return neverLess(group, userNs + now.userNs, systemNs + now.systemNs)
}

/**
 * The host's proportion of user and system time changes with each sample, but neither may go back: as in Linux's
 * cputime_adjust, the total rules, and what one has too much the other has too little.
 */
function neverLess(group: ThreadGroup, userNs: number, systemNs: number): CpuTimes {
  const { shownCpu } = group
  const total = userNs + systemNs
  if (shownCpu.userNs + shownCpu.systemNs < total) {
    const system = Math.max(systemNs, shownCpu.systemNs)
    const user = Math.max(total - system, shownCpu.userNs)
    group.shownCpu = { userNs: user, systemNs: total - user }
  }
  return group.shownCpu
}

/** A process ends: what it has mapped of memory bounds what it had, if it did not ask for that itself. */
export function noteMaxRss(group: ThreadGroup): void {
  if (group.maxRssKb > 0 || group.leader.state === ZOMBIE) return
  const { vmas } = group.leader.mm
  group.maxRssKb = Math.min(vmas.execPages + vmas.dataPages, vmas.totalPages) * PAGE_KB
}

/** A task ends: its time stays with the process. */
export function addCpuTimes(group: ThreadGroup, task: Task): void {
  group.endedUtimeNs += task.earlierCpu.userNs
  group.endedStimeNs += task.earlierCpu.systemNs
}

/**
 * CPU time of a task whose host thread has used `userNs` and `systemNs`, which only that thread itself can learn: the
 * kernel's work for it, and what it used before, are added.
 */
export function threadTimes(task: Task, userNs: number, systemNs: number): CpuTimes {
  sum.fill(0)
  addThread(task.kernel, task.thread)
  sum[TOTAL] = userNs + systemNs
  sum[USER] = userNs
  const now = split()
  return {
    userNs: task.earlierCpu.userNs + now.userNs,
    systemNs: task.earlierCpu.systemNs + now.systemNs,
  }
}

/** The CPU clocks that a task may name for itself. */
export function cpuClockNs(task: Task, clock: number): number {
  if (clock === CLOCK_THREAD_CPUTIME_ID) return taskCpuNs(task)
  if (clock === CLOCK_PROCESS_CPUTIME_ID) {
    const { userNs, systemNs } = groupCpu(task.group)
    return userNs + systemNs
  }
  return 0
}

/** A thread that has used no CPU time for this long sleeps in the host: it waits for a futex. */
const ASLEEP_NS = 1e6

/**
 * Whether a task in program code sleeps there, as far as can be told: the kernel does not see futex waits.
 * The first look always says no.
 */
export function looksAsleep(task: Task): boolean {
  if (task.state !== RUNNING || task.syscallNr >= 0) return false
  const { platform, clock } = task.kernel
  if (platform.cpuTimes === undefined || platform.cpuTimes(task.thread, host) < 0) return false
  const cpu = host[TOTAL]!
  const now = clock.monotonicNs()
  if (cpu === task.seenCpuNs) return now - task.seenAtNs >= ASLEEP_NS
  task.seenCpuNs = cpu
  task.seenAtNs = now
  return false
}
