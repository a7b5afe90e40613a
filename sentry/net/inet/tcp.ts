// TCP sockets over the loopback interface: tcp(7). Both ends are in this kernel, so a connection is two queues;
// what remains of the protocol is what programs see of it: backlogs, half-closed connections and resets.

import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAGAIN,
  EALREADY,
  ECONNABORTED,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  EINVAL,
  EISCONN,
  ENOTCONN,
  EPIPE,
} from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_UNSPEC,
  IPPROTO_TCP,
  POLLERR,
  POLLHUP,
  POLLPRI,
  POLLRDHUP,
  POLLWRBAND,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SIOCATMARK,
  SIOCOUTQ,
  SIOCOUTQNSD,
  SO_OOBINLINE,
  SO_RCVLOWAT,
  SO_REUSEPORT,
  SOCK_STREAM,
  SOL_TCP,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CORK,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT2,
  TCP_INFO,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_SYN_SENT,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import type { Message } from '../message.ts'
import type { Segment } from '../segment-queue.ts'
import type { Socket } from '../socket.ts'
import { ANY4, ANY6, familyOf, isV4, parseAddress, parsed, writeAddress } from './address.ts'
import { ANY_CHANGE, InetSocket, READABLE, WRITABLE } from './inet-socket.ts'
import { statisticsOf } from './statistics.ts'
import { Held } from './tcp-hold.ts'
import { SEGMENT_SIZE, writeTcpInfo } from './tcp-info.ts'
import { receiveTcp, sendTcp } from './tcp-stream.ts'

// States of a socket; half-closed connections are told apart by noSend and noReceive.
const CLOSED = 0
const LISTENING = 1
const CONNECTING = 2
const CONNECTED = 3

/** tcp_wmem and tcp_rmem: how buffers start, and how large a connection over lo makes them. */
const INITIAL_SEND = 16384
const INITIAL_RECEIVE = 131072
const TUNED_SEND = 524288

export class TcpSocket extends InetSocket {
  state = CLOSED
  peer: TcpSocket | null = null
  /** A FIN has come: the end of the stream is certain, whatever follows. */
  finished = false
  /** The program has not been told how its connect ended. */
  #undecided = false
  #backlog = 0
  /** Connections that wait for accept, and sockets that wait for room among them. */
  readonly #pending: TcpSocket[] = []
  readonly #waiting = new Set<TcpSocket>()
  /** The listener in whose queue this connection or connecting socket waits. */
  #listener: TcpSocket | null = null
  #held: Held | null = null

  constructor(net: NetNamespace, family: number, uid: number) {
    super(net, family, SOCK_STREAM, IPPROTO_TCP, uid)
    this.sendBuffer = INITIAL_SEND
    this.receiveBuffer = INITIAL_RECEIVE
  }

  override get listening(): boolean {
    return this.state === LISTENING
  }
  get connected(): boolean {
    return this.state === CONNECTED
  }
  override get hasPeekOffset(): boolean {
    return true
  }
  protected override get mayBind(): boolean {
    return this.state === CLOSED
  }
  /** Bytes that may be under way: the send buffer and the window of the receiver. */
  get capacity(): number {
    return this.sendBuffer + (this.peer?.receiveBuffer ?? 0)
  }
  /** sk_stream_is_writeable: a third is free. */
  override get mayWrite(): boolean {
    return this.inFlight * 3 <= this.capacity * 2
  }

  override listen(task: Task, backlog: number): number {
    if (this.state !== CLOSED && this.state !== LISTENING) return -EINVAL
    this.#backlog = Math.min(backlog >>> 0, task.kernel.tunables.somaxconn)
    if (this.state === LISTENING) {
      this.#admit()
      return 0
    }
    if (this.port === 0 && this.autobind(task) < 0) return -EADDRINUSE
    // Sockets may share a port until one of them listens.
    this.state = LISTENING
    if (this.ports.conflicts(this, this.port)) {
      this.state = CLOSED
      return -EADDRINUSE
    }
    this.noReceive = this.noSend = false
    return 0
  }

