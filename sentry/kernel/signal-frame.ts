// The signal frame on the program's stack, and its way back: arch/x86/kernel/signal_64.c x64_setup_rt_frame,
// rt_sigreturn(2), sigaltstack(2).
//
//   rsp -> pretcode            8   address of the restorer
//          ucontext          304   flags, link, stack, sigcontext (256), mask
//          siginfo           128
//          ...
//          FPU state               64-byte aligned, size as the processor's features say

import { EFAULT, EINVAL, ENOMEM, EPERM } from '../../syscall-table/errno.ts'
import {
  FP_XSTATE_MAGIC1,
  MINSIGSTKSZ,
  SA_ONSTACK,
  SA_RESTORER,
  SI_TIMER,
  SI_USER,
  SIGBUS,
  SIGCHLD,
  SIGFPE,
  SIGILL,
  SIGSEGV,
  SIGSYS,
  SIGTRAP,
  SS_AUTODISARM,
  SS_DISABLE,
  SS_ONSTACK,
  UC_FP_XSTATE,
  UC_SIGCONTEXT_SS,
  UC_STRICT_RESTORE_SS,
} from '../../syscall-table/flags.ts'
import { TASK_SIZE } from '../mm/mm.ts'
import { REG } from '../platform.ts'
import { getReg, setReg } from './clone.ts'
import { isPollInfo, type SigInfo, type SigSet } from './signal-state.ts'
import type { Task } from './task.ts'

const UC = 8
const UC_FLAGS = UC
const UC_STACK = UC + 16
const UC_MCONTEXT = UC + 40
const UC_SIGMASK = UC_MCONTEXT + 256
const SIGINFO = UC_SIGMASK + 8
export const SIGINFO_SIZE = 128
const FRAME_SIZE = SIGINFO + SIGINFO_SIZE

/** Offsets in struct sigcontext, after the 18 registers. */
const SC_CS = 144
const SC_SS = 150
const SC_ERR = 152
const SC_TRAPNO = 160
const SC_OLDMASK = 168
const SC_CR2 = 176
const SC_FPSTATE = 184

/** Registers in the order of struct sigcontext. */
const CONTEXT_ORDER = [
  REG.r8,
  REG.r9,
  REG.r10,
  REG.r11,
  REG.r12,
  REG.r13,
  REG.r14,
  REG.r15,
  REG.rdi,
  REG.rsi,
  REG.rbp,
  REG.rbx,
  REG.rdx,
  REG.rax,
  REG.rcx,
  REG.rsp,
  REG.rip,
]
const EFLAGS_AT = CONTEXT_ORDER.length * 8

const USER_CS = 0x33
const USER_SS = 0x2b
/** Below the stack pointer, where leaf functions keep data: x86-64 psABI. */
const RED_ZONE = 128
/** Cleared on entry to a handler: DF, RF, TF. */
const HANDLER_CLEAR_EFLAGS = 0x400 | 0x10000 | 0x100
/** What a program may set by rt_sigreturn: AC OF DF TF SF ZF AF PF CF RF. */
const FIX_EFLAGS = 0x40000 | 0x800 | 0x400 | 0x100 | 0x80 | 0x40 | 0x10 | 0x4 | 0x1 | 0x10000
/** struct fxregs_state, and where its software-reserved words begin. */
const FXSAVE_SIZE = 512
const SW_RESERVED = 464
/** Largest XSAVE area there is, AMX tiles included. */
const MAX_FPU_SIZE = 16384

const fpu = new Uint8Array(MAX_FPU_SIZE)
const frame = new Uint8Array(FRAME_SIZE)
const view = new DataView(frame.buffer)
const fpuView = new DataView(fpu.buffer)

function putPointer(at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true)
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}

function getPointer(at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
}

/** Whether `sp` lies in the alternate stack; with SS_AUTODISARM a task is never "on" it. */
export function onAltStack(task: Task, sp: number): boolean {
  const { altStackAddr, altStackSize, altStackFlags } = task.signals
  if ((altStackFlags & SS_AUTODISARM) !== 0) return false
  return sp > altStackAddr && sp - altStackAddr <= altStackSize
}

/** What sigaltstack(2) reports for a stack pointer of `sp`. */
export function altStackState(task: Task, sp: number): number {
  if (task.signals.altStackSize === 0) return SS_DISABLE
  return onAltStack(task, sp) ? SS_ONSTACK : 0
}

/**
 * Push a frame and enter `handler`: changes `thread.regs` (already loaded) and program memory. `mask` is what
 * rt_sigreturn will restore. Returns 0, or -EFAULT when the frame does not fit.
 */
