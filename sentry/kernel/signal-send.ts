// Sending signals: kill(2), signal(7). Queues a signal, applies what it does at once (SIGCONT, SIGKILL), and
// makes a task that can take it look. Delivery is in signal.ts.

import { EAGAIN, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_KILL,
  RLIMIT_SIGPENDING,
  SI_KERNEL,
  SI_USER,
  SIG_DFL,
  SIG_IGN,
  SIGBUS,
  SIGCHLD,
  SIGCONT,
  SIGFPE,
  SIGILL,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SIGSYS,
  SIGTRAP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGURG,
  SIGWINCH,
} from '../../syscall-table/flags.ts'
import { groupExit } from './exit.ts'
import { continueGroup } from './job-control.ts'
import type { Kernel } from './kernel.ts'
import { type PendingSignals, type SigInfo, type SigSet, sigInfo } from './signal-state.ts'
import { BLOCKED, DEAD, RUNNING, STOPPED, type Task, ZOMBIE } from './task.ts'
import type { ProcessGroup, ThreadGroup } from './thread-group.ts'

const bit = (signo: number): number => 1 << (signo - 1)

/** Default actions, as bits of the first word of a set. */
export const STOP_SIGNALS = (bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU)) >>> 0
const IGNORE_SIGNALS = (bit(SIGCHLD) | bit(SIGCONT) | bit(SIGWINCH) | bit(SIGURG)) >>> 0
/** SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS. */
const CORE_SIGNALS = 0x418004fc
/** Signals of the faulting instruction: taken before all others. */
export const SYNCHRONOUS_SIGNALS =
  (bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGFPE) | bit(SIGSYS)) >>> 0
/** Neither can be caught, blocked or ignored. */
export const UNBLOCKABLE = (bit(SIGKILL) | bit(SIGSTOP)) >>> 0

const inWord = (word: number, signo: number): boolean => signo <= 32 && (word & bit(signo)) !== 0
export const stopsByDefault = (signo: number): boolean => inWord(STOP_SIGNALS, signo)
export const ignoredByDefault = (signo: number): boolean => inWord(IGNORE_SIGNALS, signo)
export const dumpsByDefault = (signo: number): boolean => inWord(CORE_SIGNALS, signo)

/** The siginfo of kill(2) and tkill(2) by `sender`. */
export function userSigInfo(sender: Task, signo: number, code: number = SI_USER): SigInfo {
  const info = sigInfo(signo, code)
  info.pid = sender.group.tgid
  info.uid = sender.creds.userNs.showUid(sender.creds.uid)
  return info
}

/** Ids in `info`, which are those that `sender` sees, become what `target` sees. */
export function addressTo(target: Task, sender: Task, info: SigInfo): SigInfo {
  const from = sender.creds.userNs
  const to = target.creds.userNs
  if (from !== to) info.uid = to.showUid(from.uid(info.uid))
  if (sender.pidNs === target.pidNs || sender.pidNs.isWithin(target.pidNs)) return info
  info.pid = 0
  info.outside = true
  return info
}

/** kill(2) from the kernel itself to one task: SIGPIPE, SIGXFSZ. */
export function sendSignal(task: Task, signo: number): number {
  return sendToTask(task, userSigInfo(task, signo))
}

/** A signal from the kernel to a process: timers, terminals, exit notification. */
export function signalGroup(group: ThreadGroup, signo: number): number {
  return sendToGroup(group, sigInfo(signo, SI_KERNEL))
}

/** A signal from the kernel to all processes of a process group: terminals. */
export function signalProcessGroup(pgrp: ProcessGroup, signo: number): void {
  for (const group of [...pgrp.members]) signalGroup(group, signo)
}

/**
 * A signal from outside of the sandbox. It reaches init like any process when it is SIGKILL or SIGSTOP,
 * as signals from an ancestor pid namespace do.
 */
export function signalFromOutside(group: ThreadGroup, signo: number): number {
  const info = sigInfo(signo, SI_USER)
  info.outside = true
  return queueSignal(null, group, info)
}

/** Send to one task. Returns 0, or -EAGAIN when the queue is full. */
export function sendToTask(task: Task, info: SigInfo): number {
  return queueSignal(task, task.group, info)
}

/** Send to a process: any of its tasks may take the signal. */
export function sendToGroup(group: ThreadGroup, info: SigInfo): number {
  return queueSignal(null, group, info)
}

/**
 * A signal that the task cannot escape: faults. When it blocks or ignores the signal, the action becomes the
 * default, as in Linux's force_sig_info.
 */
