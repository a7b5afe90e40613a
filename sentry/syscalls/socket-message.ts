// Handlers that send and receive: sendto, recvfrom, sendmsg, recvmsg, sendmmsg, recvmmsg.

import { EFAULT, EINVAL, EMSGSIZE, ENOBUFS } from '../../syscall-table/errno.ts'
import {
  MSG_CMSG_CLOEXEC,
  MSG_DONTWAIT,
  MSG_WAITFORONE,
  POLLIN,
  POLLOUT,
} from '../../syscall-table/flags.ts'
import { signalPending } from '../kernel/signal.ts'
import type { Task } from '../kernel/task.ts'
import { isUserRange, UIO_MAXIOV } from '../mm/io.ts'
import { buildControl, MAX_CONTROL, parseControl } from '../net/control.ts'
import { MAX_ADDRESS, Message } from '../net/message.ts'
import { mustNotWait, type Socket } from '../net/socket.ts'
import { isError, readTimeout } from './poll-timeout.ts'
import { orWait, readAddress, socketOf, writeAddress } from './socket-wait.ts'

const MSGHDR_SIZE = 56
const MMSGHDR_SIZE = 64
/** Codes beyond this are internal: the call has not ended. */
const LAST_ERRNO = 511

const message = new Message()
const controlBytes = new Uint8Array(MAX_CONTROL)
const controlView = new DataView(controlBytes.buffer)

/** struct msghdr as it was read from the program. */
const header = { name: 0, nameLength: 0, iov: 0, iovCount: 0, control: 0, controlLength: 0 }

/** sendto(2). */
export function sys_sendto(
  task: Task,
  fd: number,
  buffer: number,
  length: number,
  flags: number,
  addr: number,
  addrLength: number,
): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  if (!isUserRange(buffer, length)) return -EFAULT
  const noWait = mustNotWait(task.files.get(fd)!, flags)
  message.reset(task, task.io.single(buffer, length), flags, noWait)
  if (addr !== 0) {
    const n = readAddress(task, addr, addrLength, message.name)
    if (n < 0) return n
    message.nameLength = n
  }
  return orWait(task, socket, POLLOUT, socket.send(task, message), !noWait, socket.sendTimeoutNs)
}

/** recvfrom(2). */
export function sys_recvfrom(
  task: Task,
  fd: number,
  buffer: number,
  length: number,
  flags: number,
  addr: number,
  addrLengthAt: number,
): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  if (!isUserRange(buffer, length)) return -EFAULT
  const noWait = mustNotWait(task.files.get(fd)!, flags)
  message.reset(task, task.io.single(buffer, length), flags, noWait)
  message.wantsName = addr !== 0
  const result = socket.receive(task, message)
  message.dropRights()
  const n = orWait(task, socket, POLLIN, result, !noWait, socket.receiveTimeoutNs)
  if (n < 0 || addr === 0) return n
  const error = writeAddress(task, addr, addrLengthAt, message.name, message.nameLength)
  return error < 0 ? error : n
}

/** sendmsg(2). */
export function sys_sendmsg(task: Task, fd: number, at: number, flags: number): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  return sendOne(task, socket, at, flags, mustNotWait(task.files.get(fd)!, flags))
}

/** recvmsg(2). */
export function sys_recvmsg(task: Task, fd: number, at: number, flags: number): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  return receiveOne(task, socket, at, flags, mustNotWait(task.files.get(fd)!, flags))
}

function readHeader(task: Task, at: number): number {
  const { scratch, scratchView: v } = task.kernel
  if (task.mm.copyIn(task, at, scratch, 0, MSGHDR_SIZE) < 0) return -EFAULT
  header.name = v.getUint32(4, true) * 2 ** 32 + v.getUint32(0, true)
  header.nameLength = v.getInt32(8, true)
  header.iov = v.getUint32(20, true) * 2 ** 32 + v.getUint32(16, true)
  header.iovCount = v.getUint32(28, true) * 2 ** 32 + v.getUint32(24, true)
  header.control = v.getUint32(36, true) * 2 ** 32 + v.getUint32(32, true)
  header.controlLength = v.getUint32(44, true) * 2 ** 32 + v.getUint32(40, true)
  if (header.name === 0) header.nameLength = 0
  if (header.nameLength < 0) return -EINVAL
  return header.iovCount > UIO_MAXIOV ? -EMSGSIZE : 0
}

function sendOne(task: Task, socket: Socket, at: number, flags: number, noWait: boolean): number {
  let n = readHeader(task, at)
  if (n < 0) return n
  n = task.io.vector(header.iov, header.iovCount)
  if (n < 0) return n
  message.reset(task, task.io, flags, noWait)
  if (header.nameLength > 0) {
    const length = Math.min(header.nameLength, MAX_ADDRESS)
    if (task.mm.copyIn(task, header.name, message.name, 0, length) < 0) return -EFAULT
    message.nameLength = length
  }
  if (header.control !== 0 && header.controlLength > 0) {
    if (header.controlLength > MAX_CONTROL) return -ENOBUFS
    if (task.mm.copyIn(task, header.control, controlBytes, 0, header.controlLength) < 0)
      return -EFAULT
    if (socket.rawControl) {
      message.control = controlBytes
      message.controlLength = header.controlLength
    } else n = parseControl(task, message, controlView, header.controlLength)
  }
  if (n >= 0) n = socket.send(task, message)
  message.dropRights()
  return orWait(task, socket, POLLOUT, n, !noWait, socket.sendTimeoutNs)
}

