// The processes of a sandbox. runsc has forked them when it started (native/addon/fork.cc); here each gets its
// orders: the gofer, the sentry, and the launcher between the sentry and us.

import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Forked, forked, pipe2, reap, sendOrders } from '../native/host.ts'
import { SENTRY_FDS } from '../sentry/config.ts'
import { EAGAIN, errnoMessage } from '../syscall-table/errno.ts'
import { O_CLOEXEC } from '../syscall-table/flags.ts'
import { build } from './build.ts'
import { closeAll } from './cgroup/container-cgroup.ts'
import type { OomScores } from './cgroup/oom-score.ts'
import { CliError } from './errors.ts'
import { latin1 } from './latin1.ts'
import type { Attach } from './mounts.ts'
import type { View } from './sandbox.ts'
import { shownWords } from './title.ts'

/** In the sentry, cgroup files follow what is always there. */
export const FIRST_ENTRANCE = SENTRY_FDS.standIn + 1
/** The launcher's descriptors: where it tells what it has done, its socket to the sentry, and the program's terminal. */
const LAUNCHER_FDS = { report: 4, link: 5, terminal: 6, firstEntrance: 7 }
/** The gofer's: its configuration, its socket to the sentry; the attach points follow. */
const GOFER_FDS = { config: 3, socket: 4, firstAttach: 5 }
/** The status of a process whose end nobody can tell any more. */
const UNKNOWN_EXIT = 128

/** The container's cgroup files to enter by, and who is to be killed when memory runs out. */
export interface Placement {
  entrances: number[]
  scores: OomScores
  /** Memory is limited: only what is used by the container may be charged to it. */
  limited: boolean
}

/** What the sentry inherits. */
export interface SentryFds {
  gofer: number
  control: number
  stub: number
  log: number
  /** Of the program: a terminal's other side; without it, it has our standard streams. */
  terminal: number | null
  /** Both ends of the socket between the sentry and what stands for its first process. */
  standIn: readonly [number, number]
}

export interface SentryOptions {
  /** The program's command line. */
  args: readonly string[]
  /** The launcher's flags for its network. */
  network: readonly string[]
  /** The terminal is an engine's, and our own output too. */
  console: boolean
  /** It outlives this process. */
  detached: boolean
  view: View
  /** Further descriptors of the program, behind the entrances. */
  passed: readonly number[]
}

/** A sentry that has been started. */
export interface Sentry {
  /** Host pid of the launcher, which stands for the container. */
  readonly pid: number
  readonly exited: Promise<number>
  hasExited(): boolean
  /** Do not keep this process for it. */
  unref(): void
  kill(): void
  /** Send it its configuration. */
  configure(config: unknown): void
  /** What it tells of its start; '' when it has ended. */
  report(): string
  /** Wait until the launcher has made the namespaces. Fails with what it could not do. */
  namespacesMade(): void
}

let processes: Forked | null | undefined

function ours(): Forked {
  processes ??= forked()
  if (processes === null)
    throw new CliError('this process cannot make a sandbox: start it by bin/runsc, as root')
  return processes
}

/** A container of a pod has no sentry of its own: let ours end. */
export function dismissSentry(): void {
  const { launcher, sentry } = ours().orders
  closeSync(launcher)
  closeSync(sentry)
}

export function startSentry(fds: SentryFds, options: SentryOptions, placement: Placement): Sentry {
  const { launcher: pid, orders } = ours()
  const [configOut, configIn] = pipe()
  const [reportOut, reportIn] = pipe()
  const [launcherOut, launcherIn] = pipe()
  const nothing = openSync('/dev/null', 'r+')
  const streams = fds.terminal === null ? [0, 1] : [nothing, nothing]
  // Who starts a container with a console socket reads our output to its end.
  streams.push(options.console ? nothing : 2)
  const byNumber = { ...fds, config: configOut, report: reportIn, standIn: fds.standIn[0] }
  const inherited = [...streams]
  for (const [name, number] of Object.entries(SENTRY_FDS))
    inherited[number] = byNumber[name as keyof typeof byNumber] ?? nothing
  sendOrders(orders.sentry, [...inherited, ...placement.entrances, ...options.passed])
  const held = options.console ? fds.terminal! : nothing
  const launcherFds = [
    launcherIn,
    fds.standIn[1],
    held,
    ...placement.entrances,
    ...options.view.fds,
  ]
  sendOrders(orders.launcher, launcherFds, launcherCommand(options, placement).join('\0'))
  closeAll([configOut, reportIn, launcherIn, nothing, orders.sentry, orders.launcher])

  const exit = watchExit(pid)
  let complaint: string | undefined
  const namespacesMade = () => {
    complaint ??= /^launcher: (.*)$/m.exec(readToEnd(launcherOut))?.[1] ?? ''
    if (complaint !== '') throw new CliError(`cannot set the sandbox up: ${complaint}`)
  }
  return {
    pid,
    ...exit,
    kill: () => kill(pid),
    configure: config => send(configIn, config),
    report: () => readToEnd(reportOut),
    namespacesMade,
  }
}

