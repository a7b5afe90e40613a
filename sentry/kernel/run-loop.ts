// The run loop: takes events from the platform, calls the handlers, and lets threads go on. It is the only
// caller of `dispatch`, of `Platform.wait` and (outside of exit) of `Platform.resume`.
//
//   EV_SYSCALL ──> dispatch ──> result ──> signals due? ──> resume
//                     │                        │
//                  -EBLOCKED                stopped, or exiting
//                     │                        │
//                  parked <── wakeUp ── run queue ──> dispatch again, same arguments

import { EBLOCKED, ENOSYS, ERESTART_RESTARTBLOCK, ERESTARTSYS } from '../../syscall-table/errno.ts'
import { rewriteCallSite } from '../mm/rewrite.ts'
import {
  EV_DEAD,
  EV_FAULT,
  EV_FRAME,
  EV_INTERRUPT,
  EV_OPS_FAILED,
  EV_STARTED,
  EV_SYSCALL,
  WAIT_HOST,
} from '../platform.ts'
import { dispatch, restartClass } from '../syscalls/dispatch.gen.ts'
import { nextMoment } from '../vfs/moment.ts'
import { hostProcessDied } from './exit.ts'
import type { Kernel } from './kernel.ts'
import { bindToCpus } from './limits.ts'
import { AT_ENTRY, endTracing, mayGoOn, stopAtEntry, traceEntry, traceExit } from './ptrace.ts'
import { answerOf, leaveNotification, runSeccomp, SKIP_WITH_ZERO } from './seccomp-filter.ts'
import { faultSignal, returnToUser, signalPending } from './signal.ts'
import { BLOCKED, RUNNING, STARTING, STOPPED, type Task } from './task.ts'

/** Run until the sandbox ends. Returns when `kernel.halted`. */
export function run(kernel: Kernel): void {
  const { platform, timers } = kernel
  while (!kernel.halted) {
    let task = kernel.nextRunnable()
    while (task !== undefined) {
      rerun(task)
      task = kernel.nextRunnable()
    }
    if (kernel.halted) return
    const deadline = timers.nextDeadlineNs
    const id = platform.wait(deadline)
    nextMoment()
    if (id >= 0) handleEvent(kernel, id)
    else if (id === WAIT_HOST) kernel.hostEvents.dispatch()
    if (deadline !== Number.POSITIVE_INFINITY) {
      const now = kernel.clock.monotonicNs()
      if (now >= deadline) timers.run(now)
    }
  }
}

function handleEvent(kernel: Kernel, id: number): void {
  const task = kernel.taskOfThread[id]
  // The last event of a thread that has been killed since.
  if (task === undefined) return
  task.events++
  if (task.eventQueue !== null) {
    const queue = task.eventQueue
    task.eventQueue = null
    queue.wake(0)
  }
  switch (task.thread.event) {
    case EV_SYSCALL:
      if (task.state === RUNNING) startSyscall(task)
      break
    case EV_STARTED: {
      if (task.state !== STARTING) break
      const start = task.onStart
      task.onStart = null
      task.state = RUNNING
      if (task.sched.affinity !== null) bindToCpus(task)
      finish(task, start === null ? 0 : start.started(task))
      break
    }
    case EV_FAULT:
      if (task.state === RUNNING) resumeWithRegs(task, faultSignal)
      break
    case EV_INTERRUPT:
      if (task.state === RUNNING) resumeWithRegs(task, null)
      break
    case EV_FRAME: {
      const { unframed, tracee } = task
      task.unframed = null
      if (tracee?.framing) {
        task.thread.args.set(tracee.args)
        if (!stopAtEntry(task)) enterCall(task, tracee.nr)
        break
      }
      if (unframed !== null) leave(task, unframed)
      break
    }
    case EV_OPS_FAILED: {
      const failure = task.opsFailure
      task.opsFailure = null
      const { failedOp, failedErrno } = task.thread
      finish(
        task,
        failure === null ? -failedErrno : failure.onOpsFailed(task, failedOp, failedErrno),
      )
      break
    }
    case EV_DEAD:
      hostProcessDied(task, task.thread.exitStatus)
      break
  }
}

function startSyscall(task: Task): void {
  const { nr } = task.thread
  task.syscallNr = nr
  task.opsFailure = null
  if (task.tracee !== null && traceEntry(task, nr)) return
  enterCall(task, nr)
}

/** Nothing stands in the way of the call but filters. */
function enterCall(task: Task, nr: number): void {
  if (task.entryWork !== 0) {
    let verdict = task.kernel.syscallEntry(task, nr)
    if (verdict === 0 && task.seccomp !== null) verdict = runSeccomp(task, nr)
    if (verdict !== 0) return finish(task, verdict === SKIP_WITH_ZERO ? 0 : verdict)
  }
  finish(task, call(task, nr))
}

