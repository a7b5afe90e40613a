// Processes of the host, for the benchmark.

import { readdirSync, readFileSync } from 'node:fs'

/** Fields of /proc/PID/stat behind the name. */
export const stat = (pid: number) =>
  readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ')

/** All processes below `pid`. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      parents.set(Number(name), Number(stat(Number(name))[1]))
    } catch {
      // It ended meanwhile.
    }
  }
  const found = [pid]
  for (let i = 0; i < found.length; i++)
    for (const [child, parent] of parents) if (parent === found[i]) found.push(child)
  return found.slice(1)
}

/** The sum over those that live. */
export function sum(pids: number[], value: (pid: number) => number): number {
  let total = 0
  for (const pid of pids) {
    try {
      total += value(pid)
    } catch {
      // It ended meanwhile.
    }
  }
  return total
}