export function forceSignal(task: Task, info: SigInfo): void {
  const { signo } = info
  const action = task.group.handlers.actions[signo]!
  const blocked = task.signals.mask.has(signo)
  if (blocked || action.handler === SIG_IGN) {
    action.handler = SIG_DFL
    task.signals.mask.delete(signo)
  }
  // Init dies of its own faults: the protection is against kill(2).
  if (action.handler === SIG_DFL && task.group.unkillable) task.group.faulted = true
  enqueue(task, task.signals.pending, info)
  task.work = true
}

/** SIGSEGV that cannot be survived by catching it: a bad frame, a failed exec. */
export function forceSegv(task: Task, fatal: boolean): void {
  const info = sigInfo(SIGSEGV, SI_KERNEL)
  if (fatal) task.group.handlers.actions[SIGSEGV]!.handler = SIG_IGN
  forceSignal(task, info)
}

/** Whether `sender` may signal the process of `target`: kill(2), NOTES on permissions. */
export function maySignal(sender: Task, target: Task, signo: number): number {
  const { creds } = sender
  const to = target.creds
  if (
    creds.euid === to.suid ||
    creds.euid === to.uid ||
    creds.uid === to.suid ||
    creds.uid === to.uid
  )
    return 0
  if (sender.group === target.group || creds.capableIn(to.userNs, CAP_KILL)) return 0
  if (signo === SIGCONT && sender.group.session === target.group.session) return 0
  return -EPERM
}

function queueSignal(task: Task | null, group: ThreadGroup, info: SigInfo): number {
  const { signo, outside } = info
  const leader = task ?? group.leader
  if (
    group.exiting ||
    group.zombie ||
    (task !== null && (task.state === ZOMBIE || task.state === DEAD))
  )
    return 0
  preparePending(group, signo)
  if (isDiscarded(leader, group, signo, outside)) return 0
  if (signo === SIGKILL) {
    groupExit(group, SIGKILL)
    return 0
  }
  const pending = task === null ? group.pending : task.signals.pending
  const error = enqueue(leader, pending, info)
  if (error < 0) return error
  if (!group.handlers.signalfdQueue.empty) group.handlers.signalfdQueue.wake(0)
  const taker = task ?? chooseTask(group, signo)
  if (taker === null) return 0
  if (!willTake(taker, signo)) return 0
  const fatal = isFatal(group, signo) && taker.tracee === null
  if (fatal && !isWaitedFor(taker, signo)) groupExit(group, signo)
  else signalWake(taker)
  return 0
}

/** SIGCONT cancels pending stops, and a stop cancels a pending SIGCONT; SIGCONT continues even when blocked. */
function preparePending(group: ThreadGroup, signo: number): void {
  if (stopsByDefault(signo)) flush(group, bit(SIGCONT) >>> 0)
  else if (signo === SIGCONT) {
    flush(group, STOP_SIGNALS)
    continueGroup(group)
  }
}

function flush(group: ThreadGroup, word: number): void {
  removePending(group, group.pending, word, 0)
  for (const task of group.tasks) removePending(group, task.signals.pending, word, 0)
}

/** Remove all queued signals of the set (lo, hi). */
export function removePending(
  group: ThreadGroup,
  pending: PendingSignals,
  lo: number,
  hi: number,
): void {
  const { set, queue } = pending
  if ((set.lo & lo) === 0 && (set.hi & hi) === 0) return
  for (let i = queue.length - 1; i >= 0; i--) {
    const { signo } = queue[i]!
    const hit = signo <= 32 ? (lo >>> (signo - 1)) & 1 : (hi >>> (signo - 33)) & 1
    if (hit === 1) uncharge(group, queue.splice(i, 1)[0]!)
  }
  set.set(set.lo & ~lo, set.hi & ~hi)
}

/** Drop every queued signal, at the end of a task or process. */
export function dropPending(group: ThreadGroup, pending: PendingSignals): void {
  removePending(group, pending, 0xffffffff, 0xffffffff)
}

/** Whether the signal would have no effect: it is then not even queued. */
function isDiscarded(task: Task, group: ThreadGroup, signo: number, outside: boolean): boolean {
  // A tracer hears of every signal.
  if (task.tracee !== null && signo !== SIGKILL) return false
  const { handler } = group.handlers.actions[signo]!
  const { mask, waiting } = task.signals
  const unblockable = signo === SIGKILL || signo === SIGSTOP
  // Init is not killed by accident: what it does not catch does not reach it from inside.
  if (group.unkillable && handler === SIG_DFL && !(outside && unblockable)) {
    if (!mask.has(signo)) return true
  }
  if (mask.has(signo) || waiting?.has(signo)) return false
  return handler === SIG_IGN ? !unblockable : handler === SIG_DFL && ignoredByDefault(signo)
}

