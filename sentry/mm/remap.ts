// mremap(2) and brk(2).

import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from '../../syscall-table/errno.ts'
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  RLIMIT_DATA,
} from '../../syscall-table/flags.ts'
import type { OpsFailure, Task } from '../kernel/task.ts'
import { findGap, forgetGapHint, STACK_GUARD, usable } from './layout.ts'
import { fits, lockFits, orderUnmap, unmapRegion } from './map.ts'
import { type Mm, TASK_SIZE } from './mm.ts'
import { PROT_ALL, pageCeil, VMA_GROWSDOWN, VMA_LOCKED, VMA_SPECIAL, Vma } from './vma.ts'

const FLAGS = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP

/** The host refused to grow or move an area: it is what and where it was. */
class RemapFailure implements OpsFailure {
  readonly mm: Mm
  /** What was added, and goes. */
  readonly start: number
  readonly end: number
  /** Where the moved area was; its end equals its start when it has not left its place. */
  readonly oldStart: number
  readonly oldEnd: number
  /** The result for the program; 0 for -errno. */
  readonly result: number
  constructor(
    mm: Mm,
    start: number,
    end: number,
    oldStart: number,
    oldEnd: number,
    result: number,
  ) {
    this.mm = mm
    this.start = start
    this.end = end
    this.oldStart = oldStart
    this.oldEnd = oldEnd
    this.result = result
  }

  onOpsFailed(_task: Task, _op: number, errno: number): number {
    const { mm } = this
    const moved = mm.vmas.find(this.start)
    if (moved !== undefined && this.oldEnd > this.oldStart) {
      mm.vmas.splitAt(this.start)
      const back = mm.vmas
        .find(this.start)!
        .part(this.start, this.start + this.oldEnd - this.oldStart)
      back.end = this.oldEnd
      back.start = this.oldStart
      mm.vmas.insert(back)
    }
    mm.vmas.clear(this.start, this.end)
    forgetGapHint(mm, this.end)
    if (this.result === 0) return -errno
    mm.brk = this.result
    return this.result
  }
}

/** mremap(2). */
export function remap(
  task: Task,
  mm: Mm,
  addr: number,
  oldWanted: number,
  newWanted: number,
  flags: number,
  newAddr: number,
): number {
  if ((flags & ~FLAGS) !== 0) return -EINVAL
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0 && (flags & MREMAP_MAYMOVE) === 0)
    return -EINVAL
  if (addr % PAGE_SIZE !== 0) return -EINVAL
  const oldLength = pageCeil(oldWanted)
  const length = pageCeil(newWanted)
  // So is one that wraps around when it is rounded up: PAGE_ALIGN.
  if (length === 0 || newWanted > 2 ** 64 - PAGE_SIZE) return -EINVAL
  if ((flags & MREMAP_DONTUNMAP) !== 0 && oldLength !== length) return -EINVAL
  const vma = mm.vmas.find(addr)
  if (vma === undefined) return -EFAULT
  if (length > TASK_SIZE || oldLength > TASK_SIZE)
    return (flags & MREMAP_FIXED) !== 0 ? -EINVAL : -ENOMEM
  // Both name a place, although only one insists on it.
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0) {
    if (newAddr % PAGE_SIZE !== 0 || newAddr > TASK_SIZE - length) return -EINVAL
    if (addr < newAddr + length && newAddr < addr + oldLength) return -EINVAL
  }
  if ((flags & MREMAP_FIXED) !== 0) {
    if (!usable(mm, newAddr, newAddr + length)) return -ENOMEM
    const busy = mm.pending.settle(task, newAddr, newAddr + length)
    if (busy < 0) return busy
  }
  if (mm.vmas.isSealed(addr, addr + Math.max(oldLength, PAGE_SIZE))) return -EPERM
  if ((flags & MREMAP_FIXED) !== 0 && mm.vmas.isSealed(newAddr, newAddr + length)) return -EPERM
  const busy = mm.pending.settle(task, addr, addr + oldLength)
  if (busy < 0) return busy
  if (mm.vmas.count + 3 > task.kernel.tunables.maxMapCount) return -ENOMEM
  const moving = (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0
  if (!moving && oldLength >= length) {
    // Shrinking may reach over several areas, as munmap does.
    if (oldLength === length) return addr
    const n = unmapRegion(task, mm, addr + length, oldLength - length)
    return n < 0 ? n : addr
  }
  const grown = checkGrowth(task, mm, vma, addr, oldLength, length)
  if (grown < 0) return grown
  if (!moving && oldLength > 0 && addr + oldLength === vma.end) {
    const end = addr + length
    const free = mm.vmas.firstIn(vma.end, end) === undefined && usable(mm, vma.end, end)
    if (free && mm.pending.conflict(task, vma.end, end) === undefined) {
      return growInPlace(task, mm, vma, addr, oldLength, length)
    }
  }
  if ((flags & MREMAP_MAYMOVE) === 0) return -ENOMEM
  return move(task, mm, vma, addr, oldLength, length, flags, moving ? newAddr : 0)
}

