// Tracing inside the sandbox: ptrace(2), kernel/ptrace.c. A traced task stops where Linux's would, and the tracer
// hears of it by wait(2). What a tracer asks of a stopped task is in syscalls/process-ptrace.ts.
// DIFFERS: a tracer is a process here, not one of its threads: any of them may give orders.

import { EBLOCKED, EIO, ENOSYS } from '../../syscall-table/errno.ts'
import {
  CLD_TRAPPED,
  CLONE_PTRACE,
  CLONE_VFORK,
  PTRACE_CONT,
  PTRACE_EVENT_CLONE,
  PTRACE_EVENT_EXEC,
  PTRACE_EVENT_EXIT,
  PTRACE_EVENT_FORK,
  PTRACE_EVENT_SECCOMP,
  PTRACE_EVENT_STOP,
  PTRACE_EVENT_VFORK,
  PTRACE_EVENT_VFORK_DONE,
  PTRACE_O_EXITKILL,
  PTRACE_O_TRACECLONE,
  PTRACE_O_TRACEEXEC,
  PTRACE_O_TRACEEXIT,
  PTRACE_O_TRACEFORK,
  PTRACE_O_TRACESECCOMP,
  PTRACE_O_TRACESYSGOOD,
  PTRACE_O_TRACEVFORK,
  PTRACE_O_TRACEVFORKDONE,
  PTRACE_SINGLESTEP,
  PTRACE_SYSCALL,
  PTRACE_SYSEMU,
  SA_NOCLDSTOP,
  SI_KERNEL,
  SI_USER,
  SIG_IGN,
  SIGBUS,
  SIGCHLD,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SIGTRAP,
} from '../../syscall-table/flags.ts'
import { REG } from '../platform.ts'
import { stopComplete } from './job-control.ts'
import { forceSignal, sendToGroup, sendToTask, signalGroup, userSigInfo } from './signal-send.ts'
import { type SigInfo, sigInfo } from './signal-state.ts'
import { STOPPED, type Task } from './task.ts'
import type { ThreadGroup } from './thread-group.ts'
import {
  ARGUMENTS,
  hasUserSegments,
  ORIG_RAX,
  RAX,
  refreshBases,
  storeUserRegs,
  userRegsOf,
} from './user-regs.ts'
import { WaitQueue } from './wait-queue.ts'

/** Where a traced task has stopped. */
export const AT_ENTRY = 1
export const AT_EXIT = 2
export const AT_SIGNAL = 3
export const AT_EVENT = 4
export const AT_GROUP_STOP = 5

const X86_EFLAGS_TF = 0x100
/** How the code of a stop tells one of a system call from SIGTRAP: PTRACE_O_TRACESYSGOOD. */
const SYSGOOD = 0x80

/** The traced side: what Linux keeps in task_struct about its tracer. */
export class Tracee {
  readonly task: Task
  readonly tracer: ThreadGroup
  /** PTRACE_SEIZE: no SIGSTOP, and stops can be told apart. */
  readonly seized: boolean
  options = 0
  /** How it was sent on: PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SYSEMU, PTRACE_SINGLESTEP. */
  mode = PTRACE_CONT
  stopped = false
  /** wait(2) has told of the stop. */
  reported = false
  /** The signal of the stop, and the event << 8. */
  code = 0
  kind = 0
  info: SigInfo | null = null
  /** The signal that the tracer sends it on with. */
  inject: SigInfo | null = null
  eventMessage = 0
  /** An event to stop for before the call ends: PTRACE_EVENT_*. */
  pendingEvent = 0
  /** PTRACE_INTERRUPT has been asked for. */
  trap = false
  /** Has stopped with its process, and was sent on although the process is stopped. */
  passedGroupStop = false
  /** PTRACE_LISTEN: stays stopped until the process is continued. */
  listening = false
  /** A call is in progress, whose end is a place to stop at. */
  inCall = false
  /** The entry stop waits for the thread's whole state. */
  framing = false
  /** PTRACE_EVENT_EXIT has been told. */
  exitTold = false
  /** The event came within the call, which goes on with its handler. */
  resumesCall = false
  /** The call as it is about to be made; the tracer may change it. */
  nr = -1
  readonly args = new Uint32Array(12)
  /** The result of a call that is not made: SYSEMU, or the tracer has cancelled it by the number -1. */
  skipResult = -ENOSYS
  /** The tracer makes the calls itself: PTRACE_SYSEMU. */
  emulated = false
  /** The filters' verdict about this call has been told: SECCOMP_RET_TRACE. */
  filterTold = false
  /** Let go while stopped: traced no more once it goes on. */
  leaving = false
  /** The tracer has changed registers. */
  dirty = false
  /** Woken when the task has run a host operation for its tracer. */
  readonly queue = new WaitQueue()

