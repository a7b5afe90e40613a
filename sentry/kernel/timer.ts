// Kernel timers: a binary heap over absolute CLOCK_MONOTONIC deadlines in nanoseconds (doubles, exact for
// the first 104 days of uptime and to a few ns after that). The run loop sleeps until the first one.

/**
 * A periodic timer is due again no earlier than this after it fired; what it missed is counted. Programs may ask
 * for a nanosecond, and nothing else would get done.
 */
export const MIN_PERIOD_NS = 50_000
/** Timers that fire before the run loop looks at events again. */
const MAX_PER_RUN = 64

/** A timer that fires once; `onTimer` may arm it again. */
export abstract class Timer {
  deadlineNs = Number.POSITIVE_INFINITY
  /** Position in the heap, -1 when not armed. Kept by TimerQueue. */
  heapIndex = -1

  abstract onTimer(nowNs: number): void

  get armed(): boolean {
    return this.heapIndex >= 0
  }
}

/** All armed timers of a kernel. */
export class TimerQueue {
  readonly #heap: Timer[] = []

  /** Deadline of the first timer, Infinity when none is armed. */
  get nextDeadlineNs(): number {
    const first = this.#heap[0]
    return first === undefined ? Number.POSITIVE_INFINITY : first.deadlineNs
  }

  /** Arm, or move an armed timer to another deadline. */
  arm(timer: Timer, deadlineNs: number): void {
    this.cancel(timer)
    timer.deadlineNs = deadlineNs
    timer.heapIndex = this.#heap.length
    this.#heap.push(timer)
    this.#siftUp(timer.heapIndex)
  }

  cancel(timer: Timer): void {
    const index = timer.heapIndex
    if (index < 0) return
    timer.heapIndex = -1
    const last = this.#heap.pop()!
    if (last === timer) return
    this.#place(last, index)
    this.#siftUp(index)
    this.#siftDown(last.heapIndex)
  }

  /** Fire the timers that are due at `nowNs`, the oldest first; those beyond a limit stay due. */
  run(nowNs: number): void {
    for (let fired = 0; fired < MAX_PER_RUN; fired++) {
      const first = this.#heap[0]
      if (first === undefined || first.deadlineNs > nowNs) return
      this.cancel(first)
      first.onTimer(nowNs)
    }
  }

  #place(timer: Timer, index: number): void {
    this.#heap[index] = timer
    timer.heapIndex = index
  }

  #siftUp(index: number): void {
    const timer = this.#heap[index]!
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = this.#heap[parentIndex]!
      if (parent.deadlineNs <= timer.deadlineNs) break
      this.#place(parent, index)
      index = parentIndex
    }
    this.#place(timer, index)
  }

  #siftDown(index: number): void {
    const timer = this.#heap[index]!
    const { length } = this.#heap
    for (;;) {
      let child = 2 * index + 1
      if (child >= length) break
      if (child + 1 < length && this.#heap[child + 1]!.deadlineNs < this.#heap[child]!.deadlineNs)
        child++
      if (this.#heap[child]!.deadlineNs >= timer.deadlineNs) break
      this.#place(this.#heap[child]!, index)
      index = child
    }
    this.#place(timer, index)
  }
}
