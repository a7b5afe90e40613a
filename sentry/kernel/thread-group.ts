// Thread groups (processes), process groups and sessions: struct signal_struct and the pid links.

import type { Terminal } from '../vfs/terminal.ts'
import type { CpuTimes } from './accounting.ts'
import type { Cgroup, CgroupHierarchy } from './cgroup.ts'
import type { IntervalTimers } from './itimer.ts'
import type { Kernel } from './kernel.ts'
import type { Key } from './keys/key.ts'
import type { Pid } from './pid-namespace.ts'
import type { PosixTimer } from './posix-timer.ts'
import type { TracedExit, Tracee } from './ptrace.ts'
import { PendingSignals, type SigHandlers } from './signal-state.ts'
import type { Task } from './task.ts'
import { WaitQueue } from './wait-queue.ts'

/** RLIMIT_* values: soft and hard; RLIM_INFINITY is Infinity. */
export interface Rlimit {
  cur: number
  max: number
}

export class Session {
  readonly pid: Pid
  /** The process that called setsid(2); null once it has ended. */
  leader: ThreadGroup | null = null
  terminal: Terminal | null = null
  readonly groups = new Set<ProcessGroup>()
  constructor(pid: Pid) {
    this.pid = pid
  }
}

export class ProcessGroup {
  readonly pid: Pid
  readonly session: Session
  readonly members = new Set<ThreadGroup>()
  constructor(pid: Pid, session: Session) {
    this.pid = pid
    this.session = session
    session.groups.add(this)
  }
}

export class ThreadGroup {
  readonly kernel: Kernel
  readonly pid: Pid
  /** The process id in the namespace of `pid`. */
  readonly tgid: number
  leader!: Task
  readonly tasks: Task[] = []
  parent: ThreadGroup | null
  readonly children = new Set<ThreadGroup>()
  pgrp: ProcessGroup
  handlers: SigHandlers
  readonly pending = new PendingSignals()
  /** ptrace(2): the tasks that this process traces, and those of them that have ended. */
  readonly tracees = new Set<Tracee>()
  readonly tracedExits: TracedExit[] = []
  /** Woken when a child changes state: wait4. */
  readonly childQueue = new WaitQueue()
  rlimits: Rlimit[]
  /** Signal sent to the parent at exit; SIGCHLD, or what clone's low byte said. */
  exitSignal = 17
  /** wait(2) status once `exiting`. */
  exitStatus = 0
  /** exit_group or a fatal signal is under way: every task exits as soon as it can. */
  exiting = false
  /** Job control: stopped by this signal (0: not), and whether the parent has been told. */
  stopSignal = 0
  stopReported = true
  /** SIGCONT has come and wait(WCONTINUED) not yet. */
  continued = false
  /** All tasks are zombies; the parent may reap. */
  zombie = false
  /** PR_SET_CHILD_SUBREAPER. */
  subreaper = false
  /** The thread of the parent that this is a child of: its end counts as the parent's death. */
  parentTask: Task | null = null
  /** PR_SET_PDEATHSIG. */
  parentDeathSignal = 0
  /** /proc/PID/oom_score_adj. */
  oomScoreAdj = 0
  /** PR_SET_DUMPABLE. */
  dumpable = 1
  /** ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF and the RLIMIT_CPU watch; made on first use by itimer.ts. */
  itimers: IntervalTimers | null = null
  /** timer_create(2); made on first use by posix-timer.ts. */
  posixTimers: Map<number, PosixTimer> | null = null
  /** Where it is in each cgroup hierarchy when that is not the root; replaced as a whole, never changed. */
  cgroups: ReadonlyMap<CgroupHierarchy, Cgroup> | null = null
  /** It has, or had, more than one thread since its last exec. */
  threaded = false
  /** Executed since fork: setpgid by the parent is refused. */
  didExec = false
  /** CPU time of reaped children. */
  childUtimeNs = 0
  childStimeNs = 0
  /** CPU time of this process's threads that have ended. */
  endedUtimeNs = 0
  endedStimeNs = 0
  /** What was last told of its CPU time: see accounting.ts. */
  shownCpu: Readonly<CpuTimes> = { userNs: 0, systemNs: 0 }
  /** Most memory ever used, in KiB: getrusage(2). */
  maxRssKb = 0
  childMaxRssKb = 0
  /** Woken when the process ends, and when it is reaped: pidfds. */
  readonly exitQueue = new WaitQueue()
  /** keyrings(7): that of all its threads. */
  processKeyring: Key | null = null
  /** Reaped: no pid refers to it any more. */
  reaped = false
  /** Job control: a stop that waits for all tasks to notice, or is complete. */
  stopComplete = false
  /** Process 1 of its pid namespace: signals from within reach it only when it has a handler. SIGNAL_UNKILLABLE. */
  unkillable = false
  /** Init took a fault it does not handle: it dies of that although kill(2) could not end it. */
  faulted = false
  /** Id of the container that it belongs to: a pod has several in one sandbox. */
  container = ''
  /** Told once when the process ends: processes that were started from outside of the sandbox. */
  onExit: ((group: ThreadGroup) => void) | null = null

  constructor(
    kernel: Kernel,
    pid: Pid,
    parent: ThreadGroup | null,
    pgrp: ProcessGroup,
    handlers: SigHandlers,
    rlimits: Rlimit[],
  ) {
    this.kernel = kernel
    this.pid = pid
    this.tgid = pid.number
    this.parent = parent
    this.pgrp = pgrp
    this.handlers = handlers
    this.rlimits = rlimits
    pgrp.members.add(this)
    parent?.children.add(this)
  }

  get session(): Session {
    return this.pgrp.session
  }
}
