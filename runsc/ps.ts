// `runsc ps`: a container's processes, by the sandbox's own pids as a table, or by the pids of the host's processes
// that stand for them, which is what engines look up in the host's process list.

import * as v from 'valibot'
import { request } from './control.ts'
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
  const answer = await request(store.controlSocket(id), { command: 'ps', container: id })
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

/** Host pids of the stand-ins, which show the command lines of init and of exec'd processes. */
export function hostPids(store: StateStore, state: ContainerState): number[] {
  const standIns = livingStandIns(store.directory(state.id))
  return [state.pid, ...standIns.values()]
}
