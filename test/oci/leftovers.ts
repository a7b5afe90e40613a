// For drivers that run in a pid namespace of their own: what a container has left there, and chance.

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The same sequence for the same seed. */
export function seeded(seed: number) {
  let state = seed
  /** From 0 to 1. */
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  return { random, pick }
}

/** A process of the host. */
export interface Process {
  pid: number
  comm: string
  line: string
}

/** All living processes of this namespace but this one. */
export function processes(): Process[] {
  return readdirSync('/proc').flatMap(name => {
    const pid = Number(name)
    if (!(pid > 1) || pid === process.pid) return []
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      const dead = 'ZX'.includes(stat.slice(stat.lastIndexOf(')') + 2)[0]!)
      const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim()
      const comm = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
      return dead ? [] : [{ pid, comm, line }]
    } catch {
      return []
    }
  })
}

/** Cgroups of others come and go. */
function entries(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true })
  } catch {
    return []
  }
}

function cgroupsOf(id: string): string[] {
  const found: string[] = []
  const look = (path: string, depth: number): void => {
    for (const entry of entries(path)) {
      if (!entry.isDirectory()) continue
      if (entry.name.includes(id)) found.push(join(path, entry.name))
      else if (depth > 0) look(join(path, entry.name), depth - 1)
    }
  }
  look('/sys/fs/cgroup', 3)
  return found
}

/** All mounts of this namespace. */
export const mounts = (): string => readFileSync('/proc/self/mountinfo', 'utf8')

/** Where programs leave files; the last one mount(8) itself writes to. */
const COMMON = ['/tmp', '/var/tmp', '/dev/shm', '/run']
/** In an own mount namespace, where a directory is when `COMMON` is empty. */
const SHOWN = '/mnt'

/**
 * Have empty directories at the usual places for temporary files, in our own mount namespace; `shop` is what is below /mnt
 * then. Returns what lists the files that have been made at those places.
 */
export function emptyPlaces(shop: string): () => string[] {
  execFileSync('mount', ['--bind', shop, SHOWN])
  for (const place of COMMON) execFileSync('mount', ['-t', 'tmpfs', 'empty', place])
  return () => COMMON.flatMap(place => entries(place).map(({ name }) => `file ${place}/${name}`))
}

/** What is left of a container: processes of this pid namespace, its state below `root`, cgroups, mounts. */
export async function leftovers(root: string, id: string, mountsBefore: string): Promise<string[]> {
  for (let i = 0; i < 300 && processes().length > 0; i++) await sleep(100)
  const left = processes().map(({ pid, comm, line }) => `process ${pid} (${comm}) ${line}`)
  if (existsSync(root)) left.push(...readdirSync(root).map(name => `state ${name}`))
  left.push(...cgroupsOf(id).map(path => `cgroup ${path}`))
  // Those of others may have gone meanwhile.
  const known = new Set(mountsBefore.split('\n'))
  for (const line of mounts().split('\n')) if (!known.has(line)) left.push(`mount ${line}`)
  return left
}
