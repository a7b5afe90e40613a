// Waiting for children: wait4(2), waitid(2), kernel/exit.c do_wait.

import { ECHILD } from '../../syscall-table/errno.ts'
import {
  __WALL,
  __WCLONE,
  CLD_CONTINUED,
  CLD_STOPPED,
  P_ALL,
  P_PGID,
  P_PID,
  P_PIDFD,
  SIGCHLD,
  SIGCONT,
  WCONTINUED,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WUNTRACED,
} from '../../syscall-table/flags.ts'
import { reap } from './exit.ts'
import { exitInfo, stateChangeInfo } from './exit-notify.ts'
import { trapInfo } from './ptrace.ts'
import type { SigInfo } from './signal-state.ts'
import type { Task } from './task.ts'
import type { ThreadGroup } from './thread-group.ts'

/** What a wait call selects; one is reused by all calls, as the kernel has one thread. */
export interface WaitRequest {
  /** P_ALL, P_PID, P_PGID, P_PIDFD. */
  type: number
  id: number
  pidfdGroup: ThreadGroup | null
  options: number
}

/** What a wait call found. */
export interface WaitResult {
  group: ThreadGroup | null
  /** wait4's status word. */
  status: number
  info: SigInfo | null
}

/** wait4's status for a stop is (signal << 8) | 0x7f, for a continuation 0xffff. */
const STATUS_STOPPED = 0x7f
const STATUS_CONTINUED = 0xffff

/**
 * Look for a child that matches. Returns its pid and fills `result`; 0 for none with WNOHANG; -ECHILD when
 * there is nothing to wait for; -EBLOCKED.
 */
export function waitForChild(task: Task, request: WaitRequest, result: WaitResult): number {
  let candidates = false
  for (const child of task.group.children) {
    if (!isSelected(task, child, request)) continue
    candidates = true
    // Consuming the state frees the number.
    const pid = child.pid.numberIn(task.pidNs)
    if (takeState(child, request.options, result)) return pid
  }
  const traced = waitForTraced(task, request, result)
  if (traced > 0) return traced
  if (!candidates && traced < 0) return -ECHILD
  if ((request.options & WNOHANG) !== 0) return 0
  return task.block(task.group.childQueue, 0)
}

/** Stops and ends of the tasks that the caller's process traces. Their tid; 0: nothing new; -1: there are none. */
function waitForTraced(task: Task, request: WaitRequest, result: WaitResult): number {
  const { tracees, tracedExits } = task.group
  const consume = (request.options & WNOWAIT) === 0
  const takes = (group: ThreadGroup, pid: number): boolean => {
    const { type, id } = request
    if (type === P_PID) return pid === id
    return type === P_ALL || isSelected(task, group, { ...request, options: __WALL })
  }
  let candidates = false
  for (const [i, { pid, group, status }] of tracedExits.entries()) {
    if (!takes(group, pid)) continue
    candidates = true
    if ((request.options & WEXITED) === 0) continue
    if (consume) tracedExits.splice(i, 1)
    result.group = group
    result.status = status
    result.info = exitInfo(group)
    result.info.pid = pid
    return pid
  }
  for (const tracee of tracees) {
    const pid = tracee.task.pid.numberIn(task.pidNs)
    if (!takes(tracee.task.group, pid)) continue
    candidates = true
    if (!tracee.stopped || tracee.reported) continue
    if (consume) tracee.reported = true
    result.group = tracee.task.group
    result.status = (tracee.code << 8) | STATUS_STOPPED
    result.info = trapInfo(tracee)
    return pid
  }
  return candidates ? 0 : -1
}

function isSelected(task: Task, child: ThreadGroup, request: WaitRequest): boolean {
  const { type, id, options } = request
  if (type === P_PID && child.pid.numberIn(task.pidNs) !== id) return false
  if (type === P_PGID) {
    const { pgrp } = child
    if (id === 0 ? pgrp !== task.group.pgrp : pgrp.pid.numberIn(task.pidNs) !== id) return false
  }
  if (type === P_PIDFD && child !== request.pidfdGroup) return false
  if (type !== P_ALL && type !== P_PID && type !== P_PGID && type !== P_PIDFD) return false
  if ((options & __WALL) !== 0) return true
  const isClone = child.exitSignal !== SIGCHLD
  return isClone === ((options & __WCLONE) !== 0)
}

/** Whether the child has something to report; unless WNOWAIT it is then consumed. */
function takeState(child: ThreadGroup, options: number, result: WaitResult): boolean {
  const consume = (options & WNOWAIT) === 0
  if (child.zombie && (options & WEXITED) !== 0) {
    result.group = child
    result.status = child.exitStatus
    result.info = exitInfo(child)
    if (consume) reap(child)
    return true
  }
  if (child.zombie) return false
  // Its tracer hears of its stops as of others.
  if (child.leader.tracee !== null) return false
  if (child.stopComplete && !child.stopReported && (options & WUNTRACED) !== 0) {
    result.group = child
    result.status = (child.stopSignal << 8) | STATUS_STOPPED
    result.info = stateChangeInfo(child, CLD_STOPPED)
    if (consume) child.stopReported = true
    return true
  }
  if (child.continued && (options & WCONTINUED) !== 0) {
    result.group = child
    result.status = STATUS_CONTINUED
    result.info = stateChangeInfo(child, CLD_CONTINUED)
    result.info.status = SIGCONT
    if (consume) child.continued = false
    return true
  }
  return false
}
