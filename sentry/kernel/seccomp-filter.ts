// The program's own seccomp filters: seccomp(2). They are run by an interpreter at the entry of each call
// that reaches the kernel.
// LIMIT: calls that the platform runs natively on the host (futex waits, clocks of the vDSO, sched_yield)
// are not seen by a program's filters; they concern nobody but the caller. Those that a container's own profile
// does not always allow are not run there.

import { constantAnswer, Filter, runFilters, type Verdict } from 'seccomp-bpf-compiler'
import {
  EACCES,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOSYS,
  EOPNOTSUPP,
  ESRCH,
} from '../../syscall-table/errno.ts'
import {
  AUDIT_ARCH_X86_64,
  CAP_SYS_ADMIN,
  O_RDWR,
  POLLHUP,
  RLIMIT_NOFILE,
  SECCOMP_FILTER_FLAG_LOG,
  SECCOMP_FILTER_FLAG_NEW_LISTENER,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW,
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
  SECCOMP_MODE_DISABLED,
  SECCOMP_MODE_FILTER,
  SECCOMP_MODE_STRICT,
  SECCOMP_RET_ACTION_FULL,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_DATA,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_KILL_THREAD,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRACE,
  SECCOMP_RET_TRAP,
  SECCOMP_RET_USER_NOTIF,
  SIGKILL,
  SIGSYS,
  SYS_SECCOMP,
} from '../../syscall-table/flags.ts'
import { anonFile } from '../vfs/anon.ts'
import { exitTask, groupExit } from './exit.ts'
import { traceFilter } from './ptrace.ts'
import { Listener } from './seccomp-notify.ts'
import { forceSignal } from './signal-send.ts'
import { sigInfo } from './signal-state.ts'
import { DEAD, type Task, ZOMBIE } from './task.ts'

/** The bit of `Task.entryWork` for tasks with filters. */
export const ENTRY_SECCOMP = 0x100
/** The call is skipped and returns 0: an entry verdict of 0 means that it goes on. */
export const SKIP_WITH_ZERO = 2 ** 40

/** Linux bounds all filters of a task together: MAX_INSNS_PER_PATH, with 4 extra for each filter. */
const MAX_INSNS_PER_PATH = 32768
const FILTER_PENALTY = 4
const SOCK_FPROG_SIZE = 16
const SOCK_FILTER_SIZE = 8
const BPF_MAXINSNS = 4096
const MAX_ERRNO = 4095
/** Numbers below are looked up before filters are run; all calls of Linux are. */
const CACHED_CALLS = 512
const KNOWN_FLAGS =
  SECCOMP_FILTER_FLAG_TSYNC |
  SECCOMP_FILTER_FLAG_LOG |
  SECCOMP_FILTER_FLAG_SPEC_ALLOW |
  SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
  SECCOMP_FILTER_FLAG_NEW_LISTENER |
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV

/** Calls of strict mode: read, write, rt_sigreturn, exit. */
const STRICT_CALLS: readonly number[] = [0, 1, 15, 60]

/** Immutable: shared by a task and its children until one of them adds a filter. */
export class SeccompState {
  readonly mode: number
  /** Newest first. */
  readonly filters: readonly Filter[]
  /** The state that this one extends: filters are only ever added. */
  readonly previous: SeccompState | null
  /** Where the newest filter's questions go: SECCOMP_RET_USER_NOTIF. */
  listener: Listener | null = null
  /** By number: 1 where all filters allow the call whatever its arguments. */
  readonly #allowed: Uint8Array

  constructor(mode: number, filters: readonly Filter[], previous: SeccompState | null) {
    this.mode = mode
    this.filters = filters
    this.previous = previous
    this.#allowed = new Uint8Array(CACHED_CALLS)
    for (let nr = 0; nr < CACHED_CALLS && mode === SECCOMP_MODE_FILTER; nr++) {
      if (previous !== null && !previous.alwaysAllows(nr)) continue
      const answer = constantAnswer(filters[0]!.program, nr, AUDIT_ARCH_X86_64)
      if (answer === SECCOMP_RET_ALLOW) this.#allowed[nr] = 1
    }
  }

  /** No filter needs to be run for this number: seccomp_cache_check_allow. */
  alwaysAllows(nr: number): boolean {
    return this.#allowed[nr] === 1
  }
}

const data = new Uint32Array(16)
const verdict: Verdict = { answer: 0, filter: undefined }

/** PR_GET_SECCOMP, and the Seccomp line of /proc/PID/status. */
export function seccompMode(task: Task): number {
  return task.seccomp?.mode ?? SECCOMP_MODE_DISABLED
}

