// The commands of the control socket. Each may name its container by `container`, and a process by `pid`, which is
// the sandbox's own number; without one it means the first process.

import { close, type HostFd } from '../../native/index.ts'
import { ESRCH, errnoMessage } from '../../syscall-table/errno.ts'
import { NSIG, SIGKILL } from '../../syscall-table/flags.ts'
import { ALREADY_RUNNING } from '../config.ts'
import type { ControlAnswer, ControlCall, ControlCommand, ControlRequest } from '../control.ts'
import { groupCpu } from '../kernel/accounting.ts'
import { groupExit } from '../kernel/exit.ts'
import { allotmentOf, applyLimits, parseLimits } from '../kernel/limits.ts'
import { kernelMemory } from '../kernel/memory.ts'
import type { PidNamespace } from '../kernel/pid-namespace.ts'
import { signalFromOutside } from '../kernel/signal-send.ts'
import type { ThreadGroup } from '../kernel/thread-group.ts'
import { BootError } from './boot-error.ts'
import type { Container } from './container.ts'
import { parseContainer } from './container-request.ts'
import { DATA_COMMANDS } from './data-commands.ts'
import { areCgroupFiles } from './host-cgroup.ts'
import { areNetTables } from './net-tables.ts'
import { ENTRANCES_MAX } from './placement.ts'
import type { HostPlace, Pod } from './pod.ts'
import { isWhole, parseProcess } from './process-request.ts'

const MAX_SIZE = 65535
const PID_MAX = 2 ** 22
const EXIT_FAILURE = 128
const PORTS = 65536
const NS_PER_S = 1e9

export type Command = (
  container: Container,
  request: ControlRequest,
  call: ControlCall,
  pod: Pod,
) => Answer
type Answer = ControlAnswer | null

const COMMANDS: Readonly<Record<string, Command>> = {
  /** Answers when the program runs; its hooks come first. Without its program the sandbox is of no use. */
  start(container, _request, call) {
    if (container.started) return { error: ALREADY_RUNNING, exitStatus: EXIT_FAILURE }
    const answer = call.later(() => {})
    container.doubtFiles()
    container.start(error => {
      if (error === null) return answer({})
      answer({ error: error.message, exitStatus: error.exitStatus })
      groupExit(container.init, SIGKILL)
    })
    return null
  },

  /** A signal to one process, to a process group, or with `all` to each. */
  signal(container, { pid, pgid, signal, all }) {
    if (!isWhole(signal, 0, NSIG)) return { error: `${String(signal)} is no signal` }
    if (container.endsBeforeStart(signal)) return {}
    container.doubtFiles()
    if (all === true) {
      for (const group of container.processes) signalFromOutside(group, signal)
      return {}
    }
    if (pgid !== undefined) return signalGroup(container, pgid, signal)
    const group = processOf(container, pid)
    if (typeof group === 'string') return { error: group }
    signalFromOutside(group, signal)
    return {}
  },

  /** Answers when the process has ended, with its wait(2) status. */
  wait(container, { pid, rootPid }, call, pod) {
    const group =
      rootPid === undefined
        ? processOf(container, pid)
        : processIn(container, rootPid, pod.root.init.pid.ns)
    if (typeof group === 'string') return { error: group }
    const answer = call.later(() => forget())
    const forget = container.wait(group, status => answer({ status }))
    return null
  },

  /**
   * Run `process` as a further process. Descriptors: the stand-in's socket, with a terminal that terminal's other
   * side, then the process's own.
   */
  exec(container, request, call) {
    const process = parseProcess(request.process)
    if (typeof process === 'string') return { error: `${process} is missing or wrong` }
    if (call.fds.length !== (process.terminal ? 2 : 4) + process.passedFds.length)
      return { error: 'exec: descriptors are missing' }
    container.doubtFiles()
    return attempt(() => {
      const group = container.exec(process, call.fds)
      return typeof group === 'number'
        ? { error: `make a process: ${errnoMessage(-group)}` }
        : { pid: group.tgid }
    })
  },

  ps: container => ({
    processes: container.processes.map(group => describe(container, group)),
  }),

  limits({ init }, request, _call, pod) {
    const limits = parseLimits(request)
    if (limits === null) return { error: 'the limits are out of range' }
    applyLimits(allotmentOf(init), limits, pod.config.host)
    kernelMemory.bound(init.kernel.memoryBytes)
    return {}
  },

  usage: container => ({
    tasks: container.processes.reduce((sum, group) => sum + group.tasks.length, 0),
  }),

  /** The window of a process's terminal has another size. */
  resize(container, { pid, rows, columns }) {
    if (!isWhole(rows, 0, MAX_SIZE) || !isWhole(columns, 0, MAX_SIZE))
      return { error: 'rows and columns are numbers below 65536' }
    const group = processOf(container, pid)
    if (typeof group === 'string') return { error: group }
    container.terminal(group)?.resize(rows, columns)
    return {}
  },
}

