// The processes of a sandbox, which runsc forks when it starts (native/addon/fork.cc). They wait for orders: descriptors,
// and what each is to do with them. A process whose orders cannot come any more ends.

import type { HostFd } from './index.ts'
import { addon } from './load.ts'

interface Fork {
  forked(into: Int32Array): number
  takeOrders(fixed: number, into: Int32Array): number
  ownMemory(): number
  reap(pid: number): number
  sendMessage(
    fd: HostFd,
    from: Uint8Array,
    at: number,
    length: number,
    fds: Int32Array,
    count: number,
  ): number
}

const host = addon as unknown as Fork

/** Descriptors that one message carries. */
const MESSAGE_FDS = 250
/** More than a container has mounts. */
const MAX_DESCRIPTORS = 1 << 16

/** What `runsc` has forked. */
export interface Forked {
  launcher: number
  gofer: number
  /** Sockets for the orders of each. */
  orders: { launcher: HostFd; sentry: HostFd; gofer: HostFd }
}

/** The processes that this runsc has forked, or null when it has not. */
export function forked(): Forked | null {
  const found = new Int32Array(5)
  if (host.forked(found) < 0) return null
  const [launcher, gofer, ...orders] = found as unknown as [number, number, HostFd, HostFd, HostFd]
  return { launcher, gofer, orders: { launcher: orders[0], sentry: orders[1], gofer: orders[2] } }
}

/** Send descriptors and text: 0, or -errno when the process is gone. */
export function sendOrders(socket: HostFd, fds: readonly HostFd[], text = ''): number {
  for (let at = 0; ; at += MESSAGE_FDS) {
    const part = Int32Array.from(fds.slice(at, at + MESSAGE_FDS))
    const last = at + MESSAGE_FDS >= fds.length
    const bytes = Buffer.from(last ? `.${text}` : '+', 'latin1')
    const n = host.sendMessage(socket, bytes, 0, bytes.length, part, part.length)
    if (n < 0 || last) return Math.min(n, 0)
  }
}

/**
 * In a forked process: wait for its orders and enter its last namespace. The first `fixed` descriptors become 0, 1, ...;
 * what the others are is in the result, which has all of them.
 */
export function takeOrders(fixed: number): Int32Array {
  const fds = new Int32Array(MAX_DESCRIPTORS)
  return fds.subarray(0, host.takeOrders(fixed, fds))
}

/** The wait(2) status of a child that has ended, or -errno: -EAGAIN while it runs. */
export const reap = host.reap
/**
 * Copy what is still shared with runsc, so that a cgroup which is entered next does not pay for it: the number of pages,
 * or -errno.
 */
export const ownMemory = host.ownMemory
