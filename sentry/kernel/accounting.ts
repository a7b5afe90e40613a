// CPU time of tasks and processes: times(2), getrusage(2), CPU clocks.
// DIFFERS: the host tells only the total of a thread, and the kernel's own work is not the thread's: all time
// counts as user time.

import { CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID } from '../../syscall-table/flags.ts'
import { DEAD, RUNNING, STARTING, type Task, ZOMBIE } from './task.ts'
import type { ThreadGroup } from './thread-group.ts'

export interface CpuTimes {
  userNs: number
  systemNs: number
}

/** CPU time of one task, over all host threads it has had. */
export function taskCpuNs(task: Task): number {
  const { state } = task
  if (state === ZOMBIE || state === DEAD || state === STARTING || task.group.exiting)
    return task.earlierCpuNs
  const { platform } = task.kernel
  return task.earlierCpuNs + (platform.cpuTimeNs?.(task.thread) ?? 0)
}

/** CPU time of a process: its living threads and those that have ended. */
export function groupCpu(group: ThreadGroup): CpuTimes {
  let userNs = group.endedUtimeNs
  for (const task of group.tasks) userNs += taskCpuNs(task)
  return { userNs, systemNs: group.endedStimeNs }
}

/** A task ends: its time stays with the process. */
export function addCpuTimes(group: ThreadGroup, task: Task): void {
  group.endedUtimeNs += task.earlierCpuNs
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
  const cpu = taskCpuNs(task)
  const now = task.kernel.clock.monotonicNs()
  if (cpu === task.seenCpuNs) return now - task.seenAtNs >= ASLEEP_NS
  task.seenCpuNs = cpu
  task.seenAtNs = now
  return false
}
