// The kernel's own memory: tasks, areas, open files and inodes live in the heap of JavaScript, which ends the process where
// it ends. So what a program can have made without another limit is refused, as by Linux when kmalloc fails, while the
// heap still has room for all that is bounded otherwise. In a sandbox with little memory, the heap does not keep what it does
// not need: it is charged to the sandbox.

import { collectGarbage, heapHeld, heapLimit, heapUsed } from '../../native/index.ts'

/** What things weigh, in units of about 100 bytes. */
export const TASK_WEIGHT = 100
export const AREA_WEIGHT = 1
export const FILE_WEIGHT = 4
export const INODE_WEIGHT = 15
export const NAME_WEIGHT = 10
/** Entries of a descriptor table in one unit. */
export const FDS_PER_UNIT = 8

/** What V8 counts for young objects, of all that the heap may have: old ones do not get it. */
const YOUNG_BYTES = 192 << 20
/** The part of the rest that programs may fill. */
const SHARE = 0.85
/** Units between two looks at the heap: some megabytes. */
const INTERVAL = 50_000
/** In a small sandbox they are as many as it has of these; not fewer than the least. */
const BYTES_PER_INTERVAL = 5000
const LEAST_INTERVAL = 5000
/** The same while the heap is full. */
const FULL_INTERVAL = 500
/** What a heap may keep of a sandbox's memory, beside what it has had before that began. */
const KEPT_SHARE = 1 / 8
const KEPT_BASE = 16 << 20
/** Collecting garbage takes at most one part in this many of the time. */
const PAUSE_RATIO = 20
/** The same in order to stay small: better slow than killed. */
const SHRINK_RATIO = 3

/** What is asked of V8 and of the clock; a test has others. */
export interface Heap {
  limit(): number
  used(): number
  held(): number
  collect(): void
  nowMs(): number
}

const v8: Heap = {
  limit: heapLimit,
  used: heapUsed,
  held: heapHeld,
  collect: collectGarbage,
  nowMs: () => performance.now(),
}

export class KernelMemory {
  readonly #heap: Heap
  readonly #most: number
  /** Units until the next look. */
  #left = INTERVAL
  #interval = INTERVAL
  #full = false
  #mayCollectAt = 0
  #mayKeep = Number.POSITIVE_INFINITY
  /** What the heap holds when it is next told to let go. */
  #shrinkAt = Number.POSITIVE_INFINITY

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

  /** The sandbox may have so many bytes. */
  bound(memoryBytes: number): void {
    this.#mayKeep = this.#shrinkAt = KEPT_BASE + memoryBytes * KEPT_SHARE
    this.#interval = Math.min(Math.max(memoryBytes / BYTES_PER_INTERVAL, LEAST_INTERVAL), INTERVAL)
  }

  #look(units: number): void {
    if (this.#heap.held() > this.#shrinkAt) this.#shrink()
    const wanted = units * 100
    this.#full = this.#heap.used() + wanted > this.#most
    if (this.#full) this.#full = !this.#collected(wanted)
    this.#left = this.#full ? FULL_INTERVAL : this.#interval
  }

  /** Whether there is room without the garbage. */
  #collected(wanted: number): boolean {
    return this.#collect(PAUSE_RATIO) && this.#heap.used() + wanted <= this.#most
  }

  /** What is in use stays: another time, if half as much has come in addition. */
  #shrink(): void {
    if (this.#collect(SHRINK_RATIO))
      this.#shrinkAt = Math.max(this.#mayKeep, this.#heap.held() * 1.5)
  }

  /** Not when collecting would take more than one part in `ratio` of the time. */
  #collect(ratio: number): boolean {
    const start = this.#heap.nowMs()
    if (start < this.#mayCollectAt) return false
    this.#heap.collect()
    const end = this.#heap.nowMs()
    this.#mayCollectAt = end + ratio * (end - start)
    return true
  }
}

/** There is one heap, whatever kernels live in it. */
export const kernelMemory = new KernelMemory()
