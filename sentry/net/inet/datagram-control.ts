// Control messages of datagrams over the loopback interface: ip_cmsg_recv and ip_cmsg_send in net/ipv4/ip_sockglue.c,
// __sock_recv_timestamp in net/socket.c.

import { EINVAL, ENETUNREACH, ENODEV } from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  IP_MULTICAST_TTL,
  IP_PKTINFO,
  IP_RECVORIGDSTADDR,
  IP_RECVTOS,
  IP_RECVTTL,
  IP_RETOPTS,
  IP_TOS,
  IP_TTL,
  IPV6_DONTFRAG,
  IPV6_HOPLIMIT,
  IPV6_MULTICAST_HOPS,
  IPV6_PKTINFO,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVORIGDSTADDR,
  IPV6_RECVPKTINFO,
  IPV6_RECVTCLASS,
  IPV6_TCLASS,
  IPV6_UNICAST_HOPS,
  MSG_CTRUNC,
  SCM_CREDENTIALS,
  SCM_RIGHTS,
  SO_MARK,
  SO_RCVMARK,
  SO_TIMESTAMPING,
  SO_TIMESTAMPING_NEW,
  SO_TIMESTAMPNS,
  SO_TIMESTAMPNS_NEW,
  SOF_TIMESTAMPING_RX_SOFTWARE,
  SOF_TIMESTAMPING_SOFTWARE,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Message } from '../message.ts'
import {
  ip4At,
  ip6At,
  isAny,
  isBroadcast,
  isMulticast,
  isV4,
  LOOPBACK4,
  writeAddress,
  writeIp4,
} from './address.ts'
import type { InetSocket } from './inet-socket.ts'
import { interfaceName } from './interface.ts'
import type { IpFields } from './ip-packet.ts'
import { isLocal } from './local.ts'
import { intOf } from './option-tables.ts'

const HEADER = 16
const LO = 1

/** What the headers of a packet say. */
export interface PacketFacts extends IpFields {
  fromPort: number
  toPort: number
  /** SO_MARK of its sender. */
  mark: number
  /** When it was sent. */
  sec: number
  nsec: number
}

const address = new Uint8Array(28)

/** The facts of a packet that `socket` sends, with what its control messages say of them; -EINVAL for bad ones. */
export function packetFacts(
  socket: InetSocket,
  message: Message,
  to: number,
  toPort: number,
): PacketFacts | number {
  const { inetOptions } = socket
  const v4 = isV4(to)
  const hops = isMulticast(to)
    ? [IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS]
    : [IP_TTL, IPV6_UNICAST_HOPS]
  const facts: PacketFacts = {
    protocol: socket.protocol,
    from: socket.sourceTo(to),
    fromPort: socket.port,
    to,
    toPort,
    ttl: v4 ? inetOptions.get(SOL_IP, hops[0]!) : inetOptions.get(SOL_IPV6, hops[1]!),
    tos: v4 ? inetOptions.get(SOL_IP, IP_TOS) : inetOptions.get(SOL_IPV6, IPV6_TCLASS),
    mark: socket.options.get(SO_MARK) ?? 0,
    sec: 0,
    nsec: 0,
  }
  socket.kernel.clock.realtime(facts)
  const { control, controlLength } = message
  if (control === null || controlLength === 0) return facts
  const view = new DataView(control.buffer, control.byteOffset, controlLength)
  for (let at = 0; at + HEADER <= controlLength; ) {
    const size = view.getUint32(at, true)
    if (view.getUint32(at + 4, true) !== 0 || size < HEADER || size > controlLength - at)
      return -EINVAL
    const level = view.getInt32(at + 8, true)
    const type = view.getInt32(at + 12, true)
    const mine = level === SOL_IP || (level === SOL_IPV6 && socket.family === AF_INET6)
    const n =
      mine && type === (level === SOL_IP ? IP_PKTINFO : IPV6_PKTINFO)
        ? takeSource(socket.net, facts, level, control, at + HEADER, size - HEADER)
        : take(facts, level, type, view, at + HEADER, size - HEADER, v4)
    if (n < 0) return n
    at += Math.ceil(size / 8) * 8
  }
  return facts
}

