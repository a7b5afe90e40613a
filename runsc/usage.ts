// `runsc usage`: the memory of a sandbox by category, in gVisor's form. The host has the pages, and is asked.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { ContainerCgroup } from './cgroup/container-cgroup.ts'
import type { ContainerState, StateStore } from './state.ts'

/** Bytes. */
export interface MemoryUsage {
  /** Without `full`: what would be told apart. */
  Unknown: number
  /** The sentry's and the gofer's own. */
  System: number
  /** Private memory of programs. */
  Anonymous: number
  /** There is no page cache but the host's. */
  PageCache: number
  /** Files that programs have mapped. */
  Mapped: number
  /** Files in memory, and memory that programs share. */
  Tmpfs: number
  Ramdiskfs: number
  Total: number
}

const STAT_BLOCK = 512

export function memoryUsage(store: StateStore, state: ContainerState, full: boolean): MemoryUsage {
  const usage: MemoryUsage = {
    Unknown: 0,
    System: 0,
    Anonymous: 0,
    PageCache: 0,
    Mapped: 0,
    Tmpfs: 0,
    Ramdiskfs: 0,
    Total: 0,
  }
  for (const pid of sandboxPids(store, state)) addProcess(usage, pid)
  if (!full) {
    usage.Unknown = usage.System + usage.Anonymous + usage.Tmpfs
    usage.System = usage.Anonymous = usage.Tmpfs = 0
  }
  usage.Total = usage.Unknown + usage.System + usage.Anonymous + usage.Mapped + usage.Tmpfs
  return usage
}

/** Host processes of the sandbox: those of its cgroup and those that its first process has made. */
function sandboxPids(store: StateStore, { id, pid }: ContainerState): Set<number> {
  const found = new Set(ContainerCgroup.load(store.directory(id))?.processes() ?? [])
  found.add(pid)
  for (const parent of found) for (const child of childrenOf(parent)) found.add(child)
  return found
}

function childrenOf(pid: number): number[] {
  const found: number[] = []
  for (const tid of entries(`/proc/${pid}/task`))
    found.push(...text(`/proc/${pid}/task/${tid}/children`).split(' ').filter(Boolean).map(Number))
  return found
}

function addProcess(usage: MemoryUsage, pid: number): void {
  // Shared pages count in parts, so that sums are right.
  const rollup = text(`/proc/${pid}/smaps_rollup`)
  const bytes = (field: string) =>
    1024 * Number(new RegExp(`^${field}: +(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0)
  if (isOurs(pid)) {
    usage.System += bytes('Pss_Anon') + bytes('Pss_File')
    usage.Tmpfs += memoryFiles(pid)
  } else {
    usage.Anonymous += bytes('Pss_Anon')
    usage.Mapped += bytes('Pss_File')
  }
}

/** Our own programs run in Node; what runs programs is the stub. */
function isOurs(pid: number): boolean {
  try {
    return /\/(node|launcher)$/.test(readlinkSync(`/proc/${pid}/exe`))
  } catch {
    return false
  }
}

/** The sentry's memory files: tmpfs files that are not small, and shared memory. */
function memoryFiles(pid: number): number {
  let total = 0
  for (const fd of entries(`/proc/${pid}/fd`)) {
    try {
      const path = `/proc/${pid}/fd/${fd}`
      if (!readlinkSync(path).startsWith('/memfd:')) continue
      total += statSync(path).blocks * STAT_BLOCK
    } catch {
      // Closed meanwhile.
    }
  }
  return total
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function text(file: string): string {
  try {
    return readFileSync(file, 'latin1').trim()
  } catch {
    return ''
  }
}