/** Children start with their creator's filters. */
export function inheritSeccomp(task: Task, child: Task): void {
  child.seccomp = task.seccomp
  if (child.seccomp !== null) child.entryWork |= ENTRY_SECCOMP
}

/** A process that starts with filters, before it runs. */
export function startWithFilters(task: Task, state: SeccompState): void {
  apply(task, state)
}

/**
 * Judge a call at its entry. 0: it goes on; -EBLOCKED: a tracer or a listener is asked first; else it is skipped with that result
 * (SKIP_WITH_ZERO for 0).
 */
export function runSeccomp(task: Task, nr: number): number {
  const state = task.seccomp
  if (state === null) return 0
  if (state.mode === SECCOMP_MODE_STRICT) {
    if (STRICT_CALLS.includes(nr)) return 0
    groupOrThreadExit(task, SIGKILL, false)
    return -ENOSYS
  }
  if (state.alwaysAllows(nr)) return 0
  const { thread } = task
  data[0] = nr
  data[1] = AUDIT_ARCH_X86_64
  data[2] = thread.ip % 2 ** 32
  data[3] = Math.floor(thread.ip / 2 ** 32)
  for (let i = 0; i < 12; i++) data[4 + i] = thread.args[i]!
  runFilters(state.filters, data, verdict)
  return obey(
    task,
    nr,
    (verdict.answer & SECCOMP_RET_ACTION_FULL) >>> 0,
    verdict.answer & SECCOMP_RET_DATA,
  )
}

function obey(task: Task, nr: number, action: number, value: number): number {
  switch (action) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
      return 0
    case SECCOMP_RET_ERRNO: {
      const errno = Math.min(value, MAX_ERRNO)
      return errno === 0 ? SKIP_WITH_ZERO : -errno
    }
    case SECCOMP_RET_TRAP: {
      const info = sigInfo(SIGSYS, SYS_SECCOMP)
      info.errno = value
      info.addr = task.thread.ip
      info.syscall = nr
      info.arch = AUDIT_ARCH_X86_64
      forceSignal(task, info)
      // The registers are as before the call: rax holds its number.
      return nr === 0 ? SKIP_WITH_ZERO : nr
    }
    case SECCOMP_RET_TRACE:
      return traceFilter(task, nr, value)
    case SECCOMP_RET_USER_NOTIF:
      return askListener(task, nr)
    case SECCOMP_RET_KILL_THREAD:
      groupOrThreadExit(task, SIGSYS, false)
      return -ENOSYS
    default:
      groupOrThreadExit(task, SIGSYS, true)
      return -ENOSYS
  }
}

/** The filter that has spoken may have a listener: the call waits for its answer. */
function askListener(task: Task, nr: number): number {
  const { filter } = verdict
  for (let state = task.seccomp; state !== null; state = state.previous) {
    if (state.filters[0] !== filter) continue
    const { listener } = state
    if (listener === null || listener.closed) return -ENOSYS
    const notification = listener.ask(task, nr)
    task.notification = notification
    task.restart.resource = notification
    return task.block(notification.queue, 0)
  }
  return -ENOSYS
}

/** A task that waits for an answer was woken. -EBLOCKED: there is none yet; else as of `runSeccomp`. */
export function answerOf(task: Task): number {
  const notification = task.notification!
  if (!notification.replied) return task.block(notification.queue, 0)
  leaveNotification(task)
  const { continues, result } = notification
  if (continues) return 0
  return result === 0 ? SKIP_WITH_ZERO : result
}

/** The wait is over, with an answer or without. */
export function leaveNotification(task: Task): void {
  task.notification = null
  task.unsignalable = false
  task.restart.resource?.abandon()
  task.restart.resource = null
}

/** A task has ended: who listens to it may have nobody left to listen to. */
export function seccompTaskEnds(task: Task): void {
  for (let state = task.seccomp; state !== null; state = state.previous)
    if (state.listener !== null && !isUsed(task, state)) state.listener.queue.wake(POLLHUP)
}

/** Whether a task is left that obeys the filters of `state`. */
function isUsed({ kernel }: Task, state: SeccompState): boolean {
  for (const { seccomp, state: life } of kernel.tasks)
    if (seccomp !== null && life !== ZOMBIE && life !== DEAD && isAncestor(state, seccomp))
      return true
  return false
}

/** KILL_THREAD ends the process too when it has one thread only. */
function groupOrThreadExit(task: Task, signo: number, process: boolean): void {
  const { group, kernel } = task
  if (process || group.tasks.length === 1) {
    groupExit(group, signo)
    return
  }
  kernel.platform.ops(task.thread).exitThread()
  kernel.platform.resume(task.thread, 0)
  exitTask(task)
}

