// Tells the processes of a sandbox what they are to be: the gofer, the launcher and the sentry, which runsc has forked when
// it started.

import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { cpus, hostname, tmpdir, totalmem } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { listenUnix, socketpair } from '../native/host.ts'
import type {
  BootReport,
  CgroupConfig,
  ContainerConfig,
  SandboxConfig,
  StraceConfig,
} from '../sentry/config.ts'
import { errnoMessage } from '../syscall-table/errno.ts'
import { O_PATH } from '../syscall-table/flags.ts'
import { type SyscallName, syscalls } from '../syscall-table/syscalls.ts'
import { build } from './build.ts'
import { withoutNetRaw } from './capabilities.ts'
import { type ContainerCgroup, closeAll } from './cgroup/container-cgroup.ts'
import { type OomScores, oomScores } from './cgroup/oom-score.ts'
import { sandboxLimits } from './cgroup/sandbox-limits.ts'
import { checkConsole, openConsole } from './console.ts'
import { type Answer, request } from './control.ts'
import { deviceConfigs, sysctlConfigs } from './devices.ts'
import { CliError } from './errors.ts'
import { startHooks } from './hooks.ts'
import { idMapConfig } from './id-maps.ts'
import { latin1 } from './latin1.ts'
import { copyOfStderr, openDebugFile } from './log.ts'
import { PROPAGATION } from './mount-options.ts'
import { type Attach, closeTrees, type FileOptions, openTrees } from './mounts.ts'
import { type Network, networkOf } from './network.ts'
import type { GlobalOptions } from './options.ts'
import type { PassedFd } from './passed-fds.ts'
import { processConfig } from './process-config.ts'
import {
  FIRST_ENTRANCE,
  kill,
  type Placement,
  type Sentry,
  startGofer,
  startSentry,
} from './processes.ts'
import { seccompConfig } from './seccomp.ts'
import type { Spec } from './spec.ts'
import type { Warn } from './spec-check.ts'
import { relayTerminal } from './terminal.ts'

export const SOCK_SEQPACKET = 5
export const SOCK_STREAM = 1
const NOBODY = 65534
const EXIT_KILLED = 137
/** What a sandbox and a small program take of the container's memory; Docker allows no lower limit either. */
const LEAST_MEMORY = 6 << 20
/** Mounts that what stands for the container shows. */
const MAX_TREES = 256

export interface LaunchOptions {
  id: string
  spec: Spec
  bundle: string
  files: FileOptions
  /** Descriptors of ours that the program gets. */
  passed: readonly PassedFd[]
  globals: GlobalOptions
  /** Null for one without a name, of which only this process knows. */
  controlSocket: string | null
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
  const { attach, root, mounts } = openTrees(spec, options.bundle, options.files)
  Object.assign(config, { root, mounts })
  const goferPair = pair(SOCK_SEQPACKET)
  const [relay, terminal] = openTerminal(options)
  const linkPair = pair(SOCK_STREAM)
  const [control, controlSocket] = openControl(options.controlSocket)
  const log = logFile(globals, options.id, options.detached)
  const stub = openSync(join(build, 'stub'), constants.O_RDONLY)
  const placement = placementOf(options.cgroup, scores)
  config.cgroup = cgroupConfig(options.cgroup, placement.entrances.length)
  const firstPassed = FIRST_ENTRANCE + placement.entrances.length
  config.passed = options.passed.map((_, i) => firstPassed + i)

  // The sentry first: everything else waits for it.
  const sentry = startSentry(
    { gofer: goferPair[1], control, stub, log, terminal, standIn: linkPair },
    {
      args: spec.process.args,
      network: network.launcher,
      console: options.consoleSocket !== undefined,
      detached: options.detached,
      view: viewOf(attach),
      passed: options.passed.map(({ host }) => host),
    },
    placement,
  )
  try {
    await namespacesMade(options, sentry)
  } catch (error) {
    sentry.kill()
    throw error
  }
  const gofer = startGofer(options.detached, goferPair[0], attach, placement)
  closeTrees(attach)
  const owned = [...goferPair, ...linkPair, control, stub, log]
  if (terminal !== null) owned.push(terminal)
  closeAll([...owned, ...placement.entrances])

