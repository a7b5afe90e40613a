// Job control: stopping and continuing processes, and process groups that nobody could continue any more.
// signal(7), setpgid(2), kernel/signal.c do_signal_stop.

import { CLD_CONTINUED, CLD_STOPPED, SIGSTOP } from '../../syscall-table/flags.ts'
import { notifyStateChange } from './exit-notify.ts'
import { signalWake } from './signal-send.ts'
import { STOPPED, type Task } from './task.ts'
import type { ProcessGroup, ThreadGroup } from './thread-group.ts'

/**
 * A task takes a stop signal with its default action: its whole process stops. Returns false when the signal
 * has no effect, because nobody could continue the process from the terminal.
 */
export function startGroupStop(task: Task, signo: number): boolean {
  const { group } = task
  if (signo !== SIGSTOP && isOrphaned(group.pgrp, null)) return false
  group.stopSignal = signo
  group.stopComplete = false
  group.continued = false
  for (const other of group.tasks) if (other !== task && other.state !== STOPPED) signalWake(other)
  return true
}

/**
 * Hold the task until its process is continued; it will go on with `result`. Registers that were loaded
 * because of a fault or an interrupt are kept for then.
 */
export function park(task: Task, result: number): void {
  task.state = STOPPED
  task.stoppedResult = result
  if (task.syscallNr < 0) task.kernel.platform.setRegs(task.thread)
  stopComplete(task.group)
}

/** A task has ended while its process was stopping. */
export function taskLeftStop(group: ThreadGroup): void {
  if (group.stopSignal !== 0) stopComplete(group)
}

/** Tell of a stop that all tasks have noticed. */
export function stopComplete(group: ThreadGroup): void {
  if (group.stopComplete) return
  for (const task of group.tasks) if (task.state !== STOPPED) return
  group.stopComplete = true
  group.stopReported = false
  notifyStateChange(group, CLD_STOPPED)
}

/** SIGCONT has been sent: whatever its action, the process goes on. */
export function continueGroup(group: ThreadGroup): void {
  if (group.stopSignal === 0) return
  group.stopSignal = 0
  for (const task of group.tasks) if (task.state === STOPPED) task.kernel.makeRunnable(task)
  if (!group.stopComplete) return
  group.stopComplete = false
  group.stopReported = true
  group.continued = true
  notifyStateChange(group, CLD_CONTINUED)
}

/**
 * Whether no member has a parent in another group of the same session. `leaving` does not count: it is
 * about to end.
 */
export function isOrphaned(pgrp: ProcessGroup, leaving: ThreadGroup | null): boolean {
  for (const group of pgrp.members) {
    if (group === leaving || group.zombie || group.parent === null || group.parent === leaving)
      continue
    if (group.parent.pgrp !== pgrp && group.parent.session === pgrp.session) return false
  }
  return true
}

/** Whether a member of the group is stopped. */
export function stoppedMember(pgrp: ProcessGroup): boolean {
  for (const group of pgrp.members) if (group.stopSignal !== 0 && !group.zombie) return true
  return false
}
