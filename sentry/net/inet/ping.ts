// ICMP echo over the loopback interface: ping sockets (icmp(7), net/ipv4/ping.c) and raw sockets of IPPROTO_ICMP (raw(7)).
// The kernel answers each request while it is sent.

import {
  EACCES,
  EAGAIN,
  EDESTADDRREQ,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPIPE,
} from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_UNSPEC,
  ICMP_FILTER,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  MSG_OOB,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_RAW,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import type { Message } from '../message.ts'
import { NO_PROTOCOL, type Socket } from '../socket.ts'
import {
  familyOf,
  isAny,
  LOOPBACK4,
  LOOPBACK6,
  parseAddress,
  parsed,
  sourceFor,
  writeIp4,
} from './address.ts'
import { type PacketFacts, packetFacts } from './datagram-control.ts'
import { UdpSocket } from './udp.ts'

const HEADER_SIZE = 8
const IP_HEADER_SIZE = 20
const MAX_PAYLOAD = 65507
const ECHO = 8
const ECHO_REPLY = 0
const ECHO6 = 128
const ECHO6_REPLY = 129

/** A socket for echo requests: the kernel writes identifier and checksum. */
class PingSocket extends UdpSocket {
  constructor(net: NetNamespace, family: number, uid: number, type = SOCK_DGRAM) {
    super(net, family, uid, family === AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6, type)
  }

  override get connected(): boolean {
    return !isAny(this.peerIp)
  }

  override connect(task: Task, address: Uint8Array, length: number, file: File): number {
    if (familyOf(address, length) === AF_UNSPEC) return super.connect(task, address, length, file)
    let n = parseAddress(this.family, address, length)
    if (n < 0) return n
    n = this.route()
    if (n < 0) return n
    this.peerIp = parsed.ip
    if (!this.boundIp) this.ip = sourceFor(parsed.ip)
    return 0
  }

  /** Where a message goes: its destination is in `parsed.ip`. */
  #target(message: Message): number {
    if (message.nameLength === 0) {
      if (!this.connected) return -EDESTADDRREQ
      parsed.ip = this.peerIp
      return 0
    }
    const n = parseAddress(this.family, message.name, message.nameLength)
    return n < 0 ? n : this.route()
  }

  override send(task: Task, message: Message): number {
    const { io } = message
    const length = io.remaining
    if ((message.flags & MSG_OOB) !== 0) return -EOPNOTSUPP
    if (length > MAX_PAYLOAD) return -EMSGSIZE
    const n = this.#target(message)
    if (n < 0) return n
    if (this.noSend) return -EPIPE
    const to = parsed.ip
    const facts = packetFacts(this, message, to)
    if (typeof facts === 'number') return facts
    const packet = new Uint8Array(length)
    if (length > 0 && io.take(packet, 0, length) < length) return -EFAULT
    const error = this.transmit(task, packet, facts)
    return error < 0 ? error : length
  }

  protected transmit(task: Task, packet: Uint8Array, facts: PacketFacts): number {
    const request = this.family === AF_INET ? ECHO : ECHO6
    if (packet.length < HEADER_SIZE || packet[0] !== request || packet[1] !== 0) return -EINVAL
    if (this.autobind(task) < 0) return -EAGAIN
    packet[4] = this.port >> 8
    packet[5] = this.port & 255
    if (this.family === AF_INET) showRaw(this.net, packet, facts)
    const reply = answer(packet)
    this.enqueue(reply, this.family === AF_INET ? LOOPBACK4 : LOOPBACK6, 0, facts)
    if (this.family === AF_INET) showRaw(this.net, reply, facts)
    return 0
  }
}

/** A raw socket sees every ICMP packet, with its IP header, and sends any; requests are answered. */
class RawIcmpSocket extends PingSocket {
  #filter = 0

  constructor(net: NetNamespace, uid: number) {
    super(net, AF_INET, uid, SOCK_RAW)
    rawSockets(net).add(this)
  }

  protected override transmit(_task: Task, packet: Uint8Array, facts: PacketFacts): number {
    showRaw(this.net, packet, facts)
    if (packet.length < HEADER_SIZE || packet[0] !== ECHO) return 0
    const reply = answer(packet)
    showRaw(this.net, reply, facts)
    const identifier = (packet[4]! << 8) | packet[5]!
    for (const socket of this.ports.at(identifier) ?? [])
      if (socket instanceof PingSocket) socket.enqueue(reply, LOOPBACK4, 0, facts)
    return 0
  }

