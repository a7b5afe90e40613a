// mprotect(2), madvise(2) and the mlock(2) family.

import { EACCES, EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from '../../syscall-table/errno.ts'
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  MADV_COLD,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_HWPOISON,
  MADV_KEEPONFORK,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_SOFT_OFFLINE,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
  PAGE_SIZE,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
  PROT_SEM,
  PROT_WRITE,
} from '../../syscall-table/flags.ts'
import { AREA_WEIGHT, kernelMemory } from '../kernel/memory.ts'
import type { OpsFailure, Task } from '../kernel/task.ts'
import { fits, lockFits } from './map.ts'
import { type Mm, TASK_SIZE } from './mm.ts'
import {
  PROT_ALL,
  pageCeil,
  pageFloor,
  VMA_DONTDUMP,
  VMA_DONTFORK,
  VMA_GROWSDOWN,
  VMA_LOCKED,
  VMA_SEALED,
  VMA_SHARED,
  VMA_SPECIAL,
  VMA_WIPEONFORK,
  type Vma,
} from './vma.ts'

/** The host refused an mprotect: the areas get their protections back, here and (as far as it goes) there. */
class ProtectFailure implements OpsFailure {
  readonly mm: Mm
  readonly old: { start: number; end: number; prot: number }[] = []
  constructor(mm: Mm) {
    this.mm = mm
  }

  onOpsFailed(task: Task, _op: number, errno: number): number {
    const ops = this.mm.platform.ops(task.thread)
    for (const { start, end, prot } of this.old) {
      this.mm.vmas.change(start, end, vma => {
        vma.prot = prot
      })
      ops.mprotect(start, end - start, prot)
      if (this.mm.users > 1) this.mm.pending.add(task, start, end)
    }
    return -errno
  }
}

/** mprotect(2) on page-aligned `addr`; PROT_GROWSDOWN extends the range to the start of a stack. */
export function protect(task: Task, mm: Mm, addr: number, wanted: number, prot: number): number {
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP)
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP)) return -EINVAL
  if (addr % PAGE_SIZE !== 0) return -EINVAL
  if (wanted === 0) return 0
  const length = pageCeil(wanted)
  if (addr + length > TASK_SIZE) return -ENOMEM
  const bits = prot & ~grows
  if ((bits & ~(PROT_ALL | PROT_SEM)) !== 0) return -EINVAL
  let start = addr
  const end = addr + length
  const first = mm.vmas.firstIn(start, end)
  if (first === undefined) return -ENOMEM
  if (grows === PROT_GROWSUP) return -EINVAL
  if (grows === PROT_GROWSDOWN) {
    if ((first.flags & VMA_GROWSDOWN) === 0) return -EINVAL
    start = first.start
  }
  if (mm.vmas.isSealed(start, end)) return -EPERM
  const busy = mm.pending.settle(task, start, end)
  return busy < 0 ? busy : change(task, mm, start, end, bits & PROT_ALL)
}

function change(task: Task, mm: Mm, start: number, end: number, prot: number): number {
  // Linux changes the areas up to the first bad one; so does this.
  let to = start
  let error = 0
  let newData = 0
  const undo = new ProtectFailure(mm)
  for (let i = mm.vmas.indexAbove(start); to < end; i++) {
    const vma = mm.vmas.at(i)
    if (vma === undefined || vma.start > to) {
      error = -ENOMEM
      break
    }
    if ((prot & ~vma.maxProt) !== 0) {
      error = -EACCES
      break
    }
    const upTo = Math.min(vma.end, end)
    if ((prot & PROT_WRITE) !== 0 && (vma.prot & PROT_WRITE) === 0) {
      if ((vma.flags & (VMA_SHARED | VMA_GROWSDOWN)) === 0) newData += (upTo - to) / PAGE_SIZE
    }
    undo.old.push({ start: to, end: upTo, prot: vma.prot })
    to = upTo
  }
  if (to === start) return error
  if (mm.vmas.count + 2 > task.kernel.tunables.maxMapCount || !kernelMemory.take(AREA_WEIGHT))
    return -ENOMEM
  if (newData > 0 && !fits(task, mm, 0, false)) return -ENOMEM
  if (newData > 0 && !dataFits(task, mm, newData)) return -ENOMEM
  mm.vmas.change(start, to, vma => {
    vma.prot = prot
  })
  mm.platform.ops(task.thread).mprotect(start, to - start, prot)
  if (mm.users > 1) mm.pending.add(task, start, to)
  task.opsFailure = undo
  return error
}

