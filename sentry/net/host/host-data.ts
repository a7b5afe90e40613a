// Data through sockets of the host. Bytes pass through the kernel's bounce buffer, a stream in pieces so large that
// their number does not matter, a datagram in one.

import {
  poll as hostPoll,
  socketNumber,
  socketReceive,
  socketReceiveMessage,
  socketSend,
  socketSendMessage,
} from '../../../native/index.ts'
import { EAGAIN, EFAULT, EINPROGRESS, EMSGSIZE, EPIPE } from '../../../syscall-table/errno.ts'
import {
  MSG_CMSG_CLOEXEC,
  MSG_CONFIRM,
  MSG_DONTROUTE,
  MSG_EOR,
  MSG_ERRQUEUE,
  MSG_FASTOPEN,
  MSG_MORE,
  MSG_NOSIGNAL,
  MSG_OOB,
  MSG_PEEK,
  MSG_PROBE,
  MSG_TRUNC,
  MSG_WAITALL,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRNORM,
  SIGPIPE,
  SIOCATMARK,
  SOCK_STREAM,
} from '../../../syscall-table/flags.ts'
import { sendSignal } from '../../kernel/signal-send.ts'
import type { Task } from '../../kernel/task.ts'
import { MAX_ADDRESS, type Message } from '../message.ts'
import { passControl } from './control.ts'
import type { HostSocket } from './host-socket.ts'

const SEND_FLAGS =
  MSG_OOB | MSG_DONTROUTE | MSG_PROBE | MSG_EOR | MSG_CONFIRM | MSG_MORE | MSG_FASTOPEN
const RECEIVE_FLAGS = MSG_OOB | MSG_PEEK | MSG_TRUNC | MSG_ERRQUEUE
/** A stream is sent in pieces of this size, of which the last may have to be copied again. */
const PIECE = 128 * 1024
/** No packet is larger; an IPv6 jumbogram needs a device that no container has. */
const MAX_PACKET = 65535
const READABLE = POLLIN | POLLRDNORM
const WRITABLE = POLLOUT | POLLWRNORM
const ENDED = POLLRDHUP | POLLHUP | POLLERR
const nothing = new Uint8Array(0)
const out = new Int32Array(3)
const from = new Uint8Array(MAX_ADDRESS)

/** See `Socket.send`. */
export function sendToHost(socket: HostSocket, task: Task, message: Message): number {
  const { control, controlLength } = message
  if (control !== null && controlLength > 0) {
    const length = passControl(control, controlLength, socket.type === SOCK_STREAM)
    if (length < 0) return length
    message.controlLength = length
  }
  if (socket.type !== SOCK_STREAM) return sendPacket(socket, message)
  const n = sendStream(socket, task, message)
  if (n === -EPIPE && (message.flags & MSG_NOSIGNAL) === 0) sendSignal(task, SIGPIPE)
  return n
}

function sendPiece(socket: HostSocket, message: Message, length: number): number {
  const { bounce } = socket.kernel
  const flags = message.flags & SEND_FLAGS
  if (message.nameLength === 0 && message.controlLength === 0)
    return socketSend(socket.hostFd, bounce, 0, length, flags)
  return socketSendMessage(
    socket.hostFd,
    bounce,
    length,
    flags,
    message.name,
    message.nameLength,
    message.control ?? nothing,
    message.controlLength,
  )
}

function sendStream(socket: HostSocket, task: Task, message: Message): number {
  const { io } = message
  const { bounce } = socket.kernel
  if (message.resumable && task.restart.done > 0) io.skip(task.restart.done)
  do {
    const want = Math.min(io.remaining, PIECE)
    const length = want === 0 ? 0 : io.take(bounce, 0, want)
    if (length < 0) return io.finish(-EFAULT)
    const n = sendPiece(socket, message, length)
    if (n === length) continue
    const sent = io.done - length + Math.max(n, 0)
    socket.forget(WRITABLE)
    // EINPROGRESS: a connection that begins with its data (MSG_FASTOPEN) is on its way.
    const full = n >= 0 || n === -EAGAIN || (n === -EINPROGRESS && message.resumable)
    if (!full) return sent > 0 ? sent : n
    socket.watch()
    if (!message.resumable) return sent > 0 ? sent : n
    task.restart.done = sent
    return -EAGAIN
  } while (io.remaining > 0)
  return io.done
}