  /** A packet has arrived. */
  see(packet: Uint8Array, facts: PacketFacts): void {
    const type = packet[0] ?? 0
    if (type < 32 && ((this.#filter >>> type) & 1) === 1) return
    if (this.connected && this.peerIp !== LOOPBACK4) return
    this.enqueue(withHeader(packet, facts), LOOPBACK4, 0, facts)
  }

  override setOption(
    task: Task,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ): number {
    if (level !== SOL_RAW) return super.setOption(task, level, name, value, length)
    if (name !== ICMP_FILTER) return -ENOPROTOOPT
    const bytes = new Uint8Array(4)
    bytes.set(value.subarray(0, Math.min(length, 4)))
    this.#filter = new DataView(bytes.buffer).getUint32(0, true)
    return 0
  }

  override getOption(
    task: Task,
    level: number,
    name: number,
    into: Uint8Array,
    room: number,
  ): number {
    if (level !== SOL_RAW) return super.getOption(task, level, name, into, room)
    if (name !== ICMP_FILTER) return -ENOPROTOOPT
    new DataView(into.buffer, into.byteOffset).setUint32(0, this.#filter, true)
    return 4
  }

  override close(): void {
    rawSockets(this.net).delete(this)
    super.close()
  }
}

const raw = new WeakMap<NetNamespace, Set<RawIcmpSocket>>()

function rawSockets(net: NetNamespace): Set<RawIcmpSocket> {
  const sockets = raw.get(net) ?? new Set()
  raw.set(net, sockets)
  return sockets
}

function showRaw(net: NetNamespace, packet: Uint8Array, facts: PacketFacts): void {
  for (const socket of rawSockets(net)) socket.see(packet, facts)
}

/** The reply to an echo request, which is the same but for its type. */
function answer(request: Uint8Array): Uint8Array {
  const reply = request.slice()
  reply[0] = request[0] === ECHO ? ECHO_REPLY : ECHO6_REPLY
  reply[2] = reply[3] = 0
  // The checksum of ICMPv6 covers addresses, too: nobody looks at it in a reply that has arrived.
  writeChecksum(reply, 2, reply.length)
  return reply
}

/** The internet checksum of `bytes[0…length]`, into the two bytes at `at`, which are 0 now. */
function writeChecksum(bytes: Uint8Array, at: number, length: number): void {
  let sum = 0
  for (let i = 0; i < length; i += 2) sum += (bytes[i]! << 8) | (i + 1 < length ? bytes[i + 1]! : 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  bytes[at] = (~sum >> 8) & 255
  bytes[at + 1] = ~sum & 255
}

function withHeader(packet: Uint8Array, facts: PacketFacts): Uint8Array {
  const bytes = new Uint8Array(IP_HEADER_SIZE + packet.length)
  bytes[0] = 0x45
  bytes[1] = facts.tos
  bytes[2] = bytes.length >> 8
  bytes[3] = bytes.length & 255
  bytes[8] = facts.ttl
  bytes[9] = IPPROTO_ICMP
  writeIp4(bytes, 12, LOOPBACK4)
  writeIp4(bytes, 16, facts.to)
  writeChecksum(bytes, 10, IP_HEADER_SIZE)
  bytes.set(packet, IP_HEADER_SIZE)
  return bytes
}

/** socket(AF_INET or AF_INET6, SOCK_DGRAM, IPPROTO_ICMP or IPPROTO_ICMPV6). */
export function makePingSocket(task: Task, family: number): Socket | number {
  const { pingGroupFirst: first, pingGroupLast: last } = task.kernel.tunables
  const { egid, groups } = task.creds
  if (![egid, ...groups].some(gid => gid >= first && gid <= last)) return -EACCES
  return new PingSocket(task.nsproxy.net, family, task.creds.uid)
}

/** socket(AF_INET, SOCK_RAW, …) of a program that may have it. */
export function makeRawSocket(task: Task, family: number, protocol: number): Socket | number {
  if (family !== AF_INET || protocol !== IPPROTO_ICMP) return NO_PROTOCOL
  return new RawIcmpSocket(task.nsproxy.net, task.creds.uid)
}
