// `runsc exec`: a further process in a container that runs.

import { closeSync } from 'node:fs'
import { close, type HostFd } from '../native/host.ts'
import { ContainerCgroup, closeAll } from './cgroup/container-cgroup.ts'
import { checkConsole, openConsole } from './console.ts'
import { request, requestNow } from './control.ts'
import { CliError } from './errors.ts'
import { warner } from './log.ts'
import type { GlobalOptions } from './options.ts'
import { type FdOptions, passedFds } from './passed-fds.ts'
import { writePidFile } from './pid-file.ts'
import { processConfig } from './process-config.ts'
import { pair, SOCK_STREAM } from './sandbox.ts'
import { readJson, readSpec, type Spec, type SpecProcess, validateProcess } from './spec.ts'
import { openNamespaces, rememberStandIn, type StandIn, startStandIn } from './stand-in.ts'
import { type ContainerState, isAlive, StateStore, statusOf } from './state.ts'
import { forwardSignals, relayTerminal } from './terminal.ts'

/** What the command line says; where it says nothing, the container's own process is the model, as for runc. */
export interface ExecOptions extends GlobalOptions, FdOptions {
  process?: string
  detach: boolean
  pidFile?: string
  internalPidFile?: string
  consoleSocket?: string
  cwd?: string
  env: string[]
  tty: boolean
  user?: string
  additionalGids: number[]
  cap: string[]
  newPrivs: boolean
  ignorePaused: boolean
}

/** Returns the exit status for this process. */
export async function execProcess(
  options: ExecOptions,
  id: string,
  args: string[],
): Promise<number> {
  const store = new StateStore(options.root)
  const state = store.load(id)
  checkRuns(state, options.ignorePaused)
  try {
    return await execIn(store, state, options, args)
  } catch (error) {
    // Whatever it was that could not be done: the container has ended in between.
    throw isAlive(state) ? error : new CliError('cannot exec in a stopped container')
  }
}

async function execIn(
  store: StateStore,
  state: ContainerState,
  options: ExecOptions,
  args: string[],
): Promise<number> {
  const { id } = state
  const spec = specOf(state, options)
  const program =
    spec === null ? readProcess(options.process!) : processOf(spec.process, options, args)
  checkConsole(program.terminal, options.detach, options.consoleSocket)
  const passed = passedFds(options)
  const config = {
    ...processConfig(
      program,
      spec?.linux.personality?.domain ?? 'LINUX',
      warner(options),
      passed,
      options.consoleSocket,
    ),
    // `initial` is for runtimes that begin outside of the container's cgroup.
    affinity: (program.execCPUAffinity ?? spec?.process.execCPUAffinity)?.final || null,
  }
  const [outside, terminal] = terminalPair(program, options)
  const [link, sandboxLink] = pair(SOCK_STREAM)
  const cgroup = ContainerCgroup.load(store.directory(id))
  const entrances = cgroup?.openEntrances() ?? []
  const namespaces = openNamespaces(state)
  const standIn = await startStandIn({
    args: program.args,
    link,
    // A relayed terminal belongs to whoever runs us.
    terminal: outside === null ? terminal : null,
    namespaces,
    entrances,
    detached: options.detach,
  })
  closeSync(link)
  closeAll([...entrances, ...Object.values(namespaces)])
  let pid: number
  try {
    const streams = terminal === null ? [0, 1, 2] : [terminal]
    streams.push(...passed.map(({ host }) => host))
    const message = { command: 'exec', container: id, process: config }
    const answer = requestNow(store.controlSocket(id), message, [sandboxLink, ...streams])
    pid = Number((answer as { pid?: unknown }).pid)
    rememberStandIn(store.directory(id), standIn.pid, pid)
    const { internalPidFile } = options
    if (internalPidFile !== undefined) writePidFile(internalPidFile, pid)
    if (options.pidFile !== undefined) writePidFile(options.pidFile, standIn.pid)
  } catch (error) {
    standIn.kill()
    throw error
  } finally {
    close(sandboxLink)
    if (terminal !== null) close(terminal)
  }
  if (options.detach) return 0
  return attend(standIn, outside, (rows, columns) => {
    const message = { command: 'resize', container: id, pid, rows, columns }
    request(store.controlSocket(id), message).catch(() => {})
  })
}

function checkRuns(state: ContainerState, ignorePaused: boolean): void {
  const status = statusOf(state)
  if (status === 'stopped') throw new CliError('cannot exec in a stopped container')
  if (status === 'paused' && !ignorePaused)
    throw new CliError('cannot exec in a paused container (use --ignore-paused to override)')
}

/** Null when it cannot be read, and is not needed for more than the personality. */
function specOf({ bundle }: ContainerState, options: ExecOptions): Spec | null {
  try {
    return readSpec(bundle, () => {})
  } catch (error) {
    if (options.process === undefined) throw error
    return null
  }
}

const readProcess = (file: string): SpecProcess => validateProcess(readJson(file), file)

function processOf(model: SpecProcess, options: ExecOptions, args: string[]): SpecProcess {
  if (options.process !== undefined) return readProcess(options.process)
  if (args.length === 0)
    throw new CliError('exec: give the process as a command, or as a file by --process')
  const wrong = options.env.find(entry => entry.indexOf('=') <= 0)
  if (wrong !== undefined) throw new CliError(`--env takes NAME=VALUE, not "${wrong}"`)
  const [uid, gid] = userOf(options.user, model.user)
  const caps = model.capabilities
  const more = options.cap
  return {
    ...model,
    args,
    terminal: options.tty,
    cwd: options.cwd ?? model.cwd,
    env: [...model.env, ...options.env],
    user: {
      ...model.user,
      uid,
      gid,
      additionalGids: [...model.user.additionalGids, ...options.additionalGids],
    },
    noNewPrivileges: options.newPrivs ? model.noNewPrivileges : true,
    ...(more.length === 0
      ? {}
      : {
          capabilities: {
            bounding: [...(caps?.bounding ?? []), ...more],
            effective: [...(caps?.effective ?? []), ...more],
            permitted: [...(caps?.permitted ?? []), ...more],
            inheritable: caps?.inheritable ?? [],
            // Only what is inheritable can be ambient: runc leaves it alone where nothing is.
            ambient: [...(caps?.ambient ?? []), ...(caps?.inheritable.length ? more : [])],
          },
        }),
  }
}

/** UID[:GID], numbers both. */
function userOf(
  text: string | undefined,
  model: { uid: number; gid: number },
): [uid: number, gid: number] {
  if (text === undefined) return [model.uid, model.gid]
  const match = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(text)
  const uid = Number(match?.[1])
  const gid = match?.[2] === undefined ? model.gid : Number(match[2])
  if (match === null || uid >= 2 ** 32 || gid >= 2 ** 32)
    throw new CliError(`--user takes UID[:GID] in numbers, not "${text}"`)
  return [uid, gid]
}

/** What we relay, and the sandbox's side of the terminal. */
function terminalPair(
  process: SpecProcess,
  { consoleSocket }: ExecOptions,
): [outside: HostFd | null, terminal: HostFd | null] {
  if (!process.terminal) return [null, null]
  return consoleSocket === undefined
    ? pair(SOCK_STREAM)
    : [null, openConsole(consoleSocket, process.consoleSize)]
}

async function attend(
  standIn: StandIn,
  outside: HostFd | null,
  resize: (rows: number, columns: number) => void,
): Promise<number> {
  const stop = forwardSignals(standIn.pid)
  const leave = outside === null ? null : relayTerminal(outside, resize)
  const status = await standIn.exited
  await leave?.()
  stop()
  return status
}