/** What Linux does not look at: other levels, and what only AF_UNIX sends. */
function isIgnored(level: number, type: number, v4: boolean): boolean {
  if (level === SOL_SOCKET) return SENT_BY_ANY.has(type)
  if (level === SOL_IP) return !v4 || type === IP_RETOPTS
  if (level === SOL_IPV6) return v4 || SENT_OVER_IPV6.has(type)
  return true
}

const SENT_BY_ANY = new Set([SCM_RIGHTS, SCM_CREDENTIALS, SO_TIMESTAMPING, SO_TIMESTAMPING_NEW])
const SENT_OVER_IPV6 = new Set([IPV6_DONTFRAG])

/** struct in_pktinfo or in6_pktinfo: which interface, and an address of this machine to send from. */
function takeSource(
  net: NetNamespace,
  facts: PacketFacts,
  level: number,
  bytes: Uint8Array,
  at: number,
  length: number,
): number {
  const v4 = level === SOL_IP
  if (v4 ? length !== 12 : length < 20) return -EINVAL
  const index = intOf(bytes, v4 ? at : at + 16)
  const source = v4 ? ip4At(bytes, at + 4) : ip6At(bytes, at)
  if (index !== 0 && interfaceName(index) === undefined) return -ENODEV
  if (isAny(source)) return 0
  if (!isLocal(net, source) || isBroadcast(source)) return v4 ? -ENETUNREACH : -EINVAL
  if (isV4(source) === isV4(facts.to)) facts.from = source
  return 0
}

function take(
  facts: PacketFacts,
  level: number,
  type: number,
  view: DataView,
  at: number,
  length: number,
  v4: boolean,
): number {
  const ttl =
    (level === SOL_IP && type === IP_TTL) || (level === SOL_IPV6 && type === IPV6_HOPLIMIT)
  const tos = (level === SOL_IP && type === IP_TOS) || (level === SOL_IPV6 && type === IPV6_TCLASS)
  if (!ttl && !tos) return isIgnored(level, type, v4) ? 0 : -EINVAL
  // A TOS may be one byte.
  if (length !== 4 && !(tos && length === 1)) return -EINVAL
  const value = length === 1 ? view.getUint8(at) : view.getInt32(at, true)
  // IPv6 takes -1 for what the socket would use anyway.
  if (level === SOL_IPV6 && value === -1) return 0
  if (value < (ttl && level === SOL_IP ? 1 : 0) || value > 255) return -EINVAL
  if (ttl) facts.ttl = value
  else facts.tos = value
  return 0
}

/** Write what `socket` wants to know of a packet into the message's control buffer. */
export function tellFacts(socket: InetSocket, facts: PacketFacts, message: Message): void {
  const writer = new ControlWriter(message)
  const { inetOptions } = socket
  tellTime(socket, facts, writer)
  const on = (level: number, name: number) => inetOptions.on(level, name)
  const { to } = facts
  if (socket.options.get(SO_RCVMARK)) writer.put(SOL_SOCKET, SO_MARK, intBytes(facts.mark))
  if (isV4(to)) {
    if (on(SOL_IP, IP_PKTINFO)) writer.put(SOL_IP, IP_PKTINFO, packetInfo4(facts))
    if (on(SOL_IP, IP_RECVTTL)) writer.put(SOL_IP, IP_TTL, intBytes(facts.ttl))
    if (on(SOL_IP, IP_RECVTOS)) writer.put(SOL_IP, IP_TOS, Uint8Array.of(facts.tos))
    if (on(SOL_IP, IP_RECVORIGDSTADDR))
      writer.put(SOL_IP, IP_RECVORIGDSTADDR, addressOf(AF_INET, to, facts.toPort))
  }
  if (on(SOL_IPV6, IPV6_RECVPKTINFO)) writer.put(SOL_IPV6, IPV6_PKTINFO, packetInfo6(to))
  if (!isV4(to)) {
    if (on(SOL_IPV6, IPV6_RECVHOPLIMIT)) writer.put(SOL_IPV6, IPV6_HOPLIMIT, intBytes(facts.ttl))
    if (on(SOL_IPV6, IPV6_RECVTCLASS)) writer.put(SOL_IPV6, IPV6_TCLASS, intBytes(facts.tos))
    if (on(SOL_IPV6, IPV6_RECVORIGDSTADDR))
      writer.put(SOL_IPV6, IPV6_RECVORIGDSTADDR, addressOf(AF_INET6, to, facts.toPort))
  }
  writer.end()
}

