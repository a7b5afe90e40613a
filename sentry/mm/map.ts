// mmap(2) and munmap(2): the checks of mm/mmap.c, the bookkeeping, and the host calls that carry it out.

import {
  EACCES,
  EAGAIN,
  EEXIST,
  EINVAL,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
} from '../../syscall-table/errno.ts'
import {
  CAP_IPC_LOCK,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_32BIT,
  MAP_ANONYMOUS,
  MAP_DENYWRITE,
  MAP_EXECUTABLE,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_STACK,
  MAP_TYPE,
  MS_NOEXEC,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  RLIMIT_AS,
  RLIMIT_DATA,
  RLIMIT_MEMLOCK,
} from '../../syscall-table/flags.ts'
import { AREA_WEIGHT, kernelMemory } from '../kernel/memory.ts'
import type { OpsFailure, Task } from '../kernel/task.ts'
import type { File } from '../vfs/file.ts'
import { commitFits, OVERCOMMIT_ALWAYS } from './commit.ts'
import { findGap, forgetGapHint, reservedIn, usable } from './layout.ts'
import { type Mm, TASK_SIZE } from './mm.ts'
import { createSharedMemory } from './shared-memory.ts'
import {
  PROT_ALL,
  pageCeil,
  pageFloor,
  VMA_GROWSDOWN,
  VMA_LOCKED,
  VMA_NORESERVE,
  VMA_PRISTINE,
  VMA_SHARED,
  Vma,
} from './vma.ts'

/** What MAP_SHARED_VALIDATE accepts: LEGACY_MAP_MASK. */
const KNOWN_FLAGS =
  MAP_TYPE |
  MAP_FIXED |
  MAP_ANONYMOUS |
  MAP_DENYWRITE |
  MAP_EXECUTABLE |
  MAP_GROWSDOWN |
  MAP_LOCKED |
  MAP_NORESERVE |
  MAP_POPULATE |
  MAP_NONBLOCK |
  MAP_STACK |
  MAP_HUGETLB |
  MAP_32BIT |
  MAP_FIXED_NOREPLACE
/** Where MAP_32BIT memory lies, unless the hint says otherwise. */
const LOW_START = 0x40000000
const LOW_END = 0x80000000
/** Anonymous memory in multiples of this gets addresses that let the host use huge pages. */
const HUGE_PAGE = 2 << 20

/** The host refused an mmap: the range, whose old contents may be gone too, becomes free. */
class MapFailure implements OpsFailure {
  readonly mm: Mm
  readonly start: number
  readonly end: number
  constructor(mm: Mm, start: number, end: number) {
    this.mm = mm
    this.start = start
    this.end = end
  }

  onOpsFailed(task: Task, op: number, errno: number): number {
    // The first call maps; a second one populates, and that may fail without harm.
    if (op > 0) return this.start
    this.mm.vmas.clear(this.start, this.end)
    forgetGapHint(this.mm, this.end)
    this.mm.platform.ops(task.thread).munmap(this.start, this.end - this.start)
    if (this.mm.users > 1) this.mm.pending.add(task, this.start, this.end)
    return -errno
  }
}

/** The host refused to cut a hole into an area, for want of areas: it is still there. */
class UnmapFailure implements OpsFailure {
  readonly mm: Mm
  readonly hole: Vma
  constructor(mm: Mm, hole: Vma) {
    this.mm = mm
    this.hole = hole
  }

  onOpsFailed(_task: Task, _op: number, errno: number): number {
    const { start, end } = this.hole
    // Both neighbours still hold the file, so that it can be taken again.
    const neighbour = this.mm.vmas.find(start - 1)
    if (neighbour !== undefined && neighbour.file === this.hole.file) {
      if (this.mm.vmas.firstIn(start, end) === undefined)
        this.mm.vmas.insert(this.hole.part(start, end))
    }
    return -errno
  }
}