function enqueue(task: Task, pending: PendingSignals, info: SigInfo): number {
  const { signo } = info
  if (signo < 32 && pending.set.has(signo)) return 0
  const { kernel } = task
  const { uid } = task.creds
  const used = kernel.queuedSignals.get(uid) ?? 0
  const fromKernel = info.code === SI_KERNEL || info.code > 0
  // A standard signal always gets through, if need be without its siginfo.
  if (used >= task.group.rlimits[RLIMIT_SIGPENDING]!.cur && !fromKernel) {
    if (signo >= 32 && info.code !== SI_USER) return -EAGAIN
    pending.set.add(signo)
    return 0
  }
  kernel.queuedSignals.set(uid, used + 1)
  info.charged = uid
  pending.queue.push(info)
  pending.set.add(signo)
  return 0
}

function uncharge(group: ThreadGroup, info: SigInfo): void {
  if (info.charged < 0) return
  unchargeSignal(group.kernel, info.charged)
  info.charged = -1
}

/** The user pays for one signal less. */
export function unchargeSignal({ queuedSignals }: Kernel, uid: number): void {
  const left = (queuedSignals.get(uid) ?? 1) - 1
  if (left > 0) queuedSignals.set(uid, left)
  else queuedSignals.delete(uid)
}

/** Remove one queued signal. */
export function removeSignal(group: ThreadGroup, pending: PendingSignals, info: SigInfo): void {
  const index = pending.queue.indexOf(info)
  if (index < 0) return
  pending.queue.splice(index, 1)
  uncharge(group, info)
  if (!pending.queue.some(other => other.signo === info.signo)) pending.set.delete(info.signo)
}

/** Take signal `signo` out of `pending`. A signal whose siginfo found no room comes with an empty one. */
export function takePending(group: ThreadGroup, pending: PendingSignals, signo: number): SigInfo {
  const { queue } = pending
  let found: SigInfo | null = null
  let more = false
  queue.find(info => info.signo === signo)?.timer?.beforeDelivery()
  for (let i = 0; i < queue.length; i++) {
    if (queue[i]!.signo !== signo) continue
    if (found === null) found = queue.splice(i--, 1)[0]!
    else {
      more = true
      break
    }
  }
  if (!more) pending.set.delete(signo)
  if (found === null) return sigInfo(signo, SI_USER)
  uncharge(group, found)
  return found
}

/** Lowest pending signal outside of `mask`, synchronous ones first; 0 for none. */
export function firstPending(pending: PendingSignals, mask: SigSet): number {
  const lo = pending.set.lo & ~mask.lo
  if (lo !== 0) {
    const synchronous = lo & SYNCHRONOUS_SIGNALS
    const word = synchronous !== 0 ? synchronous : lo
    return 32 - Math.clz32(word & -word)
  }
  const hi = pending.set.hi & ~mask.hi
  return hi === 0 ? 0 : 64 - Math.clz32(hi & -hi)
}

/** Whether `task` would deliver the signal now. */
function willTake(task: Task, signo: number): boolean {
  // A stopped task takes nothing but SIGKILL and SIGCONT, which do not come this way.
  if (task.state === ZOMBIE || task.state === DEAD || task.state === STOPPED) return false
  return !task.signals.mask.has(signo) || isWaitedFor(task, signo)
}

function isWaitedFor(task: Task, signo: number): boolean {
  const { waiting } = task.signals
  return waiting?.has(signo) === true
}

/** The main thread when it can, else any that can. */
function chooseTask(group: ThreadGroup, signo: number): Task | null {
  const { leader, tasks } = group
  if (tasks.length > 1) for (const task of tasks) if (isWaitedFor(task, signo)) return task
  if (willTake(leader, signo)) return leader
  for (const task of tasks) if (willTake(task, signo)) return task
  return null
}

/** A default action that ends the process without a core dump takes effect at once. */
function isFatal(group: ThreadGroup, signo: number): boolean {
  if (group.handlers.actions[signo]!.handler !== SIG_DFL || group.unkillable) return false
  return !stopsByDefault(signo) && !ignoredByDefault(signo) && !dumpsByDefault(signo)
}

/** Make the task look at its signals before it goes on in program code. */
export function signalWake(task: Task): void {
  task.work = true
  if (task.state === BLOCKED) task.wakeUp()
  else if (task.state === STOPPED) {
    if (task.group.stopSignal === 0) task.kernel.makeRunnable(task)
  } else if (task.state === RUNNING && task.syscallNr < 0)
    task.kernel.platform.interrupt(task.thread)
}