export function setUpFrame(
  task: Task,
  info: SigInfo,
  handler: number,
  flags: number,
  restorer: number,
  mask: SigSet,
): number {
  const { thread, kernel, signals } = task
  // The 64-bit ABI has no trampoline of the kernel's to fall back on.
  if ((flags & SA_RESTORER) === 0) return -EFAULT
  const oldSp = getReg(thread, REG.rsp)
  const nested = onAltStack(task, oldSp)
  const entering = !nested && (flags & SA_ONSTACK) !== 0 && signals.altStackSize > 0
  let sp = entering ? signals.altStackAddr + signals.altStackSize : oldSp - RED_ZONE
  const fpuSize = kernel.platform.getFpu(thread, fpu)
  if (fpuSize < 0) return -EFAULT
  sp -= fpuSize
  sp -= ((sp % 64) + 64) % 64
  const fpState = sp
  sp -= FRAME_SIZE
  sp -= (((sp % 16) + 16) % 16) + 8
  if (sp < 0 || fpState + fpuSize > TASK_SIZE) return -EFAULT
  // A frame that would leave the alternate stack would overwrite what lies below.
  if (
    (nested || entering) &&
    (sp <= signals.altStackAddr || sp - signals.altStackAddr > signals.altStackSize)
  ) {
    return -EFAULT
  }
  fillFrame(task, info, restorer, mask, oldSp, fpState)
  if (task.mm.copyOut(task, fpState, fpu, 0, fpuSize) < 0) return -EFAULT
  if (task.mm.copyOut(task, sp, frame, 0, FRAME_SIZE) < 0) return -EFAULT
  if ((signals.altStackFlags & SS_AUTODISARM) !== 0 && entering) disableAltStack(task)
  // The handler starts with the FPU as a new program has it.
  kernel.platform.setFpu(thread, fpu, 0)
  enterHandler(task, info.signo, handler, sp)
  return 0
}

function enterHandler(task: Task, signo: number, handler: number, sp: number): void {
  const { thread } = task
  setReg(thread, REG.rdi, signo)
  setReg(thread, REG.rax, 0)
  setReg(thread, REG.rsi, sp + SIGINFO)
  setReg(thread, REG.rdx, sp + UC)
  setReg(thread, REG.rip, handler)
  setReg(thread, REG.rsp, sp)
  thread.regs[REG.eflags * 2]! &= ~HANDLER_CLEAR_EFLAGS
}

function disableAltStack(task: Task): void {
  task.signals.altStackAddr = 0
  task.signals.altStackSize = 0
  task.signals.altStackFlags = SS_DISABLE
}

function fillFrame(
  task: Task,
  info: SigInfo,
  restorer: number,
  mask: SigSet,
  oldSp: number,
  fpState: number,
): void {
  const { signals, thread } = task
  frame.fill(0)
  putPointer(0, restorer)
  putPointer(UC_FLAGS, UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS)
  putPointer(UC_STACK, signals.altStackAddr)
  const state = signals.altStackFlags & SS_AUTODISARM
  view.setUint32(UC_STACK + 8, (altStackState(task, oldSp) | state) >>> 0, true)
  putPointer(UC_STACK + 16, signals.altStackSize)
  for (let i = 0; i < CONTEXT_ORDER.length; i++) {
    const reg = CONTEXT_ORDER[i]!
    view.setUint32(UC_MCONTEXT + i * 8, thread.regs[reg * 2]!, true)
    view.setUint32(UC_MCONTEXT + i * 8 + 4, thread.regs[reg * 2 + 1]!, true)
  }
  view.setUint32(UC_MCONTEXT + EFLAGS_AT, thread.regs[REG.eflags * 2]!, true)
  view.setUint16(UC_MCONTEXT + SC_CS, USER_CS, true)
  view.setUint16(UC_MCONTEXT + SC_SS, USER_SS, true)
  putPointer(UC_MCONTEXT + SC_ERR, signals.fault.errorCode)
  putPointer(UC_MCONTEXT + SC_TRAPNO, signals.fault.trapNo)
  view.setUint32(UC_MCONTEXT + SC_OLDMASK, mask.lo, true)
  view.setUint32(UC_MCONTEXT + SC_OLDMASK + 4, mask.hi, true)
  putPointer(UC_MCONTEXT + SC_CR2, signals.fault.cr2)
  putPointer(UC_MCONTEXT + SC_FPSTATE, fpState)
  view.setUint32(UC_SIGMASK, mask.lo, true)
  view.setUint32(UC_SIGMASK + 4, mask.hi, true)
  writeSigInfo(view, SIGINFO, info)
}

