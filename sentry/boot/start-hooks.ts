// startContainer hooks: programs of the container, run inside of it by its user just before its own program is, one
// after the other. As under runc they have the state on their standard input, and what they write is told only when
// they fail.

import { errnoMessage } from '../../syscall-table/errno.ts'
import { O_RDONLY, O_WRONLY, SIGKILL } from '../../syscall-table/flags.ts'
import type { ContainerConfig, HookConfig, ProcessConfig } from '../config.ts'
import { unnamedFile } from '../fs/tmpfs/mount.ts'
import { discard } from '../kernel/clone.ts'
import type { SeccompState } from '../kernel/seccomp-filter.ts'
import { signalFromOutside } from '../kernel/signal-send.ts'
import type { Task } from '../kernel/task.ts'
import type { ThreadGroup } from '../kernel/thread-group.ts'
import { Timer } from '../kernel/timer.ts'
import { readPart } from '../loader/read-file.ts'
import { KernelIo } from '../mm/io.ts'
import { Dentry } from '../vfs/dentry.ts'
import { File } from '../vfs/file.ts'
import type { Inode } from '../vfs/inode.ts'
import type { Mount } from '../vfs/mount.ts'
import { BootError } from './boot-error.ts'
import { createProcess, prepareProgram, startProgram } from './init.ts'

/** What of a hook's output goes into a message. */
const OUTPUT_MAX = 500
const NS_PER_S = 1e9

/** Run the hooks; `done` is told once, with the failure of the first that failed or null. */
export function runStartHooks(
  init: Task,
  config: ContainerConfig,
  seccomp: SeccompState | null,
  done: (error: BootError | null) => void,
): void {
  const next = (i: number): void => {
    const hook = config.startHooks[i]
    if (hook === undefined) return done(null)
    const failed = (why: string) =>
      done(new BootError(`error running startContainer hook #${i}: ${hook.path}: ${why}`))
    try {
      new RunningHook(init, hook, config, seccomp, why =>
        why === null ? next(i + 1) : failed(why),
      )
    } catch (error) {
      if (!(error instanceof BootError)) throw error
      failed(error.message)
    }
  }
  next(0)
}

class RunningHook extends Timer {
  readonly #group: ThreadGroup
  readonly #seconds: number | null
  readonly #output: File
  readonly #ended: (why: string | null) => void
  #late = false

  constructor(
    { kernel, nsproxy }: Task,
    hook: HookConfig,
    config: ContainerConfig,
    seccomp: SeccompState | null,
    ended: (why: string | null) => void,
  ) {
    super()
    const task = createProcess(kernel, nsproxy, config.id)
    if (typeof task === 'number') throw new BootError(`make a process: ${errnoMessage(-task)}`)
    this.#group = task.group
    this.#seconds = hook.timeout
    this.#ended = ended
    this.#output = openStreams(task, config.hookState)
    try {
      const process = hookProcess(hook, config.process)
      startProgram(task, process, prepareProgram(task, process, seccomp, hook.path))
    } catch (error) {
      this.#output.unref()
      discard(task)
      throw error
    }
    task.group.onExit = () => this.#onExit(task)
    if (hook.timeout !== null)
      kernel.timers.arm(this, kernel.clock.monotonicNs() + hook.timeout * NS_PER_S)
  }

  override onTimer(): void {
    this.#late = true
    signalFromOutside(this.#group, SIGKILL)
  }

  #onExit(task: Task): void {
    task.kernel.timers.cancel(this)
    const { exitStatus } = this.#group
    const why = exitStatus === 0 ? null : this.#describe(task, exitStatus)
    this.#output.unref()
    this.#ended(why)
  }

  #describe(task: Task, status: number): string {
    if (this.#late) return `ran past its timeout of ${this.#seconds} s`
    const signal = status & 0x7f
    const how = signal !== 0 ? `ended by signal ${signal}` : `exit status ${status >> 8}`
    const { bounce } = task.kernel
    const n = readPart(task, this.#output, bounce, 0, OUTPUT_MAX)
    const text = Buffer.from(bounce.buffer, bounce.byteOffset, Math.max(n, 0)).toString('utf8')
    return `${how}, output: ${text.trim()}`
  }
}

/** The container's process, but for its program. A hook without an environment has the container's. */
function hookProcess(hook: HookConfig, process: ProcessConfig): ProcessConfig {
  const { path, args, env } = hook
  return {
    ...process,
    args: args.length > 0 ? args : [path],
    env: env.length > 0 ? env : process.env,
    terminal: false,
  }
}

/** The state to read, and a file that takes all output. Returns the latter. */
function openStreams(task: Task, state: string): File {
  const input = memoryFile(task, O_RDONLY)
  const bytes = Buffer.from(state, 'utf8')
  const writer = memoryFile(task, O_WRONLY, input)
  writer.ops.write(writer, new KernelIo(bytes), 0, task)
  writer.unref()
  const output = memoryFile(task, O_WRONLY)
  task.files.replace(0, input, false)
  task.files.replace(1, output, false)
  task.files.replace(2, output.ref(), false)
  return memoryFile(task, O_RDONLY, output)
}

/** An open file that nothing names; another opening of the same one where `of` is given. */
function memoryFile(task: Task, flags: number, of?: File): File {
  const made: { inode: Inode; mount: Mount } = of ?? unnamedFile(task.kernel, 0o600, task.creds)
  const { inode, mount } = made
  const ops = inode.open(task, flags)
  if (typeof ops === 'number') throw new BootError(`open a file in memory: ${errnoMessage(-ops)}`)
  const dentry = of?.dentry ?? new Dentry('hook', null, inode)
  dentry.detached = true
  return new File(ops, inode, dentry, mount, flags)
}
