// Starts the processes of a sandbox: the gofer, and the launcher that becomes the sentry.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { cpus, hostname, constants as osConstants, totalmem } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { ATTACH_HOST_UDS } from '../gofer/protocol.ts'
import { listenUnix, socketpair } from '../native/index.ts'
import {
  type BootReport,
  type CgroupConfig,
  type ContainerConfig,
  type SandboxConfig,
  type SandboxLimits,
  SENTRY_FDS,
  type StraceConfig,
} from '../sentry/config.ts'
import { errnoMessage } from '../syscall-table/errno.ts'
import { type SyscallName, syscalls } from '../syscall-table/syscalls.ts'
import { withoutNetRaw } from './capabilities.ts'
import { type ContainerCgroup, closeAll } from './cgroup/container-cgroup.ts'
import { type OomScores, oomScores } from './cgroup/oom-score.ts'
import type { Resources } from './cgroup/resources.ts'
import { checkConsole, openConsole } from './console.ts'
import { type Answer, request } from './control.ts'
import { deviceConfigs, sysctlConfigs } from './devices.ts'
import { CliError } from './errors.ts'
import { startHooks } from './hooks.ts'
import { idMapConfig } from './id-maps.ts'
import { openDebugFile } from './log.ts'
import { type Attach, closeTrees, latin1, openTrees } from './mounts.ts'
import { type Network, networkOf } from './network.ts'
import type { GlobalOptions } from './options.ts'
import { processConfig } from './process-config.ts'
import { seccompConfig } from './seccomp.ts'
import type { Spec } from './spec.ts'
import type { Warn } from './spec-check.ts'
import { relayTerminal } from './terminal.ts'

const here = dirname(fileURLToPath(import.meta.url))
/** Everything built lies beside the bundle; the sources are run from runsc/. */
export const build = here.endsWith('build') ? here : join(here, '../build')
export const SOCK_SEQPACKET = 5
export const SOCK_STREAM = 1
const NOBODY = 65534
const EXIT_KILLED = 137
/** What a sandbox and a small program take of the container's memory; Docker allows no lower limit either. */
const LEAST_MEMORY = 6 << 20
/** Namespaces of the processes that serve the sandbox. */
const NAMESPACES = ['--mount', '--ipc', '--uts']
const FIRST_INHERITED = 3
/** Words of the program's command line that the process list shows. */
const MAX_TITLE = 64
/** Mounts that what stands for the container shows. */
const MAX_TREES = 256
/** Where the sentry's launcher tells that it has made the namespaces. */
const LAUNCHER_REPORT = SENTRY_FDS.standIn + 1
/** The launcher's own end of the socket between the program and what stands for it. */
const LAUNCHER_LINK = LAUNCHER_REPORT + 1
/** Cgroup files follow. */
const FIRST_ENTRANCE = LAUNCHER_LINK + 1

export interface LaunchOptions {
  id: string
  spec: Spec
  bundle: string
  overlay: boolean
  globals: GlobalOptions
  controlSocket: string
  cgroup: ContainerCgroup | null
  waitForStart: boolean
  /** --console-socket: who gets the master of the program's terminal. */
  consoleSocket?: string
  /** The sandbox outlives this process. */
  detached: boolean
  /** Called with the pid of what stands for the container before it could outlive us. */
  spawned?: (pid: number) => void
  /** Told what is no reason to fail. */
  warn: Warn
  /** What the container's own hooks read. */
  hookState: Record<string, unknown>
  /** Called when the sandbox's namespaces exist and before its files are there; `pid` lives in them. */
  namespacesMade?: (pid: number) => Promise<void>
}

/** A sandbox that this process has started. */
export interface Sandbox {
  /** Host pid of the process that stands for the container. */
  readonly pid: number
  /** Exit status of the program, once it has ended. */
  readonly exited: Promise<number>
  control(message: { command: string; [key: string]: unknown }): Promise<Answer>
  kill(): void
  /** Leave it running when this process ends. */
  abandon(): void
}

