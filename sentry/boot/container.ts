// A container as its commands see it: the processes that were made from outside, and their terminals.

import type { HostFd } from '../../native/index.ts'
import { ESRCH } from '../../syscall-table/errno.ts'
import {
  SIGABRT,
  SIGBUS,
  SIGFPE,
  SIGHUP,
  SIGILL,
  SIGINT,
  SIGKILL,
  SIGQUIT,
  SIGSEGV,
  SIGTERM,
  SIGTRAP,
} from '../../syscall-table/flags.ts'
import type { ContainerConfig, ProcessConfig } from '../config.ts'
import type { HostTerminal } from '../fs/host/terminal.ts'
import { discard } from '../kernel/clone.ts'
import { groupExit } from '../kernel/exit.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { NsProxy } from '../kernel/nsproxy.ts'
import type { SeccompState } from '../kernel/seccomp-filter.ts'
import type { Task } from '../kernel/task.ts'
import type { ThreadGroup } from '../kernel/thread-group.ts'
import type { BootError } from './boot-error.ts'
import { createProcess, prepareProgram, startProgram } from './init.ts'
import { StandIn } from './stand-in.ts'
import { openPassed, openStreams, openTerminal } from './streams.ts'
import { traceTask } from './trace.ts'

/** What waits for `start` in runc is a Go program, which these end and the others do nothing to. */
const FATAL_BEFORE_START = [
  SIGHUP,
  SIGINT,
  SIGQUIT,
  SIGILL,
  SIGTRAP,
  SIGABRT,
  SIGBUS,
  SIGFPE,
  SIGKILL,
  SIGSEGV,
  SIGTERM,
]

/** Told when the program runs, or why it does not. */
export type Started = (error: BootError | null) => void

export class Container {
  readonly kernel: Kernel
  readonly config: ContainerConfig
  /** Its first process: the container is as long as that. */
  readonly init: ThreadGroup
  /** Where its processes live. */
  readonly namespaces: NsProxy
  /** Its program has been told to run. */
  started = false
  readonly #start: (done: Started) => void
  readonly #seccomp: SeccompState | null
  readonly #terminals = new Map<ThreadGroup, HostTerminal>()
  /** Who is told the wait(2) status when a process ends. */
  readonly #waiters = new Map<ThreadGroup, Set<(status: number) => void>>()

  constructor(
    init: Task,
    config: ContainerConfig,
    seccomp: SeccompState | null,
    start: (done: Started) => void,
    terminal: HostTerminal | null,
  ) {
    this.kernel = init.kernel
    this.init = init.group
    this.namespaces = init.nsproxy
    this.config = config
    this.#start = start
    this.#seccomp = seccomp
    if (terminal !== null) this.#terminals.set(init.group, terminal)
  }

  /** Engines put files into a running container (`docker cp`), and then let a process or a signal make use of them. */
  doubtFiles(): void {
    for (const { sb } of this.namespaces.mnt.mounts) sb.doubt()
  }

  /** Run the container's program; false when that has been asked for before. */
  start(done: Started): boolean {
    if (this.started) return false
    this.started = true
    this.#start(done)
    return true
  }

  /** Whether this signal ends it because its program has not been told to run yet; then it has. */
  endsBeforeStart(signal: number): boolean {
    if (this.started || !FATAL_BEFORE_START.includes(signal)) return false
    groupExit(this.init, signal)
    return true
  }

  /** Those of its processes that are alive. */
  get processes(): ThreadGroup[] {
    return [...this.kernel.groups].filter(
      group => group.container === this.config.id && !group.zombie,
    )
  }

  /** The terminal that a process was made with. */
  terminal(group: ThreadGroup): HostTerminal | undefined {
    return this.#terminals.get(group)
  }

  /**
   * Make a further process. `fds` are those that it takes over, in order: the stand-in's socket, with a terminal that
   * terminal's other side, else 0, 1 and 2; then those that are passed. Throws BootError when it cannot run.
   */
  exec(process: ProcessConfig, fds: HostFd[]): ThreadGroup | number {
    if (this.init.exiting) return -ESRCH
    const task = createProcess(this.kernel, this.namespaces, this.config.id)
    if (typeof task === 'number') return task
    const standIn = new StandIn(task.group, fds.shift()!)
    try {
      this.#launch(task, process, fds, standIn)
    } catch (error) {
      standIn.close()
      discard(task)
      throw error
    }
    return task.group
  }

  #launch(task: Task, process: ProcessConfig, fds: HostFd[], standIn: StandIn): void {
    const { group } = task
    const terminal = process.terminal ? openTerminal(task, process, fds.shift()!) : null
    if (terminal === null) openStreams(task, process, fds.splice(0, 3))
    openPassed(task, process, fds.splice(0))
    const file = prepareProgram(task, process, this.#seccomp)
    startProgram(task, process, file)
    if (this.config.strace !== null) traceTask(task)
    group.onExit = () => {
      this.#terminals.delete(group)
      this.#ended(group)
      // Its end hangs the terminal up: not before all is there.
      if (terminal === null) standIn.end()
      else terminal.whenFlushed(() => standIn.end())
      terminal?.release()
    }
    if (terminal === null) return
    standIn.terminal = terminal
    this.#terminals.set(group, terminal)
  }

  /** Call `told` when the process ends. Returns what takes that back. */
  wait(group: ThreadGroup, told: (status: number) => void): () => void {
    let waiters = this.#waiters.get(group)
    if (waiters === undefined) {
      waiters = new Set()
      this.#waiters.set(group, waiters)
      const before = group.onExit
      group.onExit = ended => {
        before?.(ended)
        this.#ended(ended)
      }
    }
    waiters.add(told)
    return () => void waiters.delete(told)
  }

  #ended(group: ThreadGroup): void {
    const waiters = this.#waiters.get(group)
    this.#waiters.delete(group)
    for (const told of waiters ?? []) told(group.exitStatus)
  }
}