  constructor(task: Task, tracer: ThreadGroup, seized: boolean) {
    this.task = task
    this.tracer = tracer
    this.seized = seized
    tracer.tracees.add(this)
    task.tracee = this
  }

  /** struct user_regs_struct of the stopped task, as words. */
  userRegs(): Uint32Array {
    return userRegsOf(this.task, this.kind === AT_ENTRY ? this.nr : this.task.syscallNr)
  }

  /**
   * The tracer's registers. At the entry of a call they are its number and its arguments.
   * LIMIT: other registers cannot be changed at the entry of a call, and segment registers never.
   */
  setUserRegs(words: Uint32Array): number {
    if (!hasUserSegments(words)) return -EIO
    if (this.kind === AT_ENTRY) {
      this.nr = words[ORIG_RAX * 2]! | 0
      ARGUMENTS.forEach((user, i) => {
        this.args.set(words.subarray(user * 2, user * 2 + 2), i * 2)
      })
      this.skipResult = (words[RAX * 2 + 1]! | 0) * 2 ** 32 + words[RAX * 2]!
    }
    const error = storeUserRegs(this.task, words)
    if (error < 0) return error
    this.dirty = true
    return 0
  }
}

/** What PTRACE_GETEVENTMSG tells at the stops of a call. */
const PTRACE_EVENTMSG_SYSCALL_ENTRY = 1
const PTRACE_EVENTMSG_SYSCALL_EXIT = 2

/** What is left of a traced task that has ended, until its tracer has waited for it. */
export interface TracedExit {
  readonly pid: number
  readonly group: ThreadGroup
  readonly status: number
}

/** Stop for the tracer. The task will go on with `result`; `kind` says where. */
export function traceStop(
  task: Task,
  kind: number,
  code: number,
  info: SigInfo | null,
  result: number,
): void {
  const tracee = task.tracee!
  const { thread, kernel } = task
  tracee.stopped = true
  tracee.reported = false
  tracee.listening = false
  tracee.kind = kind
  tracee.code = code
  tracee.info = info
  tracee.dirty = false
  if (task.state !== STOPPED) {
    task.state = STOPPED
    task.stoppedResult = result
  }
  refreshBases(task)
  if (task.syscallNr >= 0) {
    kernel.platform.getRegs(thread)
    setSigned(task, REG.rax, kind === AT_ENTRY ? -ENOSYS : result)
  } else kernel.platform.setRegs(thread)
  if ((thread.regs[REG.eflags * 2]! & X86_EFLAGS_TF) !== 0 && tracee.mode === PTRACE_SINGLESTEP) {
    thread.regs[REG.eflags * 2]! &= ~X86_EFLAGS_TF
    tracee.dirty = true
  }
  tellTracer(tracee)
}

function setSigned(task: Task, reg: number, value: number): void {
  const { regs } = task.thread
  regs[reg * 2] = value >>> 0
  regs[reg * 2 + 1] = Math.floor(value / 2 ** 32) >>> 0
}

function tellTracer(tracee: Tracee): void {
  const { tracer } = tracee
  if (tracer.exiting || tracer.zombie) return
  const action = tracer.handlers.actions[SIGCHLD]!
  if (action.handler !== SIG_IGN && (action.flags & SA_NOCLDSTOP) === 0)
    sendToGroup(tracer, trapInfo(tracee))
  tracer.childQueue.wake(0)
}

/** The siginfo of SIGCHLD, and of waitid(2), for a stop. */
export function trapInfo(tracee: Tracee): SigInfo {
  const info = sigInfo(SIGCHLD, CLD_TRAPPED)
  const reader = tracee.tracer.leader
  info.pid = tracee.task.pid.numberIn(reader.pidNs)
  info.uid = reader.creds.userNs.showUid(tracee.task.creds.uid)
  info.status = tracee.code & 0x7f
  return info
}

/** The siginfo of a stop that is no signal's: PTRACE_GETSIGINFO shows it. */
function eventInfo(task: Task, code: number): SigInfo {
  const info = sigInfo(SIGTRAP, code)
  info.pid = task.tid
  info.uid = task.creds.uid
  // By the code alone, the union would be taken for a fault's: Linux copies it as it is.
  info.addr = info.uid * 2 ** 32 + info.pid
  return info
}

