// Data of stream sockets: unix_stream_sendmsg and unix_stream_read_generic in net/unix/af_unix.c.

import {
  EAGAIN,
  EFAULT,
  EINVAL,
  EISCONN,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
} from '../../syscall-table/errno.ts'
import {
  MSG_NOSIGNAL,
  MSG_OOB,
  MSG_PEEK,
  MSG_WAITALL,
  POLLIN,
  POLLPRI,
  POLLRDNORM,
  SIGPIPE,
  SO_OOBINLINE,
} from '../../syscall-table/flags.ts'
import { sendSignal } from '../kernel/signal-send.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from '../vfs/file.ts'
import { signalUrgent } from '../vfs/file-signal.ts'
import type { Message, Ucred } from './message.ts'
import { Segment } from './segment-queue.ts'
import type { UnixSocket } from './unix.ts'
import { landed, launched } from './unix-gc.ts'
import { autobind, writeName } from './unix-names.ts'

/** Largest buffer of one segment. */
const MAX_SEGMENT = 32768

/** Send on a connected stream; see `Socket.send`. */
export function sendStream(socket: UnixSocket, task: Task, message: Message): number {
  const { io } = message
  const urgent = (message.flags & MSG_OOB) !== 0
  if (urgent && io.remaining === 0) return -EOPNOTSUPP
  if (message.nameLength > 0) return socket.connected ? -EISCONN : -EOPNOTSUPP
  const { peer } = socket
  if (peer === null) return -ENOTCONN
  if (socket.tellsSender && socket.name === '') autobind(socket)
  if (message.resumable && task.restart.done > 0) {
    // The first pass has sent the files with the first byte.
    io.skip(task.restart.done)
    message.dropRights()
  }
  const who = senderOf(task, message)
  while (io.remaining > 0) {
    if (peer.dead || peer.noReceive || socket.noSend) return broken(task, message)
    const room = socket.sendBuffer - socket.inFlight
    if (room <= 0) {
      if (!message.resumable) return io.finish(-EAGAIN)
      task.restart.done = io.done
      return -EAGAIN
    }
    const n =
      urgent && io.remaining === 1
        ? appendUrgent(socket, peer, message, who)
        : append(socket, peer, message, who, urgent ? Math.min(room, io.remaining - 1) : room, task)
    if (n < 0) return io.finish(n)
    peer.queue.wake(POLLIN | POLLRDNORM)
  }
  return io.done
}

function broken(task: Task, message: Message): number {
  if (message.io.done > 0) return message.io.done
  if ((message.flags & MSG_NOSIGNAL) === 0) sendSignal(task, SIGPIPE)
  return -EPIPE
}

const self: Ucred = { pid: null, uid: 0, gid: 0 }

/** The identity that goes with a message: what the program said, else what it is. */
export function senderOf(task: Task, message: Message): Ucred {
  if (message.credentials) return message.ucred
  self.pid = task.group.pid
  self.uid = task.creds.uid
  self.gid = task.creds.gid
  return self
}

