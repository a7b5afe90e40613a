// ptrace(2): what a tracer asks for. Where traced tasks stop, and how they go on, is in kernel/ptrace.ts.

import { EFAULT, EINVAL, EIO, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import {
  AUDIT_ARCH_X86_64,
  NSIG,
  PTRACE_ARCH_PRCTL,
  PTRACE_ATTACH,
  PTRACE_CONT,
  PTRACE_DETACH,
  PTRACE_EVENT_SECCOMP,
  PTRACE_EVENT_STOP,
  PTRACE_GET_SYSCALL_INFO,
  PTRACE_GETEVENTMSG,
  PTRACE_GETFPREGS,
  PTRACE_GETREGS,
  PTRACE_GETREGSET,
  PTRACE_GETSIGINFO,
  PTRACE_GETSIGMASK,
  PTRACE_INTERRUPT,
  PTRACE_KILL,
  PTRACE_LISTEN,
  PTRACE_O_EXITKILL,
  PTRACE_O_TRACECLONE,
  PTRACE_O_TRACEEXEC,
  PTRACE_O_TRACEEXIT,
  PTRACE_O_TRACEFORK,
  PTRACE_O_TRACESECCOMP,
  PTRACE_O_TRACESYSGOOD,
  PTRACE_O_TRACEVFORK,
  PTRACE_O_TRACEVFORKDONE,
  PTRACE_PEEKDATA,
  PTRACE_PEEKSIGINFO,
  PTRACE_PEEKTEXT,
  PTRACE_PEEKUSR,
  PTRACE_POKEDATA,
  PTRACE_POKETEXT,
  PTRACE_POKEUSR,
  PTRACE_SEIZE,
  PTRACE_SETFPREGS,
  PTRACE_SETOPTIONS,
  PTRACE_SETREGS,
  PTRACE_SETREGSET,
  PTRACE_SETSIGINFO,
  PTRACE_SETSIGMASK,
  PTRACE_SINGLESTEP,
  PTRACE_SYSCALL,
  PTRACE_SYSEMU,
  PTRACE_TRACEME,
  SI_KERNEL,
  SIGKILL,
  SIGSTOP,
  SIGTRAP,
} from '../../syscall-table/flags.ts'
import { landlockTraces } from '../kernel/landlock.ts'
import {
  AT_ENTRY,
  AT_EXIT,
  AT_GROUP_STOP,
  detach,
  sendOn,
  Tracee,
  traceStop,
} from '../kernel/ptrace.ts'
import { BY_REALCREDS, ptraceAccess } from '../kernel/ptrace-access.ts'
import { poke } from '../kernel/ptrace-memory.ts'
import { setSignalMask } from '../kernel/signal.ts'
import { SIGINFO_SIZE, writeSigInfo } from '../kernel/signal-frame.ts'
import { sendToTask, signalGroup, signalWake } from '../kernel/signal-send.ts'
import { sigInfo } from '../kernel/signal-state.ts'
import { STOPPED, type Task, ZOMBIE } from '../kernel/task.ts'
import { transferBase, transferFpu, transferRegs, USER_REGS_SIZE } from './ptrace-registers.ts'

/**
 * The events that stop a task here.
 * LIMIT: PTRACE_O_SUSPEND_SECCOMP is refused.
 */
const OPTIONS =
  PTRACE_O_TRACESYSGOOD |
  PTRACE_O_TRACEFORK |
  PTRACE_O_TRACEVFORK |
  PTRACE_O_TRACEVFORKDONE |
  PTRACE_O_TRACECLONE |
  PTRACE_O_TRACEEXEC |
  PTRACE_O_TRACEEXIT |
  PTRACE_O_TRACESECCOMP |
  PTRACE_O_EXITKILL
/** Size of struct user: what PTRACE_PEEKUSR can name. */
const USER_SIZE = 928
/** Where u_debugreg lies in it, and of that DR6, which shows these bits when there has been no breakpoint. */
const DEBUG_REGISTERS = 848
const DEBUG_STATUS = DEBUG_REGISTERS + 6 * 8
const DEBUG_STATUS_NONE = 0xffff0ff0
/** PTRACE_PEEKSIGINFO_SHARED: signals of the process. */
const PEEK_SHARED = 1
/** Register sets: NT_PRSTATUS, NT_PRFPREG, NT_X86_XSTATE. */
const NT_PRSTATUS = 1
const NT_PRFPREG = 2
const NT_X86_XSTATE = 0x202
const FPREGS_SIZE = 512
/** struct ptrace_syscall_info: its parts for each kind of stop. */
const INFO_NONE = 24
const INFO_ENTRY = 80
const INFO_SECCOMP = 84
const INFO_EXIT = 33

/** ptrace(2). */
export function sys_ptrace(
  task: Task,
  request: number,
  pid: number,
  addr: number,
  dataLo: number,
  dataHi: number,
): number {
  const data = dataHi * 2 ** 32 + dataLo
  if (request === PTRACE_TRACEME) return traceMe(task)
  const target = task.pidNs.task(pid)
  if (target === undefined || target.state >= ZOMBIE) return -ESRCH
  if (request === PTRACE_ATTACH) return attach(task, target)
  if (request === PTRACE_SEIZE) return seize(task, target, addr, data)
  const { tracee } = target
  if (tracee === null || tracee.tracer !== task.group || tracee.leaving) return -ESRCH
  if (request === PTRACE_KILL) return signalGroup(target.group, SIGKILL)
  if (request === PTRACE_INTERRUPT) return interrupt(tracee)
  if (!tracee.stopped) return -ESRCH
  switch (request) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA: {
      const { scratch } = task.kernel
      if (target.mm.copyIn(target, addr, scratch, 0, 8) < 0) return -EIO
      return task.mm.copyOut(task, data, scratch, 0, 8)
    }
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
      return poke(task, tracee, addr, dataLo, dataHi)
    case PTRACE_PEEKUSR:
      return peekUser(task, tracee, addr, data)
    case PTRACE_POKEUSR:
      return pokeUser(tracee, addr, dataLo, dataHi)
    case PTRACE_GETREGS:
      return transferRegs(task, tracee, data, USER_REGS_SIZE, 'get')
    case PTRACE_SETREGS:
      return transferRegs(task, tracee, data, USER_REGS_SIZE, 'set')
    case PTRACE_ARCH_PRCTL:
      return transferBase(task, tracee, data, addr)
    case PTRACE_GETFPREGS:
      return statusOf(transferFpu(task, tracee, data, FPREGS_SIZE, 'legacy', 'get'))
    case PTRACE_SETFPREGS:
      return statusOf(transferFpu(task, tracee, data, FPREGS_SIZE, 'legacy', 'set'))
    case PTRACE_GETREGSET:
      return registerSet(task, tracee, addr, data, 'get')
    case PTRACE_SETREGSET:
      return registerSet(task, tracee, addr, data, 'set')
    case PTRACE_SETOPTIONS:
      if ((data & ~OPTIONS) !== 0 || data >= 2 ** 31) return -EINVAL
      tracee.options = data
      return 0
    case PTRACE_GETEVENTMSG:
      return putWords(task, data, [tracee.eventMessage, 0])
    case PTRACE_GETSIGINFO:
      return getInfo(task, tracee, data)
    case PTRACE_SETSIGINFO:
      return setInfo(task, tracee, data)
    case PTRACE_PEEKSIGINFO:
      return peekInfos(task, target, addr, data)
    case PTRACE_GETSIGMASK: {
      const { lo, hi } = target.signals.mask
      return addr === 8 ? putWords(task, data, [lo, hi]) : -EINVAL
    }
    case PTRACE_SETSIGMASK: {
      const { scratch, scratchView } = task.kernel
      if (addr !== 8) return -EINVAL
      if (task.mm.copyIn(task, data, scratch, 0, 8) < 0) return -EFAULT
      setSignalMask(target, scratchView.getUint32(0, true), scratchView.getUint32(4, true))
      return 0
    }
    case PTRACE_GET_SYSCALL_INFO:
      return syscallInfo(task, tracee, addr, data)
    case PTRACE_LISTEN:
      if (!tracee.seized || tracee.code >> 8 !== PTRACE_EVENT_STOP) return -EIO
      tracee.listening = true
      // What it waits for may have come already.
      task.kernel.makeRunnable(target)
      return 0
    case PTRACE_CONT:
    case PTRACE_SYSCALL:
    case PTRACE_SYSEMU:
    case PTRACE_SINGLESTEP:
      if (data > NSIG) return -EIO
      sendOn(tracee, request, data, task)
      return 0
    case PTRACE_DETACH:
      if (data > NSIG) return -EIO
      detach(tracee, data, task)
      return 0
    default:
      return -EIO
  }
}

