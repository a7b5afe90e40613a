// Messages of datagram and sequential-packet sockets: unix_dgram_sendmsg and unix_dgram_recvmsg.

import {
  EAGAIN,
  ECONNREFUSED,
  EFAULT,
  EMSGSIZE,
  ENOTCONN,
  EOPNOTSUPP,
  EPERM,
  EPIPE,
  EPROTOTYPE,
} from '../../syscall-table/errno.ts'
import {
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  POLLIN,
  POLLRDNORM,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { Message } from './message.ts'
import { MESSAGE_OVERHEAD, Segment, type SegmentQueue } from './segment-queue.ts'
import { passMessage } from './socket-filter.ts'
import type { UnixSocket } from './unix.ts'
import { landed, launched } from './unix-gc.ts'
import { autobind, findByName, parseName } from './unix-names.ts'
import { copyRights, describe, senderOf } from './unix-stream.ts'

/** Send one message; see `Socket.send`. */
export function sendDatagram(socket: UnixSocket, task: Task, message: Message): number {
  const { io } = message
  if ((message.flags & MSG_OOB) !== 0) return -EOPNOTSUPP
  if (socket.error !== 0) return socket.takeError()
  const target = targetOf(socket, task, message)
  if (typeof target === 'number') return target
  if (socket.tellsSender && socket.name === '') autobind(socket)
  const length = io.remaining
  if (length > socket.sendBuffer - 32) return -EMSGSIZE
  if (socket.noSend) return -EPIPE
  if (target.dead) return deadTarget(socket, target)
  if (!target.accepts(socket)) return -EPERM
  if (target.noReceive) return -EPIPE
  if (socket.inFlight >= socket.sendBuffer) return -EAGAIN
  if (target.peer !== socket && target !== socket && target.full) {
    target.waitForRoom(socket)
    return -EAGAIN
  }
  const data = target.incoming.buffer(length, false)
  const n = io.take(data, 0, length)
  if (n !== length) return -EFAULT
  const kept = target.filter === null ? length : passMessage(target, data.subarray(0, length))
  // What the filter drops is lost without a word.
  if (kept < 0) return length
  const segment = new Segment(data, socket, senderOf(task, message))
  segment.end = kept
  segment.charge = length + MESSAGE_OVERHEAD
  socket.inFlight += segment.charge
  if (message.rights !== null) {
    segment.rights = message.rights
    launched(message.rights, task.creds.uid)
    message.rights = null
  }
  target.incoming.push(segment)
  target.queue.wake(POLLIN | POLLRDNORM)
  return length
}

function targetOf(socket: UnixSocket, task: Task, message: Message): UnixSocket | number {
  if (socket.type === SOCK_SEQPACKET) {
    // An address is ignored on a connection.
    if (!socket.connected || socket.peer === null) return -ENOTCONN
    return socket.peer
  }
  if (message.nameLength === 0) return socket.peer ?? -ENOTCONN
  const name = parseName(message.name, message.nameLength)
  if (typeof name === 'number') return name
  const target = findByName(task, socket.type, name)
  if (typeof target === 'number') return target
  return target.type === socket.type ? target : -EPROTOTYPE
}

/** The receiver has closed: a connection to it ends. */
function deadTarget(socket: UnixSocket, target: UnixSocket): number {
  if (socket.type === SOCK_SEQPACKET) return -EPIPE
  if (socket.peer === target) socket.disconnect()
  return -ECONNREFUSED
}

/** Receive one message; see `Socket.receive`. With MSG_TRUNC its whole length is returned. */
export function receiveDatagram(socket: UnixSocket, _task: Task, message: Message): number {
  const { io } = message
  if (socket.type === SOCK_SEQPACKET && !socket.connected) return -ENOTCONN
  if ((message.flags & MSG_OOB) !== 0) return -EOPNOTSUPP
  const peeking = (message.flags & MSG_PEEK) !== 0
  const segment = peeking ? firstToPeek(socket) : socket.incoming.head
  const skip = peeking ? peekStart.skip : 0
  if (segment === null) return empty(socket, message)
  const length = segment.length - skip
  const want = Math.min(io.remaining, length)
  const n = want === 0 ? 0 : io.put(segment.data, segment.start + skip, want)
  if (n < want) return -EFAULT
  describe(message, segment)
  if (n < length) message.outFlags |= MSG_TRUNC
  const { rights } = segment
  if (peeking) {
    socket.peekedOver(n)
    if (rights !== null) message.rights = copyRights(rights)
  } else {
    if (rights !== null) {
      segment.rights = null
      landed(rights)
      message.rights = rights
    }
    const wasFull = socket.full
    socket.incoming.shift()
    socket.readOver(length)
    if (wasFull) socket.roomAgain()
  }
  return (message.flags & MSG_TRUNC) !== 0 ? length : n
}

/** How far behind the start of what `firstToPeek` gives MSG_PEEK begins. */
export const peekStart = { skip: 0 }

/** The datagram that MSG_PEEK begins in, as SO_PEEK_OFF says. */
export function firstToPeek({ incoming, peekOffset }: Peeked): Segment | null {
  let skip = Math.max(0, peekOffset)
  let segment = incoming.head
  while (segment !== null && skip >= segment.length && (segment.length > 0 || skip > 0)) {
    skip -= segment.length
    segment = segment.next
  }
  peekStart.skip = skip
  return segment
}

interface Peeked {
  readonly incoming: SegmentQueue
  readonly peekOffset: number
}

function empty(socket: UnixSocket, message: Message): number {
  if (socket.error !== 0) return socket.takeError()
  if (!socket.noReceive) return -EAGAIN
  // A datagram socket that may not wait says so even after shutdown.
  return socket.type === SOCK_DGRAM && !message.resumable ? -EAGAIN : 0
}
