// Ranges whose host calls have been ordered but may not have run yet. The thread that made the call runs them
// when it goes on; until its next event another thread of the process must not order host calls on the same
// addresses, because the two threads could run them in the wrong order.

import { type Task, ZOMBIE } from '../kernel/task.ts'
import { WaitQueue } from '../kernel/wait-queue.ts'

interface PendingRange {
  task: Task
  /** `task.events` when the calls were ordered: any later event proves that they have run. */
  events: number
  start: number
  end: number
}

/** Park `task` until the host thread of `other` has its next event. Returns -EBLOCKED. */
export function waitForEvent(task: Task, other: Task): number {
  other.eventQueue ??= new WaitQueue()
  return task.block(other.eventQueue, 0)
}

export class PendingRanges {
  #ranges: PendingRange[] = []

  add(task: Task, start: number, end: number): void {
    if (this.#ranges.length > 0) this.#dropFinished()
    this.#ranges.push({ task, events: task.events, start, end })
  }

  /** A range of another task that overlaps [start, end), or undefined. */
  conflict(task: Task, start: number, end: number): PendingRange | undefined {
    if (this.#ranges.length === 0) return undefined
    this.#dropFinished()
    return this.#ranges.find(r => r.task !== task && r.start < end && start < r.end)
  }

  /**
   * Make sure that nothing is pending on [start, end): 0, or -EBLOCKED with the task parked until the thread
   * in question has shown that it is past its host calls.
   */
  settle(task: Task, start: number, end: number): number {
    const range = this.conflict(task, start, end)
    if (range === undefined) return 0
    task.kernel.platform.interrupt(range.task.thread)
    return waitForEvent(task, range.task)
  }

  #dropFinished(): void {
    this.#ranges = this.#ranges.filter(r => r.task.events === r.events && r.task.state < ZOMBIE)
  }
}
