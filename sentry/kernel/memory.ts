// The kernel's own memory: tasks, areas, open files and inodes live in the heap of JavaScript, which ends the process where
// it ends. So what a program can have made without another limit is refused, as by Linux when kmalloc fails, while the
// heap still has room for all that is bounded otherwise.

import { collectGarbage, heapLimit, heapUsed } from '../../native/index.ts'

/** What things weigh, in units of about 100 bytes. */
export const TASK_WEIGHT = 100
export const AREA_WEIGHT = 1
export const FILE_WEIGHT = 4
export const INODE_WEIGHT = 15
/** Entries of a descriptor table in one unit. */
export const FDS_PER_UNIT = 8

/** What V8 counts for young objects, of all that the heap may have: old ones do not get it. */
const YOUNG_BYTES = 192 << 20
/** The part of the rest that programs may fill. */
const SHARE = 0.85
/** Units between two looks at the heap: some megabytes. */
const INTERVAL = 50_000
/** The same while the heap is full. */
const FULL_INTERVAL = 500
/** Collecting garbage takes at most one part in this many of the time. */
const PAUSE_RATIO = 20

/** What is asked of V8 and of the clock; a test has others. */
export interface Heap {
  limit(): number
  used(): number
  collect(): void
  nowMs(): number
}

const v8: Heap = {
  limit: heapLimit,
  used: heapUsed,
  collect: collectGarbage,
  nowMs: () => performance.now(),
}

export class KernelMemory {
  readonly #heap: Heap
  readonly #most: number
  /** Units until the next look. */
  #left = INTERVAL
  #full = false
  #mayCollectAt = 0

  constructor(heap: Heap = v8) {
    this.#heap = heap
    const limit = heap.limit()
    this.#most = SHARE * Math.max(limit - YOUNG_BYTES, limit / 4)
  }

  /** Whether there is room for `units` more. They need not be given back: what is in use is found by looking. */
  take(units: number): boolean {
    this.#left -= units
    if (this.#left < 0) this.#look(units)
    return !this.#full
  }

  #look(units: number): void {
    const wanted = units * 100
    this.#full = this.#heap.used() + wanted > this.#most
    if (this.#full) this.#full = !this.#collected(wanted)
    this.#left = this.#full ? FULL_INTERVAL : INTERVAL
  }

  /** Whether there is room without the garbage. */
  #collected(wanted: number): boolean {
    const start = this.#heap.nowMs()
    if (start < this.#mayCollectAt) return false
    this.#heap.collect()
    const end = this.#heap.nowMs()
    this.#mayCollectAt = end + PAUSE_RATIO * (end - start)
    return this.#heap.used() + wanted <= this.#most
  }
}

/** There is one heap, whatever kernels live in it. */
export const kernelMemory = new KernelMemory()