function call(task: Task, nr: number): number {
  const handler = dispatch[nr]
  return handler === undefined ? -ENOSYS : handler(task)
}

/** A parked task was woken: its handler looks again. */
function rerun(task: Task): void {
  if (task.state === STOPPED) {
    if (task.tracee !== null) return goOn(task)
    return finish(task, task.stoppedResult)
  }
  if (task.state !== BLOCKED) return
  task.state = RUNNING
  if (task.notification !== null) return judged(task, answerOf(task))
  finish(task, call(task, task.syscallNr))
}

/** What filters have said of the call in progress. */
function judged(task: Task, verdict: number): void {
  if (verdict !== 0) finish(task, verdict === SKIP_WITH_ZERO ? 0 : verdict)
  else finish(task, call(task, task.syscallNr))
}

/** A traced task was woken: it goes on where its tracer had stopped it. */
function goOn(task: Task): void {
  const { tracee } = task
  if (tracee !== null && !mayGoOn(task)) return
  if (tracee?.leaving) endTracing(tracee)
  if (tracee?.kind === AT_ENTRY) {
    tracee.kind = 0
    task.state = RUNNING
    task.thread.args.set(tracee.args)
    task.syscallNr = tracee.nr
    const { emulated } = tracee
    tracee.emulated = false
    if (tracee.nr >= 0 && !emulated) return enterCall(task, tracee.nr)
    return finish(task, tracee.skipResult)
  }
  if (tracee?.resumesCall) {
    tracee.resumesCall = false
    task.state = RUNNING
    return finish(task, call(task, task.syscallNr))
  }
  leave(task, task.stoppedResult)
}

/** End a pass of a call with result `n`: park, deliver signals, or go on. */
export function finish(task: Task, n: number): void {
  let result = n
  if (result === -EBLOCKED) {
    if (task.state !== RUNNING) return
    if (!(task.work && signalPending(task))) {
      task.state = BLOCKED
      return
    }
    // The condition did not hold, and a signal is due: leave the queue, as Linux's wait loops do.
    task.stopWaiting()
    const { done } = task.restart
    result = done > 0 ? done : -restartClass[task.syscallNr]!
    if (task.notification !== null) {
      leaveNotification(task)
      task.judgeAgain = true
      result = -ERESTARTSYS
    }
  }
  if (task.state !== RUNNING && task.state !== STOPPED) return
  task.stopWaiting()
  if (task.opsOnly && !task.group.exiting) {
    // The call goes on after its host operations: see ops-barrier.ts.
    task.opsOnly = false
    task.syscallNr = -1
    task.kernel.platform.resume(task.thread, 0)
    return
  }
  if (task.exitWork !== 0 && !task.group.exiting) task.kernel.syscallExit(task, result)
  leave(task, result)
}

/** The call has its result: deliver signals, stop, or go on. */
function leave(task: Task, n: number): void {
  let result = n
  if (task.tracee !== null && traceExit(task, n)) return
  const restarting = result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK
  if (task.work || restarting || task.state === STOPPED) {
    if (task.thread.bare && !task.group.exiting) {
      // A signal handler may have to be entered, or the call's registers changed.
      task.unframed = result
      task.kernel.platform.frame(task.thread)
      return
    }
    result = returnToUser(task, result)
    if (result === -EBLOCKED) return
    if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK) return again(task)
  }
  task.restart.clear()
  task.judgeAgain = false
  task.syscallNr = -1
  task.state = RUNNING
  if (task.thread.hot) rewriteCallSite(task)
  task.kernel.platform.resume(task.thread, result)
}

/** No handler ran, so the interrupted call goes on as if nothing had happened, keeping its deadline. */
function again(task: Task): void {
  task.state = RUNNING
  if (task.tracee !== null && traceEntry(task, task.syscallNr)) return
  if (task.judgeAgain) {
    task.judgeAgain = false
    return judged(task, runSeccomp(task, task.syscallNr))
  }
  finish(task, call(task, task.syscallNr))
}

/** Faults and interrupts change nothing but what signal delivery changes: all registers are reloaded. */
function resumeWithRegs(task: Task, before: ((task: Task) => void) | null): void {
  const { platform } = task.kernel
  platform.getRegs(task.thread)
  task.syscallNr = -1
  task.opsFailure = null
  before?.(task)
  if (task.work && returnToUser(task, 0) === -EBLOCKED) return
  platform.setRegs(task.thread)
  platform.resume(task.thread, 0)
}