/** A traced task makes a call. True when it has stopped for its tracer first. */
export function traceEntry(task: Task, nr: number): boolean {
  const tracee = task.tracee!
  const { thread } = task
  tracee.inCall = true
  tracee.filterTold = false
  tracee.nr = nr
  tracee.args.set(thread.args)
  // Whatever stop follows needs the whole state.
  if (thread.bare) {
    tracee.framing = true
    task.kernel.platform.frame(thread)
    return true
  }
  return stopAtEntry(task)
}

/** The whole state of the thread has come: whether it stops before its call. */
export function stopAtEntry(task: Task): boolean {
  const tracee = task.tracee!
  tracee.framing = false
  const emulated = tracee.mode === PTRACE_SYSEMU
  if ((tracee.mode !== PTRACE_SYSCALL && !emulated) || task.group.exiting) return false
  tracee.emulated = emulated
  tracee.skipResult = -ENOSYS
  const code = callCode(tracee)
  tracee.eventMessage = PTRACE_EVENTMSG_SYSCALL_ENTRY
  traceStop(task, AT_ENTRY, code, eventInfo(task, code), 0)
  return true
}

/** A filter asks the tracer (SECCOMP_RET_TRACE). 0: the call goes on; -EBLOCKED: the task has stopped. */
export function traceFilter(task: Task, nr: number, message: number): number {
  const { tracee } = task
  if (tracee === null || (tracee.options & PTRACE_O_TRACESECCOMP) === 0) return -ENOSYS
  // The call that the tracer has let through is judged again, and this verdict means that it goes on.
  if (tracee.filterTold) return 0
  tracee.filterTold = true
  tracee.nr = nr
  tracee.args.set(task.thread.args)
  tracee.skipResult = -ENOSYS
  tracee.eventMessage = message
  const code = SIGTRAP | (PTRACE_EVENT_SECCOMP << 8)
  traceStop(task, AT_ENTRY, code, eventInfo(task, code), 0)
  return -EBLOCKED
}

const callCode = (tracee: Tracee): number =>
  (tracee.options & PTRACE_O_TRACESYSGOOD) !== 0 ? SIGTRAP | SYSGOOD : SIGTRAP

/** The call of a traced task has `result`. True when the task has stopped for its tracer. */
export function traceExit(task: Task, result: number): boolean {
  const tracee = task.tracee!
  if (task.group.exiting) return false
  if (tracee.pendingEvent !== 0) {
    stopForEvent(task, result)
    return true
  }
  if (!tracee.inCall) return false
  tracee.inCall = false
  if (tracee.mode !== PTRACE_SYSCALL && tracee.mode !== PTRACE_SINGLESTEP) return false
  const code = tracee.mode === PTRACE_SYSCALL ? callCode(tracee) : SIGTRAP
  tracee.eventMessage = PTRACE_EVENTMSG_SYSCALL_EXIT
  traceStop(task, AT_EXIT, code, eventInfo(task, code), result)
  return true
}

function stopForEvent(task: Task, result: number): void {
  const tracee = task.tracee!
  const code = SIGTRAP | (tracee.pendingEvent << 8)
  tracee.pendingEvent = 0
  traceStop(task, AT_EVENT, code, eventInfo(task, code), result)
}

/** Before a handler's frame is written: a step that ends in the handler leaves no trace in the flags that it returns to. */
export function leaveStep(task: Task): void {
  if (task.tracee?.mode === PTRACE_SINGLESTEP) task.thread.regs[REG.eflags * 2]! &= ~X86_EFLAGS_TF
}

/** A handler is about to run: for a task that is stepped this was the step (signal_setup_done). */
export function traceHandler(task: Task): void {
  if (task.tracee?.mode === PTRACE_SINGLESTEP)
    traceStop(task, AT_EVENT, SIGTRAP, eventInfo(task, SIGTRAP), 0)
}

/** vfork: the event is told before the parent starts to wait. True when it has stopped. */
export function traceVfork(task: Task): boolean {
  const { tracee } = task
  if (tracee === null || tracee.pendingEvent === 0) return false
  tracee.resumesCall = true
  stopForEvent(task, 0)
  return true
}

