// Signal delivery: what happens to a task on its way back to program code. signal(7), kernel/signal.c
// get_signal, arch/x86/kernel/signal.c.

import {
  EBLOCKED,
  EINTR,
  ENOSYS,
  ERESTART_RESTARTBLOCK,
  ERESTARTNOINTR,
  ERESTARTSYS,
} from '../../syscall-table/errno.ts'
import {
  FUTEX_CMD_MASK,
  FUTEX_WAIT,
  FUTEX_WAIT_BITSET,
  SA_NODEFER,
  SA_RESETHAND,
  SA_RESTART,
  SEGV_ACCERR,
  SEGV_MAPERR,
  SI_KERNEL,
  SIG_DFL,
  SIG_IGN,
  SIGBUS,
  SIGFPE,
  SIGILL,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SIGSYS,
  SIGTRAP,
  X86_PF_PROT,
  X86_TRAP_PF,
} from '../../syscall-table/flags.ts'
import { REG } from '../platform.ts'
import { getReg, setReg } from './clone.ts'
import { dumpCore } from './core-dump.ts'
import { exitTask, groupExit } from './exit.ts'
import { park, startGroupStop } from './job-control.ts'
import {
  AT_SIGNAL,
  leaveStep,
  traceBeforeSignals,
  traceExitEvent,
  traceHandler,
  traceStop,
} from './ptrace.ts'
import { setUpFrame } from './signal-frame.ts'
import {
  dumpsByDefault,
  firstPending,
  forceSegv,
  forceSignal,
  ignoredByDefault,
  signalWake,
  stopsByDefault,
  takePending,
  UNBLOCKABLE,
} from './signal-send.ts'
import { type SigAction, type SigInfo, type SigSet, sigInfo } from './signal-state.ts'
import { RUNNING, type Task } from './task.ts'

/** Number of futex(2), the one call that waits in the host on behalf of program code. */
const NR_FUTEX = 202
/** Length of the `syscall` instruction, and its bytes 0f 05 as the processor reads them. */
const SYSCALL_LENGTH = 2
const SYSCALL_INSTRUCTION = 0x050f

/** A signal that will be acted on, a stop, or the end of the process: a reason not to sleep. */
export function signalPending(task: Task): boolean {
  const { group, signals } = task
  if (group.exiting) return true
  if (task.unsignalable) return false
  const { tracee } = task
  if (tracee?.trap) return true
  const stops = group.stopSignal !== 0 && tracee?.passedGroupStop !== true
  return stops || hasDeliverable(task, signals.mask)
}

function hasDeliverable(task: Task, mask: SigSet): boolean {
  const own = task.signals.pending.set
  const shared = task.group.pending.set
  return (((own.lo | shared.lo) & ~mask.lo) | ((own.hi | shared.hi) & ~mask.hi)) !== 0
}

/** After a change of the mask: whether the task must look at its signals before it goes on. */
export function recheckSignals(task: Task): void {
  if (hasDeliverable(task, task.signals.mask)) task.work = true
}

/** Set the mask. A signal of the process that the task no longer takes goes to another task. */
export function setSignalMask(task: Task, lo: number, hi: number): void {
  const { mask } = task.signals
  mask.lo = (lo & ~UNBLOCKABLE) >>> 0
  mask.hi = hi >>> 0
  recheckSignals(task)
  const { tasks, pending } = task.group
  if (tasks.length === 1 || pending.set.empty) return
  for (const other of tasks) {
    if (other !== task && !other.work && hasDeliverable(other, other.signals.mask))
      signalWake(other)
  }
}

/**
 * The next unblocked signal, the task's own before its process's, removed from its queue; null for none.
 * The mask is normally the task's; sigwait and signalfd pass the complement of their set.
 */
export function dequeueSignal(task: Task, mask: SigSet): SigInfo | null {
  const { group } = task
  const own = task.signals.pending
  let signo = firstPending(own, mask)
  if (signo !== 0) return takePending(group, own, signo)
  signo = firstPending(group.pending, mask)
  return signo === 0 ? null : takePending(group, group.pending, signo)
}

/**
 * Deliver signals, stop or end the task before it returns to program code with `result`. Gives the value for
 * rax; an -ERESTART* code when no handler ran and the call must go on; -EBLOCKED when the task does not
 * return now.
 */