function launcherCommand(options: SentryOptions, { entrances, scores }: Placement): string[] {
  const { report, link, terminal, firstEntrance } = LAUNCHER_FDS
  const firstTree = firstEntrance + entrances.length
  return [
    join(build, 'launcher'),
    ...options.network,
    ...['--report-pid', String(report), '--stand-in', String(link)],
    ...(options.console ? ['--terminal', String(terminal)] : []),
    ...entrances.flatMap((_, i) => ['--join-cgroup', String(firstEntrance + i)]),
    ...options.view.places.flatMap((place, i) => ['--tree', String(firstTree + i), place]),
    ...(scores.own === null ? [] : ['--oom-score-adj', String(scores.own)]),
    ...(options.detached ? [] : ['--die-with-parent']),
    ...shownWords(options.args).flatMap(word => ['--title', latin1(word)]),
    '--',
  ]
}

/** Its pid. */
export function startGofer(
  detached: boolean,
  socket: number,
  attach: readonly Attach[],
  { entrances, scores, limited }: Placement,
): number {
  const { gofer, orders } = ours()
  if (scores.own !== null) setOomScore(gofer, scores.own)
  const { config, socket: own, firstAttach } = GOFER_FDS
  const [configOut, configIn] = pipe()
  const nothing = openSync('/dev/null', 'r+')
  const trees = attach.map(({ fd }) => fd)
  const inherited = [nothing, nothing, detached ? nothing : 2]
  inherited[config] = configOut
  inherited[own] = socket
  sendOrders(orders.gofer, [...inherited, ...trees, ...entrances])
  closeAll([configOut, nothing, orders.gofer])
  send(configIn, {
    socket: own,
    limited,
    cgroups: entrances.map((_, i) => firstAttach + trees.length + i),
    attachPoints: attach.map(({ flags }, i) => ({ fd: firstAttach + i, flags })),
  })
  return gofer
}

function setOomScore(pid: number, score: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(score))
  } catch (cause) {
    // One that has ended is missed soon enough.
    const { code } = cause as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ESRCH') throw cause
  }
}

function pipe(): [number, number] {
  const ends = new Int32Array(2)
  const n = pipe2(ends, O_CLOEXEC)
  if (n < 0) throw new CliError(`cannot make a pipe: ${errnoMessage(-n)}`)
  return [ends[0]!, ends[1]!]
}

/** All that comes, and close it. */
function readToEnd(fd: number): string {
  try {
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}

function send(fd: number, value: unknown): void {
  try {
    writeFileSync(fd, JSON.stringify(value))
  } catch (cause) {
    // The reader may have died: its own report tells why.
    if ((cause as NodeJS.ErrnoException).code !== 'EPIPE') throw cause
  } finally {
    closeSync(fd)
  }
}

export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}

/** Waits for a child that Node.js does not know of. */
function watchExit(pid: number): Pick<Sentry, 'exited' | 'hasExited' | 'unref'> {
  let over = false
  // Neither a signal's handler nor a promise keeps Node.js from ending.
  const keep = setInterval(() => {}, 2 ** 31 - 1)
  const exited = new Promise<number>(done => {
    const check = () => {
      const status = reap(pid)
      if (over || status === -EAGAIN) return
      over = true
      clearInterval(keep)
      process.off('SIGCHLD', check)
      done(status < 0 ? UNKNOWN_EXIT : exitStatus(status))
    }
    process.on('SIGCHLD', check)
    check()
  })
  return { exited, hasExited: () => over, unref: () => void keep.unref() }
}

/** As shells count, from a wait(2) status. */
function exitStatus(status: number): number {
  const signal = status & 0x7f
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal
}