/** vma_to_resize. */
function checkGrowth(
  task: Task,
  mm: Mm,
  vma: Vma,
  addr: number,
  oldLength: number,
  length: number,
): number {
  if (oldLength === 0 && !vma.shared) return -EINVAL
  if ((vma.flags & VMA_SPECIAL) !== 0 && length > oldLength) return -EFAULT
  if (oldLength > vma.end - addr) return -EFAULT
  const pages = Math.max(0, length - oldLength) / PAGE_SIZE
  if (pages === 0) return 0
  if ((vma.flags & VMA_LOCKED) !== 0 && !lockFits(task, mm, pages)) return -EAGAIN
  return fits(task, mm, pages, vma.isData) ? 0 : -ENOMEM
}

function growInPlace(
  task: Task,
  mm: Mm,
  vma: Vma,
  addr: number,
  oldLength: number,
  length: number,
): number {
  const oldEnd = addr + oldLength
  const end = addr + length
  mm.platform.ops(task.thread).mremap(addr, oldLength, length, 0, addr)
  insertPart(mm, vma, oldEnd, end, oldEnd)
  if (mm.users > 1) mm.pending.add(task, addr, end)
  task.opsFailure = new RemapFailure(mm, oldEnd, end, 0, 0, 0)
  return addr
}

/** Whether a place that was hinted at can be had; 0 is no hint. */
function isFree(task: Task, mm: Mm, addr: number, length: number): boolean {
  const end = addr + length
  if (addr < mm.platform.minAddr || !usable(mm, addr, end)) return false
  return (
    mm.vmas.firstIn(addr, end) === undefined && mm.pending.conflict(task, addr, end) === undefined
  )
}

function move(
  task: Task,
  mm: Mm,
  vma: Vma,
  addr: number,
  oldLength: number,
  length: number,
  flags: number,
  wanted: number,
): number {
  let target = wanted
  const fixed = (flags & MREMAP_FIXED) !== 0
  if (!fixed && !isFree(task, mm, wanted, length)) {
    target = findGap(mm, task, length, 0, mm.mmapBase, PAGE_SIZE)
    if (target < 0) target = findGap(mm, task, length, 0, mm.platform.maxAddr, PAGE_SIZE)
    if (target < 0) return target
  }
  const { vmas } = mm
  const ops = mm.platform.ops(task.thread)
  const end = target + length
  if (fixed) vmas.clear(target, end)
  // The removal may have split or shortened nothing of the source: the two ranges do not overlap.
  const source = vmas.find(addr) ?? vma
  if (oldLength === 0) return duplicate(task, mm, source, addr, target, length)
  const host = MREMAP_MAYMOVE | MREMAP_FIXED | (flags & MREMAP_DONTUNMAP)
  // As Linux does: a shorter new area gives the rest of the old one up first.
  const kept = Math.min(oldLength, length)
  if (kept < oldLength) {
    orderUnmap(task, mm, addr + kept, addr + oldLength)
    vmas.clear(addr + kept, addr + oldLength)
  }
  ops.mremap(addr, kept, length, host, target)
  insertPart(mm, vmas.find(addr) ?? source, target, end, addr)
  const stays = (flags & MREMAP_DONTUNMAP) !== 0
  if (stays) {
    vmas.change(addr, addr + kept, old => {
      old.flags &= ~VMA_LOCKED
    })
  } else vmas.clear(addr, addr + kept)
  forgetGapHint(mm, addr + oldLength)
  if (mm.users > 1) {
    mm.pending.add(task, addr, addr + oldLength)
    mm.pending.add(task, target, end)
  }
  task.opsFailure = new RemapFailure(mm, target, end, addr, stays ? addr : addr + kept, 0)
  return target
}

