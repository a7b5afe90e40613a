// For drivers that kill somebody of a container while a command is at work on it.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Process, processes, type seeded } from './leftovers.ts'

/** A command may be slow on a busy machine, but it ends. */
const HANG_MS = 120_000
/** About as long as a command takes; the next time, it is known. */
const FIRST_MS = 200

/** Who there is of a container, by process. */
export const MEMBERS = {
  runsc: ({ line }: Process) => /load\.cjs runsc/.test(line),
  sentry: ({ line }: Process) =>
    /node \S*load\.cjs sentry/.test(line) && !line.includes('launcher'),
  gofer: ({ line }: Process) => /node \S*load\.cjs gofer/.test(line) && !line.includes('launcher'),
  launcher: ({ line }: Process) => line.includes('launcher'),
  'a stand-in': ({ comm, line }: Process) => comm !== 'stub' && line.startsWith('sleep'),
  'a stub': ({ comm }: Process) => comm === 'stub',
} as const
export type Member = keyof typeof MEMBERS

/** End a process; false when it has ended by itself. */
export function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}

/** `runsc` with its state below `root`. */
export class Runsc {
  readonly #runsc: string
  readonly root: string

  constructor(runsc: string, root: string) {
    this.#runsc = runsc
    this.root = root
  }

  /** Runs a command to its end. */
  now(...args: string[]): { status: number | null; output: string } {
    const { status, stdout, stderr } = spawnSync(this.#runsc, ['--root', this.root, ...args], {
      encoding: 'utf8',
      timeout: HANG_MS,
      killSignal: 'SIGKILL',
    })
    return { status, output: stdout + stderr }
  }

  /** What it starts keeps its streams, which must not be pipes that we read to the end. */
  start(args: readonly string[]): ChildProcess {
    const output = openSync(this.#output, 'w')
    const stdio = ['ignore', output, output] as const
    const child = spawn(this.#runsc, ['--root', this.root, ...args], { stdio: [...stdio] })
    closeSync(output)
    return child
  }

  /** Run a command that must succeed and leaves something running. */
  async must(args: readonly string[]): Promise<void> {
    const child = this.start(args)
    if ((await ended(child)) && child.exitCode === 0) return
    const how = child.exitCode ?? child.signalCode ?? 'it hangs'
    throw new Error(`${args.join(' ')}: ${how}: ${readFileSync(this.#output, 'utf8')}`)
  }

  get #output(): string {
    return `${this.root}.output`
  }

  /** What `state` tells: a status, "none" when there is no such container, or what is wrong. */
  status(id: string): string {
    const { status, output } = this.now('state', id)
    if (status === 0) return JSON.parse(output).status
    return output.includes('does not exist') && output.trim().split('\n').length === 1
      ? 'none'
      : `state: ${status} ${output}`
  }
}

/** Whether a process ends in time. */
export const ended = (child: ChildProcess): Promise<boolean> =>
  new Promise(done => {
    if (child.exitCode !== null || child.signalCode !== null) return done(true)
    const timer = setTimeout(() => done(false), HANG_MS)
    child.on('exit', () => {
      clearTimeout(timer)
      done(true)
    })
  })

/** Kills while a command is at work. */
export class Strike {
  readonly #chance: ReturnType<typeof seeded>
  /** How long a command took when it was at work last, in milliseconds. */
  readonly #took = new Map<string, number>()

  constructor(chance: ReturnType<typeof seeded>) {
    this.#chance = chance
  }

  /**
   * Some time after `child` has begun with `step`, kill one of those that are `member`; wait for one as long as it is at
   * work. False when there was none.
   */
  async at(
    step: string,
    member: Member,
    child: ChildProcess,
    among: (p: Process) => boolean = () => true,
  ): Promise<boolean> {
    const start = performance.now()
    child.on('exit', () => this.#took.set(step, performance.now() - start))
    await sleep(this.#chance.random() * (this.#took.get(step) ?? FIRST_MS))
    while (performance.now() < start + HANG_MS) {
      const over = child.exitCode !== null || child.signalCode !== null
      const candidates = processes().filter(p => MEMBERS[member](p) && among(p))
      if (candidates.length > 0) return kill(this.#chance.pick(candidates).pid)
      if (over) return false
      await sleep(1)
    }
    return false
  }
}

/** Wait for what is about to be so; false when it does not come. */
export async function until(test: () => boolean): Promise<boolean> {
  for (const end = Date.now() + HANG_MS; Date.now() < end; await sleep(20)) if (test()) return true
  return false
}
