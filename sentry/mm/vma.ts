// Virtual memory areas: struct vm_area_struct.

import { PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE } from '../../syscall-table/flags.ts'
import type { File } from '../vfs/file.ts'

// Vma.flags.
export const VMA_SHARED = 1
/** Grows towards lower addresses on a fault below it: MAP_GROWSDOWN and the main stack. */
export const VMA_GROWSDOWN = 2
export const VMA_NORESERVE = 4
/** mlock(2): accounted, not enforced. */
export const VMA_LOCKED = 8
/** MADV_DONTFORK. */
export const VMA_DONTFORK = 16
/** MADV_WIPEONFORK. */
export const VMA_WIPEONFORK = 32
/** Part of the system (vDSO), not of the program's accounting. */
export const VMA_SPECIAL = 64
/** A private mapping of a file that nobody could write to yet: its pages are the file's own. */
export const VMA_PRISTINE = 128
/** mseal(2). */
export const VMA_SEALED = 256
/** MADV_DONTDUMP. */
export const VMA_DONTDUMP = 512
/** mbind(2): a policy of mempolicy.ts in the bits from here on; 0 for none. */
export const VMA_POLICY_SHIFT = 16
export const VMA_POLICY_MASK = 0xff << VMA_POLICY_SHIFT

export const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC

/** Rounds down to a page. Addresses are doubles: bit operations would cut them to 32 bits. */
export function pageFloor(addr: number): number {
  return addr - (addr % PAGE_SIZE)
}

export function pageCeil(addr: number): number {
  const rest = addr % PAGE_SIZE
  return rest === 0 ? addr : addr - rest + PAGE_SIZE
}

/** A range of pages with one protection and one source. */
export class Vma {
  start: number
  /** Exclusive. */
  end: number
  /** PROT_READ | PROT_WRITE | PROT_EXEC. */
  prot: number
  /** What mprotect(2) may ask for: VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC. */
  maxProt: number
  flags: number
  /** Null for private anonymous memory. The area owns one reference. */
  file: File | null
  /** File offset of `start`. */
  offset: number
  /** "[stack]", "[vdso]" or empty. */
  name: string

  constructor(
    start: number,
    end: number,
    prot: number,
    maxProt: number,
    flags: number,
    file: File | null,
    offset: number,
    name: string,
  ) {
    this.start = start
    this.end = end
    this.prot = prot
    this.maxProt = maxProt
    this.flags = flags
    this.file = file
    this.offset = offset
    this.name = name
  }

  get length(): number {
    return this.end - this.start
  }

  get shared(): boolean {
    return (this.flags & VMA_SHARED) !== 0
  }

  /** Private, writable, and without pages beyond the end of a file. */
  get isPlainMemory(): boolean {
    if ((this.flags & VMA_SHARED) !== 0 || (this.prot & PROT_WRITE) === 0) return false
    return this.file === null || this.offset + this.length <= pageCeil(this.file.inode.size)
  }

  /** Private and writable: what RLIMIT_DATA counts. */
  get isData(): boolean {
    return (this.flags & (VMA_SHARED | VMA_GROWSDOWN)) === 0 && (this.prot & PROT_WRITE) !== 0
  }

  /** Whether `next`, which starts where this ends, could be one area with this. */
  continuedBy(next: Vma): boolean {
    return (
      this.end === next.start &&
      this.prot === next.prot &&
      this.maxProt === next.maxProt &&
      (this.flags | VMA_PRISTINE) === (next.flags | VMA_PRISTINE) &&
      this.file === next.file &&
      this.name === next.name &&
      (this.file === null || this.offset + this.length === next.offset)
    )
  }

  /** A copy of the part [start, end) with a reference of its own to the file. */
  part(start: number, end: number): Vma {
    this.file?.ref()
    const offset = this.file === null ? 0 : this.offset + (start - this.start)
    return new Vma(start, end, this.prot, this.maxProt, this.flags, this.file, offset, this.name)
  }
}