/** An old length of 0 makes a second mapping of shared memory. */
function duplicate(
  task: Task,
  mm: Mm,
  vma: Vma,
  addr: number,
  target: number,
  length: number,
): number {
  const { file } = vma
  if (file === null) return -EINVAL
  const offset = vma.offset + addr - vma.start
  const source = file.ops.map(file, offset, length, true, (vma.maxProt & PROT_WRITE) !== 0)
  if (typeof source === 'number') return source
  insertPart(mm, vma, target, target + length, addr)
  mm.platform
    .ops(task.thread)
    .mmap(target, length, vma.prot, MAP_FIXED | MAP_SHARED, source.hostFd, offset + source.offset)
  if (mm.users > 1) mm.pending.add(task, target, target + length)
  task.opsFailure = new RemapFailure(mm, target, target + length, 0, 0, 0)
  return target
}

/** An area [start, end) of the kind of `like` that shows what `like` has at `from`. */
function insertPart(mm: Mm, like: Vma, start: number, end: number, from: number): void {
  const offset = like.file === null ? 0 : like.offset + from - like.start
  like.file?.ref()
  mm.vmas.insert(
    new Vma(start, end, like.prot, like.maxProt, like.flags, like.file, offset, like.name),
  )
  mm.peakPages = Math.max(mm.peakPages, mm.vmas.totalPages)
}

/** brk(2): the new end of the heap, or the old one when it cannot be moved; never an error. */
export function setBrk(task: Task, mm: Mm, wanted: number): number {
  const old = mm.brk
  if (wanted < mm.brkStart || wanted > TASK_SIZE) return old
  const limit = task.group.rlimits[RLIMIT_DATA]!.cur
  if (wanted - mm.brkStart + (mm.dataEnd - mm.dataStart) > limit) return old
  const oldEnd = pageCeil(old)
  const end = pageCeil(wanted)
  if (end < oldEnd) {
    const n = unmapRegion(task, mm, end, oldEnd - end)
    if (n < 0) return n === -ENOMEM || n === -EINVAL ? old : n
    mm.brk = wanted
    return wanted
  }
  if (end > oldEnd) {
    const n = growHeap(task, mm, oldEnd, end, old)
    if (n !== 0) return n
  }
  mm.brk = wanted
  return wanted
}

/** Returns 0, the old end when there is no room, or -EBLOCKED. */
function growHeap(task: Task, mm: Mm, oldEnd: number, end: number, old: number): number {
  const above = mm.vmas.at(mm.vmas.indexAbove(oldEnd))
  if (above !== undefined) {
    const guard = (above.flags & VMA_GROWSDOWN) !== 0 ? STACK_GUARD : PAGE_SIZE
    if (above.start - guard < end) return old
  }
  const length = end - oldEnd
  if (!usable(mm, oldEnd, end) || mm.vmas.count >= task.kernel.tunables.maxMapCount) return old
  if (!fits(task, mm, length / PAGE_SIZE, true)) return old
  if (mm.lockFuture && !lockFits(task, mm, length / PAGE_SIZE)) return old
  const busy = mm.pending.settle(task, oldEnd, end)
  if (busy < 0) return busy
  const prot = PROT_READ | PROT_WRITE
  const flags = mm.lockFuture ? VMA_LOCKED : 0
  mm.vmas.insert(new Vma(oldEnd, end, prot, PROT_ALL, flags, null, 0, ''))
  mm.peakPages = Math.max(mm.peakPages, mm.vmas.totalPages)
  mm.platform
    .ops(task.thread)
    .mmap(oldEnd, length, prot, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
  if (mm.users > 1) mm.pending.add(task, oldEnd, end)
  task.opsFailure = new RemapFailure(mm, oldEnd, end, 0, 0, old)
  return 0
}
