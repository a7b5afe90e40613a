// UDP sockets over the loopback interface: udp(7), net/ipv4/udp.c. A datagram lies in its receiver's queue as
// soon as it is sent; one that nobody receives, or that finds the queue full, is lost.

import {
  EACCES,
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
  IP_MULTICAST_ALL,
  IP_RECVERR,
  IPPROTO_UDP,
  IPV6_RECVERR,
  MSG_ERRQUEUE,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  POLLERR,
  POLLHUP,
  POLLPRI,
  POLLRDHUP,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_BROADCAST,
  SO_REUSEPORT,
  SO_SELECT_ERR_QUEUE,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_IP,
  SOL_IPV6,
  SOL_UDP,
  SOL_UDPLITE,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  UDP_CORK,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import type { Message, Ucred } from '../message.ts'
import { MESSAGE_OVERHEAD, Segment, type Sender } from '../segment-queue.ts'
import type { Socket } from '../socket.ts'
import { firstToPeek, peekStart } from '../unix-datagram.ts'
import {
  ANY4,
  ANY6,
  familyOf,
  isAny,
  isBroadcast,
  isMulticast,
  isV4,
  parseAddress,
  parsed,
  writeAddress,
} from './address.ts'
import { type PacketFacts, packetFacts, tellFacts } from './datagram-control.ts'
import { passDatagram } from './datagram-filter.ts'
import { ErrorQueue } from './error-queue.ts'
import { ANY_CHANGE, InetSocket, READABLE, WRITABLE } from './inet-socket.ts'
import { buildUdp } from './ip-packet.ts'
import { isJoined } from './multicast.ts'
import type { Ports } from './ports.ts'
import { unreachable } from './refusal.ts'
import { statisticsOf } from './statistics.ts'
import { isObserved, show } from './wire.ts'

/** What fits into one packet: 65535 bytes less the headers. */
const MAX_PAYLOAD4 = 65507
const MAX_PAYLOAD6 = 65527
const NOBODY: Ucred = { pid: null, uid: 0, gid: 0 }

export class Datagram extends Segment {
  readonly ip: number
  readonly port: number
  readonly facts: PacketFacts

  constructor(data: Uint8Array, sender: Sender, ip: number, port: number, facts: PacketFacts) {
    super(data, sender, NOBODY)
    this.ip = ip
    this.port = port
    this.facts = facts
  }
}

/** A datagram that is not complete yet: MSG_MORE, UDP_CORK. */
interface Corked {
  facts: PacketFacts
  parts: Uint8Array[]
  length: number
  /** What fits into its packet. */
  most: number
  /** Whether it goes to the peer that the socket is connected to. */
  connected: boolean
}

/** A socket of IPv6 takes addresses of IPv4 as they are, and one of IPv4 those without a family. */
function destinationFamily(family: number, message: Message): number {
  const { name, nameLength } = message
  const given = familyOf(name, nameLength)
  if (given === AF_UNSPEC && family === AF_INET) name[0] = AF_INET
  return given === AF_INET ? AF_INET : family
}

/** Whether a packet to `ip` has more than one receiver. */
const isMany = (ip: number): boolean => isMulticast(ip) || isBroadcast(ip)

/** Put a datagram into the queue of its receiver, or those of all. Whether there was one. */
export function deliverDatagram(
  net: NetNamespace,
  ports: Ports,
  sender: Sender,
  facts: PacketFacts,
  data: Uint8Array,
): boolean {
  const sockets = ports.at(facts.toPort) ?? []
  if (!isMany(facts.to)) {
    const receiver = receiverOf(sockets, facts)
    receiver?.enqueue(data, facts.fromPort, facts, sender)
    return receiver !== null
  }
  if (isMulticast(facts.to) && !isJoined(net, facts.to)) return false
  let found = false
  for (const socket of sockets) {
    const other = socket as UdpSocket
    if (!other.isAmong(facts)) continue
    other.enqueue(data.slice(), facts.fromPort, facts, sender)
    found = true
  }
  return found
}

/** The socket for a datagram: the one that says most exactly whom it receives from, and where. */
function receiverOf(sockets: Iterable<InetSocket>, facts: PacketFacts): UdpSocket | null {
  let best: UdpSocket | null = null
  let bestScore = -1
  let shared = 0
  for (const socket of sockets) {
    const other = socket as UdpSocket
    const score = other.score(facts.to, facts.from, facts.fromPort)
    if (score < 0 || score < bestScore) continue
    // Among equals the port's last one wins, and those of SO_REUSEPORT take turns by the sender.
    if (score > bestScore) shared = 0
    shared++
    if (other.options.get(SO_REUSEPORT) && facts.fromPort % shared !== 0) continue
    best = other
    bestScore = score
  }
  return best
}

export class UdpSocket extends InetSocket {
  override readonly rawControl = true
  readonly errors = new ErrorQueue()
  #corked: Corked | null = null

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
  override get filters(): boolean {
    return true
  }
  override get hasPeekOffset(): boolean {
    return this.type !== SOCK_RAW
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
    if (isBroadcast(ip) && !this.options.get(SO_BROADCAST)) return -EACCES
    if (this.autobind(task) < 0) return -EAGAIN
    if (!this.boundIp) this.ip = this.sourceTo(ip)
    this.peerIp = ip
    this.peerPort = port
    this.noReceive = this.noSend = false
    return 0
  }

  /** Another program ends what it does: udp_abort. */
  abort(error: number): void {
    this.fail(error)
    this.#disconnect()
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
    // inet_send_prepare: whatever comes of the call, the socket has a port from now on.
    if (this.autobind(task) < 0) return -EAGAIN
    if ((message.flags & MSG_OOB) !== 0) return -EOPNOTSUPP
    if (io.remaining > MAX_PAYLOAD6) return -EMSGSIZE
    if (this.#corked !== null) return this.#append(this.#corked, message)
    const n = this.#target(message)
    if (n < 0) return n
    const { ip, port } = parsed
    if (isBroadcast(ip) && !this.options.get(SO_BROADCAST)) return -EACCES
    const most = isV4(ip) ? MAX_PAYLOAD4 : MAX_PAYLOAD6
    if (io.remaining > most) return -EMSGSIZE
    if (this.error !== 0) return this.takeError()
    // Not a stream: no SIGPIPE.
    if (this.noSend) return -EPIPE
    const facts = packetFacts(this, message, ip, port)
    if (typeof facts === 'number') return facts
    const corked = { facts, parts: [], length: 0, most, connected: message.nameLength === 0 }
    return this.#append(corked, message)
  }

  /** Add the message's bytes to a datagram, which goes out unless there is more to come. */
  #append(corked: Corked, { io, flags }: Message): number {
    const length = io.remaining
    if (corked.length + length > corked.most) return -EMSGSIZE
    const data = new Uint8Array(length)
    if (length > 0 && io.take(data, 0, length) < length) return -EFAULT
    corked.parts.push(data)
    corked.length += length
    this.#corked = null
    if ((flags & MSG_MORE) !== 0 || this.inetOptions.on(SOL_UDP, UDP_CORK)) this.#corked = corked
    else this.#transmit(corked)
    return length
  }

  #transmit({ facts, parts, length, connected }: Corked): void {
    let data = parts[0]!
    if (parts.length > 1) {
      data = new Uint8Array(length)
      let at = 0
      for (const part of parts) {
        data.set(part, at)
        at += part.length
      }
    }
    const { net, protocol } = this
    const packet =
      isObserved(net) && protocol === IPPROTO_UDP
        ? buildUdp(facts, facts.fromPort, facts.toPort, data)
        : null
    if (packet !== null) show(net, packet)
    const { udp } = statisticsOf(net)
    const counted = isV4(facts.to) && protocol === IPPROTO_UDP ? 1 : 0
    udp.OutDatagrams += counted
    if (deliverDatagram(net, this.ports, this, facts, data) || isMany(facts.to)) return
    udp.NoPorts += counted
    if (packet !== null) show(net, unreachable(packet))
    const asks = isV4(facts.to)
      ? this.inetOptions.on(SOL_IP, IP_RECVERR)
      : this.inetOptions.on(SOL_IPV6, IPV6_RECVERR)
    if (!asks && !(connected && this.connected)) return
    if (asks) this.errors.push(ECONNREFUSED, data, facts)
    this.fail(ECONNREFUSED)
  }

  /** The destination of a message, in `parsed`. */
  #target(message: Message): number {
    if (message.nameLength === 0) {
      if (!this.connected) return -EDESTADDRREQ
      parsed.ip = this.peerIp
      parsed.port = this.peerPort
      return 0
    }
    const n = parseAddress(
      destinationFamily(this.family, message),
      message.name,
      message.nameLength,
    )
    if (n < 0) return n
    return parsed.port === 0 ? -EINVAL : this.route()
  }

  /** How exactly this socket says that it receives from `source`, and at `ip`; -1 if it does not. */
  score(ip: number, source: number, port: number): number {
    if (!this.takes(ip)) return -1
    let score = isAny(this.ip) ? 0 : 1
    if (isV4(ip) === (this.family === AF_INET)) score += 1
    if (!this.connected) return score
    return this.peerIp === source && this.peerPort === port ? score + 4 : -1
  }

  /** Whether a packet to many is for this socket, too. */
  isAmong({ to, from, fromPort }: PacketFacts): boolean {
    if (!this.takes(to)) return false
    if (this.connected && (this.peerIp !== from || this.peerPort !== fromPort)) return false
    if (!isMulticast(to)) return true
    return this.multicast.accepts(to, from, this.inetOptions.on(SOL_IP, IP_MULTICAST_ALL))
  }

  /** A datagram has arrived. */
  enqueue(data: Uint8Array, port: number, facts: PacketFacts, sender: Sender = this): void {
    const length = this.filter === null ? data.length : passDatagram(this, this.filter, data, facts)
    const datagram = new Datagram(data, sender, facts.from, port, facts)
    if (length >= 0) this.#deliver(datagram, length)
    else if (this.#isCounted(datagram)) statisticsOf(this.net).udp.InErrors++
  }

  #deliver(datagram: Datagram, length: number): void {
    const { incoming } = this
    if (incoming.bytes + incoming.count * MESSAGE_OVERHEAD > this.receiveBuffer) {
      const { udp } = statisticsOf(this.net)
      if (this.#isCounted(datagram)) {
        udp.InErrors++
        udp.RcvbufErrors++
      }
      return
    }
    datagram.end = length
    incoming.push(datagram)
    this.queue.wake(READABLE)
  }

  override receive(_task: Task, message: Message): number {
    const { io, flags } = message
    if ((flags & MSG_ERRQUEUE) !== 0) return this.errors.receive(this, message)
    if (this.error !== 0) return this.takeError()
    const peeking = (flags & MSG_PEEK) !== 0
    const datagram = (peeking ? firstToPeek(this) : this.incoming.head) as Datagram | null
    const skip = peeking ? peekStart.skip : 0
    if (datagram === null) return this.noReceive ? 0 : -EAGAIN
    const { length } = datagram
    const want = Math.min(io.remaining, length - skip)
    const n = want === 0 ? 0 : io.put(datagram.data, datagram.start + skip, want)
    if (n < want) return -EFAULT
    message.nameLength = this.nameSource(datagram, message)
    tellFacts(this, datagram.facts, message)
    if (this.timestamp === 0) this.lastStamp = datagram.facts
    if (n < length) message.outFlags |= MSG_TRUNC
    const told = (flags & MSG_TRUNC) !== 0 ? length : n
    if (peeking) this.peekedOver(told)
    else {
      if (this.#isCounted(datagram)) statisticsOf(this.net).udp.InDatagrams++
      this.incoming.shift()
      this.readOver(told)
    }
    return told
  }

  #isCounted({ ip }: Datagram): boolean {
    return isV4(ip) && this.protocol === IPPROTO_UDP && this.type === SOCK_DGRAM
  }

  protected nameSource({ ip, port }: Datagram, message: Message): number {
    return writeAddress(this.family, ip, port, message.name)
  }

  override setOption(
    task: Task,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ): number {
    const n = super.setOption(task, level, name, value, length)
    if (n === 0 && this.#corked !== null && !this.inetOptions.on(SOL_UDP, UDP_CORK)) {
      if (name !== UDP_CORK || (level !== SOL_UDP && level !== SOL_UDPLITE)) return n
      const corked = this.#corked
      this.#corked = null
      this.#transmit(corked)
    }
    if (n === 0 && level === SOL_IP && name === IP_RECVERR && !this.inetOptions.on(level, name))
      this.errors.clear()
    return n
  }

  override shutdown(how: number): number {
    if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) return -EINVAL
    // Linux says that there is no connection, and shuts it down all the same, so that others wake up.
    if (how !== SHUT_WR) this.noReceive = true
    if (how !== SHUT_RD) this.noSend = true
    this.queue.wake(ANY_CHANGE)
    return this.connected ? 0 : -ENOTCONN
  }

  override peerAddress(into: Uint8Array): number {
    // That of a raw or ping socket, too, needs a port.
    if (this.peerPort === 0) return -ENOTCONN
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
    if (this.error !== 0 || !this.errors.empty) events |= POLLERR | this.#errorEvents
    if (this.noReceive) events |= READABLE | POLLRDHUP
    if (this.noReceive && this.noSend) events |= POLLHUP
    return events
  }

  get #errorEvents(): number {
    return this.options.get(SO_SELECT_ERR_QUEUE) && !this.errors.empty ? POLLPRI : 0
  }

  override close(): void {
    if (this.dead) return
    this.dead = true
    this.leaveGroups()
    this.errors.clear()
    this.#corked = null
    this.unbind()
    this.incoming.clear()
  }
}
