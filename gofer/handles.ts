// The numbers by which the sentry names files of the host, and what stands behind them.

import { close, type HostFd } from '../native/index.ts'
import { EBADF, ENFILE } from '../syscall-table/errno.ts'

/** A part of the host's file system that the sandbox may see. */
export interface AttachPoint {
  /** An O_PATH descriptor, opened before the gofer gave up its rights. */
  readonly fd: HostFd
  /** ATTACH_* */
  readonly flags: number
}

/** A file of an attach point, pinned by an O_PATH descriptor. */
export interface Handle {
  readonly fd: HostFd
  readonly attach: AttachPoint
  /** The S_IFMT bits of its mode, which never change. */
  readonly type: number
}

/** A bounded table of handles. 0 is never a handle. */
export class HandleTable {
  readonly capacity: number
  readonly slots: (Handle | undefined)[] = [undefined]
  readonly free: number[] = []
  count = 0

  constructor(capacity: number) {
    this.capacity = capacity
  }

  /** A number for `fd`, which the table owns from now on, or -ENFILE with `fd` closed. */
  add(fd: HostFd, attach: AttachPoint, type: number): number {
    if (this.count >= this.capacity) {
      close(fd)
      return -ENFILE
    }
    this.count++
    const number = this.free.pop() ?? this.slots.length
    this.slots[number] = { fd, attach, type }
    return number
  }

  get(number: number): Handle | undefined {
    return this.slots[number]
  }

  remove(number: number): number {
    const handle = this.slots[number]
    if (handle === undefined) return -EBADF
    this.slots[number] = undefined
    this.free.push(number)
    this.count--
    return close(handle.fd)
  }

  clear(): void {
    for (const handle of this.slots) if (handle !== undefined) close(handle.fd)
    this.slots.length = 1
    this.free.length = 0
    this.count = 0
  }
}
