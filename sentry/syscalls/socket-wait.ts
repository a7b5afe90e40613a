// How socket calls find their socket, read and write addresses, and wait.

import { EAGAIN, EBADF, EFAULT, EINTR, EINVAL, ENOTSOCK } from '../../syscall-table/errno.ts'
import { RLIMIT_NOFILE, SOCK_CLOEXEC } from '../../syscall-table/flags.ts'
import { signalPending } from '../kernel/signal.ts'
import type { Task } from '../kernel/task.ts'
import { MAX_ADDRESS } from '../net/message.ts'
import { Socket, startTimeout } from '../net/socket.ts'
import type { File } from '../vfs/file.ts'

/** The socket behind a descriptor: -EBADF, -ENOTSOCK. */
export function socketOf(task: Task, fd: number): Socket | number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  return file.ops instanceof Socket ? file.ops : -ENOTSOCK
}

/** Copy a sockaddr in. Returns its length or -errno. */
export function readAddress(task: Task, addr: number, length: number, into: Uint8Array): number {
  if (length < 0 || length > MAX_ADDRESS) return -EINVAL
  return length > 0 && task.mm.copyIn(task, addr, into, 0, length) < 0 ? -EFAULT : length
}

/** Copy a sockaddr out, cut to the room that the int at `lengthAt` says, which gets the whole length. */
export function writeAddress(
  task: Task,
  addr: number,
  lengthAt: number,
  address: Uint8Array,
  length: number,
): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, lengthAt, scratch, 0, 4) < 0) return -EFAULT
  const room = scratchView.getInt32(0, true)
  if (room < 0) return -EINVAL
  const n = Math.min(room, length)
  if (n > 0 && task.mm.copyResult(task, addr, address, 0, n) < 0) return -EFAULT
  scratchView.setInt32(0, length, true)
  return task.mm.copyResult(task, lengthAt, scratch, 0, 4)
}

/**
 * The blocking of socket calls: gives `n` back unless it is -EAGAIN of a call that may wait. Ends at the
 * socket's timeout; a call with a timeout is not restarted after a signal, as signal(7) says.
 */
export function orWait(
  task: Task,
  socket: Socket,
  events: number,
  n: number,
  mayWait: boolean,
  timeoutNs: number,
): number {
  if (n !== -EAGAIN || !mayWait) return n
  const { restart } = task
  if (restart.timedOut) return restart.done > 0 ? restart.done : n
  if (timeoutNs > 0) {
    if (signalPending(task)) return restart.done > 0 ? restart.done : -EINTR
    startTimeout(task, timeoutNs)
  }
  return task.block(socket.queue, events)
}

/** A descriptor for a new socket file; takes over the reference. `flags` are SOCK_*. */
export function installSocket(task: Task, file: File, flags: number): number {
  const limit = task.group.rlimits[RLIMIT_NOFILE]!.cur
  const fd = task.files.install(file, (flags & SOCK_CLOEXEC) !== 0, limit)
  if (fd < 0) file.unref()
  return fd
}
