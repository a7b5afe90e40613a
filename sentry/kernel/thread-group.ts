// Thread groups (processes), process groups and sessions: struct signal_struct and the pid links.

import type { Terminal } from '../vfs/terminal.ts'
import type { Kernel } from './kernel.ts'
import { PendingSignals, type SigHandlers } from './signal-state.ts'
import type { Task } from './task.ts'
import type { Timer } from './timer.ts'
import { WaitQueue } from './wait-queue.ts'


/** RLIMIT_* values: soft and hard; RLIM_INFINITY is Infinity. */
export interface Rlimit {
  cur: number
  max: number
}

export class Session {
  readonly sid: number
  terminal: Terminal | null = null
  readonly groups = new Set<ProcessGroup>()
  constructor(sid: number) {
    this.sid = sid
  }
}

export class ProcessGroup {
  readonly pgid: number
  readonly session: Session
  readonly members = new Set<ThreadGroup>()
  constructor(pgid: number, session: Session) {
    this.pgid = pgid
    this.session = session
    session.groups.add(this)
  }
}

export class ThreadGroup {
  readonly kernel: Kernel
  readonly tgid: number
  leader!: Task
  readonly tasks: Task[] = []
  parent: ThreadGroup | null
  readonly children = new Set<ThreadGroup>()
  pgrp: ProcessGroup
  handlers: SigHandlers
  readonly pending = new PendingSignals()
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
  /** PR_SET_PDEATHSIG. */
  parentDeathSignal = 0
  /** PR_SET_DUMPABLE. */
  dumpable = 1
  /** ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF and POSIX timers; owned by timers of syscalls/time. */
  itimerReal: Timer | null = null
  posixTimers: Map<number, unknown> | null = null
  /** Executed since fork: setpgid by the parent is refused. */
  didExec = false
  /** Resources of reaped children and of ended threads. */
  childUtimeNs = 0
  childStimeNs = 0
  /** Waiters for the end of one task of a group that is executing a new program. */
  readonly exitQueue = new WaitQueue()

  constructor(
    kernel: Kernel, tgid: number, parent: ThreadGroup | null, pgrp: ProcessGroup,
    handlers: SigHandlers, rlimits: Rlimit[],
  ) {
    this.kernel = kernel
    this.tgid = tgid
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
