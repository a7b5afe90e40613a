// The areas of an address space in address order. A sorted array: lookups are binary searches over memory
// that is contiguous, and even at the limit of 65530 areas an insertion moves only half a megabyte.

import { PAGE_SIZE, PROT_EXEC, PROT_WRITE } from '../../syscall-table/flags.ts'
import {
  VMA_GROWSDOWN,
  VMA_LOCKED,
  VMA_PRISTINE,
  VMA_SEALED,
  VMA_SPECIAL,
  type Vma,
} from './vma.ts'

export class VmaTree {
  readonly #vmas: Vma[] = []
  /** Pages of all areas, as RLIMIT_AS counts them. */
  totalPages = 0
  /** Private writable pages: RLIMIT_DATA. */
  dataPages = 0
  stackPages = 0
  /** Executable pages that are not writable. */
  execPages = 0
  lockedPages = 0

  get count(): number {
    return this.#vmas.length
  }

  at(index: number): Vma | undefined {
    return this.#vmas[index]
  }

  /** Index of the first area that ends above `addr`: the one that holds it, or the next. */
  indexAbove(addr: number): number {
    let low = 0
    let high = this.#vmas.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#vmas[middle]!.end > addr) high = middle
      else low = middle + 1
    }
    return low
  }

  /** The area that holds `addr`. */
  find(addr: number): Vma | undefined {
    const vma = this.#vmas[this.indexAbove(addr)]
    return vma !== undefined && vma.start <= addr ? vma : undefined
  }

  /** The first area that overlaps [start, end). */
  firstIn(start: number, end: number): Vma | undefined {
    const vma = this.#vmas[this.indexAbove(start)]
    return vma !== undefined && vma.start < end ? vma : undefined
  }

  /** Whether every page of [start, end) belongs to an area. */
  covers(start: number, end: number): boolean {
    let next = start
    for (let i = this.indexAbove(start); next < end; i++) {
      const vma = this.#vmas[i]
      if (vma === undefined || vma.start > next) return false
      next = vma.end
    }
    return true
  }

  some(test: (vma: Vma) => boolean): boolean {
    return this.#vmas.some(test)
  }

  /** Whether mseal(2) protects any area in [start, end). */
  isSealed(start: number, end: number): boolean {
    for (let i = this.indexAbove(start); ; i++) {
      const vma = this.at(i)
      if (vma === undefined || vma.start >= end) return false
      if ((vma.flags & VMA_SEALED) !== 0) return true
    }
  }

  /** Whether [start, end) is private memory that can be written, with all of its pages there: a copy to it cannot fail. */
  isPlainMemory(start: number, end: number): boolean {
    let next = start
    for (let i = this.indexAbove(start); next < end; i++) {
      const vma = this.#vmas[i]
      if (vma === undefined || vma.start > next || !vma.isPlainMemory) return false
      next = vma.end
    }
    return true
  }

  /** Put `vma` into the free range it describes and join it with its neighbours where they match. */
  insert(vma: Vma): Vma {
    const index = this.indexAbove(vma.start)
    this.#vmas.splice(index, 0, vma)
    this.#account(vma, 1)
    this.#joinNext(index)
    return index > 0 && this.#joinNext(index - 1) ? this.#vmas[index - 1]! : vma
  }

  /** Take [start, end) out, dropping the files' references. Areas at the edges are split. */
  clear(start: number, end: number): void {
    this.splitAt(start)
    this.splitAt(end)
    const from = this.indexAbove(start)
    let to = from
    while (to < this.#vmas.length && this.#vmas[to]!.start < end) to++
    if (to === from) return
    const removed = this.#vmas.splice(from, to - from)
    for (const vma of removed) this.#account(vma, -1)
    for (const vma of removed) vma.file?.unref()
  }

  /** Make `addr` an edge when it lies inside an area. */
  splitAt(addr: number): void {
    const index = this.indexAbove(addr)
    const vma = this.#vmas[index]
    if (vma === undefined || vma.start >= addr) return
    const upper = vma.part(addr, vma.end)
    this.#vmas.splice(index + 1, 0, upper)
    vma.end = addr
  }

  /** Change the whole areas in [start, end), whose edges have been split, and join what then matches. */
  change(start: number, end: number, apply: (vma: Vma) => void): void {
    this.splitAt(start)
    this.splitAt(end)
    const from = this.indexAbove(start)
    let to = from
    for (; to < this.#vmas.length && this.#vmas[to]!.start < end; to++) {
      const vma = this.#vmas[to]!
      this.#account(vma, -1)
      apply(vma)
      if ((vma.prot & PROT_WRITE) !== 0) vma.flags &= ~VMA_PRISTINE
      this.#account(vma, 1)
    }
    for (let i = Math.min(to, this.#vmas.length - 1); i >= Math.max(from, 1); i--)
      this.#joinNext(i - 1)
  }

  /** Move the lower edge of a stack. */
  extendDown(vma: Vma, start: number): void {
    this.#account(vma, -1)
    vma.start = start
    this.#account(vma, 1)
  }

  #joinNext(index: number): boolean {
    const vma = this.#vmas[index]!
    const next = this.#vmas[index + 1]
    if (next === undefined || !vma.continuedBy(next)) return false
    vma.end = next.end
    vma.flags &= next.flags | ~VMA_PRISTINE
    this.#vmas.splice(index + 1, 1)
    next.file?.unref()
    return true
  }

  #account(vma: Vma, sign: number): void {
    if ((vma.flags & VMA_SPECIAL) !== 0) return
    const pages = (sign * vma.length) / PAGE_SIZE
    this.totalPages += pages
    if (vma.isData) this.dataPages += pages
    if ((vma.flags & VMA_GROWSDOWN) !== 0) this.stackPages += pages
    if ((vma.prot & (PROT_EXEC | PROT_WRITE)) === PROT_EXEC) this.execPages += pages
    if ((vma.flags & VMA_LOCKED) !== 0) this.lockedPages += pages
  }
}