/** The child of a vfork has let its parent go on. */
export function traceVforkDone(task: Task, child: Task): void {
  const { tracee } = task
  if (tracee === null || (tracee.options & PTRACE_O_TRACEVFORKDONE) === 0) return
  tracee.pendingEvent = PTRACE_EVENT_VFORK_DONE
  tracee.eventMessage = child.pid.numberIn(tracee.tracer.leader.pidNs)
}

/** Before a signal is taken: true when the task has stopped for a reason that is no signal. */
export function traceBeforeSignals(task: Task, result: number): boolean {
  const tracee = task.tracee!
  const { stopSignal } = task.group
  if (stopSignal === 0) tracee.passedGroupStop = false
  if (tracee.trap || (stopSignal !== 0 && !tracee.passedGroupStop)) {
    const signo = stopSignal !== 0 ? stopSignal : SIGTRAP
    const code = tracee.seized ? signo | (PTRACE_EVENT_STOP << 8) : signo
    const kind = stopSignal !== 0 ? AT_GROUP_STOP : AT_EVENT
    tracee.trap = false
    tracee.passedGroupStop = stopSignal !== 0
    traceStop(task, kind, code, tracee.seized ? eventInfo(task, code) : null, result)
    if (kind === AT_GROUP_STOP) stopComplete(task.group)
    return true
  }
  return false
}

/** A traced task was woken: whether its tracer lets it go on. */
export function mayGoOn(task: Task): boolean {
  const tracee = task.tracee!
  if (!tracee.stopped) return true
  const { stopSignal } = task.group
  if (tracee.listening && (stopSignal === 0 || tracee.trap)) {
    const code = (stopSignal === 0 ? SIGTRAP : stopSignal) | (PTRACE_EVENT_STOP << 8)
    tracee.passedGroupStop = stopSignal !== 0
    tracee.trap = false
    traceStop(
      task,
      stopSignal === 0 ? AT_EVENT : AT_GROUP_STOP,
      code,
      eventInfo(task, code),
      task.stoppedResult,
    )
  }
  return false
}

/** The tracer sends a stopped task on. */
export function sendOn(tracee: Tracee, mode: number, signo: number, sender: Task): void {
  const { task, kind } = tracee
  const { kernel } = task
  tracee.mode = mode
  tracee.stopped = false
  tracee.listening = false
  if (kind === AT_SIGNAL) {
    const { info } = tracee
    tracee.inject =
      signo === 0 ? null : info !== null && info.signo === signo ? info : userSigInfo(sender, signo)
  } else if (signo !== 0 && kind !== AT_GROUP_STOP) sendToTask(task, userSigInfo(sender, signo))
  if (tracee.dirty) refuseBadAddresses(task)
  if (kind !== AT_ENTRY) {
    if (mode === PTRACE_SINGLESTEP) {
      task.thread.regs[REG.eflags * 2]! |= X86_EFLAGS_TF
      tracee.dirty = true
    }
    if (tracee.dirty && task.syscallNr >= 0) takeRegisters(task)
    if (task.syscallNr < 0) kernel.platform.setRegs(task.thread)
  }
  tracee.info = null
  kernel.makeRunnable(task)
}

/** A tracer may set addresses that no program can have: the first instruction would fault by them. */
function refuseBadAddresses(task: Task): void {
  const { regs } = task.thread
  const beyond = (reg: number) => regs[reg * 2 + 1]! >= USER_END_HIGH
  if (beyond(REG.rip)) forceSignal(task, sigInfo(SIGSEGV, SI_KERNEL))
  else if (beyond(REG.rsp)) forceSignal(task, sigInfo(SIGBUS, SI_KERNEL))
}
/** The upper half of the first address that is no program's. */
const USER_END_HIGH = 0x8000

/** The registers at the end of a call are the tracer's now; a call that must be repeated is repeated by them. */
function takeRegisters(task: Task): void {
  const { regs } = task.thread
  const result = task.stoppedResult
  if (result <= -RESTART_FIRST && result >= -RESTART_LAST && (regs[REG.rax * 2]! | 0) === result) {
    const ip = regs[REG.rip * 2 + 1]! * 2 ** 32 + regs[REG.rip * 2]! - 2
    regs[REG.rip * 2] = ip % 2 ** 32
    regs[REG.rip * 2 + 1] = Math.floor(ip / 2 ** 32)
    setSigned(task, REG.rax, task.syscallNr)
  }
  task.syscallNr = -1
  task.stoppedResult = 0
  task.restart.clear()
}
/** ERESTARTSYS … ERESTART_RESTARTBLOCK. */
const RESTART_FIRST = 512
const RESTART_LAST = 516