export function returnToUser(task: Task, result: number): number {
  const { group } = task
  task.state = RUNNING
  // vfork: signals wait until the child has let go of the parent's memory.
  if (task.unsignalable && !group.exiting) return result
  const delivery = { regsLoaded: task.syscallNr < 0, delivered: false, result }
  for (;;) {
    if (group.exiting) {
      exitTask(task)
      return -EBLOCKED
    }
    const { tracee } = task
    const goesOnWith = delivery.delivered ? 0 : result
    let info: SigInfo | null = null
    if (tracee !== null) {
      info = tracee.inject
      tracee.inject = null
      if (info === null) {
        keepRegisters(task, delivery)
        if (traceBeforeSignals(task, goesOnWith)) return -EBLOCKED
      }
    } else if (group.stopSignal !== 0) {
      keepRegisters(task, delivery)
      park(task, goesOnWith)
      return -EBLOCKED
    }
    if (info === null) {
      info = dequeueSignal(task, task.signals.mask)
      if (info === null) break
      if (tracee !== null && info.signo !== SIGKILL) {
        traceStop(task, AT_SIGNAL, info.signo, info, goesOnWith)
        return -EBLOCKED
      }
    }
    act(task, info, delivery)
    if (task.state !== RUNNING) return -EBLOCKED
  }
  task.work = false
  if (!delivery.delivered && task.signals.restoreMask) {
    task.signals.restoreMask = false
    task.signals.mask.copyFrom(task.signals.savedMask)
    recheckSignals(task)
    // The old mask may let a signal through that the call's own did not.
    if (task.work) return returnToUser(task, result)
  }
  return delivery.result
}

/** How far the way back has come: registers are read from the host at most once. */
interface Delivery {
  /** `thread.regs` are the registers that the program will see. */
  regsLoaded: boolean
  /** A handler will run: the registers say so. */
  delivered: boolean
  result: number
}

/** Registers changed by a frame must outlive a stop: the end of the call will not load them again. */
function keepRegisters(task: Task, delivery: Delivery): void {
  if (delivery.delivered) task.syscallNr = -1
}

function act(task: Task, info: SigInfo, delivery: Delivery): void {
  const { group } = task
  const { signo } = info
  const action = group.handlers.actions[signo]!
  if (action.handler === SIG_IGN && (UNBLOCKABLE & (signo > 32 ? 0 : 1 << (signo - 1))) === 0)
    return
  task.kernel.tracer?.signal(task, info)
  if (action.handler !== SIG_DFL && action.handler !== SIG_IGN) {
    deliver(task, info, action, delivery)
    return
  }
  if (signo === SIGSTOP || stopsByDefault(signo)) {
    if (!group.unkillable || signo === SIGSTOP) startGroupStop(task, signo)
    return
  }
  if (ignoredByDefault(signo)) return
  // Init lives through what it does not catch, unless it is its own fault.
  if (group.unkillable && signo !== SIGKILL && !group.faulted) return
  if (traceExitEvent(task, signo, info)) return
  groupExit(group, dumpsByDefault(signo) ? signo | core(task, info, delivery) : signo)
}

/** The core of a process that ends by a signal. */
function core(task: Task, info: SigInfo, delivery: Delivery): number {
  if (!delivery.regsLoaded) {
    task.kernel.platform.getRegs(task.thread)
    setSignedReg(task, delivery.result)
    delivery.regsLoaded = true
  }
  return dumpCore(task, info)
}

/** Run a handler: put the frame on the stack and the handler's address into rip. */
function deliver(task: Task, info: SigInfo, action: SigAction, delivery: Delivery): void {
  const { thread, kernel, signals } = task
  if (!delivery.regsLoaded) {
    kernel.platform.getRegs(thread)
    interruptCall(task, action, delivery)
    delivery.regsLoaded = true
  } else if (!delivery.delivered) interruptHostFutex(task, action)
  const mask = signals.restoreMask ? signals.savedMask : signals.mask
  const { flags, handler, restorer } = action
  if ((flags & SA_RESETHAND) !== 0) action.handler = SIG_DFL
  leaveStep(task)
  const error = setUpFrame(task, info, handler, flags, restorer, mask)
  if (error < 0) {
    // No room for the frame: SIGSEGV, by its default action when it was SIGSEGV's own frame.
    forceSegv(task, info.signo === SIGSEGV)
    return
  }
  signals.restoreMask = false
  signals.mask.set(signals.mask.lo | action.mask.lo, signals.mask.hi | action.mask.hi)
  if ((flags & SA_NODEFER) === 0) signals.mask.add(info.signo)
  signals.mask.lo = (signals.mask.lo & ~UNBLOCKABLE) >>> 0
  delivery.delivered = true
  kernel.platform.setRegs(thread)
  keepRegisters(task, delivery)
  traceHandler(task)
}

