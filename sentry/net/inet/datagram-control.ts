// Control messages of datagrams over the loopback interface: ip_cmsg_recv and ip_cmsg_send in net/ipv4/ip_sockglue.c,
// __sock_recv_timestamp in net/socket.c.

import { EINVAL } from '../../../syscall-table/errno.ts'
import {
  IP_PKTINFO,
  IP_RECVTOS,
  IP_RECVTTL,
  IP_TOS,
  IP_TTL,
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVPKTINFO,
  IPV6_RECVTCLASS,
  IPV6_TCLASS,
  IPV6_UNICAST_HOPS,
  MSG_CTRUNC,
  SO_TIMESTAMP,
  SO_TIMESTAMPNS,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
} from '../../../syscall-table/flags.ts'
import { mayPass } from '../host/control.ts'
import type { Message } from '../message.ts'
import { isV4, writeAddress, writeIp4 } from './address.ts'
import type { InetSocket } from './inet-socket.ts'

const HEADER = 16
const LO = 1

/** What the headers of a packet say. */
export interface PacketFacts {
  /** Where it was sent to. */
  to: number
  ttl: number
  tos: number
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
): PacketFacts | number {
  const { inetOptions } = socket
  const v4 = isV4(to)
  const facts: PacketFacts = {
    to,
    ttl: v4 ? inetOptions.get(SOL_IP, IP_TTL) : inetOptions.get(SOL_IPV6, IPV6_UNICAST_HOPS),
    tos: v4 ? inetOptions.get(SOL_IP, IP_TOS) : inetOptions.get(SOL_IPV6, IPV6_TCLASS),
    sec: 0,
    nsec: 0,
  }
  socket.kernel.clock.realtime(facts)
  const { control, controlLength } = message
  if (control === null || controlLength === 0) return facts
  if (!mayPass(control, controlLength)) return -EINVAL
  const view = new DataView(control.buffer, control.byteOffset, controlLength)
  for (let at = 0; at + HEADER <= controlLength; ) {
    const size = view.getUint32(at, true)
    const level = view.getInt32(at + 8, true)
    const type = view.getInt32(at + 12, true)
    const n = take(facts, level, type, view, at + HEADER, size - HEADER)
    if (n < 0) return n
    at += Math.ceil(size / 8) * 8
  }
  return facts
}

function take(
  facts: PacketFacts,
  level: number,
  type: number,
  view: DataView,
  at: number,
  length: number,
): number {
  const ttl =
    (level === SOL_IP && type === IP_TTL) || (level === SOL_IPV6 && type === IPV6_HOPLIMIT)
  const tos = (level === SOL_IP && type === IP_TOS) || (level === SOL_IPV6 && type === IPV6_TCLASS)
  if (!ttl && !tos) return 0
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
  const { options, inetOptions } = socket
  if (options.get(SO_TIMESTAMPNS))
    writer.put(SOL_SOCKET, SO_TIMESTAMPNS, pairOf(facts.sec, facts.nsec))
  else if (options.get(SO_TIMESTAMP))
    writer.put(SOL_SOCKET, SO_TIMESTAMP, pairOf(facts.sec, Math.floor(facts.nsec / 1000)))
  const on = (level: number, name: number) => inetOptions.get(level, name) !== 0
  if (isV4(facts.to)) {
    if (on(SOL_IP, IP_PKTINFO)) writer.put(SOL_IP, IP_PKTINFO, packetInfo4(facts.to))
    if (on(SOL_IP, IP_RECVTTL)) writer.put(SOL_IP, IP_TTL, intOf(facts.ttl))
    if (on(SOL_IP, IP_RECVTOS)) writer.put(SOL_IP, IP_TOS, Uint8Array.of(facts.tos))
  }
  if (on(SOL_IPV6, IPV6_RECVPKTINFO)) writer.put(SOL_IPV6, IPV6_PKTINFO, packetInfo6(facts.to))
  if (isV4(facts.to)) return writer.end()
  if (on(SOL_IPV6, IPV6_RECVHOPLIMIT)) writer.put(SOL_IPV6, IPV6_HOPLIMIT, intOf(facts.ttl))
  if (on(SOL_IPV6, IPV6_RECVTCLASS)) writer.put(SOL_IPV6, IPV6_TCLASS, intOf(facts.tos))
  writer.end()
}

/** put_cmsg: what does not fit is cut. */
class ControlWriter {
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

function intOf(value: number): Uint8Array {
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
function packetInfo4(to: number): Uint8Array {
  const bytes = new Uint8Array(12)
  bytes[0] = LO
  writeIp4(bytes, 4, to)
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