  override connect(task: Task, address: Uint8Array, length: number, file: File): number {
    if (familyOf(address, length) === AF_UNSPEC) return this.#disconnect()
    if (this.#undecided) return this.#outcome(file)
    if (this.state !== CLOSED) return -EISCONN
    let n = parseAddress(this.family, address, length)
    if (n < 0) return n
    n = this.route()
    if (n < 0) return n
    const { ip, port } = parsed
    n = this.#prepare(task, ip, port)
    if (n < 0) return n
    this.#undecided = true
    this.#start()
    if (!file.nonblocking) return this.#outcome(file)
    return -EINPROGRESS
  }

  /** Choose the own end of a connection. */
  #prepare(task: Task, ip: number, port: number): number {
    const source = this.boundIp ? this.ip : this.sourceTo(ip)
    if (this.port !== 0) {
      for (const other of this.ports.at(this.port) ?? [])
        if (other.peerPort === port && other.peerIp === ip && other.ip === source)
          return -EADDRNOTAVAIL
      this.ip = source
    } else {
      this.ip = source
      if (this.autobind(task) < 0) {
        this.#resetAddress()
        return -EADDRNOTAVAIL
      }
    }
    this.peerIp = ip
    this.peerPort = port
    return 0
  }

  #start(): void {
    const listener = this.#findListener()
    const { tcp } = statisticsOf(this.net)
    tcp.ActiveOpens++
    this.finished = this.noReceive = this.noSend = false
    this.error = 0
    if (listener === null && this.ip === this.peerIp && this.port === this.peerPort)
      this.#meetItself()
    else if (listener === null) {
      tcp.AttemptFails++
      tcp.OutRsts++
      this.reset(ECONNREFUSED)
    } else if (listener.#pending.length > listener.#backlog) {
      this.state = CONNECTING
      this.#listener = listener
      listener.#waiting.add(this)
    } else this.#establish(listener)
  }

  /** The listener for this socket's peer address: the most exact one, or one of those that share a port. */
  #findListener(): TcpSocket | null {
    let best: TcpSocket | null = null
    const shared: TcpSocket[] = []
    for (const socket of this.ports.at(this.peerPort) ?? []) {
      const other = socket as TcpSocket
      if (other.state !== LISTENING || !other.takes(this.peerIp)) continue
      if (other.options.get(SO_REUSEPORT)) shared.push(other)
      if (best === null || exactness(other) > exactness(best)) best = other
    }
    if (best === null || shared.length < 2) return best
    const level = exactness(best)
    const equal = shared.filter(other => exactness(other) === level)
    return equal.length === 0 ? best : equal[this.port % equal.length]!
  }

  #establish(listener: TcpSocket): void {
    const server = new TcpSocket(this.net, listener.family, listener.uid)
    statisticsOf(this.net).tcp.PassiveOpens++
    server.inherit(listener)
    server.ip = this.peerIp
    server.peerIp = this.ip
    server.peerPort = this.port
    server.ports.add(server, this.peerPort)
    server.peer = this
    this.peer = server
    server.state = this.state = CONNECTED
    for (const end of [this, server])
      if (end.sendBuffer === INITIAL_SEND) end.sendBuffer = TUNED_SEND
    server.#listener = listener
    this.#listener = null
    listener.#pending.push(server)
    listener.queue.wake(READABLE)
    this.queue.wake(ANY_CHANGE)
  }

  /** A socket that connects to its own address answers its own SYN: both ends of the connection are one. */
  #meetItself(): void {
    this.peer = this
    this.state = CONNECTED
    if (this.sendBuffer === INITIAL_SEND) this.sendBuffer = TUNED_SEND
    this.queue.wake(ANY_CHANGE)
  }

  /** What a connection takes over from its listener. */
  inherit(listener: TcpSocket): void {
    for (const [name, value] of listener.options) this.options.set(name, value)
    this.inetOptions.copyFrom(listener.inetOptions)
    this.sendBuffer = listener.sendBuffer
    this.receiveBuffer = listener.receiveBuffer
    this.sendTimeoutNs = listener.sendTimeoutNs
    this.receiveTimeoutNs = listener.receiveTimeoutNs
    this.lingerOn = listener.lingerOn
    this.lingerSeconds = listener.lingerSeconds
  }

  /** How the connect that is under way has ended, if it has. */
  #outcome(file: File): number {
    if (this.state === CONNECTING) return file.nonblocking ? -EALREADY : -EAGAIN
    this.#undecided = false
    if (this.state === CONNECTED) return 0
    const n = this.takeError()
    this.#disconnect()
    return n < 0 ? n : -ECONNABORTED
  }

  /** Back to a socket that was never connected; bind's choices stay. */
  #disconnect(): number {
    this.#leave(true)
    this.state = CLOSED
    this.#undecided = this.finished = this.noReceive = this.noSend = false
    this.error = 0
    this.incoming.clear()
    this.urgent = null
    this.#resetAddress()
    this.queue.wake(ANY_CHANGE)
    return 0
  }

  #resetAddress(): void {
    const any = this.family === AF_INET ? ANY4 : ANY6
    this.peerIp = any
    this.peerPort = 0
    if (!this.boundIp) this.ip = any
    if (!this.boundPort) this.unbind()
  }

  override accept(_task: Task): Socket | number {
    if (this.state !== LISTENING) return -EINVAL
    const server = this.#pending.shift()
    if (server === undefined) return -EAGAIN
    server.#listener = null
    this.#admit()
    return server
  }

  /** Let sockets in that wait for room in the backlog. */
  #admit(): void {
    for (const client of this.#waiting) {
      if (this.#pending.length > this.#backlog) return
      this.#waiting.delete(client)
      client.#establish(this)
    }
  }

  override send(task: Task, message: Message): number {
    return sendTcp(this, task, message)
  }

  override receive(task: Task, message: Message): number {
    return receiveTcp(this, task, message)
  }

  /** What waits for more to be sent with it. */
  get held(): Held {
    this.#held ??= new Held(this)
    return this.#held
  }

  releaseHeld(): void {
    if (this.#held !== null && this.#held.bytes > 0) this.#held.release()
  }

  override setOption(
    task: Task,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ): number {
    const n = super.setOption(task, level, name, value, length)
    if (n < 0 || level !== SOL_TCP) return n
    const { inetOptions } = this
    if (name === TCP_CORK && !inetOptions.on(SOL_TCP, TCP_CORK)) this.releaseHeld()
    if (name === TCP_NODELAY && inetOptions.on(SOL_TCP, TCP_NODELAY)) this.releaseHeld()
    return n
  }

  get connecting(): boolean {
    return this.state === CONNECTING
  }

  override shutdown(how: number): number {
    if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) return -EINVAL
    if (this.state === CLOSED || this.#ended) {
      // Linux says that there is no connection, and shuts it down all the same, so that others wake up.
      if (how !== SHUT_WR) this.noReceive = true
      if (how !== SHUT_RD) this.noSend = true
      this.queue.wake(ANY_CHANGE)
      return -ENOTCONN
    }
    if (this.state === LISTENING || this.state === CONNECTING) {
      if (how === SHUT_WR && this.state === LISTENING) return 0
      return this.#disconnect()
    }
    if (how !== SHUT_WR) this.noReceive = true
    if (how !== SHUT_RD && !this.noSend) {
      this.releaseHeld()
      this.noSend = true
      this.peer?.finish()
    }
    this.queue.wake(ANY_CHANGE)
    return 0
  }

  /** The urgent byte among what has come; null when reading has passed it. */
  urgent: Segment | null = null

  /** Whether there is more than an urgent byte out of line. */
  get #readableBytes(): boolean {
    const { head } = this.incoming
    if (head === null) return false
    return head !== this.urgent || head.next !== null || this.options.get(SO_OOBINLINE) === 1
  }

  /** Fewer bytes have come than SO_RCVLOWAT says: tcp_stream_is_readable. */
  get #belowLowWater(): boolean {
    const least = this.options.get(SO_RCVLOWAT) ?? 1
    return least > 1 && this.incoming.bytes < Math.min(least, this.receiveBuffer)
  }

  /** The peer has sent its FIN. */
  finish(): void {
    this.finished = this.noReceive = true
    this.queue.wake(ANY_CHANGE)
  }

  /** The peer has sent a RST, or the connection ends as if it had: tcp_reset. */
  reset(error: number): void {
    this.#held?.drop()
    if (this.state === CONNECTED) statisticsOf(this.net).tcp.EstabResets++
    this.state = CLOSED
    this.noReceive = this.noSend = true
    if (this.peer !== null) this.peer.peer = null
    this.peer = null
    this.fail(error)
  }

  /** Another program ends it: tcp_abort. */
  abort(error: number): void {
    this.#leave(this.state === CONNECTED)
    this.state = CLOSED
    this.reset(error)
  }

  /** Both ends have sent and acknowledged their FIN: Linux keeps no connection then. */
  get #ended(): boolean {
    return this.state === CONNECTED && this.finished && this.noSend
  }

  override peerAddress(into: Uint8Array): number {
    if (this.state !== CONNECTED || this.#ended) return -ENOTCONN
    return writeAddress(this.family, this.peerIp, this.peerPort, into)
  }

  /** Up to the urgent byte: what one read gives. */
  override unread(): number {
    if (this.state === LISTENING) return -EINVAL
    if (this.urgent === null || this.options.get(SO_OOBINLINE)) return this.incoming.bytes
    let bytes = 0
    for (let s = this.incoming.head; s !== null && s !== this.urgent; s = s.next) bytes += s.length
    return bytes > 0 ? bytes : this.incoming.bytes - 1
  }

  override ioctl(file: File, task: Task, request: number, arg: number): number {
    if (request === SIOCOUTQNSD) return super.ioctl(file, task, SIOCOUTQ, arg)
    if (request !== SIOCATMARK) return super.ioctl(file, task, request, arg)
    const { scratch, scratchView } = task.kernel
    const atMark = this.urgent !== null && this.incoming.head === this.urgent
    scratchView.setInt32(0, atMark ? 1 : 0, true)
    return task.mm.copyResult(task, arg, scratch, 0, 4)
  }

  /** Bytes beyond the receiver's window: Linux counts what is not acknowledged. */
  override unsent(): number {
    if (this.state === LISTENING) return -EINVAL
    const held = this.#held?.bytes ?? 0
    return held + Math.max(0, this.inFlight - (this.peer?.receiveBuffer ?? 0))
  }

  override getOption(
    task: Task,
    level: number,
    name: number,
    into: Uint8Array,
    room: number,
  ): number {
    if (level !== SOL_TCP || (name !== TCP_INFO && name !== TCP_MAXSEG))
      return super.getOption(task, level, name, into, room)
    if (name === TCP_INFO) return writeTcpInfo(this, into)
    if (this.state !== CONNECTED) return super.getOption(task, level, name, into, room)
    new DataView(into.buffer, into.byteOffset).setInt32(0, SEGMENT_SIZE, true)
    return 4
  }

  /** The state as tcp_info and /proc/net/tcp number it. */
  get stateNumber(): number {
    if (this.state === LISTENING) return TCP_LISTEN
    if (this.state === CONNECTING) return TCP_SYN_SENT
    if (this.state === CLOSED) return TCP_CLOSE
    if (this.noSend) return this.finished ? TCP_LAST_ACK : TCP_FIN_WAIT2
    return this.finished ? TCP_CLOSE_WAIT : TCP_ESTABLISHED
  }

  /** How many connections wait for accept, and how many may. */
  get acceptQueue(): [number, number] {
    return [this.#pending.length, this.#backlog]
  }

  override poll(_file: File | null): number {
    let events = 0
    if (this.state === LISTENING) return this.#pending.length > 0 ? READABLE : 0
    if ((this.noReceive && this.noSend) || this.state === CLOSED) events |= POLLHUP
    if (this.noReceive) events |= READABLE | POLLRDHUP
    if (this.error !== 0) events |= POLLERR
    if (this.state === CONNECTING) return events
    if (this.#readableBytes && !this.#belowLowWater) events |= READABLE
    if (this.urgent !== null && !this.urgent.urgentRead) events |= POLLPRI
    // Unlike datagrams, streams of TCP have no band of data to write.
    if (this.noSend || this.mayWrite) events |= WRITABLE & ~POLLWRBAND
    return events
  }

  override close(): void {
    if (this.dead) return
    this.dead = true
    this.#leave(this.incoming.head !== null || (this.lingerOn !== 0 && this.lingerSeconds === 0))
    this.state = CLOSED
    this.unbind()
    this.incoming.clear()
    this.urgent = null
  }

  /** End what this socket takes part in; `abort` sends a RST rather than a FIN. */
  #leave(abort: boolean): void {
    if (this.#listener !== null) this.#listener.#waiting.delete(this)
    this.#listener = null
    for (const client of this.#waiting) client.reset(ECONNREFUSED)
    this.#waiting.clear()
    for (const server of this.#pending.splice(0)) server.#abort()
    const { peer } = this
    if (peer === null) return
    if (abort) {
      this.#held?.drop()
      const { tcp } = statisticsOf(this.net)
      tcp.OutRsts++
      if (!this.noSend) tcp.EstabResets++
      peer.reset(peer.finished ? EPIPE : ECONNRESET)
    } else if (!this.noSend) {
      this.releaseHeld()
      peer.finish()
    }
  }

  /** A connection that nobody accepts any more. */
  #abort(): void {
    this.dead = true
    this.state = CLOSED
    this.peer?.reset(ECONNRESET)
    this.unbind()
    this.incoming.clear()
    this.urgent = null
  }
}

function exactness(socket: TcpSocket): number {
  if (socket.ip !== ANY4 && socket.ip !== ANY6) return 2
  return socket.ip === ANY6 && isV4(socket.peerIp) ? 0 : 1
}