/** Start a sandbox and wait until its program is about to run (or, with `waitForStart`, could). */
export async function launchSandbox(options: LaunchOptions): Promise<Sandbox> {
  const { spec, globals } = options
  // Before any process starts, and before anything is made: a wrong configuration must leave none behind.
  const network = networkOf(spec, globals)
  const scores = oomScores(spec.process.oomScoreAdj, options.cgroup?.resources.memory?.limit ?? 0)
  if (!scores.sure)
    options.warn(
      'linux.resources.memory.limit: when so little runs out, the whole container may end instead of one of its processes (runsc lacks CAP_SYS_RESOURCE, and would need 48 MiB without it)',
    )
  const config = sandboxConfig(options, network, scores)
  const { attach, mounts } = openTrees(spec, options.bundle, options.overlay)
  config.mounts = mounts
  const goferPair = pair(SOCK_SEQPACKET)
  const [relay, terminal] = openTerminal(options)
  const linkPair = pair(SOCK_STREAM)
  const control = listen(options.controlSocket)
  const log = logFile(globals, options.id)
  const stub = openSync(join(build, 'stub'), constants.O_RDONLY)
  const placement = { entrances: options.cgroup?.openEntrances() ?? [], scores }
  config.cgroup = cgroupConfig(options.cgroup, placement.entrances.length)

  // The sentry first: everything else waits for it.
  const inherited = [goferPair[1], control, stub, log, terminal]
  const sentry = startSentry(options, network, inherited, linkPair, placement, attach)
  try {
    await namespacesMade(options, sentry)
  } catch (error) {
    sentry.kill('SIGKILL')
    throw error
  }
  if (globals.hostUds === 'open') for (const tree of attach) tree.flags |= ATTACH_HOST_UDS
  const gofer = startGofer(options, goferPair[0], attach, placement)
  closeTrees(attach)
  const owned = [...goferPair, ...linkPair, control, stub, log]
  if (terminal !== null) owned.push(terminal)
  for (const fd of owned) closeSync(fd)
  closeAll(placement.entrances)

  // Until it has its configuration, it ends when we do; from then on the state on disk tells of it.
  options.spawned?.(sentry.pid!)
  send(sentry.stdio[FIRST_INHERITED] as Writable, config)
  const exited = exitStatus(sentry)
  const sandbox: Sandbox = {
    pid: sentry.pid!,
    exited,
    control: message => request(options.controlSocket, message),
    kill: () => void sentry.kill('SIGKILL'),
    abandon: () => {
      for (const child of [sentry, gofer]) child.unref()
    },
  }
  try {
    await bootReport(sentry, exited, options.cgroup)
  } catch (error) {
    // It may be on its way into a cgroup that is removed now, and would complain.
    gofer.kill('SIGKILL')
    throw error
  }
  if (relay !== null) joinTerminal(relay, sandbox, exited)
  return sandbox
}

/** The two sides of the program's terminal, the sandbox's second; an engine has the first one itself. */
export function openTerminal({
  spec,
  detached,
  consoleSocket,
}: LaunchOptions): [relay: number | null, terminal: number | null] {
  const { terminal, consoleSize } = spec.process
  checkConsole(terminal, detached, consoleSocket)
  if (!terminal) return [null, null]
  return consoleSocket === undefined
    ? pair(SOCK_STREAM)
    : [null, openConsole(consoleSocket, consoleSize)]
}

export function pair(type: number): [number, number] {
  const fds = new Int32Array(2)
  const n = socketpair(type, fds)
  if (n < 0) throw new CliError(`cannot make a socket pair: ${errnoMessage(-n)}`)
  return [fds[0]!, fds[1]!]
}

function listen(path: string): number {
  // Through its directory: engines keep state under longer paths than a socket's address holds.
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  const fd = listenUnix(`/proc/self/fd/${directory}/${basename(path)}`)
  closeSync(directory)
  if (fd < 0) throw new CliError(`cannot listen on ${path}: ${errnoMessage(-fd)}`)
  return fd
}

function logFile(globals: GlobalOptions, id: string): number {
  const { strace, debugLog, alsologtostderr } = globals
  // A copy of stderr, when strace has no file to go to.
  const options = { ...globals, alsologtostderr: strace || alsologtostderr }
  const wanted = globals.debug || strace || debugLog !== undefined
  return (wanted ? openDebugFile(options, 'sentry', id) : null) ?? openSync('/dev/null', 'a')
}

/** The container's cgroup files to enter by, and who is to be killed when memory runs out. */
interface Placement {
  entrances: number[]
  scores: OomScores
}

/** What stands for a container shows its files where the container has them. */
export interface View {
  fds: number[]
  places: string[]
}

export function viewOf(attach: readonly Attach[]): View {
  const shown = attach.filter(({ view }) => view !== null).slice(0, MAX_TREES)
  return {
    fds: shown.map(({ view }) => view!),
    places: shown.map(({ place }) => Buffer.from(place, 'latin1').toString()),
  }
}

const NO_VIEW: View = { fds: [], places: [] }