function dataFits(task: Task, mm: Mm, pages: number): boolean {
  // The pages are part of the address space already: only RLIMIT_DATA is to be asked.
  const total = mm.vmas.totalPages
  mm.vmas.totalPages -= pages
  const ok = fits(task, mm, pages, true)
  mm.vmas.totalPages = total
  return ok
}

/** madvise(2): the advice is carried out by the host; here it is checked and, where fork needs it, recorded. */
export function advise(task: Task, mm: Mm, addr: number, wanted: number, advice: number): number {
  if (!knownAdvice(advice)) return -EINVAL
  if (addr % PAGE_SIZE !== 0) return -EINVAL
  const length = pageCeil(wanted)
  if (wanted > TASK_SIZE || addr + length > TASK_SIZE) return wanted > TASK_SIZE ? -EINVAL : -ENOMEM
  if (length === 0) return 0
  if (advice === MADV_HWPOISON || advice === MADV_SOFT_OFFLINE) return -EPERM
  const end = addr + length
  const busy = mm.pending.settle(task, addr, end)
  if (busy < 0) return busy
  let error = 0
  let next = addr
  for (let i = mm.vmas.indexAbove(addr); next < end; i++) {
    const vma = mm.vmas.at(i)
    if (vma === undefined || vma.start >= end) {
      error = -ENOMEM
      break
    }
    // Holes are skipped, and reported at the end.
    if (vma.start > next) error = -ENOMEM
    const from = Math.max(vma.start, addr)
    next = Math.min(vma.end, end)
    const n = adviseArea(task, mm, vma, from, next, advice)
    if (n < 0) return n
  }
  if (advice === MADV_DONTFORK) setFlag(mm, addr, end, VMA_DONTFORK)
  else if (advice === MADV_DOFORK) clearFlag(mm, addr, end, VMA_DONTFORK)
  else if (advice === MADV_DONTDUMP) setFlag(mm, addr, end, VMA_DONTDUMP)
  else if (advice === MADV_DODUMP) clearFlag(mm, addr, end, VMA_DONTDUMP)
  else if (advice === MADV_WIPEONFORK) setFlag(mm, addr, end, VMA_WIPEONFORK)
  else if (advice === MADV_KEEPONFORK) clearFlag(mm, addr, end, VMA_WIPEONFORK)
  return error
}

/** Advice that changes what memory holds: is_madv_discard. */
function discards(advice: number): boolean {
  return (
    advice === MADV_FREE ||
    advice === MADV_DONTNEED ||
    advice === MADV_DONTNEED_LOCKED ||
    advice === MADV_REMOVE ||
    advice === MADV_DONTFORK ||
    advice === MADV_WIPEONFORK
  )
}

/** Sealed memory that the program might write anyway. */
function mayDiscard(vma: Vma): boolean {
  return vma.shared || vma.file !== null || (vma.prot & PROT_WRITE) !== 0
}

function adviseArea(
  task: Task,
  mm: Mm,
  vma: Vma,
  from: number,
  to: number,
  advice: number,
): number {
  if ((vma.flags & VMA_SEALED) !== 0 && discards(advice) && !mayDiscard(vma)) return -EPERM
  if (advice === MADV_WIPEONFORK && vma.file !== null) return -EINVAL
  if (advice === MADV_FREE && vma.file !== null) return -EINVAL
  if (advice === MADV_DOFORK && (vma.flags & VMA_SPECIAL) !== 0) return -EINVAL
  // DIFFERS: of the program's own memory, MADV_DONTNEED and MADV_FREE go straight to the host, which does not know of the lock.
  if ((advice === MADV_DONTNEED || advice === MADV_FREE) && (vma.flags & VMA_LOCKED) !== 0)
    return -EINVAL
  if (advice === MADV_REMOVE) {
    if (vma.file === null || (vma.flags & VMA_LOCKED) !== 0) return -EINVAL
    if (!vma.shared || !vma.file.writable) return -EACCES
    const offset = vma.offset + from - vma.start
    return vma.file.ops.fallocate(
      vma.file,
      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
      offset,
      to - from,
      task,
    )
  }
  if ((advice === MADV_PAGEOUT || advice === MADV_COLD) && (vma.flags & VMA_LOCKED) !== 0)
    return -EINVAL
  // Which pages leave memory first is the host's business: what pushes them out would reach other processes.
  if (advice === MADV_PAGEOUT) return 0
  // The host does not know of the lock.
  const onHost = advice === MADV_DONTNEED_LOCKED ? MADV_DONTNEED : advice
  mm.platform.ops(task.thread).madvise(from, to - from, onHost)
  if (mm.users > 1) mm.pending.add(task, from, to)
  return 0
}

