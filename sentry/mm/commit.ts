// How much memory programs may be promised: vm.overcommit_memory, mm/util.c. By default the host refuses what it can
// obviously not give; 1 promises everything, and 2 no more than a limit for all programs together.

import { PAGE_SIZE } from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Mm } from './mm.ts'

export const OVERCOMMIT_ALWAYS = 1
export const OVERCOMMIT_NEVER = 2

/** CommitLimit. */
export function commitLimitPages({ memoryBytes, tunables }: Kernel): number {
  const { overcommitKbytes, overcommitRatio } = tunables
  if (overcommitKbytes > 0) return Math.floor((overcommitKbytes * 1024) / PAGE_SIZE)
  return Math.floor((memoryBytes / PAGE_SIZE) * (overcommitRatio / 100))
}

/** Committed_AS: private memory of all programs that they may write to. */
export function committedPages({ groups }: Kernel): number {
  const seen = new Set<Mm>()
  let pages = 0
  for (const group of groups) {
    if (group.zombie || seen.has(group.leader.mm)) continue
    seen.add(group.leader.mm)
    pages += group.leader.mm.vmas.dataPages
  }
  return pages
}

/** Whether `pages` more may be promised. */
export function commitFits(kernel: Kernel, pages: number): boolean {
  if (kernel.tunables.overcommitMemory !== OVERCOMMIT_NEVER || pages <= 0) return true
  return committedPages(kernel) + pages <= commitLimitPages(kernel)
}
