// What a task has asked of the scheduler: sched(7). The host schedules; these values are stored and reported.

import { SCHED_DEADLINE, SCHED_NORMAL } from '../../syscall-table/flags.ts'

export class SchedState {
  policy = SCHED_NORMAL
  /** sched_priority of the real-time policies; 0 for the others. */
  priority = 0
  nice = 0
  resetOnFork = false
  /** Allowed CPUs, one byte each; null for all. Replaced as a whole, never changed. */
  affinity: Uint8Array | null = null
  /** ioprio_set(2): class and data as the caller gave them. */
  ioprio = 0
  /** SCHED_DEADLINE, in ns: time to run in each period, and when it has to be over. */
  runtime = 0
  deadline = 0
  period = 0
  utilMin = 0
  utilMax = 1024

  copyFrom(other: SchedState): void {
    this.resetOnFork = false
    this.affinity = other.affinity
    this.ioprio = other.ioprio
    this.policy = other.policy
    this.priority = other.priority
    this.nice = other.nice
    if (!other.resetOnFork) return
    // SCHED_RESET_ON_FORK: children start with ordinary scheduling.
    if (other.priority > 0 || other.policy === SCHED_DEADLINE) this.policy = SCHED_NORMAL
    this.priority = 0
    if (this.nice < 0 || other.priority > 0) this.nice = 0
  }
}
