// UDP sockets over the loopback interface: udp(7), net/ipv4/udp.c. A datagram lies in its receiver's queue as
// soon as it is sent; one that nobody receives, or that finds the queue full, is lost.

import {
  EAGAIN,
  ECONNREFUSED,
  EDESTADDRREQ,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
} from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_UNSPEC,
  IPPROTO_UDP,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  POLLERR,
  POLLHUP,
  POLLRDHUP,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_REUSEPORT,
  SOCK_DGRAM,
  TCP_CLOSE,
  TCP_ESTABLISHED,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import type { Message, Ucred } from '../message.ts'
import { MESSAGE_OVERHEAD, Segment } from '../segment-queue.ts'
import type { Socket } from '../socket.ts'
import {
  ANY4,
  ANY6,
  familyOf,
  isAny,
  isV4,
  parseAddress,
  parsed,
  sourceFor,
  writeAddress,
} from './address.ts'
import { type PacketFacts, packetFacts, tellFacts } from './datagram-control.ts'
import { ANY_CHANGE, InetSocket, READABLE, WRITABLE } from './inet-socket.ts'

/** What fits into one packet: 65535 bytes less the headers. */
const MAX_PAYLOAD4 = 65507
const MAX_PAYLOAD6 = 65527
const NOBODY: Ucred = { pid: null, uid: 0, gid: 0 }

class Datagram extends Segment {
  readonly ip: number
  readonly port: number
  readonly facts: PacketFacts

  constructor(data: Uint8Array, sender: UdpSocket, ip: number, port: number, facts: PacketFacts) {
    super(data, sender, NOBODY)
    this.ip = ip
    this.port = port
    this.facts = facts
  }
}

export class UdpSocket extends InetSocket {
  override readonly rawControl = true

  constructor(
    net: NetNamespace,
    family: number,
    uid: number,
    protocol = IPPROTO_UDP,
    type = SOCK_DGRAM,
  ) {
    super(net, family, type, protocol, uid)
  }

  override get listening(): boolean {
    return false
  }
  get connected(): boolean {
    return this.peerPort !== 0
  }
  protected override get mayBind(): boolean {
    return !this.connected
  }
  override get mayWrite(): boolean {
    return true
  }
  override listen(_task: Task, _backlog: number): number {
    return -EOPNOTSUPP
  }
  override accept(_task: Task): Socket | number {
    return -EOPNOTSUPP
  }

  override connect(task: Task, address: Uint8Array, length: number, _file: File): number {
    if (familyOf(address, length) === AF_UNSPEC) return this.#disconnect()
    let n = parseAddress(this.family, address, length)
    if (n < 0) return n
    n = this.route()
    if (n < 0) return n
    const { ip, port } = parsed
    if (this.autobind(task) < 0) return -EAGAIN
    if (!this.boundIp) this.ip = sourceFor(ip)
    this.peerIp = ip
    this.peerPort = port
    this.noReceive = this.noSend = false
    return 0
  }

