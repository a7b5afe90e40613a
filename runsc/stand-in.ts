// Stand-ins of processes that `runsc exec` has made: host processes that die as those do. Which there are is kept in
// the container's directory, as files named PID-STARTTIME that hold the sandbox's own pid: one that outlived its
// process, because runsc was killed, names nobody.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { HostFd } from '../native/host.ts'
import { build } from './build.ts'
import { makeDirectory } from './directories.ts'
import { CliError } from './errors.ts'
import type { View } from './sandbox.ts'
import { type ContainerState, isAlive, processStartTime } from './state.ts'
import { shownWords } from './title.ts'

const FOLDER = 'exec'
/** Behind its standard streams come its end of the socket, its terminal, namespaces, cgroup files and a view. */
const FIRST_FD = 3

export interface StandInOptions {
  /** The command line that it shows. */
  args: readonly string[]
  link: HostFd
  terminal: HostFd | null
  /** Those to enter. */
  namespaces: StandInNamespaces
  entrances: readonly number[]
  /** The files that a further container of a pod shows in a mount namespace of its own. */
  view?: View
  /** It is nobody's child here: whoever runs us learns how it ends, even when it ends before us. */
  detached: boolean
}

/** Descriptors of namespaces; null for one to stay out of. */
export interface StandInNamespaces {
  net: HostFd
  mounts: HostFd | null
}

/** The namespaces of a container's own stand-in, which must be alive. The caller closes them. */
export function openNamespaces(state: ContainerState): { net: HostFd; mounts: HostFd } {
  const opened: number[] = []
  try {
    for (const name of ['net', 'mnt']) opened.push(openSync(`/proc/${state.pid}/ns/${name}`, 'r'))
    // Until here the pid could have become another process's.
    if (!isAlive(state)) throw new Error('it has ended')
    return { net: opened[0]!, mounts: opened[1]! }
  } catch (cause) {
    for (const fd of opened) closeSync(fd)
    // One that is ending has given up its namespaces before it is gone.
    const { code, message } = cause as NodeJS.ErrnoException
    const ended = code === 'ENOENT' || code === 'ESRCH' || !isAlive(state)
    const why = ended ? 'it has ended' : message
    throw new CliError(`cannot enter container "${state.id}": ${why}`, { cause })
  }
}

/** A stand-in that is ready. */
export interface StandIn {
  readonly pid: number
  /** Its exit status as shells count; when it is detached, it is for others to know. */
  readonly exited: Promise<number>
  kill(): void
}

/** Start one, in the container's cgroup; resolves once it is ready. */
export async function startStandIn(options: StandInOptions): Promise<StandIn> {
  const { args, link, terminal, namespaces, entrances, view, detached } = options
  const words = shownWords(args)
  const inherited: number[] = []
  const place = (fd: number | null): number => {
    if (fd === null) return -1
    return FIRST_FD + inherited.push(fd) - 1
  }
  const own = [link, terminal, namespaces.net, namespaces.mounts, ...entrances].map(place)
  const trees = view?.fds.map((fd, i) => [`TREE_${i}`, `${place(fd)} ${view.places[i]}`]) ?? []
  const child = spawn(join(build, 'stand-in'), words.slice(1), {
    argv0: words[0] ?? 'stand-in',
    stdio: ['ignore', 'pipe', 'pipe', ...inherited],
    env: { STAND_IN: [detached ? 1 : 0, ...own].join(' '), ...Object.fromEntries(trees) },
    detached: true,
  })
  let complaint = ''
  child.stderr!.on('data', chunk => (complaint += String(chunk)))
  child.on('error', error => (complaint = error.message))
  let answer = ''
  // It closes its standard streams when it is ready, or has failed.
  for await (const chunk of child.stdout as Readable) answer += String(chunk)
  const pid = Number(answer)
  if (complaint !== '' || !(pid > 0)) {
    child.kill('SIGKILL')
    throw new CliError(`cannot stand in for the process: ${complaint.trim() || 'it ended'}`)
  }
  return {
    pid,
    exited: detached ? new Promise(() => {}) : exited(child),
    kill: () => killProcess(pid),
  }
}

const exited = (child: ChildProcess): Promise<number> =>
  new Promise(done =>
    child.on('exit', (code, signal) => done(code ?? 128 + constants.signals[signal!])),
  )

function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}

/** Remember the stand-in of the sandbox's process `pid`. */
export function rememberStandIn(directory: string, hostPid: number, pid: number): void {
  const folder = join(directory, FOLDER)
  livingStandIns(directory)
  try {
    // The container may be gone by now, with its directory.
    if (!makeDirectory(folder, 0o700)) return
    writeFileSync(join(folder, `${hostPid}-${processStartTime(hostPid) ?? ''}`), String(pid))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new CliError(`cannot write in ${folder}: ${(cause as Error).message}`, { cause })
  }
}

/** Host pids of living stand-ins by the sandbox's pids; what is left of others is removed. */
export function livingStandIns(directory: string): Map<number, number> {
  const folder = join(directory, FOLDER)
  const found = new Map<number, number>()
  for (const name of namesIn(folder)) {
    const [hostPid = '', startTime] = name.split('-')
    if (processStartTime(Number(hostPid)) === startTime) {
      found.set(Number(readFileSync(join(folder, name), 'latin1')), Number(hostPid))
    } else rmSync(join(folder, name), { force: true })
  }
  return found
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter(name => /^\d+-\d*$/.test(name))
  } catch {
    return []
  }
}