function traceMe(task: Task): number {
  const { parent } = task.group
  if (task.tracee !== null || parent === null) return -EPERM
  if (!landlockTraces(parent.leader, task)) return -EPERM
  new Tracee(task, parent, false)
  return 0
}

function mayAttach(task: Task, target: Task): number {
  if (target.group === task.group) return -EPERM
  if (ptraceAccess(task, target, BY_REALCREDS) < 0) return -EPERM
  return target.tracee !== null || target.group.exiting ? -EPERM : 0
}

function attach(task: Task, target: Task): number {
  const error = mayAttach(task, target)
  if (error < 0) return error
  const tracee = new Tracee(target, task.group, false)
  // One that job control has stopped already is in the tracer's hands at once.
  if (target.state === STOPPED)
    traceStop(target, AT_GROUP_STOP, target.group.stopSignal, null, target.stoppedResult)
  else sendToTask(target, sigInfo(SIGSTOP, SI_KERNEL))
  tracee.passedGroupStop = target.state === STOPPED
  return 0
}

function seize(task: Task, target: Task, addr: number, options: number): number {
  if (addr !== 0 || options >= 2 ** 31 || (options & ~OPTIONS) !== 0) return -EIO
  const error = mayAttach(task, target)
  if (error < 0) return error
  const tracee = new Tracee(target, task.group, true)
  tracee.options = options
  if (target.state === STOPPED) {
    const code = target.group.stopSignal | (PTRACE_EVENT_STOP << 8)
    traceStop(target, AT_GROUP_STOP, code, sigInfo(SIGTRAP, code), target.stoppedResult)
    tracee.passedGroupStop = true
  }
  return 0
}

