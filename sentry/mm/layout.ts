// Choosing addresses: the search for free ranges, from the top down as Linux does on amd64, around the areas,
// the ranges whose host calls are still under way, and the holes that the platform keeps for itself.

import { ENOMEM } from '../../syscall-table/errno.ts'
import { PAGE_SIZE } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { Mm } from './mm.ts'
import { VMA_GROWSDOWN } from './vma.ts'

/** Free space kept below a stack: stack_guard_gap. */
export const STACK_GUARD = 256 * PAGE_SIZE
/** Below mmapBase there is no free range of `length` bytes or more that starts above `below`. */
export interface GapHint {
  below: number
  length: number
}

/**
 * The highest free range of `length` bytes in [low, high), aligned to `align`; its address or -ENOMEM.
 * Ranges below a stack keep the guard gap.
 */
export function findGap(
  mm: Mm,
  task: Task,
  length: number,
  low: number,
  high: number,
  align: number,
): number {
  const hint = mm.gapHint
  const normal = high === mm.mmapBase
  const from =
    normal && hint.length > 0 && length >= hint.length ? Math.min(high, hint.below) : high
  const found = searchDown(mm, task, length, low, from, align)
  if (found >= 0 && normal && align === PAGE_SIZE && (hint.length === 0 || length <= hint.length)) {
    hint.below = found + length
    hint.length = length
  }
  return found
}

/** The range that ends at `end` has become free: it may be found again. */
export function forgetGapHint(mm: Mm, end: number): void {
  const hint = mm.gapHint
  if (hint.length === 0 || end <= hint.below) return
  const next = mm.vmas.at(mm.vmas.indexAbove(end - 1))
  hint.below = next === undefined ? mm.mmapBase : Math.min(next.start, mm.mmapBase)
}

/** Whether [start, end) lies within the addresses programs may use and in no hole of the platform. */
export function usable(mm: Mm, start: number, end: number): boolean {
  const { platform } = mm
  if (start < platform.minAddr || end > platform.maxAddr) return false
  return reservedIn(mm, start, end) === undefined
}

/** The highest hole of the platform that overlaps [start, end). */
export function reservedIn(
  mm: Mm,
  start: number,
  end: number,
): { readonly start: number; readonly end: number } | undefined {
  return mm.platform.reserved.findLast(r => r.start < end && start < r.end)
}

function searchDown(
  mm: Mm,
  task: Task,
  length: number,
  lowest: number,
  high: number,
  align: number,
): number {
  const { vmas } = mm
  const low = Math.max(lowest, mm.platform.minAddr)
  let end = Math.min(high, mm.platform.maxAddr)
  let index = Math.min(vmas.indexAbove(end), vmas.count - 1)
  for (;;) {
    let start = end - length
    start -= start % align
    if (start < low) return -ENOMEM
    end = start + length
    // The areas above `index` keep clear of `end`.
    while (index >= 0 && guardedStart(vmas.at(index)!) >= end) index--
    const vma = index >= 0 ? vmas.at(index) : undefined
    if (vma !== undefined && vma.end > start) {
      end = guardedStart(vma)
      continue
    }
    const blocked = reservedIn(mm, start, end) ?? mm.pending.conflict(task, start, end)
    if (blocked === undefined) return start
    end = blocked.start
  }
}

function guardedStart(vma: { start: number; flags: number }): number {
  return (vma.flags & VMA_GROWSDOWN) !== 0 ? vma.start - STACK_GUARD : vma.start
}
