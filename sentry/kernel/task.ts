// Tasks: struct task_struct. A task is one thread of the sandboxed program; it owns a host thread of the
// platform (`thread`) and shares mm, files, fs and signal handlers as its clone flags said.

import { EAGAIN, EBLOCKED } from '../../syscall-table/errno.ts'
import type { UndoList } from '../ipc/sem.ts'
import { UserIo } from '../mm/io.ts'
import type { Mm } from '../mm/mm.ts'
import type { ThreadContext } from '../platform.ts'
import type { File } from '../vfs/file.ts'
import type { FsContext } from '../vfs/fs-context.ts'
import type { CpuTimes } from './accounting.ts'
import type { Creds } from './creds.ts'
import type { FdTable } from './fdtable.ts'
import type { Kernel } from './kernel.ts'
import type { Key } from './keys/key.ts'
import type { Domain } from './landlock.ts'
import type { NsProxy } from './nsproxy.ts'
import type { PiState } from './pi-futex.ts'
import type { Pid, PidNamespace } from './pid-namespace.ts'
import type { PollTable } from './poll-table.ts'
import type { Tracee } from './ptrace.ts'
import { SchedState } from './sched-state.ts'
import type { SeccompState } from './seccomp-filter.ts'
import type { Notification } from './seccomp-notify.ts'
import { TaskSignals } from './signal-state.ts'
import type { ThreadGroup } from './thread-group.ts'
import { Timer } from './timer.ts'
import { WaitEntry, type WaitQueue } from './wait-queue.ts'

// Task states.
/** In program code on the host, or about to be. */
export const RUNNING = 0
/** Parked in a system call; its entry is linked in a wait queue, or its restart timer is armed. */
export const BLOCKED = 1
/** Stopped by a signal or a tracer: the host thread waits for a verdict. */
export const STOPPED = 2
/** Waits for the host thread to report EV_STARTED. */
export const STARTING = 3
/** Exited; kept until reaped. */
export const ZOMBIE = 4
export const DEAD = 5

/** Something a blocked call holds that must be given back when the call ends without having finished. */
export interface RestartResource {
  abandon(): void
}

/** What a call keeps over a re-run; cleared when the call ends. */
export class RestartState {
  /** Absolute deadline on CLOCK_MONOTONIC in ns, 0 when unset. */
  deadline = 0
  /** Bytes (or items) finished by earlier passes. */
  done = 0
  /** Whatever else the handler needs. */
  data: unknown = null
  /** The deadline has passed. */
  timedOut = false
  /** Given back by `clear` unless the call has taken it out. */
  resource: RestartResource | null = null

  clear(): void {
    if (this.resource !== null) {
      this.resource.abandon()
      this.resource = null
    }
    this.deadline = 0
    this.done = 0
    this.data = null
    this.timedOut = false
  }
}

/** Links a task into the queue it sleeps on. */
class TaskWaiter extends WaitEntry {
  readonly task: Task
  constructor(task: Task) {
    super()
    this.task = task
  }
  override onWake(): void {
    this.task.wakeUp()
  }
}

class TaskTimer extends Timer {
  readonly task: Task
  constructor(task: Task) {
    super()
    this.task = task
  }
  override onTimer(): void {
    this.task.restart.timedOut = true
    this.task.wakeUp()
  }
}

/** What a new host thread does once it is there: the end of exec, of clone. */
export interface TaskStart {
  /** Registers and ops may be set; the result goes to rax (or set all registers). */
  started(task: Task): number
}

/** Undoes what a handler did before the host refused the ops that belong to it. */
export interface OpsFailure {
  /** Op number `op` of the verdict failed with -`errno`. Returns the result for the program. */
  onOpsFailed(task: Task, op: number, errno: number): number
}

