// The kernel: everything that exists once per sandbox.

import type { HostFd } from '../../native/index.ts'
import { InotifyLimits } from '../fs/inotify-limits.ts'
import type { Platform } from '../platform.ts'
import { MountNamespace } from '../vfs/mount.ts'
import { AioLimits } from './aio-limits.ts'
import { CgroupSystem } from './cgroup.ts'
import { HostEvents } from './host-events.ts'
import type { Allotment } from './limits.ts'
import { LoadAverages } from './load.ts'
import { INITIAL_INO } from './namespace.ts'
import { initialNamespaces, type NsProxy } from './nsproxy.ts'
import { PidNamespace } from './pid-namespace.ts'
import type { SigInfo } from './signal-state.ts'
import { BLOCKED, STOPPED, type Task } from './task.ts'
import type { ThreadGroup } from './thread-group.ts'
import { TimerQueue } from './timer.ts'
import { Tunables } from './tunables.ts'
import { INITIAL_USER_NAMESPACE } from './user-namespace.ts'

/** Clocks in nanoseconds as doubles. Realtime is split, because ns since 1970 exceed 2^53. */
export interface Clock {
  monotonicNs(): number
  /** Fills sec and nsec of CLOCK_REALTIME. */
  realtime(into: { sec: number; nsec: number }): void
}

/** What uname(2) and /proc tell of this kernel. */
export interface SystemName {
  sysname: string
  release: string
  version: string
  machine: string
}

/** Names that a sandbox begins with; each uts namespace has its own. */
export interface HostNames {
  nodename: string
  domainname: string
}

/** Who watches what happens to tasks besides their calls. */
export interface Tracer {
  signal(task: Task, info: SigInfo): void
  exited(task: Task, status: number): void
}

export class Kernel {
  readonly platform: Platform
  readonly clock: Clock
  readonly timers = new TimerQueue()
  /** All there are, in whatever namespace; by number they are found in their pid namespaces. */
  readonly tasks = new Set<Task>()
  readonly groups = new Set<ThreadGroup>()
  /** Task of each platform context, by ThreadContext.id. */
  readonly taskOfThread: (Task | undefined)[] = []
  /** Those of the first process. */
  readonly namespaces: NsProxy
  /** The first process; the sandbox ends with it. */
  init!: ThreadGroup
  readonly system: SystemName
  /** What /proc/sys and the configuration can change, and other code obeys. */
  readonly tunables = new Tunables()
  /** Monotonic ns when the sandbox started: zero of its uptime. */
  readonly bootNs: number
  /** Shared scratch for handlers: never held over a call that may run another handler. */
  readonly scratch = new Uint8Array(1 << 16)
  readonly scratchView = new DataView(this.scratch.buffer)
  /** The same bytes, to make strings of. */
  readonly scratchText = Buffer.from(this.scratch.buffer)
  /** For bulk transfers of read and write. */
  readonly bounce = new Uint8Array(1 << 20)
  readonly bounceView = new DataView(this.bounce.buffer)
  /** CPUs that the program is told of. */
  cpus = 1
  /** CPUs that the container may use, one byte each; null for all. */
  cpuset: Uint8Array | null = null
  /** What a pod's further containers have of the machine, by container. */
  readonly allotments = new Map<string, Allotment>()
  /** Called for each host process that does not come of a fork, before it runs anything of the program. */
  placeProcess: ((task: Task) => void) | null = null
  cgroups: CgroupSystem = new CgroupSystem(2, () => null)
  /** Physical memory that the program is told of, in bytes. */
  memoryBytes = 0
  /** Set when init is gone: the run loop returns. */
  halted = false
  /** Host fds that the kernel watches: stdio, terminals, the control socket. */
  readonly hostEvents: HostEvents
  readonly load: LoadAverages
  /** Called at the entry of a call for tasks whose `entryWork` is set; a result other than 0 replaces the call. */
  syscallEntry: (task: Task, nr: number) => number = () => 0
  /** Called with the final result for tasks whose `exitWork` is set. */
  syscallExit: (task: Task, result: number) => void = () => {}
  /** --strace: told of signals that are delivered and of tasks that end. */
  tracer: Tracer | null = null
  /**
   * A descriptor of a memory file that cannot be written, for programs that may only read it; -errno. Without
   * somebody to make one (in tests) programs get the file's own.
   */
  reopenReadOnly: ((fd: HostFd) => number) | null = null
  /** Queued signals by the real uid that pays for them: RLIMIT_SIGPENDING. */
  readonly queuedSignals = new Map<number, number>()
  readonly inotify = new InotifyLimits()
  readonly aio = new AioLimits()
  /** Pseudo-terminals that there are. */
  ptys = 0
  /** AT_HWCAP, AT_HWCAP2 and AT_MINSIGSTKSZ of the host's CPU, set at boot. */
  readonly cpuFeatures = {
    hwcap: 0,
    hwcap2: 0,
    minSigStackSize: 3376,
    rseqSize: 0,
    rseqAlign: 0,
  }
  readonly #runQueue: Task[] = []

  constructor(platform: Platform, clock: Clock, system: SystemName & HostNames) {
    this.platform = platform
    this.clock = clock
    this.system = system
    this.namespaces = initialNamespaces(
      this,
      new MountNamespace(INITIAL_USER_NAMESPACE, INITIAL_INO.mnt),
      new PidNamespace(null, INITIAL_USER_NAMESPACE, INITIAL_INO.pid),
      system.nodename,
      system.domainname,
    )
    this.bootNs = clock.monotonicNs()
    this.hostEvents = new HostEvents(platform)
    this.load = new LoadAverages(this.bootNs)
  }

  /** The first mount namespace. */
  get mounts(): MountNamespace {
    return this.namespaces.mnt
  }

  /** Queue a blocked task (its handler is called again) or a stopped one (it goes on with `stoppedResult`). */
  makeRunnable(task: Task): void {
    if (task.queued || (task.state !== BLOCKED && task.state !== STOPPED)) return
    task.queued = true
    this.#runQueue.push(task)
  }

  nextRunnable(): Task | undefined {
    const task = this.#runQueue.shift()
    if (task !== undefined) task.queued = false
    return task
  }

  get hasRunnable(): boolean {
    return this.#runQueue.length > 0
  }
}