/** Same-page merging is not offered, as on a kernel without CONFIG_KSM. */
function knownAdvice(advice: number): boolean {
  switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_DONTNEED_LOCKED:
    case MADV_HWPOISON:
    case MADV_SOFT_OFFLINE:
      return true
    default:
      return false
  }
}

/**
 * mlock(2) and munlock(2). LIMIT: locked memory is accounted and limited, but the host is not asked to keep
 * it in memory.
 */
export function lock(
  task: Task,
  mm: Mm,
  addr: number,
  wanted: number,
  locked: boolean,
  onFault = false,
): number {
  const start = pageFloor(addr)
  const length = pageCeil(wanted + (addr - start))
  // A length that wraps around when it is rounded up is none: PAGE_ALIGN.
  if (length === 0 || wanted > 2 ** 64 - PAGE_SIZE) return 0
  if (wanted > TASK_SIZE || start + length > TASK_SIZE) return -ENOMEM
  const end = start + length
  if (locked) {
    const pages = length / PAGE_SIZE - lockedIn(mm, start, end)
    if (!lockFits(task, mm, pages)) return -ENOMEM
  }
  if (!mm.vmas.covers(start, end)) return -ENOMEM
  if (!locked) {
    clearFlag(mm, start, end, VMA_LOCKED)
    return 0
  }
  const busy = mm.pending.settle(task, start, end)
  if (busy < 0) return busy
  setFlag(mm, start, end, VMA_LOCKED)
  return onFault ? 0 : populate(task, mm, start, end)
}

/** Pages that could not be brought into memory: the areas stay locked nevertheless, as in Linux. */
class PopulateFailure implements OpsFailure {
  onOpsFailed(_task: Task, _op: number, errno: number): number {
    return errno === EFAULT || errno === ENOMEM ? -ENOMEM : -EAGAIN
  }
}
const populateFailure = new PopulateFailure()

/** Bring [start, end) into memory, as if the program had touched it: writable private areas get pages of their own. */
function populate(task: Task, mm: Mm, start: number, end: number): number {
  const ops = mm.platform.ops(task.thread)
  let error = 0
  for (let i = mm.vmas.indexAbove(start); ; i++) {
    const vma = mm.vmas.at(i)
    if (vma === undefined || vma.start >= end) break
    if ((vma.flags & VMA_SPECIAL) !== 0) continue
    const from = Math.max(vma.start, start)
    const writes = !vma.shared && (vma.prot & PROT_WRITE) !== 0
    if (vma.prot === 0) error = -ENOMEM
    else
      ops.madvise(
        from,
        Math.min(vma.end, end) - from,
        writes ? MADV_POPULATE_WRITE : MADV_POPULATE_READ,
      )
  }
  if (mm.users > 1) mm.pending.add(task, start, end)
  task.opsFailure = populateFailure
  return error
}

/** mlockall(2) with MCL_CURRENT, and munlockall(2). LIMIT: it does not bring into memory what is locked. */
export function lockAll(task: Task, mm: Mm, locked: boolean): number {
  if (locked && !lockFits(task, mm, mm.vmas.totalPages - mm.vmas.lockedPages)) return -ENOMEM
  if (locked) setFlag(mm, 0, TASK_SIZE, VMA_LOCKED)
  else clearFlag(mm, 0, TASK_SIZE, VMA_LOCKED)
  return 0
}

function lockedIn(mm: Mm, start: number, end: number): number {
  let bytes = 0
  for (let i = mm.vmas.indexAbove(start); ; i++) {
    const vma = mm.vmas.at(i)
    if (vma === undefined || vma.start >= end) return bytes / PAGE_SIZE
    if ((vma.flags & VMA_LOCKED) !== 0) bytes += Math.min(vma.end, end) - Math.max(vma.start, start)
  }
}

function setFlag(mm: Mm, start: number, end: number, flag: number): void {
  mm.vmas.change(start, end, vma => {
    if ((vma.flags & VMA_SPECIAL) === 0) vma.flags |= flag
  })
}

function clearFlag(mm: Mm, start: number, end: number, flag: number): void {
  mm.vmas.change(start, end, vma => {
    vma.flags &= ~flag
  })
}
