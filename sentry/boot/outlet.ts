// Sends bytes out of the sandbox, as fast as the reader on the host takes them, while the sandbox goes on.

import { close, type HostFd, setNonblocking, write } from '../../native/index.ts'
import { EAGAIN, EINTR } from '../../syscall-table/errno.ts'
import { POLLOUT } from '../../syscall-table/flags.ts'
import type { HostEventSource } from '../kernel/host-events.ts'
import type { Kernel } from '../kernel/kernel.ts'

/** Writes at a time: programs wait meanwhile. */
const WRITES_MAX = 8

/** Where the bytes come from. */
export interface Source {
  /** The next bytes, valid until the next call; an empty array at the end, or -errno. */
  next(): Uint8Array | number
  /** Nothing more is asked for. */
  close(): void
}

/** Moves what a source gives to a host socket or pipe, which it takes over; `done` hears 0 or -errno. */
export class Outlet implements HostEventSource {
  readonly #kernel: Kernel
  readonly #fd: HostFd
  readonly #source: Source
  #done: ((result: number) => void) | null
  #bytes: Uint8Array | null = null
  #at = 0

  constructor(kernel: Kernel, fd: HostFd, source: Source, done: (result: number) => void) {
    this.#kernel = kernel
    this.#fd = fd
    this.#source = source
    this.#done = done
    setNonblocking(fd, true)
    kernel.hostEvents.watch(fd, POLLOUT, this)
  }

  onHostEvent(): void {
    for (let i = 0; i < WRITES_MAX; i++) {
      if (this.#bytes === null || this.#at === this.#bytes.length) {
        const bytes = this.#source.next()
        if (typeof bytes === 'number' || bytes.length === 0)
          return this.end(typeof bytes === 'number' ? bytes : 0)
        this.#bytes = bytes
        this.#at = 0
      }
      const n = write(this.#fd, this.#bytes, this.#at, this.#bytes.length - this.#at)
      if (n === -EAGAIN || n === -EINTR) return
      if (n < 0) return this.end(n)
      this.#at += n
    }
  }

  /** Stop here, before the end or at it. */
  end(result: number): void {
    const done = this.#done
    if (done === null) return
    this.#done = null
    this.#kernel.hostEvents.unwatch(this.#fd)
    close(this.#fd)
    this.#source.close()
    done(result)
  }
}
