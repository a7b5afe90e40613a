// remap_file_pages(2), which Linux has made of mmap(2) since 4.0.

import { EINVAL } from '../../syscall-table/errno.ts'
import {
  MAP_FIXED,
  MAP_NONBLOCK,
  MAP_POPULATE,
  MAP_SHARED,
  PAGE_SIZE,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { pageFloor, VMA_LOCKED } from './vma.ts'

/** Show other pages of the file in [addr, addr + size), which must lie in one shared mapping of it. */
export function remapFilePages(
  task: Task,
  addr: number,
  wanted: number,
  prot: number,
  pageOffset: number,
  flags: number,
): number {
  if (prot !== 0) return -EINVAL
  const start = pageFloor(addr)
  const size = pageFloor(wanted)
  if (size === 0 || start + size > 2 ** 47) return -EINVAL
  if (pageOffset + size / PAGE_SIZE >= 2 ** 51) return -EINVAL
  const { mm } = task
  const first = mm.vmas.find(start)
  if (first === undefined || !first.shared || first.file === null) return -EINVAL
  for (let next = first.end; next < start + size; ) {
    const vma = mm.vmas.find(next)
    if (vma === undefined || vma.file !== first.file || vma.flags !== first.flags) return -EINVAL
    next = vma.end
  }
  // Locked pages are brought in at once, as the new ones of a locked mapping always are.
  const how = MAP_SHARED | MAP_FIXED | MAP_POPULATE | (flags & MAP_NONBLOCK)
  const { file, prot: kept } = first
  const locked = (first.flags & VMA_LOCKED) !== 0
  const n = mm.map(task, start, size, kept, how, file, pageOffset * PAGE_SIZE)
  if (n < 0) return n
  if (locked) {
    mm.vmas.change(start, start + size, vma => {
      vma.flags |= VMA_LOCKED
    })
  }
  return 0
}