function interrupt(tracee: Tracee): number {
  if (!tracee.seized) return -EIO
  tracee.trap = true
  signalWake(tracee.task)
  return 0
}

const statusOf = (n: number): number => (n < 0 ? n : 0)

function putWords(task: Task, addr: number, words: readonly number[]): number {
  const { scratch, scratchView } = task.kernel
  words.forEach((word, i) => {
    scratchView.setUint32(i * 4, word, true)
  })
  return task.mm.copyOut(task, addr, scratch, 0, words.length * 4)
}

/** LIMIT: there are no debug registers: hardware breakpoints and watchpoints are refused. */
function peekUser(task: Task, tracee: Tracee, offset: number, data: number): number {
  if (offset % 8 !== 0 || offset >= USER_SIZE) return -EIO
  if (offset === DEBUG_STATUS) return putWords(task, data, [DEBUG_STATUS_NONE, 0])
  if (offset >= USER_REGS_SIZE) return putWords(task, data, [0, 0])
  const words = tracee.userRegs()
  return putWords(task, data, [words[offset / 4]!, words[offset / 4 + 1]!])
}

function pokeUser(tracee: Tracee, offset: number, lo: number, hi: number): number {
  if (offset % 8 !== 0 || offset >= USER_SIZE) return -EIO
  if (offset >= USER_REGS_SIZE) {
    const register = (offset - DEBUG_REGISTERS) / 8
    if (register < 0 || register > 7 || register === 4 || register === 5) return -EIO
    return lo === 0 && hi === 0 ? 0 : -EINVAL
  }
  const words = tracee.userRegs()
  words[offset / 4] = lo
  words[offset / 4 + 1] = hi
  return tracee.setUserRegs(words)
}

function registerSet(
  task: Task,
  tracee: Tracee,
  type: number,
  vector: number,
  direction: 'get' | 'set',
): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, vector, scratch, 0, 16) < 0) return -EFAULT
  const base = scratchView.getUint32(4, true) * 2 ** 32 + scratchView.getUint32(0, true)
  const length = scratchView.getUint32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
  if (length % 8 !== 0) return -EINVAL
  let n = -EINVAL
  if (type === NT_PRSTATUS) {
    const size = Math.min(length, USER_REGS_SIZE)
    n = transferRegs(task, tracee, base, size, direction)
    if (n === 0) n = size
  } else if (type === NT_PRFPREG)
    n = transferFpu(task, tracee, base, Math.min(length, FPREGS_SIZE), 'legacy', direction)
  else if (type === NT_X86_XSTATE) n = transferFpu(task, tracee, base, length, 'xsave', direction)
  return n < 0 ? n : putWords(task, vector + 8, [n, 0])
}

