// What can be polled for being different from last time: struct ctl_table_poll, the event count of a mount namespace.

import { WaitQueue } from './wait-queue.ts'

/** How often something has changed, and who waits for the next time. */
export class Changes {
  count = 0
  readonly queue = new WaitQueue()

  note(): void {
    this.count++
    this.queue.wake(0)
  }
}