/** See `Mm.map`. */
export function mapRegion(
  task: Task,
  mm: Mm,
  hint: number,
  wanted: number,
  prot: number,
  flags: number,
  file: File | null,
  offset: number,
): number {
  if (wanted === 0) return -EINVAL
  const length = pageCeil(wanted)
  if (length > TASK_SIZE) return -ENOMEM
  if (offset < 0 || offset + length > 2 ** 63) return -EOVERFLOW
  if (mm.vmas.count >= task.kernel.tunables.maxMapCount || !kernelMemory.take(AREA_WEIGHT))
    return -ENOMEM
  const place = placeFor(task, mm, hint, length, flags, file === null)
  if (place < 0) return place
  const locked = (flags & MAP_LOCKED) !== 0 || mm.lockFuture
  if ((flags & MAP_LOCKED) !== 0 && !mayLock(task)) return -EPERM
  if (locked && !lockFits(task, mm, length / PAGE_SIZE)) return -EAGAIN
  const maxProt = file === null ? checkAnonymous(flags) : checkFile(file, prot, flags)
  if (maxProt < 0) return maxProt
  const fixed = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0
  if (fixed) {
    if (mm.vmas.isSealed(place, place + length)) return -EPERM
    const busy = mm.pending.settle(task, place, place + length)
    if (busy < 0) return busy
  }
  const data =
    (flags & MAP_TYPE) === MAP_PRIVATE && (prot & PROT_WRITE) !== 0 && (flags & MAP_GROWSDOWN) === 0
  const replaced = fixed ? overlapPages(mm, place, place + length) : 0
  if (!fits(task, mm, length / PAGE_SIZE - replaced, data)) return -ENOMEM
  if (file !== null && !locked && isMapped(mm, place, length, flags, maxProt, file, offset))
    return mapAgain(task, mm, place, length, prot)
  return establish(task, mm, place, length, prot, flags, maxProt, file, offset, locked)
}

/** See `Mm.unmap`. */
export function unmapRegion(task: Task, mm: Mm, addr: number, wanted: number): number {
  if (addr % PAGE_SIZE !== 0 || addr > TASK_SIZE || wanted > TASK_SIZE - addr) return -EINVAL
  const length = pageCeil(wanted)
  if (length === 0) return -EINVAL
  const end = addr + length
  const first = mm.vmas.firstIn(addr, end)
  if (first === undefined) return 0
  if (mm.vmas.isSealed(addr, end)) return -EPERM
  const busy = mm.pending.settle(task, addr, end)
  if (busy < 0) return busy
  if (first.start < addr && first.end > end) {
    if (mm.vmas.count >= task.kernel.tunables.maxMapCount) return -ENOMEM
    const hole = new Vma(
      addr,
      end,
      first.prot,
      first.maxProt,
      first.flags,
      first.file,
      0,
      first.name,
    )
    hole.offset = first.file === null ? 0 : first.offset + addr - first.start
    task.opsFailure = new UnmapFailure(mm, hole)
  }
  orderUnmap(task, mm, addr, end)
  mm.vmas.clear(addr, end)
  forgetGapHint(mm, end)
  return 0
}

/** Host calls that unmap all areas in [start, end), and none of the platform's own memory in between. */
export function orderUnmap(task: Task, mm: Mm, start: number, end: number): void {
  const ops = mm.platform.ops(task.thread)
  const { vmas } = mm
  let i = vmas.indexAbove(start)
  for (let vma = vmas.at(i); vma !== undefined && vma.start < end; vma = vmas.at(++i)) {
    const from = Math.max(vma.start, start)
    // Join what follows unless one of the platform's holes lies in between.
    let to = Math.min(vma.end, end)
    for (let next = vmas.at(i + 1); next !== undefined && next.start < end; next = vmas.at(i + 1)) {
      if (reservedIn(mm, to, next.start) !== undefined) break
      to = Math.min(next.end, end)
      i++
    }
    ops.munmap(from, to - from)
  }
  if (mm.users > 1) mm.pending.add(task, start, end)
}

/** may_expand_vm: whether the limits allow `pages` more. */
export function fits(task: Task, mm: Mm, pages: number, data: boolean): boolean {
  const { rlimits } = task.group
  if ((mm.vmas.totalPages + pages) * PAGE_SIZE > rlimits[RLIMIT_AS]!.cur) return false
  if (!data) return true
  if ((mm.vmas.dataPages + pages) * PAGE_SIZE > rlimits[RLIMIT_DATA]!.cur) return false
  return commitFits(task.kernel, pages)
}

/** can_do_mlock. */
export function mayLock(task: Task): boolean {
  return task.group.rlimits[RLIMIT_MEMLOCK]!.cur > 0 || task.creds.capable(CAP_IPC_LOCK)
}

