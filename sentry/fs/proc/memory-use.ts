// How much memory programs use. The host has the pages and does not tell which are resident: what is shown is
// what the layout allows to say. LIMIT: resident sizes are estimates.

import type { Task } from '../../kernel/task.ts'
import type { Mm } from '../../mm/mm.ts'

/** Stack that a program is assumed to have touched: 132 KiB, Linux's first stack. */
const TYPICAL_STACK_PAGES = 33

/** Pages that count as resident: code, private data, and a typical stack. */
export function residentPages(mm: Mm): number {
  const { vmas } = mm
  const used = vmas.execPages + vmas.dataPages + Math.min(vmas.stackPages, TYPICAL_STACK_PAGES)
  return Math.min(used, vmas.totalPages)
}

/** Page tables in KiB: one page maps 512. */
export function mappedKb(mm: Mm): number {
  return (Math.ceil(residentPages(mm) / 512) + 3) * 4
}

/** Memory of a container's processes in KiB, each address space once, and never more than three quarters of all. */
export function usedKb({ kernel, group: { container } }: Task, memoryBytes: number): number {
  const seen = new Set<Mm>()
  let pages = 0
  for (const group of kernel.groups) {
    if (group.zombie || group.container !== container || seen.has(group.leader.mm)) continue
    seen.add(group.leader.mm)
    pages += residentPages(group.leader.mm)
  }
  return Math.min(pages * 4, Math.floor((memoryBytes / 1024) * 0.75))
}
