// Address spaces: struct mm_struct. The host kernel keeps the pages; this keeps the layout (the VMA tree) and
// copies between kernel and program memory.

import { EFAULT, ENOMEM } from '../../syscall-table/errno.ts'
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_READ,
  RLIMIT_STACK,
} from '../../syscall-table/flags.ts'
import { type AioContext, dropAioContexts } from '../kernel/aio.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import type { Platform } from '../platform.ts'
import type { File } from '../vfs/file.ts'
import { findGap, type GapHint } from './layout.ts'
import { mapRegion, unmapRegion } from './map.ts'
import { PendingRanges } from './pending-ranges.ts'
import { growStack } from './stack.ts'
import {
  PROT_ALL,
  pageFloor,
  VMA_DONTFORK,
  VMA_GROWSDOWN,
  VMA_LOCKED,
  VMA_SPECIAL,
  Vma,
} from './vma.ts'
import { VmaTree } from './vma-tree.ts'

/** First address that is not a user address on amd64 (4-level page tables). */
export const TASK_SIZE = 2 ** 47 - 4096
/** PATH_MAX: with the terminating NUL. */
export const PATH_MAX = 4096
/** Largest part of RLIMIT_STACK that a main stack takes: its addresses are taken at once. */
const MAX_STACK = 64 << 20
/** A main stack has room for the arguments whatever the limit says. */
const MIN_STACK = 256 << 10

/** Private and shared anonymous memory, ELF headers, private huge pages. */
const DEFAULT_DUMP_FILTER = 0x33

export class Mm {
  readonly platform: Platform
  /** Tasks (and pending execs) that use this address space. */
  users = 1
  readonly vmas = new VmaTree()
  readonly pending = new PendingRanges()
  /** Where the search for free addresses starts, going down. */
  mmapBase: number
  brkStart = 0
  /** Current end of the heap, not rounded. */
  brk = 0
  stackTop = 0
  argStart = 0
  argEnd = 0
  envStart = 0
  envEnd = 0
  codeStart = 0
  codeEnd = 0
  dataStart = 0
  dataEnd = 0
  /** The auxiliary vector as it lies in program memory, for /proc/PID/auxv. */
  auxv = new Uint8Array(0)
  /** The program file, for /proc/PID/exe; this owns a reference. */
  exeFile: File | null = null
  /** mlockall(MCL_FUTURE). */
  lockFuture = false
  /** /proc/PID/coredump_filter. */
  dumpFilter = DEFAULT_DUMP_FILTER
  /** PR_SET_THP_DISABLE. */
  hugeDisabled = false
  /** Contexts of io_setup(2) by their identifiers; null for nearly all. */
  aio: Map<number, AioContext> | null = null
  /** Most pages there were: VmPeak. */
  peakPages = 0
  /** Kept by findGap. */
  readonly gapHint: GapHint = { below: 0, length: 0 }

  constructor(platform: Platform) {
    this.platform = platform
    this.mmapBase = platform.maxAddr
  }

  /** An empty address space, as exec needs it. */
  static create(kernel: Kernel): Mm {
    return new Mm(kernel.platform)
  }

  /** A copy of the layout for fork. The host copies the pages when it runs `ops.fork`. */
  fork(): Mm {
    const copy = new Mm(this.platform)
    for (let i = 0; i < this.vmas.count; i++) {
      const vma = this.vmas.at(i)!
      if ((vma.flags & VMA_DONTFORK) !== 0) continue
      const part = vma.part(vma.start, vma.end)
      // Locks are not inherited: mlock(2).
      part.flags &= ~VMA_LOCKED
      copy.vmas.insert(part)
    }
    copy.dumpFilter = this.dumpFilter
    copy.hugeDisabled = this.hugeDisabled
    copy.mmapBase = this.mmapBase
    copy.brkStart = this.brkStart
    copy.brk = this.brk
    copy.stackTop = this.stackTop
    copy.argStart = this.argStart
    copy.argEnd = this.argEnd
    copy.envStart = this.envStart
    copy.envEnd = this.envEnd
    copy.codeStart = this.codeStart
    copy.codeEnd = this.codeEnd
    copy.dataStart = this.dataStart
    copy.dataEnd = this.dataEnd
    copy.auxv = this.auxv
    copy.exeFile = this.exeFile?.ref() ?? null
    copy.peakPages = this.vmas.totalPages
    return copy
  }

  ref(): this {
    this.users++
    return this
  }

  /** A user is gone; the last one gives the files back. The host frees the pages with the process. */
  unref(): void {
    if (--this.users > 0) return
    if (this.aio !== null) dropAioContexts(this)
    this.vmas.clear(0, TASK_SIZE)
    this.exeFile?.unref()
    this.exeFile = null
  }

  /**
   * mmap(2) for the handler and for exec: checks the request, chooses the address and orders the host calls.
   * `flags` are MAP_*; `file` is borrowed. Returns the address or -errno.
   */
  map(
    task: Task,
    addr: number,
    length: number,
    prot: number,
    flags: number,
    file: File | null,
    offset: number,
  ): number {
    return mapRegion(task, this, addr, length, prot, flags, file, offset)
  }

