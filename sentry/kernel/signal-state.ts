// The data of signals: sets, pending queues, actions. What happens with them is in signal.ts.

import {
  POLL_HUP,
  SIGBUS,
  SIGCHLD,
  SIGFPE,
  SIGILL,
  SIGSEGV,
  SIGSYS,
  SIGTRAP,
} from '../../syscall-table/flags.ts'
import type { PosixTimer } from './posix-timer.ts'
import { WaitQueue } from './wait-queue.ts'

/** A set of signals 1…64 as two u32 words. */
export class SigSet {
  lo = 0
  hi = 0

  has(signo: number): boolean {
    return signo <= 32
      ? ((this.lo >>> (signo - 1)) & 1) === 1
      : ((this.hi >>> (signo - 33)) & 1) === 1
  }
  add(signo: number): void {
    if (signo <= 32) this.lo = (this.lo | (1 << (signo - 1))) >>> 0
    else this.hi = (this.hi | (1 << (signo - 33))) >>> 0
  }
  delete(signo: number): void {
    if (signo <= 32) this.lo = (this.lo & ~(1 << (signo - 1))) >>> 0
    else this.hi = (this.hi & ~(1 << (signo - 33))) >>> 0
  }
  set(lo: number, hi: number): void {
    this.lo = lo >>> 0
    this.hi = hi >>> 0
  }
  copyFrom(other: SigSet): void {
    this.lo = other.lo
    this.hi = other.hi
  }
  get empty(): boolean {
    return this.lo === 0 && this.hi === 0
  }
}

/** What siginfo_t tells, in one shape for all kinds. */
export interface SigInfo {
  signo: number
  errno: number
  code: number
  pid: number
  uid: number
  /** SIGCHLD: exit status; timers: overrun count. */
  status: number
  utime: number
  stime: number
  /** Faults: address. */
  addr: number
  /** sigqueue and timers: sigval as two u32. */
  valueLo: number
  valueHi: number
  timerId: number
  /** The POSIX timer that counts into it. */
  timer: PosixTimer | null
  /** SIGPOLL. */
  band: number
  fd: number
  /** SIGSYS. */
  syscall: number
  arch: number
  /** Real uid that pays for the queue entry (RLIMIT_SIGPENDING), -1 when none does. */
  charged: number
  /** The sender is in no pid namespace that the target knows: process 1 is not protected from it. */
  outside: boolean
}

export function sigInfo(signo: number, code: number): SigInfo {
  return {
    signo,
    code,
    errno: 0,
    pid: 0,
    uid: 0,
    status: 0,
    utime: 0,
    stime: 0,
    addr: 0,
    valueLo: 0,
    valueHi: 0,
    timerId: 0,
    timer: null,
    band: 0,
    fd: 0,
    syscall: 0,
    arch: 0,
    charged: -1,
    outside: false,
  }
}

/** Signals whose codes mean something of their own. */
const OWN_CODES: readonly number[] = [SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP]

/** Whether `info` tells of a file: the codes of SIGPOLL, which F_SETSIG gives to other signals too. */
export function isPollInfo(info: SigInfo): boolean {
  return info.code > 0 && info.code <= POLL_HUP && !OWN_CODES.includes(info.signo)
}

/** Signals sent and not yet delivered: struct sigpending. Standard signals queue once, real-time ones each time. */
export class PendingSignals {
  readonly set = new SigSet()
  readonly queue: SigInfo[] = []
}

/** struct k_sigaction. `handler` is SIG_DFL (0), SIG_IGN (1) or a program address. */
export class SigAction {
  handler = 0
  flags = 0
  restorer = 0
  readonly mask = new SigSet()
}

/** The actions of a process: struct sighand_struct. Shared by CLONE_SIGHAND. */
export class SigHandlers {
  /** Tasks and processes that share this table. */
  users = 1
  /** Readers of signalfd(2): woken by every signal that is queued. */
  readonly signalfdQueue = new WaitQueue()
  /** Index is the signal number; entry 0 is unused. */
  readonly actions: SigAction[] = Array.from({ length: 65 }, () => new SigAction())

  copy(): SigHandlers {
    const copy = new SigHandlers()
    for (let i = 1; i < 65; i++) {
      const from = this.actions[i]!
      const to = copy.actions[i]!
      to.handler = from.handler
      to.flags = from.flags
      to.restorer = from.restorer
      to.mask.copyFrom(from.mask)
    }
    return copy
  }
}

/** The per-task part of signal state. */
export class TaskSignals {
  readonly mask = new SigSet()
  readonly pending = new PendingSignals()
  /** The mask to restore after sigsuspend, ppoll and pselect; in force when `restoreMask`. */
  readonly savedMask = new SigSet()
  restoreMask = false
  /** sigaltstack(2). */
  altStackAddr = 0
  altStackSize = 0
  /** SS_* */
  altStackFlags = 2
  /** What the next frame shows of the last exception: sigcontext's err, trapno and cr2. */
  readonly fault = { trapNo: 0, errorCode: 0, cr2: 0 }
  /** sigwaitinfo(2): the set that is waited for. */
  waiting: SigSet | null = null
}
