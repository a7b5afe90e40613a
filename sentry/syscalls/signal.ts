// Signals: sigaction(2), sigprocmask(2), sigaltstack(2), and waiting for signals. Sending is in signal-kill.ts.

import { EAGAIN, EFAULT, EINTR, EINVAL } from '../../syscall-table/errno.ts'
import {
  NSIG,
  SA_EXPOSE_TAGBITS,
  SA_NOCLDSTOP,
  SA_NOCLDWAIT,
  SA_NODEFER,
  SA_ONSTACK,
  SA_RESETHAND,
  SA_RESTART,
  SA_RESTORER,
  SA_SIGINFO,
  SIG_BLOCK,
  SIG_DFL,
  SIG_IGN,
  SIG_SETMASK,
  SIG_UNBLOCK,
  SIGKILL,
  SIGSTOP,
  SS_AUTODISARM,
} from '../../syscall-table/flags.ts'
import { dequeueSignal, setSignalMask, signalPending } from '../kernel/signal.ts'
import {
  altStackState,
  restoredMask,
  restoreFrame,
  SIGINFO_SIZE,
  setAltStack,
  writeSigInfo,
} from '../kernel/signal-frame.ts'
import { forceSegv, ignoredByDefault, removePending, UNBLOCKABLE } from '../kernel/signal-send.ts'
import { SigSet } from '../kernel/signal-state.ts'
import type { Task } from '../kernel/task.ts'
import { readTimespec, spec } from './time-values.ts'

export { sys_signalfd, sys_signalfd4 } from './signal-fd.ts'
export {
  sys_kill,
  sys_pidfd_send_signal,
  sys_rt_sigqueueinfo,
  sys_rt_tgsigqueueinfo,
  sys_tgkill,
  sys_tkill,
} from './signal-kill.ts'

const SIGSET_SIZE = 8
const SIGACTION_SIZE = 32
const STACK_SIZE = 24
/** Flags that sigaction(2) keeps; SA_UNSUPPORTED and unknown bits read back as clear. */
const SA_KNOWN =
  (SA_NOCLDSTOP |
    SA_NOCLDWAIT |
    SA_SIGINFO |
    SA_ONSTACK |
    SA_RESTART |
    SA_NODEFER |
    SA_RESETHAND |
    SA_EXPOSE_TAGBITS |
    SA_RESTORER) >>>
  0

const set = new SigSet()
const others = new SigSet()

function readAddress(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
}

function writeAddress(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true)
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}

/** Read a signal set into `set`, without the two signals that nobody can block. */
function readSet(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, SIGSET_SIZE) < 0) return -EFAULT
  set.set(scratchView.getUint32(0, true) & ~UNBLOCKABLE, scratchView.getUint32(4, true))
  return 0
}

/** rt_sigaction(2). */
export function sys_rt_sigaction(
  task: Task,
  signo: number,
  actAddr: number,
  oldAddr: number,
  setSize: number,
): number {
  if (setSize !== SIGSET_SIZE) return -EINVAL
  const { scratch, scratchView } = task.kernel
  if (actAddr !== 0 && task.mm.copyIn(task, actAddr, scratch, 0, SIGACTION_SIZE) < 0) return -EFAULT
  if (signo < 1 || signo > NSIG) return -EINVAL
  if (actAddr !== 0 && (signo === SIGKILL || signo === SIGSTOP)) return -EINVAL
  const action = task.group.handlers.actions[signo]!
  const { handler, flags, restorer } = action
  const { lo, hi } = action.mask
  if (actAddr !== 0) {
    action.handler = readAddress(scratchView, 0)
    action.flags = (scratchView.getUint32(8, true) & SA_KNOWN) >>> 0
    action.restorer = readAddress(scratchView, 16)
    action.mask.set(scratchView.getUint32(24, true) & ~UNBLOCKABLE, scratchView.getUint32(28, true))
    dropIgnored(task, signo, action.handler)
  }
  if (oldAddr === 0) return 0
  writeAddress(scratchView, 0, handler)
  writeAddress(scratchView, 8, flags)
  writeAddress(scratchView, 16, restorer)
  scratchView.setUint32(24, lo, true)
  scratchView.setUint32(28, hi, true)
  return task.mm.copyResult(task, oldAddr, scratch, 0, SIGACTION_SIZE)
}

/** A pending signal whose action becomes "ignore" is discarded: POSIX 3.3.1.3. */
function dropIgnored(task: Task, signo: number, handler: number): void {
  if (handler !== SIG_IGN && !(handler === SIG_DFL && ignoredByDefault(signo))) return
  const { group } = task
  const lo = signo <= 32 ? 1 << (signo - 1) : 0
  const hi = signo > 32 ? 1 << (signo - 33) : 0
  removePending(group, group.pending, lo >>> 0, hi >>> 0)
  for (const other of group.tasks) removePending(group, other.signals.pending, lo >>> 0, hi >>> 0)
}

