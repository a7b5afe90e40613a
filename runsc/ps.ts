// `runsc ps`: a container's processes, by the sandbox's own pids as a table, or by the pids of the host's processes
// that stand for them, which is what engines look up in the host's process list.

import { readdirSync, readFileSync } from 'node:fs'
import * as v from 'valibot'
import { requestNow } from './control.ts'
import { CliError } from './errors.ts'
import { livingStandIns } from './stand-in.ts'
import { type ContainerState, type StateStore, statusOf } from './state.ts'

const TTY_MAJOR = 136
const DAY_S = 86400

const answerSchema = v.object({
  processes: v.array(
    v.object({
      pid: v.number(),
      parent: v.number(),
      /** The container's first process. */
      init: v.boolean(),
      /** The host's process in which the program runs, as the sentry's pid namespace numbers it; 0 for none. */
      hostPid: v.number(),
      uid: v.number(),
      threads: v.number(),
      command: v.string(),
      terminal: v.number(),
      age: v.number(),
      cpu: v.number(),
    }),
  ),
})
type Process = v.InferOutput<typeof answerSchema>['processes'][number]

/** Ask the sandbox. */
export async function processesOf(store: StateStore, id: string): Promise<Process[]> {
  const status = statusOf(store.load(id))
  if (status === 'stopped') throw new CliError(`container "${id}" is not running`)
  if (status === 'paused')
    throw new CliError(`container "${id}" is paused: resume it to list its processes`)
  const answer = requestNow(store.controlSocket(id), { command: 'ps', container: id })
  return v.parse(answerSchema, answer).processes
}

/** As gVisor prints it. */
export function processTable(processes: readonly Process[]): string {
  const rows = [['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD']]
  for (const p of [...processes].sort((a, b) => a.pid - b.pid)) {
    const busy = p.age > 0 ? Math.min(99, Math.floor((100 * p.cpu) / p.age)) : 0
    const place = [String(p.uid), String(p.pid), String(p.parent), String(busy)]
    rows.push([...place, startedAt(p.age), terminalName(p.terminal), spent(p.cpu), p.command])
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const line = (row: string[]) => row.map((cell, i) => cell.padEnd(widths[i]! + 2)).join('')
  return rows.map(row => `${line(row).trimEnd()}\n`).join('')
}

function startedAt(ageSeconds: number): string {
  const start = new Date(Date.now() - ageSeconds * 1000)
  if (ageSeconds < DAY_S) return start.toTimeString().slice(0, 5)
  return start.toDateString().slice(4, 10).replace(' ', '')
}

const terminalName = (dev: number): string => {
  const major = (dev >>> 8) & 0xfff
  return major === TTY_MAJOR ? `pts/${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}` : '?'
}

function spent(seconds: number): string {
  const part = (n: number) => String(Math.floor(n)).padStart(2, '0')
  return `${part(seconds / 3600)}:${part((seconds / 60) % 60)}:${part(seconds % 60)}`
}

/**
 * Pids of the host for a container's processes. An engine knows init and what `exec` made by their stand-ins; the others
 * are the host's processes in which they run. All show the program's command line.
 * LIMIT: of a paused container only the stand-ins are known.
 */
export async function hostPids(store: StateStore, state: ContainerState): Promise<number[]> {
  const standIns = livingStandIns(store.directory(state.id))
  if (statusOf(state) === 'paused') return [state.pid, ...standIns.values()]
  const inner = sentryChildren(store, state)
  const found = new Set<number>()
  for (const { pid, init, hostPid } of await processesOf(store, state.id)) {
    const number = init ? state.pid : (standIns.get(pid) ?? inner.get(hostPid))
    if (number !== undefined) found.add(number)
  }
  return [...found]
}

/** The processes of the container's sandbox: their pids here by their pids in the sentry's namespace. */
function sentryChildren(store: StateStore, state: ContainerState): Map<number, number> {
  const found = new Map<number, number>()
  // A container of a pod is in the sandbox of the pod's first.
  const sandbox = store.sandboxOf(state.id)
  const [sentry] = sandbox === null ? [] : children(store.load(sandbox).pid)
  if (sentry === undefined) return found
  for (const pid of children(sentry)) {
    const numbers = readProc(`${pid}/status`).match(/^NSpid:\t(.*)$/m)
    if (numbers !== null) found.set(Number(numbers[1]!.split('\t').at(-1)), pid)
  }
  return found
}

function children(pid: number): number[] {
  return threads(pid)
    .flatMap(tid => readProc(`${pid}/task/${tid}/children`).split(' '))
    .filter(word => word !== '')
    .map(Number)
}

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/** Nothing for a process that has ended. */
function readProc(name: string): string {
  try {
    return readFileSync(`/proc/${name}`, 'latin1')
  } catch {
    return ''
  }
}