/** __sock_recv_timestamp. */
function tellTime(socket: InetSocket, facts: PacketFacts, writer: ControlWriter): void {
  const { timestamp, timestamping, timestampingForm } = socket
  const { sec, nsec } = facts
  if (timestamp === SO_TIMESTAMPNS || timestamp === SO_TIMESTAMPNS_NEW)
    writer.put(SOL_SOCKET, timestamp, pairOf(sec, nsec))
  else if (timestamp !== 0) writer.put(SOL_SOCKET, timestamp, pairOf(sec, Math.floor(nsec / 1000)))
  const wanted = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE
  if ((timestamping & wanted) !== wanted) return
  // struct scm_timestamping: the first of three is the software's.
  const three = new Uint8Array(48)
  three.set(pairOf(sec, nsec))
  writer.put(SOL_SOCKET, timestampingForm, three)
}

/** put_cmsg: what does not fit is cut. */
export class ControlWriter {
  readonly #message: Message
  readonly #room: number
  #at = 0

  constructor(message: Message) {
    this.#message = message
    this.#room = message.control === null ? 0 : message.controlLength
  }

  put(level: number, type: number, value: Uint8Array): void {
    const left = this.#room - this.#at
    const fits = Math.min(left, HEADER + value.length)
    if (fits < HEADER + value.length) this.#message.outFlags |= MSG_CTRUNC
    if (fits < HEADER) return
    const bytes = this.#message.control!
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    const at = this.#at
    const space = Math.min(left, Math.ceil((HEADER + value.length) / 8) * 8)
    bytes.fill(0, at, at + space)
    view.setUint32(at, fits, true)
    view.setInt32(at + 8, level, true)
    view.setInt32(at + 12, type, true)
    bytes.set(value.subarray(0, fits - HEADER), at + HEADER)
    this.#at += space
  }

  end(): void {
    this.#message.controlLength = this.#at
  }
}

/** A sockaddr of its own. */
function addressOf(family: number, ip: number, port: number): Uint8Array {
  return address.slice(0, writeAddress(family, ip, port, address))
}

function intBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, value, true)
  return bytes
}

/** struct timeval or timespec. */
function pairOf(first: number, second: number): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, first % 2 ** 32, true)
  view.setUint32(4, Math.floor(first / 2 ** 32), true)
  view.setUint32(8, second, true)
  return bytes
}

/** struct in_pktinfo: interface, the local address, and where the packet was sent to. */
function packetInfo4({ to }: PacketFacts): Uint8Array {
  const bytes = new Uint8Array(12)
  bytes[0] = LO
  writeIp4(bytes, 4, isMulticast(to) || isBroadcast(to) ? LOOPBACK4 : to)
  writeIp4(bytes, 8, to)
  return bytes
}

/** struct in6_pktinfo. */
function packetInfo6(to: number): Uint8Array {
  const bytes = new Uint8Array(20)
  writeAddress(10, to, 0, address)
  bytes.set(address.subarray(8, 24))
  bytes[16] = LO
  return bytes
}