function sendPacket(socket: HostSocket, message: Message): number {
  const { io } = message
  const length = io.remaining
  if (length > MAX_PACKET) return -EMSGSIZE
  if (length > 0 && io.take(socket.kernel.bounce, 0, length) < length) return -EFAULT
  const n = sendPiece(socket, message, length)
  if (n === -EAGAIN) {
    socket.forget(WRITABLE)
    socket.watch()
  }
  return n
}

/** See `Socket.receive`. */
export function receiveFromHost(socket: HostSocket, task: Task, message: Message): number {
  socket.forget(READABLE | POLLERR)
  const { flags } = message
  // A stream has no source to tell, and control messages come with its first bytes.
  if (socket.type !== SOCK_STREAM || (flags & MSG_ERRQUEUE) !== 0)
    return receiveMessage(socket, message)
  if (message.controlLength === 0 || task.restart.done > 0)
    return receiveStream(socket, task, message)
  const n = receiveMessage(socket, message)
  const more = (flags & MSG_WAITALL) !== 0 && (flags & MSG_PEEK) === 0 && message.io.remaining > 0
  return n > 0 && more ? receiveStream(socket, task, message) : n
}

function receiveStream(socket: HostSocket, task: Task, message: Message): number {
  const { io, flags } = message
  const { bounce } = socket.kernel
  const peek = (flags & MSG_PEEK) !== 0
  const waitAll = (flags & MSG_WAITALL) !== 0
  if (message.resumable && task.restart.done > 0) io.skip(task.restart.done)
  for (;;) {
    const want = Math.min(io.remaining, bounce.length)
    const n = socketReceive(socket.hostFd, bounce, 0, want, flags & RECEIVE_FLAGS)
    if (n === -EAGAIN) return nothingYet(socket, task, message)
    if (n <= 0) return io.finish(n)
    // The bytes of MSG_TRUNC are thrown away: the host has not written them.
    if ((flags & MSG_TRUNC) !== 0) io.skip(n)
    else if (io.put(bounce, 0, n) < n) return io.finish(-EFAULT)
    if (peek) return waitAll && n < want ? morePeeked(socket, message, n) : io.done
    if (io.remaining === 0 || (n < want && !waitAll)) return io.done
    // An urgent byte ends the wait for all.
    if (n < want && socketNumber(socket.hostFd, SIOCATMARK) === 1) return io.done
  }
}

/** The queue is empty: wait, unless there are bytes and nobody asked for all. */
function nothingYet(socket: HostSocket, task: Task, message: Message): number {
  const { io } = message
  if (io.done > 0 && (message.flags & MSG_WAITALL) === 0) return io.done
  socket.watch()
  if (!message.resumable) return io.finish(-EAGAIN)
  task.restart.done = io.done
  return -EAGAIN
}

/** MSG_PEEK with MSG_WAITALL: less than asked is there. */
function morePeeked(socket: HostSocket, message: Message, n: number): number {
  socket.watch()
  const over = hostPoll(socket.hostFd, POLLRDHUP, 0)
  return !message.resumable || (over & ENDED) !== 0 ? n : -EAGAIN
}

function receiveMessage(socket: HostSocket, message: Message): number {
  const { io, flags, control, controlLength } = message
  const { bounce } = socket.kernel
  const want = Math.min(io.remaining, bounce.length)
  message.controlLength = 0
  const n = socketReceiveMessage(
    socket.hostFd,
    bounce,
    want,
    flags & RECEIVE_FLAGS,
    from,
    control ?? nothing,
    control === null ? 0 : controlLength,
    out,
  )
  if (n === -EAGAIN) {
    message.controlLength = controlLength
    socket.watch()
  }
  if (n < 0) return n
  const length = Math.min(n, want)
  socket.received(bounce, length)
  const discarded = socket.type === SOCK_STREAM && (flags & MSG_TRUNC) !== 0
  if (length > 0 && !discarded && io.put(bounce, 0, length) < length) return -EFAULT
  message.nameLength = out[0]!
  message.name.set(from)
  message.controlLength = out[1]!
  message.outFlags |= out[2]! & ~MSG_CMSG_CLOEXEC
  return n
}
