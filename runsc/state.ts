// What runsc remembers of containers: <root>/<id>/state.json, written atomically. A container's directory
// also holds its control socket. A process that died half-way leaves files that every command copes with.

import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import * as v from 'valibot'
import { makeDirectories } from './directories.ts'
import { CliError } from './errors.ts'
import { isStill, lockDirectory, openDirectory } from './lock.ts'
import { hookSchema } from './spec-schema.ts'
import { type FrontFacts, stateText } from './state-text.ts'
import { OCI_VERSION } from './version.ts'
import { writeWhole } from './whole-file.ts'

const ID_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_+.-]{0,1022}$/
/** There as long as the container waits for `start`: taking a file away works on a full disk, too. */
const WAITS = 'waits'
/** As large as a config.json may be: its hooks and annotations are kept. */
const MAX_STATE_BYTES = 32 << 20

const stateSchema = v.object({
  id: v.string(),
  bundle: v.string(),
  /** Host pid of the sandbox, and its start time in clock ticks: together they name a process for good. */
  pid: v.pipe(v.number(), v.integer(), v.minValue(0)),
  startTime: v.string(),
  created: v.string(),
  owner: v.number(),
  annotations: v.record(v.string(), v.string()),
  /** Those that run after the container's creation. */
  hooks: v.optional(v.object({ poststart: v.array(hookSchema), poststop: v.array(hookSchema) }), {
    poststart: [],
    poststop: [],
  }),
  /** The file that tells whether the host has frozen the container: paused. */
  freezer: v.optional(v.string(), ''),
})

export interface ContainerState extends v.InferOutput<typeof stateSchema> {
  /** It has been told to run: the file `waits` is gone. */
  started: boolean
}
export type Status = 'created' | 'running' | 'paused' | 'stopped'

/** Refuse ids that could leave the root directory or that no engine would accept. */
export function checkId(id: string): void {
  if (!ID_PATTERN.test(id)) {
    throw new CliError(
      `container id "${id}" is invalid: letters, digits, "_", "-", "+" and "." only, not starting with a sign`,
    )
  }
}

export class StateStore {
  readonly root: string
  /** The directory of the container that is being made here. */
  #reserved: number | null = null

  constructor(root: string) {
    this.root = root
  }

  directory(id: string): string {
    checkId(id)
    return join(this.root, id)
  }

  controlSocket(id: string): string {
    return join(this.directory(id), 'control.sock')
  }

  /** The container whose sandbox this one is in: its own, or that of its pod. Null when it has none. */
  sandboxOf(id: string): string | null {
    try {
      return basename(dirname(realpathSync(this.controlSocket(id))))
    } catch {
      return null
    }
  }

  /** Reserve the id by making its directory; fails when the container exists. */
  reserve(id: string): void {
    const directory = this.directory(id)
    try {
      makeDirectories(this.root, 0o711)
    } catch (cause) {
      throw new CliError(`cannot make ${this.root}: ${(cause as Error).message}`, { cause })
    }
    try {
      mkdirSync(directory, { mode: 0o700 })
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      if (code === 'EEXIST')
        throw new CliError(`container "${id}" exists already: delete it first, or take another id`)
      throw new CliError(`cannot make ${directory}: ${message}`, { cause })
    }
    this.#reserved = openDirectory(directory)
    try {
      closeSync(openSync(join(directory, WAITS), 'wx', 0o600))
    } catch (cause) {
      this.remove(id)
      throw new CliError(`cannot write in ${directory}: ${(cause as Error).message}`, { cause })
    }
  }

  /** Run `action` while no other command changes the container; null when it does not exist (any more). */
  async locked<T>(id: string, action: () => T | Promise<T>): Promise<T | null> {
    const lock = await lockDirectory(this.directory(id))
    if (lock === null) return null
    try {
      return await action()
    } finally {
      lock.release()
    }
  }

  /** Whether the container that is being made here has not been deleted. */
  ownsReserved(id: string): boolean {
    return this.#reserved !== null && isStill(this.directory(id), this.#reserved)
  }

  /** Keep the state of a container that is being made here. */
  save(state: ContainerState, facts: FrontFacts): void {
    this.checkReserved(state.id)
    const text = stateText(state, facts)
    writeWhole(join(this.directory(state.id), 'state.json'), text, 0o600)
  }