export class Task {
  readonly kernel: Kernel
  pid: Pid
  /** Thread id in the namespace of `pid`; equals group.tgid for the leader. */
  tid: number
  group: ThreadGroup
  thread: ThreadContext
  mm: Mm
  files: FdTable
  fs: FsContext
  creds: Creds
  nsproxy: NsProxy
  state: number = STARTING
  /** prctl(PR_SET_NAME), latin1, at most 15 bytes. */
  comm = ''
  readonly signals: TaskSignals
  /** The call in progress, -1 when none. */
  syscallNr = -1
  readonly restart = new RestartState()
  readonly io: UserIo
  /** Set by a handler whose ops may fail; used once, cleared when the call's ops have run. */
  opsFailure: OpsFailure | null = null
  /** The call returns only to run its host operations, and goes on afterwards: ops-barrier.ts. */
  opsOnly = false
  /** Something must happen before the task returns to program code: signals, a stop, an exit. */
  work = false
  /** ptrace(2): set while somebody traces this task. */
  tracee: Tracee | null = null
  /**
   * As clone(2) and a tracer set it.
   * LIMIT: the base that a program sets by arch_prctl(2) is the host's: PTRACE_GETREGS shows 0.
   */
  fsBase = 0
  /** Run once at EV_STARTED; null for a plain fork child, which goes on with 0. */
  onStart: TaskStart | null = null
  /** Bits of who wants to see calls at entry and exit: ENTRY_*; 0 on the fast path. */
  entryWork = 0
  exitWork = 0
  /** Made by the first poll(2) that waits on several files. */
  pollTable: PollTable | null = null
  /** set_mempolicy(2); replaced as a whole. */
  memPolicy = { mode: 0, nodes: 0 }
  /** Events of the host thread so far: one more proves that the host calls ordered before have run. */
  events = 0
  /** Woken by the next event; set by who waits for host calls of this task. */
  eventQueue: WaitQueue | null = null
  /** STOPPED: the result to go on with. */
  stoppedResult = 0
  /** CLONE_CHILD_CLEARTID / set_tid_address(2). */
  clearChildTid = 0
  /** vfork: the parent that waits for this task's exec or exit. */
  vforkParent: Task | null = null
  robustList = 0
  /** PI futexes that it owns and others wait for: pi-futex.ts. */
  piOwned: Set<PiState> | null = null
  exitCode = 0
  /** In a wait that only a fatal signal may end: vfork(2), and that for an answer of seccomp_unotify(2). */
  unsignalable = false
  /** During exec: the host thread of the old program, stopped in its call; null otherwise. */
  oldThread: ThreadContext | null = null
  /** Scheduling parameters; stored and reported, the host decides. */
  readonly sched = new SchedState()
  /** What arch_prctl(ARCH_SET_GS) has set. */
  gsBase = 0
  /** The result of a call whose end waits for `Platform.frame`; null for none. */
  unframed: number | null = null
  /** PR_MCE_KILL: late, early or (2) as the system has it. */
  memoryErrorPolicy = 2
  /** personality(2). */
  personality = 0
  /** /proc/PID/loginuid and sessionid: 2^32 - 1 for none. */
  loginUid = 0xffffffff
  auditSession = 0xffffffff
  /** prctl(PR_SET_TIMERSLACK). */
  timerSlackNs = 50_000
  /** seccomp(2): owned by seccomp-filter.ts; null when the task has none. */
  seccomp: SeccompState | null = null
  /** While its call waits for an answer of another process: SECCOMP_RET_USER_NOTIF. */
  notification: Notification | null = null
  /** A signal has ended that wait: when the call starts again, it is judged again. */
  judgeAgain = false
  /** landlock(7): what the task has denied itself. */
  landlock: Domain | null = null
  /** keyrings(7): owned by keys/lookup.ts. */
  threadKeyring: Key | null = null
  sessionKeyring: Key | null = null
  /** KEYCTL_SET_REQKEY_KEYRING. */
  requestKeyring = 0
  /** What semop(2) with SEM_UNDO has done; null for nearly all. */
  semUndo: UndoList | null = null
  /** CPU time used by earlier host threads of this task (before exec). */
  earlierCpu: Readonly<CpuTimes> = { userNs: 0, systemNs: 0 }
  /** What `looksAsleep` saw last: CPU time, and when it was first seen so. */
  seenCpuNs = -1
  seenAtNs = 0
  /** CLOCK_MONOTONIC ns. */
  startNs = 0
  readonly #waiter: TaskWaiter
  readonly #timer: TaskTimer
  /** Linked in the kernel's run queue. */
  queued = false

  constructor(
    kernel: Kernel,
    pid: Pid,
    group: ThreadGroup,
    thread: ThreadContext,
    mm: Mm,
    files: FdTable,
    fs: FsContext,
    creds: Creds,
    nsproxy: NsProxy,
  ) {
    this.kernel = kernel
    this.pid = pid
    this.tid = pid.number
    this.group = group
    this.thread = thread
    this.mm = mm
    this.files = files
    this.fs = fs
    this.creds = creds
    this.nsproxy = nsproxy.ref()
    creds.userNs.ref()
    this.signals = new TaskSignals()
    this.io = new UserIo(this)
    this.#waiter = new TaskWaiter(this)
    this.#timer = new TaskTimer(this)
    this.startNs = kernel.clock.monotonicNs()
  }

  /** The pid namespace it lives in: task_active_pid_ns. */
  get pidNs(): PidNamespace {
    return this.pid.ns
  }

  get isLeader(): boolean {
    return this.tid === this.group.tgid
  }

  /**
   * Sleep until `queue` is woken with one of `events`, a signal arrives, or `restart.deadline` (when set)
   * passes; the handler is then called again. Returns -EBLOCKED, for the handler to return.
   */
  block(queue: WaitQueue | null, events: number): number {
    if (queue !== null) queue.add(this.#waiter, events)
    if (this.restart.deadline > 0) this.kernel.timers.arm(this.#timer, this.restart.deadline)
    return -EBLOCKED
  }

  /**
   * A long call has done a part (`restart.done` tells which) and lets others have their turn: its handler is called again
   * when they have been heard. Returns -EBLOCKED, for the handler to return.
   */
  giveTurn(): number {
    this.restart.deadline = this.kernel.clock.monotonicNs()
    return this.block(null, 0)
  }

  /** Leave whatever the task sleeps on and let it run (again). Spurious wake-ups are harmless. */
  wakeUp(): void {
    if (this.state !== BLOCKED) return
    this.stopWaiting()
    this.kernel.makeRunnable(this)
  }

  stopWaiting(): void {
    this.#waiter.unlink()
    this.kernel.timers.cancel(this.#timer)
  }
}

/**
 * The one blocking helper: gives `n` back unless it is -EAGAIN on a file that may block; then the task
 * sleeps until the file reports one of `events`, and the handler runs again from its start.
 *
 * Rules for handlers that block: consume nothing before the call is certain to finish; wake-ups may be
 * spurious; what must survive a re-run sits in `task.restart`.
 */
export function orBlock(task: Task, file: File, events: number, n: number): number {
  if (n !== -EAGAIN || file.nonblocking || task.restart.timedOut) return n
  return task.block(file.ops.queue, events)
}