/** Whether RLIMIT_MEMLOCK allows `pages` more. */
export function lockFits(task: Task, mm: Mm, pages: number): boolean {
  if (task.creds.capable(CAP_IPC_LOCK)) return true
  return (mm.vmas.lockedPages + pages) * PAGE_SIZE <= task.group.rlimits[RLIMIT_MEMLOCK]!.cur
}

/** get_unmapped_area: the address for the new area, or -errno. */
function placeFor(
  task: Task,
  mm: Mm,
  hint: number,
  length: number,
  flags: number,
  anonymous: boolean,
): number {
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) return fixedPlace(mm, hint, length, flags)
  const low = (flags & MAP_32BIT) !== 0
  const addr = pageFloor(Math.max(hint, hint === 0 ? 0 : mm.platform.minAddr))
  if (
    addr !== 0 &&
    (!low || addr + length <= LOW_END) &&
    usable(mm, addr, addr + length) &&
    mm.vmas.firstIn(addr, addr + length) === undefined
  ) {
    if (mm.pending.conflict(task, addr, addr + length) === undefined) return addr
  }
  if (low) return findGap(mm, task, length, LOW_START, LOW_END, PAGE_SIZE)
  const align = anonymous && length % HUGE_PAGE === 0 ? HUGE_PAGE : PAGE_SIZE
  const found = findGap(mm, task, length, 0, mm.mmapBase, align)
  if (found >= 0) return found
  return findGap(mm, task, length, 0, mm.platform.maxAddr, PAGE_SIZE)
}

function fixedPlace(mm: Mm, addr: number, length: number, flags: number): number {
  if (addr > TASK_SIZE - length) return -ENOMEM
  if (addr % PAGE_SIZE !== 0) return -EINVAL
  if (addr < mm.platform.minAddr) return -EPERM
  // DIFFERS: the platform's own memory cannot be replaced; Linux has none.
  if (!usable(mm, addr, addr + length)) return -ENOMEM
  if ((flags & MAP_FIXED_NOREPLACE) !== 0 && mm.vmas.firstIn(addr, addr + length) !== undefined)
    return -EEXIST
  return addr
}

/** Returns what mprotect may ask for later, or -errno. */
function checkAnonymous(flags: number): number {
  const type = flags & MAP_TYPE
  if (type !== MAP_SHARED && type !== MAP_PRIVATE) return -EINVAL
  if (type === MAP_SHARED && (flags & MAP_GROWSDOWN) !== 0) return -EINVAL
  return PROT_ALL
}

function checkFile(file: File, prot: number, flags: number): number {
  const type = flags & MAP_TYPE
  let maxProt = PROT_ALL
  if (type === MAP_SHARED_VALIDATE && (flags & ~KNOWN_FLAGS) !== 0) return -EOPNOTSUPP
  if (type === MAP_SHARED || type === MAP_SHARED_VALIDATE) {
    if ((prot & PROT_WRITE) !== 0 && !file.writable) return -EACCES
    if ((prot & PROT_WRITE) !== 0 && file.inode.writeSealed) return -EPERM
    if (!file.writable || file.inode.writeSealed) maxProt &= ~PROT_WRITE
  } else if (type !== MAP_PRIVATE) return -EINVAL
  if (!file.readable) return -EACCES
  if ((file.mount.flags & MS_NOEXEC) !== 0) {
    if ((prot & PROT_EXEC) !== 0) return -EPERM
    maxProt &= ~PROT_EXEC
  }
  return (flags & MAP_GROWSDOWN) !== 0 ? -EINVAL : maxProt
}

/** Pages of [start, end) that are mapped now and would be replaced. */
function overlapPages(mm: Mm, start: number, end: number): number {
  let bytes = 0
  for (let i = mm.vmas.indexAbove(start); ; i++) {
    const vma = mm.vmas.at(i)
    if (vma === undefined || vma.start >= end) return bytes / PAGE_SIZE
    bytes += Math.min(vma.end, end) - Math.max(vma.start, start)
  }
}

/**
 * Whether [start, start + length) shows already what mapping `file` there would show. So it is when the dynamic loader,
 * which has mapped the whole of a library, maps its segments over that: then no descriptor has to reach the program's
 * host process.
 */