  /** Somebody may have deleted the container that is being made here, and even made another one of that name. */
  checkReserved(id: string): void {
    if (!this.ownsReserved(id))
      throw new CliError(`container "${id}" was deleted while it was being made`)
  }

  /** The container has been started: that is kept, unless it has been deleted since. */
  async saveStarted(state: ContainerState): Promise<void> {
    await this.locked(state.id, () => {
      const now = this.tryLoad(state.id)
      if (now?.pid === state.pid && now.startTime === state.startTime)
        rmSync(join(this.directory(state.id), WAITS), { force: true })
    })
  }

  load(id: string): ContainerState {
    const state = this.tryLoad(id)
    if (state === null)
      throw new CliError(`container "${id}" does not exist (state is kept under ${this.root})`)
    return state
  }

  tryLoad(id: string): ContainerState | null {
    const file = join(this.directory(id), 'state.json')
    let fd: number
    try {
      // What would have to be waited for is no state either.
      fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw new CliError(`cannot read ${file}: ${(cause as Error).message}`, { cause })
    }
    try {
      const state = v.parse(stateSchema, JSON.parse(readState(fd)))
      return { ...state, started: !existsSync(join(this.directory(id), WAITS)) }
    } catch (cause) {
      throw new CliError(
        `${file} is damaged (${(cause as Error).message}): remove it with \`runsc delete --force ${id}\``,
        { cause },
      )
    } finally {
      closeSync(fd)
    }
  }

  remove(id: string): void {
    // A command that was at work in there may just have made another file.
    rmSync(this.directory(id), { recursive: true, force: true, maxRetries: 20, retryDelay: 5 })
  }

  /** Ids that have a directory, in order. */
  ids(): string[] {
    try {
      return readdirSync(this.root)
        .filter(name => ID_PATTERN.test(name))
        .sort()
    } catch {
      return []
    }
  }
}

function readState(fd: number): string {
  const stat = fstatSync(fd)
  if (!stat.isFile()) throw new Error('it is no file')
  if (stat.size > MAX_STATE_BYTES)
    throw new Error(`${stat.size} bytes are more than ${MAX_STATE_BYTES}`)
  return readFileSync(fd, 'utf8')
}

/** Start time of a process in clock ticks since boot, or null when it is gone (or a zombie). */
export function processStartTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}

/** Whether the sandbox lives: the pid may have been given to another process since. */
export function isAlive(state: ContainerState): boolean {
  return state.pid > 0 && processStartTime(state.pid) === state.startTime
}

/** Send a signal to the process that stands for a container; false when it is gone. */
export function signalSandbox(state: ContainerState, signal: NodeJS.Signals): boolean {
  if (!isAlive(state)) return false
  try {
    process.kill(state.pid, signal)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw new CliError(`container "${state.id}": cannot signal it: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** freezer.state of cgroup version 1, or cgroup.freeze of version 2. */
function isFrozen(file: string): boolean {
  if (file === '') return false
  try {
    return /^(1|FROZEN|FREEZING)\n/.test(readFileSync(file, 'latin1'))
  } catch {
    return false
  }
}

export function statusOf(state: ContainerState): Status {
  if (!isAlive(state)) return 'stopped'
  if (isFrozen(state.freezer)) return 'paused'
  return state.started ? 'running' : 'created'
}

/** The state of a container whose sandbox can answer. */
export function liveState(store: StateStore, id: string, doing: string): ContainerState {
  const state = store.load(id)
  const status = statusOf(state)
  if (status === 'stopped' || status === 'paused')
    throw new CliError(`${doing}: container "${id}" is ${status}`)
  return state
}

/** The control socket of such a container. */
export function liveSocket(store: StateStore, id: string, doing: string): string {
  liveState(store, id, doing)
  return store.controlSocket(id)
}

/** The state document of the OCI specification, runtime.md#state. */
export function ociState(state: ContainerState): Record<string, unknown> {
  const status = statusOf(state)
  return {
    ociVersion: OCI_VERSION,
    id: state.id,
    status,
    pid: status === 'stopped' ? 0 : state.pid,
    bundle: state.bundle,
    annotations: state.annotations,
  }
}
