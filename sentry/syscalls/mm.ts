// Handlers of the memory calls.

import { EBADF, EBUSY, EFAULT, EINVAL, ENOMEM, EPERM } from '../../syscall-table/errno.ts'
import {
  MAP_ANONYMOUS,
  MAP_HUGE_SHIFT,
  MAP_HUGETLB,
  MCL_CURRENT,
  MCL_FUTURE,
  MCL_ONFAULT,
  MLOCK_ONFAULT,
  MS_ASYNC,
  MS_INVALIDATE,
  MS_SYNC,
  PAGE_SIZE,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { mayLock } from '../mm/map.ts'
import { bindArea, checkPolicy, getPolicy, keptMode } from '../mm/mempolicy.ts'
import { TASK_SIZE } from '../mm/mm.ts'
import { advise, lock, lockAll, protect } from '../mm/protect.ts'
import { remap, setBrk } from '../mm/remap.ts'
import { remapFilePages } from '../mm/remap-pages.ts'
import { pageCeil, VMA_LOCKED } from '../mm/vma.ts'
import { fileAccessed } from '../vfs/attributes.ts'

export { sys_mseal, sys_pkey_alloc, sys_pkey_free, sys_pkey_mprotect } from './mm-keys.ts'
export { sys_membarrier } from './mm-membarrier.ts'
export { sys_migrate_pages, sys_move_pages } from './mm-nodes.ts'
export { sys_process_madvise, sys_process_mrelease } from './mm-process-advise.ts'
export { sys_process_vm_readv, sys_process_vm_writev } from './mm-process-vm.ts'

/** Logarithms of the sizes that huge pages have: 2 MiB and 1 GiB. 0 stands for the usual. */
const HUGE_SHIFTS: readonly number[] = [0, 21, 30]

/** Whether flags of mmap(2) or shmget(2) ask for huge pages of a size that there is. */
export function hugeSize(flags: number): boolean {
  return HUGE_SHIFTS.includes(flags >>> MAP_HUGE_SHIFT)
}

/** mmap(2). The sandbox has no huge pages of its own to give. */
export function sys_mmap(
  task: Task,
  addr: number,
  length: number,
  prot: number,
  flags: number,
  fd: number,
  offset: number,
): number {
  if (offset % PAGE_SIZE !== 0) return -EINVAL
  if ((flags & MAP_ANONYMOUS) !== 0) {
    if ((flags & MAP_HUGETLB) !== 0) return hugeSize(flags) ? -ENOMEM : -EINVAL
    return task.mm.map(task, addr, length, prot, flags, null, 0)
  }
  const file = task.files.get(fd)
  if (file === undefined || (!file.readable && !file.writable)) return -EBADF
  if ((flags & MAP_HUGETLB) !== 0) return -EINVAL
  const at = task.mm.map(task, addr, length, prot, flags, file, offset)
  if (at >= 0 && file.inode.isRegular) fileAccessed(task.kernel, file)
  return at
}

/** munmap(2). */
export function sys_munmap(task: Task, addr: number, length: number): number {
  return task.mm.unmap(task, addr, length)
}

/** mprotect(2). */
export function sys_mprotect(task: Task, addr: number, length: number, prot: number): number {
  return protect(task, task.mm, addr, length, prot)
}

/** brk(2). */
export function sys_brk(task: Task, addr: number): number {
  return setBrk(task, task.mm, addr)
}

/** mremap(2). */
export function sys_mremap(
  task: Task,
  addr: number,
  oldLength: number,
  length: number,
  flags: number,
  newAddr: number,
): number {
  return remap(task, task.mm, addr, oldLength, length, flags, newAddr)
}

/** madvise(2). */
export function sys_madvise(task: Task, addr: number, length: number, advice: number): number {
  return advise(task, task.mm, addr, length, advice)
}

/** remap_file_pages(2). */
export function sys_remap_file_pages(
  task: Task,
  addr: number,
  size: number,
  prot: number,
  pageOffset: number,
  flags: number,
): number {
  return remapFilePages(task, addr, size, prot, pageOffset, flags)
}

/** msync(2). Pages are shared with the host's page cache: only MS_SYNC has something to do. */
export function sys_msync(task: Task, addr: number, length: number, flags: number): number {
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0) return -EINVAL
  if (addr % PAGE_SIZE !== 0 || (flags & (MS_ASYNC | MS_SYNC)) === (MS_ASYNC | MS_SYNC))
    return -EINVAL
  // A length that wraps around when it is rounded up is none: PAGE_ALIGN.
  const end = addr + (length > 2 ** 64 - PAGE_SIZE ? 0 : pageCeil(length))
  if (end > 2 ** 63) return -ENOMEM
  const { vmas } = task.mm
  let next = addr
  let error = 0
  for (let i = vmas.indexAbove(addr); next < end; i++) {
    const vma = vmas.at(i)
    if (vma === undefined || vma.start >= end) return -ENOMEM
    if (vma.start > next) error = -ENOMEM
    if ((flags & MS_INVALIDATE) !== 0 && (vma.flags & VMA_LOCKED) !== 0) return -EBUSY
    next = vma.end
    if ((flags & MS_SYNC) !== 0 && vma.file !== null && vma.shared) {
      const n = vma.file.ops.fsync(vma.file, true)
      // Files without storage have nothing to write back.
      if (n < 0 && n !== -EINVAL) return n
    }
  }
  return error
}