  /** munmap(2). */
  unmap(task: Task, addr: number, length: number): number {
    return unmapRegion(task, this, addr, length)
  }

  /**
   * The main stack below `top`, which is page-aligned. Returns its lowest address or -errno.
   * DIFFERS: Linux grows it page by page; here RLIMIT_STACK (at most 64 MiB) is mapped at once without
   * reserving memory, so that the kernel may copy to pages that the program has not touched yet.
   */
  mapStack(task: Task, top: number, prot: number): number {
    const limit = Math.min(task.group.rlimits[RLIMIT_STACK]!.cur, MAX_STACK)
    const size = Math.max(pageFloor(limit), MIN_STACK)
    const start = top - size
    if (start < this.platform.minAddr || this.vmas.firstIn(start, top) !== undefined) return -ENOMEM
    this.vmas.insert(new Vma(start, top, prot, PROT_ALL, VMA_GROWSDOWN, null, 0, '[stack]'))
    const flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    this.platform.ops(task.thread).mmap(start, size, prot, flags, -1, 0)
    this.stackTop = top
    return start
  }

  /** Record memory that the platform has put there by itself, such as the vDSO. */
  addSpecial(start: number, end: number, name: string, prot: number): void {
    this.vmas.insert(new Vma(start, end, prot, prot | PROT_READ, VMA_SPECIAL, null, 0, name))
  }

  /** The highest free range of `length` bytes below `high` and not below `low`, or -ENOMEM. */
  findGap(task: Task, length: number, low: number, high: number): number {
    return findGap(this, task, length, low, high, PAGE_SIZE)
  }

  /** A fault at `addr`: true when it lay below a stack that has been extended, and the program may go on. */
  growStack(task: Task, addr: number): boolean {
    return growStack(task, this, addr)
  }

  /** What /proc/PID/maps shows for areas without a file. */
  vmaName(vma: Vma): string {
    if (vma.name !== '' || vma.file !== null) return vma.name
    return vma.start < this.brk && vma.end > this.brkStart ? '[heap]' : ''
  }

  /**
   * Copy `length` bytes from program address `addr` to `into[at…]`. All or nothing: 0 or -EFAULT.
   * The caller has copied once: it validates the copy, never the original.
   */
  copyIn(task: Task, addr: number, into: Uint8Array, at: number, length: number): number {
    return this.copyInPartial(task, addr, into, at, length) === length ? 0 : -EFAULT
  }

  /** Copy to program memory: 0 or -EFAULT (some bytes may have been written, as in Linux). */
  copyOut(task: Task, addr: number, from: Uint8Array, at: number, length: number): number {
    return this.copyOutPartial(task, addr, from, at, length) === length ? 0 : -EFAULT
  }

  /** As `copyIn`, but returns the bytes copied before memory ended, or -EFAULT for none. */
  copyInPartial(task: Task, addr: number, into: Uint8Array, at: number, length: number): number {
    if (length === 0) return 0
    if (addr >= TASK_SIZE) return -EFAULT
    // A string may be the last thing below the end of memory: who asks for more than there is gets what there is.
    const there = Math.min(length, TASK_SIZE - addr)
    return task.kernel.platform.readMemory(task.thread, addr, into, at, there)
  }

  copyOutPartial(task: Task, addr: number, from: Uint8Array, at: number, length: number): number {
    if (length === 0) return 0
    if (addr + length > TASK_SIZE) return -EFAULT
    return task.kernel.platform.writeMemory(task.thread, addr, from, at, length)
  }

  /**
   * As `copyOut`, for what a system call of `task` itself tells its caller: the bytes may reach the program only when
   * the call returns. Not for memory that another thread waits for, as a futex word.
   */
  copyResult(task: Task, addr: number, from: Uint8Array, at: number, length: number): number {
    return this.copyResultPartial(task, addr, from, at, length) === length ? 0 : -EFAULT
  }

  copyResultPartial(
    task: Task,
    addr: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): number {
    return this.vmas.isPlainMemory(addr, addr + length)
      ? task.kernel.platform.writeResult(task.thread, addr, from, at, length)
      : this.copyOutPartial(task, addr, from, at, length)
  }

  /**
   * A NUL-terminated string of at most `max` bytes with its NUL, as latin1 (one char per byte).
   * -ENAMETOOLONG when there is no NUL in `max` bytes, -EFAULT where memory ends before one.
   */
  readString(task: Task, addr: number, max: number = PATH_MAX): string | number {
    const { platform, scratch, scratchText } = task.kernel
    if (addr >= TASK_SIZE) return -EFAULT
    const there = Math.min(max, TASK_SIZE - addr)
    const length = platform.readString(task.thread, addr, scratch, 0, there)
    if (length < 0) return there < max ? -EFAULT : length
    return scratchText.toString('latin1', 0, length)
  }
}
