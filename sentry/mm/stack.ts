// Stack growth on a fault below a MAP_GROWSDOWN area: expand_downwards in mm/mmap.c.

import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  PAGE_SIZE,
  RLIMIT_STACK,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { STACK_GUARD, usable } from './layout.ts'
import { fits } from './map.ts'
import type { Mm } from './mm.ts'
import { pageFloor, VMA_GROWSDOWN } from './vma.ts'

/** Growth goes by this much where there is room, to save faults. */
const STEP = 256 << 10

/**
 * See `Mm.growStack`.
 * LIMIT: only the program's own accesses grow a stack; a system call that is given an address below it fails
 * with EFAULT.
 */
export function growStack(task: Task, mm: Mm, addr: number): boolean {
  const index = mm.vmas.indexAbove(addr)
  const vma = mm.vmas.at(index)
  if (vma === undefined || vma.start <= addr || (vma.flags & VMA_GROWSDOWN) === 0) return false
  const below = index > 0 ? mm.vmas.at(index - 1)! : undefined
  // Inaccessible areas may touch a stack: they are guards themselves.
  const gap =
    below !== undefined && below.prot !== 0 && (below.flags & VMA_GROWSDOWN) === 0 ? STACK_GUARD : 0
  const limit = task.group.rlimits[RLIMIT_STACK]!.cur
  const lowest = Math.max(
    below === undefined ? 0 : below.end + gap,
    pageFloor(vma.end - Math.min(limit, vma.end)),
  )
  const needed = pageFloor(addr)
  if (needed < lowest) return false
  const start = Math.max(lowest, Math.min(needed, vma.start - STEP))
  if (!usable(mm, start, vma.start) || !fits(task, mm, (vma.start - start) / PAGE_SIZE, false))
    return false
  if (mm.pending.conflict(task, start, vma.start) !== undefined) return false
  const flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
  mm.platform.ops(task.thread).mmap(start, vma.start - start, vma.prot, flags, -1, 0)
  if (mm.users > 1) mm.pending.add(task, start, vma.start)
  mm.vmas.extendDown(vma, start)
  return true
}