/** The commands, for the containers of a sandbox. */
export function containerCommands(pod: Pod): Record<string, ControlCommand> {
  const bound = (command: Command): ControlCommand => {
    return (request, call) => {
      const { container: id } = request
      const container = pod.container(id)
      if (container === undefined)
        return { error: `container "${String(id)}" is not in this sandbox` }
      return command(container, request, call, pod)
    }
  }
  const commands = Object.fromEntries(
    Object.entries({ ...COMMANDS, ...DATA_COMMANDS }).map(([name, command]) => [
      name,
      bound(command),
    ]),
  )
  return { ...commands, create: (request, call) => createContainer(pod, request, call) }
}

/**
 * A further container of a pod. Descriptors: the stand-in's socket, the gofer's, the terminal or the streams, those
 * that are passed, the files of its cgroup (to enter by, and to read), and those of its network.
 */
function createContainer(pod: Pod, request: ControlRequest, call: ControlCall): ControlAnswer {
  const wanted = parseContainer(request)
  if (typeof wanted === 'string') return { error: `create: ${wanted} is missing or wrong` }
  const { terminal, passedFds } = wanted.config.process
  const place = hostPlace(request, call.fds, (terminal ? 3 : 5) + passedFds.length)
  if (typeof place === 'string') return { error: `create: ${place}` }
  return attempt(() => {
    try {
      pod.create(wanted.config, wanted.shares, call.fds, place)
    } finally {
      // Those that it did not come to take.
      const { entrances, files, network } = place
      for (const fd of [...entrances, ...files.values()]) close(fd)
      if (network !== null)
        for (const fd of [network.server, ...network.facts.tables.values()]) close(fd)
    }
    return {}
  })
}

/** Takes the descriptors from number `at` on, or tells what is wrong. */
function hostPlace(request: ControlRequest, fds: HostFd[], at: number): HostPlace | string {
  const { entrances, files, network } = request
  if (!isWhole(entrances, 0, ENTRANCES_MAX) || !areCgroupFiles(files))
    return 'entrances or files is wrong'
  if (network !== null && !isNetwork(network)) return 'network is wrong'
  const ofNetwork = network === null ? 0 : 1 + network.tables.length
  if (fds.length !== at + entrances + files.length + ofNetwork) return 'descriptors are missing'
  const [server, ...tables] = fds.splice(at + entrances + files.length)
  const opened = fds.splice(at + entrances)
  return {
    entrances: fds.splice(at),
    files: byName(files, opened),
    network: network && {
      server: server!,
      facts: {
        tables: byName(network.tables, tables),
        unprivilegedPorts: network.unprivilegedPorts,
      },
    },
  }
}

const byName = (names: readonly string[], fds: readonly HostFd[]): Map<string, HostFd> =>
  new Map(names.map((name, i) => [name, fds[i]!]))

interface NetworkRequest {
  tables: string[]
  unprivilegedPorts: number
}

function isNetwork(value: unknown): value is NetworkRequest {
  if (typeof value !== 'object' || value === null) return false
  const { tables, unprivilegedPorts } = value as Partial<NetworkRequest>
  return areNetTables(tables) && isWhole(unprivilegedPorts, 0, PORTS)
}

const processOf = (container: Container, pid: unknown): ThreadGroup | string =>
  pid === undefined ? container.init : processIn(container, pid, container.init.pid.ns)

/** A process of the container by its number in a pid namespace: that of the container, or of the sandbox's first one. */
function processIn({ config }: Container, pid: unknown, ns: PidNamespace): ThreadGroup | string {
  const group = isWhole(pid, 1, PID_MAX) ? ns.group(pid) : undefined
  return group === undefined || group.zombie || group.container !== config.id
    ? `process ${String(pid)}: ${errnoMessage(ESRCH)}`
    : group
}

/** Those of its processes that are in a process group. */
function signalGroup(container: Container, pgid: unknown, signal: number): ControlAnswer {
  const { ns } = container.init.pid
  const members = container.processes.filter(group => group.pgrp.pid.numberIn(ns) === pgid)
  if (members.length === 0)
    return { error: `process group ${String(pgid)}: ${errnoMessage(ESRCH)}` }
  for (const group of members) signalFromOutside(group, signal)
  return {}
}

function attempt(run: () => ControlAnswer): ControlAnswer {
  try {
    return run()
  } catch (error) {
    // Steps of setting up throw plain errors with a line for people; anything else is a bug.
    if (error instanceof BootError) return { error: error.message, exitStatus: error.exitStatus }
    if ((error as object).constructor !== Error) throw error
    return { error: (error as Error).message }
  }
}

function describe(container: Container, group: ThreadGroup) {
  const { leader, parent, kernel } = group
  const { userNs, systemNs } = groupCpu(group)
  return {
    container: container.config.id,
    pid: group.pid.numberIn(container.init.pid.ns),
    init: group === container.init,
    hostPid: kernel.platform.hostPid?.(leader.thread) ?? 0,
    parent: parent?.pid.numberIn(container.init.pid.ns) ?? 0,
    uid: leader.creds.uid,
    threads: group.tasks.length,
    command: leader.comm,
    terminal: group.session.terminal?.rdev ?? 0,
    age: (kernel.clock.monotonicNs() - leader.startNs) / NS_PER_S,
    cpu: (userNs + systemNs) / NS_PER_S,
  }
}
