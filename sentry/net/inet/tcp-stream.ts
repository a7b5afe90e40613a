// Data of TCP connections: tcp_sendmsg_locked and tcp_recvmsg_locked in net/ipv4/tcp.c.

import { EAGAIN, EFAULT, EINVAL, ENOTCONN, EPIPE } from '../../../syscall-table/errno.ts'
import {
  MSG_MORE,
  MSG_NOSIGNAL,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  POLLIN,
  POLLPRI,
  POLLRDNORM,
  SIGPIPE,
  SO_OOBINLINE,
  SOL_TCP,
  TCP_CORK,
} from '../../../syscall-table/flags.ts'
import { sendSignal } from '../../kernel/signal-send.ts'
import type { Task } from '../../kernel/task.ts'
import { signalUrgent } from '../../vfs/file-signal.ts'
import type { Message } from '../message.ts'
import { NOBODY, Segment } from '../segment-queue.ts'
import type { TcpSocket } from './tcp.ts'

/** Largest buffer of one segment. */
const MAX_SEGMENT = 32768

/** Send on a connection; see `Socket.send`. An address is ignored, as on Linux. */
export function sendTcp(socket: TcpSocket, task: Task, message: Message): number {
  const { io } = message
  if (message.resumable && task.restart.done > 0) io.skip(task.restart.done)
  if (socket.connecting) return park(task, message)
  const held = holdBack(socket, message)
  if (held !== undefined) return held
  do {
    if (socket.error !== 0 || socket.noSend || !socket.connected)
      return broken(socket, task, message)
    if (io.remaining === 0) break
    const peer = socket.peer!
    if (peer.dead) {
      // Nobody is there any more: what is sent is lost, and answered by a RST.
      io.skip(Math.min(io.remaining, MAX_SEGMENT))
      socket.reset(EPIPE)
      break
    }
    const room = socket.capacity - socket.inFlight
    if (room <= 0) return park(task, message)
    const n = append(socket, peer, message, room)
    if (n < 0) return io.finish(n)
    if ((message.flags & MSG_OOB) !== 0 && io.remaining === 0) markUrgent(peer)
    peer.queue.wake(POLLIN | POLLRDNORM)
  } while (io.remaining > 0)
  return io.done
}

/** Hold a message back, if it asks for that; else what was held goes out before it. */
function holdBack(socket: TcpSocket, message: Message): number | undefined {
  const more = (message.flags & MSG_MORE) !== 0 || socket.inetOptions.on(SOL_TCP, TCP_CORK)
  const urgent = (message.flags & MSG_OOB) !== 0
  const open = socket.error === 0 && !socket.noSend && socket.connected && !socket.peer!.dead
  if (more && !urgent && open && socket.held.takes(message)) return socket.held.add(message)
  socket.releaseHeld()
  return undefined
}

/** Wait with what has been moved so far, or return it. */
function park(task: Task, message: Message): number {
  const { io } = message
  if (!message.resumable) return io.finish(-EAGAIN)
  task.restart.done = io.done
  return -EAGAIN
}

function broken(socket: TcpSocket, task: Task, message: Message): number {
  if (message.io.done > 0) return message.io.done
  const n = socket.takeError() || -EPIPE
  if (n === -EPIPE && (message.flags & MSG_NOSIGNAL) === 0) sendSignal(task, SIGPIPE)
  return n
}

/**
 * The last byte that has come is urgent, in place of an earlier one, which becomes a byte as any other.
 */
function markUrgent(peer: TcpSocket): void {
  const { incoming } = peer
  if (peer.urgent !== null) peer.urgent.urgent = false
  peer.urgent = incoming.splitLast()
  peer.urgent.urgent = true
  if (peer.file !== null) signalUrgent(peer.file)
  peer.queue.wake(POLLPRI)
}

/** recv(2) with MSG_OOB: tcp_recv_urg. */
function receiveUrgent(socket: TcpSocket, message: Message): number {
  const { urgent } = socket
  const { io, flags } = message
  if (socket.options.get(SO_OOBINLINE) || urgent === null || urgent.urgentRead) return -EINVAL
  if (io.remaining === 0) {
    message.outFlags |= MSG_TRUNC
    return 0
  }
  if (io.put(urgent.data, urgent.start, 1) < 1) return -EFAULT
  if ((flags & MSG_PEEK) === 0) urgent.urgentRead = true
  message.outFlags |= MSG_OOB
  return 1
}