/** The launcher in front of one of our bundles. The entrances are inherited behind `stdio`, and then the view. */
function launch(
  program: string,
  args: string[],
  namespaces: string[],
  stdio: ('ignore' | 'pipe' | 'inherit' | number)[],
  { entrances, scores }: Placement,
  detached: boolean,
  view: View = NO_VIEW,
): ChildProcess {
  const firstTree = stdio.length + entrances.length
  const flags = [
    ...namespaces,
    ...entrances.flatMap((_, i) => ['--join-cgroup', String(stdio.length + i)]),
    ...view.places.flatMap((place, i) => ['--tree', String(firstTree + i), place]),
    ...(scores.own === null ? [] : ['--oom-score-adj', String(scores.own)]),
    ...(detached ? [] : ['--die-with-parent']),
  ]
  const command = [...flags, '--filter', join(build, 'node-start.bpf'), '--', process.execPath]
  const { PORTCULLIS_RECORD_CODE: record } = process.env
  return spawn(join(build, 'launcher'), [...command, join(build, 'load.cjs'), program, ...args], {
    stdio: [...stdio, ...entrances, ...view.fds],
    // In a session of its own: the terminal's signals come once only, from us.
    detached: true,
    env: record === undefined ? {} : { PORTCULLIS_RECORD_CODE: record },
  })
}

export function startGofer(
  { detached }: LaunchOptions,
  socket: number,
  attach: readonly Attach[],
  placement: Placement,
): ChildProcess {
  const first = FIRST_INHERITED + 2
  const gofer = launch(
    'gofer',
    [String(FIRST_INHERITED)],
    [...NAMESPACES, '--net'],
    [
      'ignore',
      'ignore',
      detached ? 'ignore' : 'inherit',
      'pipe',
      socket,
      ...attach.map(({ fd }) => fd),
    ],
    placement,
    true,
  )
  send(gofer.stdio[FIRST_INHERITED] as Writable, {
    socket: FIRST_INHERITED + 1,
    cgroups: placement.entrances.map((_, i) => first + attach.length + i),
    attachPoints: attach.map(({ flags }, i) => ({ fd: first + i, flags })),
  })
  gofer.unref()
  return gofer
}

function startSentry(
  options: LaunchOptions,
  network: Network,
  [gofer, control, stub, log, terminal]: (number | null)[],
  [ownLink, launcherLink]: [number, number],
  placement: Placement,
  attach: readonly Attach[],
): ChildProcess {
  const inherited = [gofer!, control!, stub!, 'pipe' as const, log!]
  const program = terminal === null ? ('inherit' as const) : ('ignore' as const)
  const flags = [...NAMESPACES, '--pid', ...network.launcher, '--stand-in', String(LAUNCHER_LINK)]
  if (options.consoleSocket !== undefined) flags.push('--terminal', String(SENTRY_FDS.terminal))
  flags.push(...options.spec.process.args.slice(0, MAX_TITLE).flatMap(arg => ['--title', arg]))
  // Who starts a container with a console socket reads our output to its end.
  const errors = options.consoleSocket === undefined ? ('inherit' as const) : ('ignore' as const)
  const stdio = [program, program, errors, 'pipe' as const, ...inherited]
  stdio.push(terminal ?? 'ignore', ownLink, 'pipe', launcherLink)
  flags.push('--report-pid', String(LAUNCHER_REPORT))
  return launch('sentry', [], flags, stdio, placement, options.detached, viewOf(attach))
}

/** The launcher tells its program's pid once it has made the namespaces, or what it could not do. */
async function namespacesMade(options: LaunchOptions, sentry: ChildProcess): Promise<void> {
  if (options.namespacesMade === undefined) return
  await launcherReport(sentry)
  if (sentry.exitCode === null) await options.namespacesMade(sentry.pid!)
}

async function launcherReport(sentry: ChildProcess): Promise<void> {
  const text = await readAll(sentry.stdio[LAUNCHER_REPORT] as Readable)
  const complaint = /^launcher: (.*)$/m.exec(text)
  if (complaint !== null) throw new CliError(`cannot set the sandbox up: ${complaint[1]}`)
}