function getInfo(task: Task, tracee: Tracee, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (tracee.info === null) return -EINVAL
  scratch.fill(0, 0, SIGINFO_SIZE)
  writeSigInfo(scratchView, 0, tracee.info)
  return task.mm.copyOut(task, addr, scratch, 0, SIGINFO_SIZE)
}

/** PTRACE_PEEKSIGINFO: copies of pending signals, which stay pending. Returns how many there were. */
function peekInfos(task: Task, target: Task, at: number, into: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, at, scratch, 0, 16) < 0) return -EFAULT
  const first = scratchView.getUint32(4, true) * 2 ** 32 + scratchView.getUint32(0, true)
  const flags = scratchView.getUint32(8, true)
  const most = scratchView.getInt32(12, true)
  if ((flags & ~PEEK_SHARED) !== 0 || most < 0) return -EINVAL
  const { queue } = (flags & PEEK_SHARED) !== 0 ? target.group.pending : target.signals.pending
  let n = 0
  for (; n < most && first + n < queue.length; n++) {
    scratch.fill(0, 0, SIGINFO_SIZE)
    writeSigInfo(scratchView, 0, queue[first + n]!)
    const error = task.mm.copyOut(task, into + n * SIGINFO_SIZE, scratch, 0, SIGINFO_SIZE)
    if (error < 0) return n === 0 ? -EFAULT : n
  }
  return n
}

function setInfo(task: Task, tracee: Tracee, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, SIGINFO_SIZE) < 0) return -EFAULT
  if (tracee.info === null) return -EINVAL
  const signo = scratchView.getInt32(0, true)
  if (signo < 1 || signo > NSIG) return -EINVAL
  const info = sigInfo(signo, scratchView.getInt32(8, true))
  info.errno = scratchView.getInt32(4, true)
  info.pid = info.timerId = scratchView.getInt32(16, true)
  info.uid = scratchView.getUint32(20, true)
  info.status = scratchView.getInt32(24, true)
  info.addr = scratchView.getUint32(20, true) * 2 ** 32 + scratchView.getUint32(16, true)
  info.valueLo = scratchView.getUint32(24, true)
  info.valueHi = scratchView.getUint32(28, true)
  tracee.info = info
  return 0
}

/** PTRACE_GET_SYSCALL_INFO: returns how much there is to know, and writes as much as there is room for. */
function syscallInfo(task: Task, tracee: Tracee, room: number, addr: number): number {
  const { scratch, scratchView } = task.kernel
  const words = tracee.userRegs()
  scratch.fill(0, 0, INFO_ENTRY)
  let length = INFO_NONE
  scratchView.setUint32(4, AUDIT_ARCH_X86_64, true)
  // The instruction pointer (register 16) and the stack pointer (19).
  ;[16, 19].forEach((register, i) => {
    scratchView.setUint32(8 + i * 8, words[register * 2]!, true)
    scratchView.setUint32(12 + i * 8, words[register * 2 + 1]!, true)
  })
  // Without PTRACE_O_TRACESYSGOOD the stops of calls are not told from others.
  const known = (tracee.code & 0x80) !== 0
  const filtered = tracee.code >> 8 === PTRACE_EVENT_SECCOMP
  if ((known || filtered) && tracee.kind === AT_ENTRY) {
    length = filtered ? INFO_SECCOMP : INFO_ENTRY
    scratch[0] = filtered ? 3 : 1
    scratchView.setUint32(INFO_ENTRY, filtered ? tracee.eventMessage : 0, true)
    scratchView.setInt32(24, tracee.nr, true)
    scratchView.setInt32(28, tracee.nr < 0 ? -1 : 0, true)
    tracee.args.forEach((word, i) => {
      scratchView.setUint32(32 + i * 4, word, true)
    })
  } else if (known && tracee.kind === AT_EXIT) {
    length = INFO_EXIT
    scratch[0] = 2
    scratchView.setUint32(24, words[20]!, true)
    scratchView.setUint32(28, words[21]!, true)
    const result = words[20]! | 0
    scratch[32] = words[21] === 0xffffffff && result < 0 && result >= -4095 ? 1 : 0
  }
  const n = task.mm.copyOut(task, addr, scratch, 0, Math.min(length, room))
  return n < 0 ? -EFAULT : length
}
