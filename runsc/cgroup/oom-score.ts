// Whom the host kills when memory runs out: the program, and not the sentry, without which the sandbox is gone.

import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'

export interface OomScores {
  /** oom_score_adj of our own processes; null: as it is. */
  own: number | null
  /** Of the processes that run program code. */
  program: number
  /** Whether the program's is always the higher one in the end, however little it uses. */
  sure: boolean
}

/** More than a sentry ever has resident: its code, its heap and what it shares with the stubs. */
const OWN_BYTES = 256 << 20
/** What a sentry has resident when little is to be had: below, a program may use less than that when memory runs out. */
export const SURE_BYTES = 48 << 20
const LOWEST = -999
const HIGHEST = 1000
const CAP_SYS_RESOURCE = 1n << 24n

/**
 * The scores for a container whose configuration says `configured` (undefined: what runsc has). A point is a thousandth of the memory at hand, which
 * is the container's limit when that is what ran out. Only with CAP_SYS_RESOURCE may a score be lowered: without
 * it, the program's is raised instead.
 */
export function oomScores(configured: number | undefined, memoryLimit: number): OomScores {
  const total = memoryLimit > 0 ? Math.min(memoryLimit, totalmem()) : totalmem()
  const gap = Math.min(Math.ceil((OWN_BYTES * 1000) / total), 2000)
  const current = Number(readFileSync('/proc/self/oom_score_adj', 'latin1'))
  const wanted = configured ?? current
  const own = Math.max(wanted - gap, LOWEST)
  if (own >= current || mayLower()) {
    return { own: Math.min(own, current), program: wanted, sure: true }
  }
  const program = Math.min(Math.max(wanted, current + gap), HIGHEST)
  return { own: null, program, sure: memoryLimit <= 0 || memoryLimit >= SURE_BYTES }
}

function mayLower(): boolean {
  // In a user namespace, the capability is worth nothing here.
  if (!/^ *0 +0 +4294967295$/m.test(readFileSync('/proc/self/uid_map', 'latin1'))) return false
  const status = readFileSync('/proc/self/status', 'latin1')
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'
  return (BigInt(`0x${effective}`) & CAP_SYS_RESOURCE) !== 0n
}
