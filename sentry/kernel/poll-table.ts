// Waiting on many files at once: poll(2) and select(2). struct poll_wqueues. A task that waits on one file
// needs only its own wait entry; with more it uses one of these, whose entries are kept for the next time.

import type { RestartResource, Task } from './task.ts'
import { WaitEntry, type WaitQueue } from './wait-queue.ts'

class PollEntry extends WaitEntry {
  readonly task: Task
  constructor(task: Task) {
    super()
    this.task = task
  }
  override onWake(): void {
    this.task.wakeUp()
  }
}

/** Entries that one idle table keeps. */
const KEPT_ENTRIES = 64

export class PollTable implements RestartResource {
  readonly #task: Task
  readonly #entries: PollEntry[] = []
  #used = 0

  constructor(task: Task) {
    this.#task = task
  }

  /** Wake the task when `queue` reports one of `events`. */
  link(queue: WaitQueue, events: number): void {
    if (this.#used === this.#entries.length) this.#entries.push(new PollEntry(this.#task))
    queue.add(this.#entries[this.#used++]!, events)
  }

  /** Leave all queues. */
  abandon(): void {
    for (let i = 0; i < this.#used; i++) this.#entries[i]!.unlink()
    this.#used = 0
    if (this.#entries.length > KEPT_ENTRIES) this.#entries.length = KEPT_ENTRIES
  }
}

/** The task's table, empty, held by the call in progress until it ends. */
export function pollTable(task: Task): PollTable {
  task.pollTable ??= new PollTable(task)
  task.pollTable.abandon()
  task.restart.resource = task.pollTable
  return task.pollTable
}