/** Put what fits behind the peer's last segment or into a new one. Returns bytes moved or -EFAULT. */
function append(
  socket: UnixSocket,
  peer: UnixSocket,
  message: Message,
  who: Ucred,
  room: number,
  task: Task,
): number {
  const { io } = message
  const { incoming } = peer
  const { tail } = incoming
  if (tail !== null && message.rights === null && joins(tail, socket, who)) {
    const n = io.take(
      tail.data,
      tail.end,
      Math.min(room, io.remaining, tail.data.length - tail.end),
    )
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
  const segment = new Segment(data, socket, who)
  segment.end = segment.charge = n
  socket.inFlight += n
  if (message.rights !== null) {
    segment.rights = message.rights
    launched(message.rights, task.creds.uid)
    message.rights = null
  }
  incoming.push(segment)
  return n
}

function joins(tail: Segment, socket: UnixSocket, who: Ucred): boolean {
  return (
    tail.sender === socket &&
    tail.rights === null &&
    tail.end < tail.data.length &&
    tail.pid === who.pid &&
    tail.uid === who.uid &&
    tail.gid === who.gid
  )
}

/** Receive from a stream; see `Socket.receive`. */
export function receiveStream(socket: UnixSocket, task: Task, message: Message): number {
  const { io } = message
  if (!socket.connected) return -EINVAL
  if ((message.flags & MSG_OOB) !== 0) return receiveUrgent(socket, message)
  if (io.remaining === 0) return 0
  if ((message.flags & MSG_PEEK) !== 0) return peek(socket, message)
  const { incoming } = socket
  if (message.resumable && task.restart.done > 0) io.skip(task.restart.done)
  const waitAll = (message.flags & MSG_WAITALL) !== 0
  let last: Segment | null = null
  while (io.remaining > 0) {
    let segment = incoming.head
    if (segment !== null) {
      segment = passMark(socket, segment, false, io.done > 0)
      if (segment === null && io.done > 0) break
    }
    if (segment === null) {
      if (io.done > 0 && !waitAll) break
      const n = atEnd(socket)
      if (n !== -EAGAIN) return io.finish(n)
      if (!message.resumable) return io.finish(-EAGAIN)
      task.restart.done = io.done
      return -EAGAIN
    }
    if (last !== null && socket.tellsSender && !last.sameSender(segment)) break
    if (last === null) describe(message, segment)
    last = segment
    const want = Math.min(io.remaining, segment.length)
    const n = io.put(segment.data, segment.start, want)
    if (n <= 0) return io.finish(-EFAULT)
    const { rights } = segment
    if (rights !== null) {
      segment.rights = null
      landed(rights)
      message.rights = rights
    }
    incoming.consume(n)
    socket.readOver(n)
    // Files end a read, so that they arrive with the bytes that they were sent with.
    if (rights !== null || n < want) break
  }
  return io.done
}

/** The queue is empty: an error, 0 at the end of the stream, or -EAGAIN. */
export function atEnd(socket: UnixSocket): number {
  if (socket.error !== 0) return socket.takeError()
  return socket.noReceive ? 0 : -EAGAIN
}

/** Tell who has sent `segment`. */
export function describe(message: Message, segment: Segment): void {
  message.credentials = true
  message.ucred.pid = segment.pid
  message.ucred.uid = segment.uid
  message.ucred.gid = segment.gid
  const { name } = segment.sender
  message.nameLength = name === '' ? 0 : writeName(name, message.name)
}

/** MSG_PEEK, from where SO_PEEK_OFF says. */
function peek(socket: UnixSocket, message: Message): number {
  const { io } = message
  let skip = Math.max(0, socket.peekOffset)
  let last: Segment | null = null
  let segment = socket.incoming.head
  while (segment !== null && io.remaining > 0) {
    segment = passMark(socket, segment, true, io.done > 0)
    if (segment === null) break
    if (skip >= segment.length) {
      skip -= segment.length
      segment = segment.next
      continue
    }
    if (last !== null && socket.tellsSender && !last.sameSender(segment)) break
    if (last === null) describe(message, segment)
    last = segment
    const want = Math.min(io.remaining, segment.length - skip)
    const n = io.put(segment.data, segment.start + skip, want)
    if (n <= 0) return io.finish(-EFAULT)
    socket.peekedOver(n)
    skip = 0
    if (segment.rights !== null) {
      message.rights = copyRights(segment.rights)
      break
    }
    segment = segment.next
  }
  return last === null ? atEnd(socket) : io.done
}

/** The last byte of a message with MSG_OOB, in a segment of its own: queue_oob. One before it becomes a byte as any other. */
function appendUrgent(socket: UnixSocket, peer: UnixSocket, message: Message, who: Ucred): number {
  const data = new Uint8Array(1)
  if (message.io.take(data, 0, 1) < 1) return -EFAULT
  const segment = new Segment(data, socket, who)
  segment.end = segment.charge = 1
  socket.inFlight++
  peer.incoming.push(segment)
  peer.urgent = segment
  if (peer.file !== null) signalUrgent(peer.file)
  peer.queue.wake(POLLPRI)
  return 1
}

/** recv(2) with MSG_OOB: unix_stream_recv_urg. */
function receiveUrgent(socket: UnixSocket, message: Message): number {
  const { urgent } = socket
  const { io, flags } = message
  if (urgent === null || socket.options.get(SO_OOBINLINE) === 1) return -EINVAL
  if (io.put(urgent.data, urgent.start, 1) < 1) return -EFAULT
  if ((flags & MSG_PEEK) === 0) {
    socket.incoming.drain(urgent)
    socket.urgent = null
  }
  message.outFlags |= MSG_OOB
  return 1
}

/**
 * Where reading goes on at a segment, manage_oob: it stops before the urgent byte once something has been read, and else
 * passes over it, unless it is wanted in line. Null when there is nothing to read there.
 */
function passMark(
  socket: UnixSocket,
  segment: Segment,
  peeking: boolean,
  copied: boolean,
): Segment | null {
  const { incoming } = socket
  if (segment.length > 0 && segment !== socket.urgent) return segment
  let at: Segment | null = segment
  if (segment.length === 0) {
    if (copied && socket.urgent === null) return null
    at = segment.next
    if (!peeking) incoming.shift()
  }
  if (at === null || at !== socket.urgent) return at
  if (copied) return null
  const inline = socket.options.get(SO_OOBINLINE) === 1
  if (peeking) return inline ? at : at.next
  socket.urgent = null
  if (inline) return at
  incoming.shift()
  return incoming.head
}

/** References of the receiver's own to files that stay in the queue: MSG_PEEK. */
export function copyRights(files: File[]): File[] {
  return files.map(file => file.ref())
}