/** seccomp(SECCOMP_SET_MODE_STRICT). */
export function setStrict(task: Task): number {
  if (task.seccomp !== null) return task.seccomp.mode === SECCOMP_MODE_STRICT ? 0 : -EINVAL
  apply(task, new SeccompState(SECCOMP_MODE_STRICT, [], null))
  return 0
}

/** seccomp(SECCOMP_SET_MODE_FILTER): add the filter of the struct sock_fprog at `addr`. */
export function addFilter(task: Task, flags: number, addr: number): number {
  if ((flags & ~KNOWN_FLAGS) !== 0) return -EINVAL
  const listens = (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) !== 0
  // The result cannot be both a descriptor and the number of a thread.
  const both = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH
  if (listens && (flags & both) === SECCOMP_FILTER_FLAG_TSYNC) return -EINVAL
  if (!listens && (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) !== 0) return -EINVAL
  if (!task.creds.noNewPrivs && !task.creds.holds(CAP_SYS_ADMIN)) return -EACCES
  const filter = loadFilter(task, addr)
  if (typeof filter === 'number') return filter
  const old = task.seccomp
  if (old !== null && old.mode !== SECCOMP_MODE_FILTER) return -EINVAL
  const filters = [filter, ...(old?.filters ?? [])]
  let total = 0
  for (const f of filters) total += f.program.length + FILTER_PENALTY
  if (total - FILTER_PENALTY > MAX_INSNS_PER_PATH) return -ENOMEM
  const state = new SeccompState(SECCOMP_MODE_FILTER, filters, old)
  const fd = (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) !== 0 ? addListener(task, state, flags) : 0
  if (fd < 0) return fd
  if ((flags & SECCOMP_FILTER_FLAG_TSYNC) === 0) apply(task, state)
  else {
    const other = syncThreads(task, state, flags)
    if (other !== 0) {
      if (state.listener !== null) task.files.remove(fd)?.unref()
      return other
    }
  }
  return fd
}

/** A descriptor for who answers the questions of `state`. There may be one for all filters of a task. */
function addListener(task: Task, state: SeccompState, flags: number): number {
  for (let s = state.previous; s !== null; s = s.previous)
    if (s.listener !== null && !s.listener.closed) return -EBUSY
  const killable = (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) !== 0
  const listener = new Listener(killable, () => isUsed(task, state))
  const file = anonFile(task.kernel, listener, 'seccomp notify', O_RDWR)
  const fd = task.files.install(file, true, task.group.rlimits[RLIMIT_NOFILE]!.cur)
  if (fd < 0) file.unref()
  else state.listener = listener
  return fd
}

function loadFilter(task: Task, addr: number): Filter | number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, SOCK_FPROG_SIZE) < 0) return -EFAULT
  const count = scratchView.getUint16(0, true)
  const at = scratchView.getUint32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
  if (count === 0 || count > BPF_MAXINSNS) return -EINVAL
  const bytes = new Uint8Array(count * SOCK_FILTER_SIZE)
  if (task.mm.copyIn(task, at, bytes, 0, bytes.length) < 0) return -EFAULT
  return Filter.load(bytes)
}

/** All threads get the caller's filters, unless one has filters that the caller has not. */
function syncThreads(task: Task, state: SeccompState, flags: number): number {
  const { tasks } = task.group
  for (const other of tasks) {
    if (other === task || other.seccomp === null || isAncestor(other.seccomp, task.seccomp))
      continue
    return (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH) !== 0 ? -ESRCH : other.pid.numberIn(task.pidNs)
  }
  for (const other of tasks) {
    apply(other, state)
    if (task.creds.noNewPrivs && !other.creds.noNewPrivs) {
      other.creds = other.creds.copy()
      other.creds.noNewPrivs = true
    }
  }
  return 0
}

function isAncestor(older: SeccompState, newer: SeccompState | null): boolean {
  for (let s = newer; s !== null; s = s.previous) if (s === older) return true
  return false
}

function apply(task: Task, state: SeccompState): void {
  task.seccomp = state
  task.entryWork |= ENTRY_SECCOMP
}

/** seccomp(SECCOMP_GET_ACTION_AVAIL). */
export function actionAvailable(action: number): number {
  switch (action) {
    case SECCOMP_RET_KILL_PROCESS:
    case SECCOMP_RET_KILL_THREAD:
    case SECCOMP_RET_TRAP:
    case SECCOMP_RET_ERRNO:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_USER_NOTIF:
    case SECCOMP_RET_ALLOW:
      return 0
    default:
      return -EOPNOTSUPP
  }
}