function isMapped(
  mm: Mm,
  start: number,
  length: number,
  flags: number,
  maxProt: number,
  file: File,
  offset: number,
): boolean {
  if ((flags & ~(MAP_DENYWRITE | MAP_EXECUTABLE)) !== (MAP_PRIVATE | MAP_FIXED)) return false
  const vma = mm.vmas.find(start)
  if (vma === undefined || vma.end < start + length) return false
  if (vma.file !== file || vma.flags !== VMA_PRISTINE || vma.maxProt !== maxProt) return false
  return vma.offset + (start - vma.start) === offset
}

/** As `establish`, of what is mapped: its protection changes. */
function mapAgain(task: Task, mm: Mm, addr: number, length: number, prot: number): number {
  mm.vmas.change(addr, addr + length, vma => {
    vma.prot = prot & PROT_ALL
  })
  mm.platform.ops(task.thread).mprotect(addr, length, prot & PROT_ALL)
  task.opsFailure = new MapFailure(mm, addr, addr + length)
  if (mm.users > 1) mm.pending.add(task, addr, addr + length)
  return addr
}

function establish(
  task: Task,
  mm: Mm,
  addr: number,
  length: number,
  prot: number,
  flags: number,
  maxProt: number,
  file: File | null,
  offset: number,
  locked: boolean,
): number {
  const shared = (flags & MAP_TYPE) !== MAP_PRIVATE
  let backing = file
  let hostFd = -1
  let hostOffset = 0
  if (file !== null) {
    const source = file.ops.map(
      file,
      offset,
      length,
      shared,
      shared && (maxProt & PROT_WRITE) !== 0,
    )
    if (typeof source === 'number') return source
    // A device such as /dev/zero whose mappings are plain memory.
    if (source.hostFd < 0) backing = null
    else {
      hostFd = source.hostFd
      hostOffset = offset + source.offset
    }
  }
  if (backing !== null) backing.ref()
  else if (shared) {
    const memory = createSharedMemory(task.kernel, length)
    if (typeof memory === 'number') return memory
    const source = memory.ops.map(memory, 0, length, true, true)
    if (typeof source === 'number') return -ENODEV
    backing = memory
    hostFd = source.hostFd
  }
  const vmaFlags =
    (shared ? VMA_SHARED : 0) |
    ((flags & MAP_GROWSDOWN) !== 0 ? VMA_GROWSDOWN : 0) |
    ((flags & MAP_NORESERVE) !== 0 ? VMA_NORESERVE : 0) |
    (locked ? VMA_LOCKED : 0) |
    (backing !== null && !shared && (prot & PROT_WRITE) === 0 ? VMA_PRISTINE : 0)
  mm.vmas.clear(addr, addr + length)
  const fileOffset = backing === null || backing !== file ? 0 : offset
  mm.vmas.insert(
    new Vma(addr, addr + length, prot & PROT_ALL, maxProt, vmaFlags, backing, fileOffset, ''),
  )
  mm.peakPages = Math.max(mm.peakPages, mm.vmas.totalPages)
  // A mapping that may never be written is private on the host: it shows what others write, and however the
  // program comes to make it writable, its writes stay its own. The descriptor of a memory file takes writes.
  const writesThrough = shared && (file === null || file.writable)
  const hostFlags =
    MAP_FIXED |
    (writesThrough ? MAP_SHARED : MAP_PRIVATE) |
    (hostFd < 0 ? MAP_ANONYMOUS : 0) |
    (task.kernel.tunables.overcommitMemory === OVERCOMMIT_ALWAYS ? MAP_NORESERVE : 0) |
    (flags & MAP_NORESERVE)
  const ops = mm.platform.ops(task.thread)
  ops.mmap(addr, length, prot & PROT_ALL, hostFlags, hostFd, hostOffset)
  if ((flags & (MAP_POPULATE | MAP_NONBLOCK)) === MAP_POPULATE || locked) {
    const readable = (prot & PROT_READ) !== 0
    if (!shared && (prot & PROT_WRITE) !== 0) ops.madvise(addr, length, MADV_POPULATE_WRITE)
    else if (readable) ops.madvise(addr, length, MADV_POPULATE_READ)
  }
  task.opsFailure = new MapFailure(mm, addr, addr + length)
  if (mm.users > 1) mm.pending.add(task, addr, addr + length)
  return addr
}