function receiveOne(
  task: Task,
  socket: Socket,
  at: number,
  flags: number,
  noWait: boolean,
): number {
  let n = readHeader(task, at)
  if (n < 0) return n
  n = task.io.vector(header.iov, header.iovCount)
  if (n < 0) return n
  message.reset(task, task.io, flags, noWait)
  message.wantsName = header.name !== 0
  if (socket.rawControl) {
    message.control = controlBytes
    message.controlLength = controlRoom()
  }
  n = socket.receive(task, message)
  if (n < 0) return orWait(task, socket, POLLIN, n, !noWait, socket.receiveTimeoutNs)
  const error = writeResults(task, socket, at)
  message.dropRights()
  return error < 0 ? error : n
}

const controlRoom = (): number =>
  header.control === 0 ? 0 : Math.min(header.controlLength, MAX_CONTROL)

/** The address, the control messages and the changed fields of the header. */
function writeResults(task: Task, socket: Socket, at: number): number {
  if (header.name !== 0) {
    const n = Math.min(header.nameLength, message.nameLength)
    if (n > 0 && task.mm.copyResult(task, header.name, message.name, 0, n) < 0) return -EFAULT
  }
  const used = socket.rawControl
    ? message.controlLength
    : buildControl(task, message, socket, controlView, controlRoom())
  if (used > 0 && task.mm.copyResult(task, header.control, controlBytes, 0, used) < 0)
    return -EFAULT
  const { scratch, scratchView } = task.kernel
  scratchView.setInt32(0, message.nameLength, true)
  scratchView.setUint32(4, used, true)
  scratchView.setUint32(8, 0, true)
  scratchView.setInt32(12, message.outFlags | (message.flags & MSG_CMSG_CLOEXEC), true)
  const { mm } = task
  if (header.name !== 0 && mm.copyOut(task, at + 8, scratch, 0, 4) < 0) return -EFAULT
  if (mm.copyOut(task, at + 40, scratch, 4, 8) < 0) return -EFAULT
  return mm.copyOut(task, at + 48, scratch, 12, 4)
}

/** How far sendmmsg or recvmmsg had come when it blocked. */
class Progress {
  count = 0
}

function progressOf(task: Task): Progress {
  if (!(task.restart.data instanceof Progress)) task.restart.data = new Progress()
  return task.restart.data as Progress
}

/** Record the length of message `index`, the `count`-th of the call. */
function writeLength(task: Task, at: number, length: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, length, true)
  return task.mm.copyResult(task, at + MSGHDR_SIZE, scratch, 0, 4)
}

/** sendmmsg(2): the number of messages sent, or the first one's error. */
export function sys_sendmmsg(
  task: Task,
  fd: number,
  vector: number,
  count: number,
  flags: number,
): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  const noWait = mustNotWait(task.files.get(fd)!, flags)
  const progress = progressOf(task)
  const max = Math.min(count, UIO_MAXIOV)
  while (progress.count < max) {
    const at = vector + progress.count * MMSGHDR_SIZE
    let n = sendOne(task, socket, at, flags, noWait)
    if (n < -LAST_ERRNO) return parkOrEnd(task, progress, n)
    if (n >= 0) n = writeLength(task, at, n) < 0 ? -EFAULT : 0
    if (n < 0) return progress.count > 0 ? progress.count : n
    progress.count++
    task.restart.done = 0
  }
  return progress.count
}

/**
 * recvmmsg(2). The timeout bounds the whole call, but is looked at only after a message has come, as the
 * man page's BUGS section says of Linux.
 */
export function sys_recvmmsg(
  task: Task,
  fd: number,
  vector: number,
  count: number,
  flags: number,
  timeoutAt: number,
): number {
  const timeout = readTimeout(task, timeoutAt)
  if (isError(timeout)) return timeout
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  const progress = progressOf(task)
  const max = Math.min(count, UIO_MAXIOV)
  const start = task.kernel.clock.monotonicNs()
  while (progress.count < max) {
    const at = vector + progress.count * MMSGHDR_SIZE
    const waitForOne = (flags & MSG_WAITFORONE) !== 0 && progress.count > 0
    const passed = (flags & ~MSG_WAITFORONE) | (waitForOne ? MSG_DONTWAIT : 0)
    let n = receiveOne(task, socket, at, passed, mustNotWait(task.files.get(fd)!, passed))
    if (n < -LAST_ERRNO) return parkOrEnd(task, progress, n)
    if (n >= 0) n = writeLength(task, at, n) < 0 ? -EFAULT : 0
    if (n < 0) return progress.count > 0 ? progress.count : n
    progress.count++
    task.restart.done = 0
    if (timeout >= 0 && task.kernel.clock.monotonicNs() - start >= timeout) break
  }
  return progress.count
}

/** The call has parked on a message. A signal ends it with what has been done before. */
function parkOrEnd(task: Task, progress: Progress, n: number): number {
  if (progress.count === 0 || !signalPending(task)) return n
  task.stopWaiting()
  return progress.count
}