/** rt_sigprocmask(2). */
export function sys_rt_sigprocmask(
  task: Task,
  how: number,
  setAddr: number,
  oldAddr: number,
  setSize: number,
): number {
  if (setSize !== SIGSET_SIZE) return -EINVAL
  const { mask } = task.signals
  const { lo, hi } = mask
  if (setAddr !== 0) {
    const error = readSet(task, setAddr)
    if (error < 0) return error
    if (how === SIG_BLOCK) setSignalMask(task, lo | set.lo, hi | set.hi)
    else if (how === SIG_UNBLOCK) setSignalMask(task, lo & ~set.lo, hi & ~set.hi)
    else if (how === SIG_SETMASK) setSignalMask(task, set.lo, set.hi)
    else return -EINVAL
  }
  if (oldAddr === 0) return 0
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, lo, true)
  scratchView.setUint32(4, hi, true)
  return task.mm.copyResult(task, oldAddr, scratch, 0, SIGSET_SIZE)
}

/** rt_sigreturn(2). The frame lies where the restorer's `ret` left the stack pointer. */
export function sys_rt_sigreturn(task: Task): number {
  const error = restoreFrame(task, task.thread.sp - 8)
  if (error < 0) {
    forceSegv(task, false)
    return 0
  }
  restoredMask(set)
  setSignalMask(task, set.lo, set.hi)
  // All registers are the frame's: there is no call to restart any more.
  task.syscallNr = -1
  return 0
}

/** rt_sigpending(2). */
export function sys_rt_sigpending(task: Task, addr: number, setSize: number): number {
  if (setSize > SIGSET_SIZE) return -EINVAL
  const own = task.signals.pending.set
  const shared = task.group.pending.set
  const { mask } = task.signals
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, (own.lo | shared.lo) & mask.lo, true)
  scratchView.setUint32(4, (own.hi | shared.hi) & mask.hi, true)
  return task.mm.copyResult(task, addr, scratch, 0, setSize)
}

/** rt_sigsuspend(2). */
export function sys_rt_sigsuspend(task: Task, addr: number, setSize: number): number {
  if (setSize !== SIGSET_SIZE) return -EINVAL
  const error = readSet(task, addr)
  if (error < 0) return error
  const { signals } = task
  if (!signals.restoreMask) {
    signals.savedMask.copyFrom(signals.mask)
    signals.restoreMask = true
  }
  setSignalMask(task, set.lo, set.hi)
  // The mask is restored on the way back, which must therefore be looked at.
  task.work = true
  return task.block(null, 0)
}

/** pause(2). */
export function sys_pause(task: Task): number {
  return task.block(null, 0)
}

/** restart_syscall(2): only the kernel's own restarts use it, and they run the handler again by themselves. */
export function sys_restart_syscall(_task: Task): number {
  return -EINTR
}

/** rt_sigtimedwait(2). */
export function sys_rt_sigtimedwait(
  task: Task,
  setAddr: number,
  infoAddr: number,
  timeoutAddr: number,
  setSize: number,
): number {
  if (setSize !== SIGSET_SIZE) return -EINVAL
  const error = readSet(task, setAddr)
  if (error < 0) return error
  const { signals, restart, kernel } = task
  if (timeoutAddr !== 0 && restart.deadline === 0) {
    const n = readTimespec(task, timeoutAddr)
    if (n < 0) return n
    restart.deadline = kernel.clock.monotonicNs() + spec.sec * 1e9 + spec.nsec
    // Zero is "no deadline": a poll is over at once.
    if (spec.sec === 0 && spec.nsec === 0) restart.timedOut = true
  }
  signals.waiting = null
  others.set(~set.lo, ~set.hi)
  const info = dequeueSignal(task, others)
  if (info !== null) {
    if (infoAddr === 0) return info.signo
    kernel.scratch.fill(0, 0, SIGINFO_SIZE)
    writeSigInfo(kernel.scratchView, 0, info)
    return task.mm.copyResult(task, infoAddr, kernel.scratch, 0, SIGINFO_SIZE) < 0
      ? -EFAULT
      : info.signo
  }
  if (restart.timedOut) return -EAGAIN
  if (task.work && signalPending(task)) return -EINTR
  // A set of its own: `set` is reused by the next call.
  const waiting = new SigSet()
  waiting.copyFrom(set)
  signals.waiting = waiting
  return task.block(null, 0)
}

/** sigaltstack(2). */
export function sys_sigaltstack(task: Task, newAddr: number, oldAddr: number): number {
  const { scratch, scratchView } = task.kernel
  const { altStackAddr, altStackSize, altStackFlags } = task.signals
  const { sp } = task.thread
  const state = altStackState(task, sp) | (altStackFlags & SS_AUTODISARM)
  if (newAddr !== 0) {
    if (task.mm.copyIn(task, newAddr, scratch, 0, STACK_SIZE) < 0) return -EFAULT
    const flags = scratchView.getUint32(8, true)
    const n = setAltStack(
      task,
      readAddress(scratchView, 0),
      flags,
      readAddress(scratchView, 16),
      sp,
    )
    if (n < 0) return n
  }
  if (oldAddr === 0) return 0
  scratch.fill(0, 0, STACK_SIZE)
  writeAddress(scratchView, 0, altStackAddr)
  scratchView.setUint32(8, state >>> 0, true)
  writeAddress(scratchView, 16, altStackSize)
  return task.mm.copyResult(task, oldAddr, scratch, 0, STACK_SIZE)
}