/** mincore(2). */
export function sys_mincore(task: Task, addr: number, length: number, vector: number): number {
  if (addr % PAGE_SIZE !== 0) return -EINVAL
  if (addr + length > TASK_SIZE) return -ENOMEM
  const pages = pageCeil(length) / PAGE_SIZE
  if (vector + pages > TASK_SIZE) return -EFAULT
  const { mm } = task
  const { scratch } = task.kernel
  scratch.fill(1)
  for (let done = 0; done < pages; ) {
    const n = Math.min(pages - done, scratch.length)
    const start = addr + done * PAGE_SIZE
    if (!mm.vmas.covers(start, start + n * PAGE_SIZE)) return -ENOMEM
    if (mm.copyOut(task, vector + done, scratch, 0, n) < 0) return -EFAULT
    done += n
  }
  return 0
}

/** mlock(2). */
export function sys_mlock(task: Task, addr: number, length: number): number {
  return sys_mlock2(task, addr, length, 0)
}

/** mlock2(2). */
export function sys_mlock2(task: Task, addr: number, length: number, flags: number): number {
  if ((flags & ~MLOCK_ONFAULT) !== 0) return -EINVAL
  return mayLock(task) ? lock(task, task.mm, addr, length, true, flags !== 0) : -EPERM
}

/** munlock(2). */
export function sys_munlock(task: Task, addr: number, length: number): number {
  return lock(task, task.mm, addr, length, false)
}

/** mlockall(2). */
export function sys_mlockall(task: Task, flags: number): number {
  if ((flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) !== 0) return -EINVAL
  if ((flags & (MCL_CURRENT | MCL_FUTURE)) === 0) return -EINVAL
  if (!mayLock(task)) return -EPERM
  if ((flags & MCL_CURRENT) !== 0) {
    const n = lockAll(task, task.mm, true)
    if (n < 0) return n
  }
  task.mm.lockFuture = (flags & MCL_FUTURE) !== 0
  return 0
}

/** munlockall(2). */
export function sys_munlockall(task: Task): number {
  task.mm.lockFuture = false
  return lockAll(task, task.mm, false)
}

/** set_mempolicy(2). */
export function sys_set_mempolicy(task: Task, mode: number, mask: number, maxNode: number): number {
  const nodes = checkPolicy(task, mode, mask, maxNode)
  if (nodes < 0) return nodes
  task.memPolicy = { mode: keptMode(mode, nodes), nodes }
  return 0
}

/** get_mempolicy(2). */
export function sys_get_mempolicy(
  task: Task,
  mode: number,
  mask: number,
  maxNode: number,
  addr: number,
  flags: number,
): number {
  return getPolicy(task, mode, mask, maxNode, addr, flags)
}

/** mbind(2). With one node no policy moves a page: it is only kept. */
export function sys_mbind(
  task: Task,
  addr: number,
  length: number,
  mode: number,
  mask: number,
  maxNode: number,
  flags: number,
): number {
  const MPOL_MF_VALID = 7
  if ((flags & ~MPOL_MF_VALID) !== 0 || addr % PAGE_SIZE !== 0) return -EINVAL
  const nodes = checkPolicy(task, mode, mask, maxNode)
  if (nodes < 0) return nodes
  const end = addr + pageCeil(length)
  if (end > TASK_SIZE) return -EINVAL
  if (end === addr) return 0
  const { vmas } = task.mm
  // Holes do not matter where the policy only goes.
  const mapped = mode === 0 ? vmas.firstIn(addr, end) !== undefined : vmas.covers(addr, end)
  if (!mapped) return -EFAULT
  bindArea(task, addr, end, keptMode(mode, nodes), nodes)
  return 0
}
