// Host fds that the kernel watches. They are level-triggered: a source that cannot take more input stops
// watching until it can.

import type { HostFd } from '../../native/index.ts'
import type { Platform } from '../platform.ts'

/** Called when its host fd is ready. */
export interface HostEventSource {
  onHostEvent(events: number): void
}

export class HostEvents {
  readonly #platform: Platform
  readonly #sources = new Map<HostFd, HostEventSource>()
  readonly #fds = new Int32Array(64)
  readonly #events = new Int32Array(64)

  constructor(platform: Platform) {
    this.#platform = platform
  }

  /** Watch `fd` for POLL* `events`; replaces an earlier watch. */
  watch(fd: HostFd, events: number, source: HostEventSource): void {
    this.#sources.set(fd, source)
    this.#platform.watch(fd, events)
  }

  unwatch(fd: HostFd): void {
    if (this.#sources.delete(fd)) this.#platform.watch(fd, 0)
  }

  /** Call the sources of all ready fds. */
  dispatch(): void {
    const n = this.#platform.readyFds(this.#fds, this.#events)
    for (let i = 0; i < n; i++) this.#sources.get(this.#fds[i]!)?.onHostEvent(this.#events[i]!)
  }
}