  // Until it has its configuration, it ends when we do; from then on the state on disk tells of it.
  try {
    options.spawned?.(sentry.pid)
  } catch (error) {
    sentry.kill()
    kill(gofer)
    throw error
  }
  sentry.configure(config)
  const { pid, exited } = sentry
  try {
    await bootReport(sentry, options.cgroup)
  } catch (error) {
    // It may be on its way into a cgroup that is removed now, and would complain.
    kill(gofer)
    throw error
  }
  const sandbox: Sandbox = {
    pid,
    exited,
    control: message => request(controlSocket, message),
    kill: sentry.kill,
    abandon: sentry.unref,
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

/** A listening socket, and the path to it. */
function openControl(path: string | null): [socket: number, path: string] {
  if (path !== null) return [listen(path), path]
  const directory = mkdtempSync(join(tmpdir(), 'runsc-do-'))
  try {
    const socket = listen(join(directory, 'control.sock'))
    // It can be connected to as long as it is held, and leaves nothing behind however we end.
    return [socket, `/proc/self/fd/${openSync(join(directory, 'control.sock'), O_PATH)}`]
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function listen(path: string): number {
  // Through its directory: engines keep state under longer paths than a socket's address holds.
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  const fd = listenUnix(`/proc/self/fd/${directory}/${basename(path)}`)
  closeSync(directory)
  if (fd < 0) throw new CliError(`cannot listen on ${path}: ${errnoMessage(-fd)}`)
  return fd
}

const isLogged = ({ debug, strace, debugLog }: GlobalOptions): boolean =>
  debug || strace || debugLog !== undefined

/** Where the sentry writes to; without a log it is our stderr, as long as we wait for it: should it fail, it says so. */
function logFile(globals: GlobalOptions, id: string, detached: boolean): number {
  const logged = isLogged(globals)
  const toStderr = globals.strace || globals.alsologtostderr
  // A copy of stderr, when strace has no file to go to.
  const log = logged
    ? openDebugFile({ ...globals, alsologtostderr: toStderr }, 'sentry', id)
    : detached
      ? null
      : copyOfStderr()
  return log ?? openSync('/dev/null', 'a')
}

/** The container's place, for its processes. */
export function placementOf(cgroup: ContainerCgroup | null, scores: OomScores): Placement {
  const limited = (cgroup?.resources.memory?.limit ?? 0) > 0
  return { entrances: cgroup?.openEntrances() ?? [], scores, limited }
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

async function namespacesMade(options: LaunchOptions, sentry: Sentry): Promise<void> {
  if (options.namespacesMade === undefined) return
  sentry.namespacesMade()
  if (!sentry.hasExited()) await options.namespacesMade(sentry.pid)
}

async function bootReport(sentry: Sentry, cgroup: ContainerCgroup | null): Promise<void> {
  const line = sentry.report()
  if (line === '') {
    sentry.namespacesMade()
    const exitStatus = await sentry.exited
    const limit = cgroup?.resources.memory?.limit ?? 0
    if (exitStatus === EXIT_KILLED && limit > 0 && limit < LEAST_MEMORY)
      throw new CliError(
        `linux.resources.memory.limit: ${limit} bytes are not enough for a sandbox to start: give it at least ${LEAST_MEMORY}`,
      )
    throw new CliError(
      `the sentry ended before it was ready (exit status ${exitStatus}); --debug --debug-log tells more`,
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

/** All but the files and the cgroup. */
function sandboxConfig(options: LaunchOptions, network: Network, scores: OomScores): SandboxConfig {
  const { spec, globals } = options
  return {
    ...containerConfig(options),
    platform: globals.platform,
    network: network.kind,
    networkCapabilities: network.capabilities,
    idMaps: idMapConfig(spec),
    debug: isLogged(globals),
    cgroup: null,
    passed: [],
    oomScoreAdj: scores.program,
    host: { cpus: cpus().length, memoryBytes: totalmem(), uid: ownUser(), gid: NOBODY },
  }
}

/** Nobody; in a user namespace that has no other user than its root, the sentry stays that, without his rights. */
function ownUser(): number | null {
  const ranges = readFileSync('/proc/self/uid_map', 'latin1').trim().split('\n')
  const mapped = ranges.some(line => {
    const [first = 0, , count = 0] = line.trim().split(/ +/).map(Number)
    return first <= NOBODY && NOBODY < first + count
  })
  return mapped ? NOBODY : null
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
      options.passed,
      options.consoleSocket,
    ),
    root: { readonly: spec.root.readonly, shared: false, overlay: null },
    rootPropagation: PROPAGATION[linux.rootfsPropagation] ?? 0,
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