/** siginfo_t, whose union depends on the signal and its code: kernel/signal.c siginfo_layout. */
export function writeSigInfo(v: DataView, at: number, info: SigInfo): void {
  const { signo, code } = info
  v.setInt32(at, signo, true)
  v.setInt32(at + 4, info.errno, true)
  v.setInt32(at + 8, code, true)
  const specific = code > SI_USER && code < 0x80
  if (specific && [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP].includes(signo)) {
    v.setUint32(at + 16, info.addr % 2 ** 32, true)
    v.setUint32(at + 20, Math.floor(info.addr / 2 ** 32), true)
    return
  }
  if (specific && signo === SIGSYS) {
    v.setUint32(at + 16, info.addr % 2 ** 32, true)
    v.setUint32(at + 20, Math.floor(info.addr / 2 ** 32), true)
    v.setInt32(at + 24, info.syscall, true)
    v.setUint32(at + 28, info.arch, true)
    return
  }
  if (isPollInfo(info)) {
    v.setInt32(at + 16, info.band, true)
    v.setInt32(at + 24, info.fd, true)
    return
  }
  if (code === SI_TIMER) {
    v.setInt32(at + 16, info.timerId, true)
    v.setInt32(at + 20, info.status, true)
  } else {
    v.setInt32(at + 16, info.pid, true)
    v.setUint32(at + 20, info.uid, true)
  }
  if (specific && signo === SIGCHLD) {
    v.setInt32(at + 24, info.status, true)
    v.setUint32(at + 32, info.utime, true)
    v.setUint32(at + 40, info.stime, true)
    return
  }
  if (code < 0) {
    v.setUint32(at + 24, info.valueLo, true)
    v.setUint32(at + 28, info.valueHi, true)
  }
}

/** rt_sigreturn(2): restore everything from the frame at `sp`. Returns -EFAULT for a frame that is none. */
export function restoreFrame(task: Task, sp: number): number {
  const { thread, kernel, signals } = task
  if (task.mm.copyIn(task, sp, frame, 0, FRAME_SIZE) < 0) return -EFAULT
  signals.restoreMask = false
  kernel.platform.getRegs(thread)
  for (let i = 0; i < CONTEXT_ORDER.length; i++) {
    const reg = CONTEXT_ORDER[i]!
    thread.regs[reg * 2] = view.getUint32(UC_MCONTEXT + i * 8, true)
    thread.regs[reg * 2 + 1] = view.getUint32(UC_MCONTEXT + i * 8 + 4, true)
  }
  const old = thread.regs[REG.eflags * 2]!
  const given = view.getUint32(UC_MCONTEXT + EFLAGS_AT, true)
  thread.regs[REG.eflags * 2] = ((old & ~FIX_EFLAGS) | (given & FIX_EFLAGS)) >>> 0
  const error = restoreFpu(task, getPointer(UC_MCONTEXT + SC_FPSTATE))
  if (error < 0) return error
  // An address that iret refuses would fault in the host's own frame.
  if (getReg(thread, REG.rip) >= TASK_SIZE) return -EFAULT
  kernel.platform.setRegs(thread)
  restoreAltStack(task)
  return 0
}

/** The mask in the frame that `restoreFrame` has read last, as two words. */
export function restoredMask(into: SigSet): void {
  into.set(view.getUint32(UC_SIGMASK, true), view.getUint32(UC_SIGMASK + 4, true))
}

function restoreFpu(task: Task, addr: number): number {
  const { platform } = task.kernel
  if (addr === 0) return platform.setFpu(task.thread, fpu, 0) < 0 ? -EFAULT : 0
  if (task.mm.copyIn(task, addr, fpu, 0, FXSAVE_SIZE) < 0) return -EFAULT
  let size = FXSAVE_SIZE
  if (fpuView.getUint32(SW_RESERVED, true) === FP_XSTATE_MAGIC1) {
    const extended = fpuView.getUint32(SW_RESERVED + 4, true)
    if (extended > FXSAVE_SIZE && extended <= MAX_FPU_SIZE) size = extended
  }
  if (size > FXSAVE_SIZE) {
    const rest = size - FXSAVE_SIZE
    if (task.mm.copyIn(task, addr + FXSAVE_SIZE, fpu, FXSAVE_SIZE, rest) < 0) return -EFAULT
  }
  return platform.setFpu(task.thread, fpu, size) < 0 ? -EFAULT : 0
}

/** The alternate stack as the frame has it; Linux ignores one that is not valid. */
function restoreAltStack(task: Task): void {
  const addr = getPointer(UC_STACK)
  const flags = view.getUint32(UC_STACK + 8, true)
  const size = getPointer(UC_STACK + 16)
  void setAltStack(task, addr, flags, size, getReg(task.thread, REG.rsp))
}

/** The setting half of sigaltstack(2), for a stack pointer of `sp`. */
export function setAltStack(
  task: Task,
  addr: number,
  flags: number,
  size: number,
  sp: number,
): number {
  const { signals } = task
  if (onAltStack(task, sp)) return -EPERM
  const { altStackAddr, altStackSize, altStackFlags } = signals
  const sameFlags = flags >>> 0 === altStackFlags || (flags === 0 && altStackSize === 0)
  // No change: not even the size is looked at, which is 0 when there is no stack.
  if (addr === altStackAddr && size === altStackSize && sameFlags) return 0
  const mode = (flags & ~SS_AUTODISARM) >>> 0
  if (mode !== SS_DISABLE && mode !== SS_ONSTACK && mode !== 0) return -EINVAL
  if (mode === SS_DISABLE) {
    signals.altStackAddr = 0
    signals.altStackSize = 0
  } else {
    if (size < MINSIGSTKSZ) return -ENOMEM
    signals.altStackAddr = addr
    signals.altStackSize = size
  }
  signals.altStackFlags = flags >>> 0
  return 0
}
