// AF_UNIX sockets: unix(7), net/unix/af_unix.c. The states and connections; the transfer of data is in
// unix-stream.ts and unix-datagram.ts.

import {
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EINVAL,
  EISCONN,
  ENOTCONN,
  EOPNOTSUPP,
  EPERM,
  EPROTOTYPE,
} from '../../syscall-table/errno.ts'
import {
  AF_UNIX,
  AF_UNSPEC,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SIOCATMARK,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from '../../syscall-table/flags.ts'
import type { NetNamespace } from '../kernel/nsproxy.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from '../vfs/file.ts'
import type { BoundOutside, Inode } from '../vfs/inode.ts'
import { OutsideName, RemoteUnix } from './host/remote-unix.ts'
import type { Message, Ucred } from './message.ts'
import { type Segment, SegmentQueue } from './segment-queue.ts'
import { NO_PROTOCOL, NO_TYPE, registerFamily, Socket } from './socket.ts'
import { receiveDatagram, sendDatagram } from './unix-datagram.ts'
import { collectGarbage } from './unix-gc.ts'
import {
  autobind,
  bindName,
  connectOutside,
  findByName,
  parseName,
  rebindError,
  unbindName,
  unixSockets,
  writeName,
} from './unix-names.ts'
import './unix-proc.ts'
import { receiveStream, sendStream } from './unix-stream.ts'

// States.
const CLOSED = 0
const LISTENING = 1
const CONNECTED = 2

const READABLE = POLLIN | POLLRDNORM
const WRITABLE = POLLOUT | POLLWRNORM | POLLWRBAND
const ANY_CHANGE = READABLE | WRITABLE | POLLHUP | POLLERR | POLLRDHUP
/** net.unix.max_dgram_qlen. */
const MAX_DATAGRAMS = 10
/** SO_PEERCRED of a peer on the host, whom this kernel does not know. */
const OUTSIDE: Ucred = { pid: null, uid: 65534, gid: 65534 }

export class UnixSocket extends Socket {
  /** CLOSED, LISTENING or CONNECTED. */
  state = CLOSED
  /** As sun_path; see unix-names.ts. */
  name = ''
  /** Of a socket bound to a path. */
  inode: Inode | null = null
  peer: UnixSocket | null = null
  /** Closed: nobody will read or write here again. */
  dead = false
  noReceive = false
  noSend = false
  /** Data that has been sent to this socket. */
  readonly incoming = new SegmentQueue()
  /** The urgent byte among what has come; null when it has been read, or reading has passed it. */
  urgent: Segment | null = null
  /** Bytes of this socket's send buffer that lie in other sockets' queues. */
  inFlight = 0
  /** Connections that wait for accept. */
  readonly pending: UnixSocket[] = []
  #backlog = 0
  /** The listener in whose queue this connection waits. */
  listener: UnixSocket | null = null
  /** Who listens here, or connected. */
  #identity: Ucred | null = null
  #peerIdentity: Ucred | null = null
  /** The connection that this one is the program's end of, when the peer is a socket of the host. */
  #remote: RemoteUnix | null = null
  /** The host's socket of the same name, where it can connect. */
  #outside: OutsideName | null = null
  /** Sockets to wake when a full queue here, of datagrams or connections, has room again. */
  readonly #waitingForRoom = new Set<UnixSocket>()

  constructor(net: NetNamespace, type: number) {
    super(net, AF_UNIX, type, 0)
    unixSockets(this.kernel).add(this)
  }

  override get filters(): boolean {
    return true
  }
  override get hasPeekOffset(): boolean {
    return true
  }
  override get listening(): boolean {
    return this.state === LISTENING
  }
  get backlog(): number {
    return this.#backlog
  }
  get connected(): boolean {
    return this.state === CONNECTED
  }
  get connectionOriented(): boolean {
    return this.type !== SOCK_DGRAM
  }
  /** unix_writable: at most a quarter of the send buffer is in use. */
  get mayWrite(): boolean {
    return this.inFlight * 4 <= this.sendBuffer
  }
  /** The receive queue takes no more datagrams of strangers. */
  get full(): boolean {
    return this.incoming.count > MAX_DATAGRAMS
  }

  override bind(task: Task, address: Uint8Array, length: number): number {
    const name = parseName(address, length)
    if (typeof name === 'number') return name
    if (this.name !== '') return name === '' ? 0 : rebindError(task, name)
    return name === '' ? autobind(this) : bindName(task, this, name)
  }

  override listen(task: Task, backlog: number): number {
    if (!this.connectionOriented) return -EOPNOTSUPP
    if (this.name === '' || this.state === CONNECTED) return -EINVAL
    // A larger backlog lets waiting clients in.
    this.#backlog = Math.min(backlog >>> 0, task.kernel.tunables.somaxconn)
    const n = this.#outside?.listenOutside(this.#backlog) ?? 0
    if (n < 0) return n
    this.state = LISTENING
    this.#identity = identityOf(task)
    this.roomAgain()
    return 0
  }

  override connect(task: Task, address: Uint8Array, length: number, _file: File): number {
    if (!this.connectionOriented) return this.#connectDatagram(task, address, length)
    const name = parseName(address, length)
    if (typeof name === 'number') return name
    if (name === '') return -EINVAL
    if (this.tellsSender && this.name === '') autobind(this)
    const listener = findByName(task, this.type, name)
    if (listener === -ECONNREFUSED) return this.#connectOutside(task, name)
    if (typeof listener === 'number') return listener
    if (listener.type !== this.type) return -EPROTOTYPE
    if (listener.state !== LISTENING || listener.noReceive) return -ECONNREFUSED
    if (listener.pending.length > listener.#backlog) {
      listener.waitForRoom(this)
      return -EAGAIN
    }
    if (this.state !== CLOSED) return this.state === CONNECTED ? -EISCONN : -EINVAL
    const server = new UnixSocket(this.net, this.type)
    server.name = listener.name
    server.passCredentials = listener.passCredentials
    server.passPidfd = listener.passPidfd
    server.listener = listener
    join(this, server)
    this.#peerIdentity = listener.#identity
    server.#peerIdentity = identityOf(task)
    listener.pending.push(server)
    listener.queue.wake(READABLE)
    return 0
  }

  #connectOutside(task: Task, name: string): number {
    if (this.state !== CLOSED) return this.state === CONNECTED ? -EISCONN : -ECONNREFUSED
    const fd = connectOutside(task, this.type, name)
    if (fd < 0) return fd
    this.#remote = new RemoteUnix(this, fd)
    this.state = CONNECTED
    this.#peerIdentity = OUTSIDE
    return 0
  }

  #connectDatagram(task: Task, address: Uint8Array, length: number): number {
    if (length >= 2 && (address[0]! | (address[1]! << 8)) === AF_UNSPEC) {
      this.#setPeer(null)
      return 0
    }
    const name = parseName(address, length)
    if (typeof name === 'number') return name
    if (name === '') return -EINVAL
    if (this.tellsSender && this.name === '') autobind(this)
    const other = findByName(task, this.type, name)
    if (other === -ECONNREFUSED && this.#remote === null) return this.#connectOutside(task, name)
    if (typeof other === 'number') return other
    if (other.type !== this.type) return -EPROTOTYPE
    if (!other.accepts(this)) return -EPERM
    this.#setPeer(other)
    return 0
  }

  #setPeer(other: UnixSocket | null): void {
    const old = this.peer
    this.peer = other
    this.state = other === null ? CLOSED : CONNECTED
    if (old === null || old === other) return
    // What the old peer has sent is not for the new connection.
    this.incoming.clear()
    if (!old.dead && old.peer === this) old.fail(ECONNRESET)
  }

  /** The peer of a datagram socket is gone. */
  disconnect(): void {
    this.#setPeer(null)
  }

  /** A connected datagram socket takes messages of its peer only. */
  accepts(sender: UnixSocket): boolean {
    return this.peer === null || this.peer === sender
  }

  override accept(): Socket | number {
    if (!this.connectionOriented) return -EOPNOTSUPP
    if (this.state !== LISTENING) return -EINVAL
    const server = this.pending.shift()
    if (server === undefined) return this.noReceive ? -EINVAL : this.#acceptOutside()
    server.listener = null
    this.roomAgain()
    return server
  }

  #acceptOutside(): Socket | number {
    const fd = this.#outside?.acceptFd() ?? -EAGAIN
    if (fd < 0) return fd
    const server = new UnixSocket(this.net, this.type)
    server.name = this.name
    server.#remote = new RemoteUnix(server, fd)
    server.state = CONNECTED
    server.#peerIdentity = OUTSIDE
    return server
  }

  /** The host has a socket of this one's new name, too. */
  openOutside(bound: BoundOutside): void {
    this.#outside = new OutsideName(this, bound)
  }

  override send(task: Task, message: Message): number {
    if (this.#remote !== null) return this.#remote.send(task, message)
    return this.type === SOCK_STREAM
      ? sendStream(this, task, message)
      : sendDatagram(this, task, message)
  }

  override receive(task: Task, message: Message): number {
    if (this.#remote !== null) return this.#remote.receive(task, message)
    if (this.type === SOCK_STREAM) return receiveStream(this, task, message)
    // Datagrams come from both sides.
    return this.#outside === null || this.type !== SOCK_DGRAM || this.incoming.head !== null
      ? receiveDatagram(this, task, message)
      : this.#outside.receive(task, message)
  }

  override shutdown(how: number): number {
    if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) return -EINVAL
    if (this.#remote !== null) return this.#remote.shutdown(how)
    if (how !== SHUT_WR) this.noReceive = true
    if (how !== SHUT_RD) this.noSend = true
    const { peer } = this
    if (peer !== null && this.connectionOriented) {
      if (how !== SHUT_WR) peer.noSend = true
      if (how !== SHUT_RD) peer.noReceive = true
      peer.queue.wake(ANY_CHANGE)
    }
    this.queue.wake(ANY_CHANGE)
    return 0
  }

  override ownAddress(into: Uint8Array): number {
    return writeName(this.name, into)
  }

  override peerAddress(into: Uint8Array): number {
    if (this.#remote !== null) return writeName('', into)
    return this.peer === null ? -ENOTCONN : writeName(this.peer.name, into)
  }

  override peerCredentials(): Ucred | null {
    return this.state === LISTENING ? this.#identity : this.#peerIdentity
  }

  override unread(): number {
    if (this.#remote !== null) return this.#remote.unread()
    if (this.state === LISTENING) return -EINVAL
    return this.connectionOriented ? this.incoming.bytes : (this.incoming.head?.length ?? 0)
  }

  override unsent(): number {
    if (this.#remote !== null) return this.#remote.unsent()
    return this.state === LISTENING ? -EINVAL : this.inFlight
  }

  override poll(_file: File | null): number {
    if (this.#remote !== null) return this.#remote.poll()
    let events = 0
    if (this.error !== 0) events |= POLLERR
    if (this.noReceive && this.noSend) events |= POLLHUP
    if (this.noReceive) events |= POLLRDHUP | READABLE
    if (this.incoming.head !== null || this.pending.length > 0) events |= READABLE
    if (this.urgent !== null) events |= POLLPRI
    if (this.#outside !== null && !this.noReceive) events |= this.#outside.poll() & READABLE
    if (this.connectionOriented && this.state === CLOSED) events |= POLLHUP
    if (this.state !== LISTENING && this.mayWrite && !this.#peerIsFull()) events |= WRITABLE
    return events
  }

  #peerIsFull(): boolean {
    const { peer } = this
    if (this.type !== SOCK_DGRAM || peer === null || peer.peer === this || !peer.full) return false
    peer.waitForRoom(this)
    return true
  }

  /** `sender` waits until this socket's full queue has room. */
  waitForRoom(sender: UnixSocket): void {
    this.#waitingForRoom.add(sender)
  }

  roomAgain(): void {
    if (this.#waitingForRoom.size === 0) return
    const waiting = [...this.#waitingForRoom]
    this.#waitingForRoom.clear()
    for (const socket of waiting) socket.queue.wake(WRITABLE)
  }

  /** An error that the next call reports. */
  fail(error: number): void {
    this.error = error
    this.queue.wake(ANY_CHANGE)
  }

  /** Take the pending error: 0 or -errno. */
  takeError(): number {
    const { error } = this
    this.error = 0
    return -error
  }

  override close(): void {
    if (this.dead) return
    this.dead = true
    unixSockets(this.kernel).delete(this)
    unbindName(this)
    this.#remote?.close()
    this.#outside?.close()
    const { peer } = this
    if (peer !== null && this.connectionOriented) {
      peer.noReceive = peer.noSend = true
      if (this.#hasUnread || this.listener !== null) peer.error = ECONNRESET
      peer.queue.wake(ANY_CHANGE)
    }
    this.state = CLOSED
    for (const server of this.pending.splice(0)) server.close()
    this.purge()
    this.roomAgain()
    collectGarbage(this.kernel)
  }

  /** An urgent byte that was read out of line leaves its empty place behind. */
  get #hasUnread(): boolean {
    return this.type === SOCK_STREAM ? this.incoming.bytes > 0 : this.incoming.head !== null
  }

  override ioctl(file: File, task: Task, request: number, arg: number): number {
    if (request !== SIOCATMARK || this.#remote !== null)
      return super.ioctl(file, task, request, arg)
    if (this.type !== SOCK_STREAM) return -EOPNOTSUPP
    const { head } = this.incoming
    const passed = head !== null && head.length === 0
    const atMark =
      head !== null &&
      (head === this.urgent || (passed && (this.urgent === null || head.next === this.urgent)))
    const { scratch, scratchView } = task.kernel
    scratchView.setInt32(0, atMark ? 1 : 0, true)
    return task.mm.copyResult(task, arg, scratch, 0, 4)
  }

  /** Throw away what has been received and not read. */
  purge(): void {
    this.incoming.clear()
    this.urgent = null
    for (const server of this.pending) server.purge()
  }

  /** Connect two new sockets, as socketpair(2) does. */
  static pair(task: Task, type: number): [UnixSocket, UnixSocket] {
    const a = new UnixSocket(task.nsproxy.net, type)
    const b = new UnixSocket(task.nsproxy.net, type)
    join(a, b)
    a.#peerIdentity = b.#peerIdentity = identityOf(task)
    return [a, b]
  }
}

function join(a: UnixSocket, b: UnixSocket): void {
  a.peer = b
  b.peer = a
  a.state = b.state = CONNECTED
}

function identityOf(task: Task): Ucred {
  const { euid, egid, groups } = task.creds
  return { pid: task.group.pid, uid: euid, gid: egid, groups }
}

/** SOCK_RAW is SOCK_DGRAM here, as on Linux. */
function typeOf(type: number, protocol: number): number {
  if (protocol !== 0 && protocol !== AF_UNIX) return NO_PROTOCOL
  if (type === SOCK_RAW) return SOCK_DGRAM
  return type === SOCK_STREAM || type === SOCK_DGRAM || type === SOCK_SEQPACKET ? type : NO_TYPE
}

registerFamily(
  AF_UNIX,
  (task, type, protocol) => {
    const real = typeOf(type, protocol)
    return real < 0 ? real : new UnixSocket(task.nsproxy.net, real)
  },
  (task, type, protocol) => {
    const real = typeOf(type, protocol)
    return real < 0 ? real : UnixSocket.pair(task, real)
  },
)