/** Put what fits behind the peer's last segment or into a new one. Returns bytes moved or -EFAULT. */
function append(socket: TcpSocket, peer: TcpSocket, message: Message, room: number): number {
  const { io } = message
  const { incoming } = peer
  const { tail } = incoming
  if (tail !== null && !tail.urgent && tail.end < tail.data.length) {
    const want = Math.min(room, io.remaining, tail.data.length - tail.end)
    const n = io.take(tail.data, tail.end, want)
    if (n <= 0) return -EFAULT
    tail.end += n
    tail.charge += n
    incoming.bytes += n
    socket.inFlight += n
    return n
  }
  const length = Math.min(room, io.remaining, MAX_SEGMENT)
  const data = incoming.buffer(length, true)
  const n = io.take(data, 0, length)
  if (n <= 0) return -EFAULT
  const segment = new Segment(data, socket, NOBODY)
  segment.end = segment.charge = n
  socket.inFlight += n
  incoming.push(segment)
  return n
}

/** Receive from a connection; see `Socket.receive`. */
export function receiveTcp(socket: TcpSocket, task: Task, message: Message): number {
  const { io, flags } = message
  if (socket.listening) return -ENOTCONN
  if ((flags & MSG_OOB) !== 0) return receiveUrgent(socket, message)
  if ((flags & MSG_PEEK) !== 0) return peek(socket, message)
  const { incoming } = socket
  if (message.resumable && task.restart.done > 0) io.skip(task.restart.done)
  const waitAll = (flags & MSG_WAITALL) !== 0
  do {
    const segment = incoming.head
    if (segment === null) {
      if (io.done > 0 && !waitAll) break
      // A result of bytes leaves the error for the next call.
      if (io.done > 0 && (socket.error !== 0 || socket.noReceive)) break
      const n = atEnd(socket)
      if (n !== -EAGAIN) return io.finish(n)
      return park(task, message)
    }
    // Reading stops before the urgent byte, and then passes over it unless it is wanted in line.
    if (segment.urgent && io.done > 0) break
    const skipped = segment.urgent && !socket.options.get(SO_OOBINLINE)
    if (segment.urgent) socket.urgent = null
    if (skipped) {
      incoming.shift()
      continue
    }
    const want = Math.min(io.remaining, segment.length)
    if (want === 0) break
    const n = take(message, segment, want)
    if (n <= 0) return io.finish(-EFAULT)
    incoming.consume(n)
    socket.readOver(n)
    if (n < want) break
  } while (io.remaining > 0)
  return io.done
}

/** With MSG_TRUNC the bytes are thrown away. */
function take(message: Message, segment: Segment, want: number, skip = 0): number {
  const { io } = message
  if ((message.flags & MSG_TRUNC) === 0) return io.put(segment.data, segment.start + skip, want)
  io.skip(want)
  return want
}

/** The queue is empty: an error, 0 at the end of the stream, or -EAGAIN. */
function atEnd(socket: TcpSocket): number {
  if (socket.finished) return 0
  if (socket.error !== 0) return socket.takeError()
  if (socket.noReceive) return 0
  return socket.connected || socket.connecting ? -EAGAIN : -ENOTCONN
}

function peek(socket: TcpSocket, message: Message): number {
  const { io } = message
  let segment = socket.incoming.head
  if (segment?.urgent && !socket.options.get(SO_OOBINLINE)) segment = segment.next
  let skip = Math.max(0, socket.peekOffset)
  while (segment !== null && skip > 0 && skip >= segment.length) {
    skip -= segment.length
    segment = segment.next
  }
  if (segment === null) return atEnd(socket)
  for (; segment !== null && io.remaining > 0; segment = segment.next) {
    if (segment.urgent && io.done > 0) break
    const want = Math.min(io.remaining, segment.length - skip)
    const n = take(message, segment, want, skip)
    if (n <= 0) return io.finish(-EFAULT)
    socket.peekedOver(n)
    skip = 0
    if (n < want) break
  }
  return io.done
}
