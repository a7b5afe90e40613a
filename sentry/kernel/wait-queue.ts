// Wait queues: include/linux/wait.h for a single-threaded kernel. An entry is linked into at most one queue;
// waking calls it back, and it decides what that means: a task becomes runnable, an epoll item becomes ready.

/** Something that can be linked into one wait queue. Entries are preallocated and reused. */
export abstract class WaitEntry {
  queue: WaitQueue | null = null
  prev: WaitEntry | null = null
  next: WaitEntry | null = null
  /** The POLL* events that wake this entry; 0 means every event. */
  events = 0
  /** Wake at most one exclusive entry per `wakeOne` (accept, futex-like hand-outs). */
  exclusive = false

  /** Called by the queue; the entry is still linked and may unlink itself. */
  abstract onWake(events: number): void

  unlink(): void {
    this.queue?.remove(this)
  }
}

/** A list of entries that wait for the same object, in order of arrival. */
export class WaitQueue {
  #head: WaitEntry | null = null
  #tail: WaitEntry | null = null

  get empty(): boolean {
    return this.#head === null
  }

  add(entry: WaitEntry, events: number): void {
    if (entry.queue !== null) entry.queue.remove(entry)
    entry.queue = this
    entry.events = events
    entry.prev = this.#tail
    entry.next = null
    if (this.#tail === null) this.#head = entry
    else this.#tail.next = entry
    this.#tail = entry
  }

  remove(entry: WaitEntry): void {
    if (entry.queue !== this) return
    if (entry.prev === null) this.#head = entry.next
    else entry.prev.next = entry.next
    if (entry.next === null) this.#tail = entry.prev
    else entry.next.prev = entry.prev
    entry.queue = entry.prev = entry.next = null
  }

  /** Wake every entry that waits for one of `events` (POLL* bits; 0 wakes all). */
  wake(events: number): void {
    let entry = this.#head
    while (entry !== null) {
      const next = entry.next
      if (events === 0 || entry.events === 0 || (entry.events & events) !== 0) entry.onWake(events)
      entry = next
    }
  }

  /** Wake the non-exclusive entries and the first exclusive one, as Linux does for accept(2). */
  wakeOne(events: number): void {
    let entry = this.#head
    while (entry !== null) {
      const next = entry.next
      if (events === 0 || entry.events === 0 || (entry.events & events) !== 0) {
        const { exclusive } = entry
        entry.onWake(events)
        if (exclusive) return
      }
      entry = next
    }
  }
}