/** PTRACE_DETACH, or the tracer is gone: go on, with a signal or 0. */
export function detach(tracee: Tracee, signo: number, sender: Task): void {
  tracee.tracer.tracees.delete(tracee)
  if (tracee.stopped) {
    tracee.leaving = true
    sendOn(tracee, PTRACE_CONT, signo, sender)
  } else forget(tracee)
}

function forget(tracee: Tracee): void {
  tracee.tracer.tracees.delete(tracee)
  tracee.task.tracee = null
}

/** A task that was let go takes up its life: a signal that it was given is one like any other. */
export function endTracing(tracee: Tracee): void {
  const { task, inject } = tracee
  forget(tracee)
  tracee.inject = null
  if (inject !== null) sendToTask(task, inject)
}

/** A traced task has a child (`flags`: CLONE_*): it is traced too when the tracer asked for that. */
export function traceClone(task: Task, child: Task, flags: number, exitSignal: number): void {
  const { tracee } = task
  if (tracee === null) return
  let event = PTRACE_EVENT_FORK
  let option = PTRACE_O_TRACEFORK
  if ((flags & CLONE_VFORK) !== 0) {
    event = PTRACE_EVENT_VFORK
    option = PTRACE_O_TRACEVFORK
  } else if (exitSignal !== SIGCHLD) {
    event = PTRACE_EVENT_CLONE
    option = PTRACE_O_TRACECLONE
  }
  const wanted = (tracee.options & option) !== 0
  if (!wanted && (flags & CLONE_PTRACE) === 0) return
  if (wanted) {
    tracee.pendingEvent = event
    tracee.eventMessage = child.pid.numberIn(tracee.tracer.leader.pidNs)
  }
  const its = new Tracee(child, tracee.tracer, tracee.seized)
  its.options = tracee.options
  if (its.seized) its.trap = true
  else child.signals.pending.set.add(SIGSTOP)
  child.work = true
}

/** The clone that an event was to be told of has failed. */
export function forgetClone(task: Task, child: Task): void {
  if (task.tracee !== null) task.tracee.pendingEvent = 0
  if (child.tracee !== null) forget(child.tracee)
}

/** A traced task executes a new program. */
export function traceExec(task: Task, oldTid: number): void {
  const { tracee } = task
  if (tracee === null) return
  if ((tracee.options & PTRACE_O_TRACEEXEC) !== 0) {
    tracee.pendingEvent = PTRACE_EVENT_EXEC
    tracee.eventMessage = oldTid
  } else if (!tracee.seized) {
    const info = sigInfo(SIGTRAP, SI_USER)
    info.pid = task.tid
    sendToTask(task, info)
  }
}

/**
 * A traced task is about to end with `status`: true when it stops for that first. Its exit call is made again
 * afterwards, or the signal that ends it is taken again.
 * DIFFERS: the other threads of the process end without the event.
 */
export function traceExitEvent(task: Task, status: number, signal: SigInfo | null): boolean {
  const { tracee } = task
  if (tracee === null || tracee.exitTold || (tracee.options & PTRACE_O_TRACEEXIT) === 0)
    return false
  tracee.exitTold = true
  tracee.pendingEvent = PTRACE_EVENT_EXIT
  tracee.eventMessage = status
  tracee.resumesCall = signal === null
  tracee.inject = signal
  stopForEvent(task, 0)
  return true
}

/** A task ends. Its tracer hears of it, unless it learns of that as its parent. */
export function tracedTaskEnds(task: Task, status: number): void {
  const { tracee, group } = task
  if (tracee === null) return
  const { tracer } = tracee
  const pid = task.pid.numberIn(tracer.leader.pidNs)
  forget(tracee)
  tracee.queue.wake(0)
  if (tracer.exiting || (task === group.leader && group.parent === tracer)) return
  tracer.tracedExits.push({ pid, group, status })
  tracer.childQueue.wake(0)
  signalGroup(tracer, SIGCHLD)
}

/** A tracer ends: what it traced goes on, or is killed (PTRACE_O_EXITKILL). */
export function tracerEnds(group: ThreadGroup): void {
  for (const tracee of [...group.tracees]) {
    const { task, options } = tracee
    detach(tracee, 0, task)
    if ((options & PTRACE_O_EXITKILL) !== 0) signalGroup(task.group, SIGKILL)
  }
  group.tracedExits.length = 0
}