/** The result of the interrupted call, or its repetition after the handler. */
function interruptCall(task: Task, action: SigAction, delivery: Delivery): void {
  const { thread } = task
  let { result } = delivery
  const again =
    result === -ERESTARTNOINTR || (result === -ERESTARTSYS && (action.flags & SA_RESTART) !== 0)
  if (again) {
    setReg(thread, REG.rip, getReg(thread, REG.rip) - SYSCALL_LENGTH)
    setReg(thread, REG.rax, task.syscallNr)
    delivery.result = 0
    return
  }
  if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK) result = -EINTR
  setSignedReg(task, result)
  delivery.result = result
}

function setSignedReg(task: Task, value: number): void {
  const { regs } = task.thread
  regs[REG.rax * 2] = value % 2 ** 32
  regs[REG.rax * 2 + 1] = Math.floor(value / 2 ** 32)
}

/**
 * The thread was interrupted while it waited for a futex in the host, which is about to repeat the call. A
 * handler without SA_RESTART must see it end with EINTR instead.
 */
function interruptHostFutex(task: Task, action: SigAction): void {
  const { thread, kernel } = task
  if ((action.flags & SA_RESTART) !== 0 || getReg(thread, REG.rax) !== NR_FUTEX) return
  const op = thread.regs[REG.rsi * 2]! & FUTEX_CMD_MASK
  if (op !== FUTEX_WAIT && op !== FUTEX_WAIT_BITSET) return
  const rip = getReg(thread, REG.rip)
  const { scratch, scratchView } = kernel
  if (task.mm.copyIn(task, rip, scratch, 0, SYSCALL_LENGTH) < 0) return
  if (scratchView.getUint16(0, true) !== SYSCALL_INSTRUCTION) return
  setReg(thread, REG.rip, rip + SYSCALL_LENGTH)
  setSignedReg(task, -EINTR)
}

/** Turn the exception in `task.thread` into its signal; a fault that extends a stack needs none. */
export function faultSignal(task: Task): void {
  const { thread } = task
  const { signo, trapNo, errorCode, faultAddr } = thread
  if (signo === SIGSYS) {
    // int $0x80 and x32 calls do not exist here, as without CONFIG_IA32_EMULATION and CONFIG_X86_X32_ABI.
    foreignCall(task)
    return
  }
  const pageFault = trapNo === X86_TRAP_PF
  if (signo === SIGSEGV && pageFault && (errorCode & X86_PF_PROT) === 0) {
    if (task.mm.growStack(task, faultAddr)) return
  }
  const known = [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP].includes(signo)
  const info = sigInfo(known ? signo : SIGSEGV, known ? thread.code : SI_KERNEL)
  info.addr = faultAddr
  // The host tells its own view of the mapping: the layout here decides between the two codes.
  if (signo === SIGSEGV && pageFault && (info.code === SEGV_MAPERR || info.code === SEGV_ACCERR)) {
    info.code = task.mm.vmas.find(faultAddr) === undefined ? SEGV_MAPERR : SEGV_ACCERR
  }
  const { fault } = task.signals
  fault.trapNo = trapNo
  fault.errorCode = errorCode
  if (pageFault) fault.cr2 = faultAddr
  forceSignal(task, info)
}

/** int $0x80 faults like any absent interrupt gate; an x32 number is an unknown call. */
function foreignCall(task: Task): void {
  const { thread } = task
  const ip = getReg(thread, REG.rip)
  const { scratch, scratchView } = task.kernel
  const readable = task.mm.copyIn(task, ip - SYSCALL_LENGTH, scratch, 0, SYSCALL_LENGTH) === 0
  if (readable && scratchView.getUint16(0, true) === SYSCALL_INSTRUCTION) {
    setSignedReg(task, -ENOSYS)
    return
  }
  setReg(thread, REG.rip, ip - SYSCALL_LENGTH)
  const info = sigInfo(SIGSEGV, SI_KERNEL)
  task.signals.fault.trapNo = 13
  // The error code of a missing gate: vector 0x80, IDT.
  task.signals.fault.errorCode = 0x80 * 8 + 2
  forceSignal(task, info)
}