async function readAll(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  // Read before already: nothing more comes.
  if (!stream.readableEnded) for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

function send(stream: Writable, value: unknown): void {
  // The reader may have died: its own report tells why.
  stream.on('error', () => {})
  // The stream is a socket, whose open reading side would keep this process from ending.
  stream.end(JSON.stringify(value), () => stream.destroy())
}

function exitStatus(sentry: ChildProcess): Promise<number> {
  return new Promise((done, failed) => {
    sentry.on('error', cause =>
      failed(new CliError(`cannot start the sentry: ${cause.message}`, { cause })),
    )
    sentry.on('exit', (code, signal) => done(code ?? 128 + osConstants.signals[signal!]))
  })
}

async function bootReport(
  sentry: ChildProcess,
  exited: Promise<number>,
  cgroup: ContainerCgroup | null,
): Promise<void> {
  const line = await readAll(sentry.stdio[FIRST_INHERITED + 4] as Readable)
  if (line === '') {
    await launcherReport(sentry)
    const limit = cgroup?.resources.memory?.limit ?? 0
    if ((await exited) === EXIT_KILLED && limit > 0 && limit < LEAST_MEMORY)
      throw new CliError(
        `linux.resources.memory.limit: ${limit} bytes are not enough for a sandbox to start: give it at least ${LEAST_MEMORY}`,
      )
    throw new CliError(
      `the sentry ended before it was ready (exit status ${await exited}); --debug --debug-log tells more`,
    )
  }
  const report = JSON.parse(line) as BootReport
  if (!report.ok) throw new CliError(report.error, { exitStatus: report.exitStatus })
}

export function joinTerminal(fd: number, sandbox: Sandbox, exited: Promise<number>): void {
  const leave = relayTerminal(fd, (rows, columns) => {
    sandbox.control({ command: 'resize', rows, columns }).catch(() => {})
  })
  void exited.then(leave)
}

/** All but the mounts and the cgroup. */
function sandboxConfig(options: LaunchOptions, network: Network, scores: OomScores): SandboxConfig {
  const { spec, globals } = options
  return {
    ...containerConfig(options),
    platform: globals.platform,
    network: network.kind,
    networkCapabilities: network.capabilities,
    idMaps: idMapConfig(spec),
    debug: globals.debug,
    cgroup: null,
    oomScoreAdj: scores.program,
    host: { cpus: cpus().length, memoryBytes: totalmem(), uid: NOBODY, gid: NOBODY },
  }
}

/** What a container of a pod has, too. */
export function containerConfig(options: LaunchOptions): ContainerConfig {
  const { spec, globals, warn } = options
  const { linux } = spec
  return {
    id: options.id,
    network: 'none',
    hostname: latin1(spec.hostname || defaultHostname(spec, options.id)),
    domainname: latin1(spec.domainname || '(none)'),
    process: processConfig(
      globals.netRaw ? spec.process : withoutNetRaw(spec.process),
      linux.personality?.domain ?? 'LINUX',
      warn,
    ),
    root: { readonly: spec.root.readonly, overlay: options.overlay },
    mounts: [],
    devices: deviceConfigs(linux.devices),
    maskedPaths: linux.maskedPaths.map(latin1),
    readonlyPaths: linux.readonlyPaths.map(latin1),
    sysctls: sysctlConfigs(linux.sysctl),
    seccomp: globals.ociSeccomp ? seccompConfig(linux.seccomp) : null,
    startHooks: startHooks(spec),
    hookState: JSON.stringify(options.hookState),
    waitForStart: options.waitForStart,
    strace: globals.strace ? straceConfig(globals) : null,
  }
}

/** --strace-syscalls and --strace-log-size. */
function straceConfig({ straceSyscalls, straceLogSize }: GlobalOptions): StraceConfig {
  const names = straceSyscalls?.split(',').filter(name => name !== '') ?? []
  const calls = names.map(name => {
    if (!Object.hasOwn(syscalls, name))
      throw new CliError(`--strace-syscalls: there is no system call "${name}"`)
    return syscalls[name as SyscallName].nr
  })
  return { calls: calls.length === 0 ? null : calls, bytes: straceLogSize }
}

/** Without a namespace of its own, a container goes by the host's name: `docker run --uts=host`. */
const defaultHostname = ({ linux }: Spec, id: string): string =>
  linux.namespaces.some(({ type }) => type === 'uts') ? id : hostname()

function cgroupConfig(cgroup: ContainerCgroup | null, entrances: number): CgroupConfig | null {
  if (cgroup === null) return null
  const { version, paths, resources } = cgroup
  const join = Array.from({ length: entrances }, (_, i) => FIRST_ENTRANCE + i)
  return { version, paths, join, limits: sandboxLimits(resources) }
}

/** What the sentry enforces or shows itself. */
export function sandboxLimits({ memory, pids, cpu }: Resources): SandboxLimits {
  const positive = (n: number | undefined) => (n !== undefined && n > 0 ? n : null)
  return {
    pids: positive(pids?.limit),
    memoryBytes: positive(memory?.limit),
    cpus: cpu?.cpus || null,
  }
}