  #disconnect(): number {
    const any = this.family === AF_INET ? ANY4 : ANY6
    this.peerIp = any
    this.peerPort = 0
    if (!this.boundIp) this.ip = any
    if (!this.boundPort) this.unbind()
    return 0
  }

  override send(task: Task, message: Message): number {
    const { io } = message
    if ((message.flags & MSG_OOB) !== 0) return -EOPNOTSUPP
    if (io.remaining > MAX_PAYLOAD6) return -EMSGSIZE
    let n = this.#target(message)
    if (n < 0) return n
    const { ip, port } = parsed
    if (io.remaining > (isV4(ip) ? MAX_PAYLOAD4 : MAX_PAYLOAD6)) return -EMSGSIZE
    if (this.error !== 0) return this.takeError()
    // Not a stream: no SIGPIPE.
    if (this.noSend) return -EPIPE
    const facts = packetFacts(this, message, ip)
    if (typeof facts === 'number') return facts
    if (this.autobind(task) < 0) return -EAGAIN
    const length = io.remaining
    const source = isAny(this.ip) ? sourceFor(ip) : this.ip
    const receiver = this.#receiver(ip, port, source)
    const data =
      receiver === null ? new Uint8Array(length) : receiver.incoming.buffer(length, false)
    n = length === 0 ? 0 : io.take(data, 0, length)
    if (n < length) return -EFAULT
    if (receiver !== null)
      receiver.#deliver(new Datagram(data, this, source, this.port, facts), length)
    else if (this.connected && message.nameLength === 0) this.fail(ECONNREFUSED)
    return length
  }

  /** The destination of a message, in `parsed`. */
  #target(message: Message): number {
    if (message.nameLength === 0) {
      if (!this.connected) return -EDESTADDRREQ
      parsed.ip = this.peerIp
      parsed.port = this.peerPort
      return 0
    }
    const n = parseAddress(this.family, message.name, message.nameLength)
    if (n < 0) return n
    return parsed.port === 0 ? -EINVAL : this.route()
  }

  /** The socket for a datagram: the one that says most exactly whom it receives from, and where. */
  #receiver(ip: number, port: number, source: number): UdpSocket | null {
    let best: UdpSocket | null = null
    let bestScore = -1
    let shared = 0
    for (const socket of this.ports.at(port) ?? []) {
      const other = socket as UdpSocket
      const score = other.#score(ip, source, this.port)
      if (score < 0 || score < bestScore) continue
      // Among equals the port's last one wins, and those of SO_REUSEPORT take turns by the sender.
      if (score > bestScore) shared = 0
      shared++
      if (other.options.get(SO_REUSEPORT) && this.port % shared !== 0) continue
      best = other
      bestScore = score
    }
    return best
  }

  #score(ip: number, source: number, port: number): number {
    if (!this.takes(ip)) return -1
    let score = isAny(this.ip) ? 0 : 1
    if (isV4(ip) === (this.family === AF_INET)) score += 1
    if (!this.connected) return score
    return this.peerIp === source && this.peerPort === port ? score + 4 : -1
  }

  /** A packet has arrived that is no datagram of another socket. */
  enqueue(data: Uint8Array, source: number, port: number, facts: PacketFacts): void {
    this.#deliver(new Datagram(data, this, source, port, facts), data.length)
  }

  #deliver(datagram: Datagram, length: number): void {
    const { incoming } = this
    if (incoming.bytes + incoming.count * MESSAGE_OVERHEAD > this.receiveBuffer) return
    datagram.end = length
    incoming.push(datagram)
    this.queue.wake(READABLE)
  }

  override receive(_task: Task, message: Message): number {
    const { io, flags } = message
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP
    if (this.error !== 0) return this.takeError()
    const datagram = this.incoming.head as Datagram | null
    if (datagram === null) return this.noReceive ? 0 : -EAGAIN
    const { length } = datagram
    const want = Math.min(io.remaining, length)
    const n = want === 0 ? 0 : io.put(datagram.data, datagram.start, want)
    if (n < want) return -EFAULT
    message.nameLength = writeAddress(this.family, datagram.ip, datagram.port, message.name)
    tellFacts(this, datagram.facts, message)
    if (n < length) message.outFlags |= MSG_TRUNC
    if ((flags & MSG_PEEK) === 0) this.incoming.shift()
    return (flags & MSG_TRUNC) !== 0 ? length : n
  }

  override shutdown(how: number): number {
    if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) return -EINVAL
    if (!this.connected) return -ENOTCONN
    if (how !== SHUT_WR) this.noReceive = true
    if (how !== SHUT_RD) this.noSend = true
    this.queue.wake(ANY_CHANGE)
    return 0
  }

  override peerAddress(into: Uint8Array): number {
    if (!this.connected) return -ENOTCONN
    return writeAddress(this.family, this.peerIp, this.peerPort, into)
  }

  override unread(): number {
    return this.incoming.head?.length ?? 0
  }

  override unsent(): number {
    return 0
  }

  /** The state as /proc/net/udp numbers it. */
  get stateNumber(): number {
    return this.connected ? TCP_ESTABLISHED : TCP_CLOSE
  }

  override poll(_file: File | null): number {
    let events = WRITABLE
    if (this.incoming.head !== null) events |= READABLE
    if (this.error !== 0) events |= POLLERR
    if (this.noReceive) events |= READABLE | POLLRDHUP
    if (this.noReceive && this.noSend) events |= POLLHUP
    return events
  }

  override close(): void {
    if (this.dead) return
    this.dead = true
    this.unbind()
    this.incoming.clear()
  }
}
