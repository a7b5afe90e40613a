// What lo answers to packets that nobody takes: icmp_send and icmp6_send with a port that is unreachable, tcp_v4_send_reset and
// what a listener says to a SYN. Sockets of TCP have no packets, so that no connection comes of those that raw sockets send.

import {
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  TCP_CLOSE,
  TCP_LISTEN,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import { isV4 } from './address.ts'
import {
  buildPacket,
  IP_HEADER_SIZE,
  IP6_HEADER_SIZE,
  type IpPacket,
  writeChecksum,
  writePseudoChecksum,
} from './ip-packet.ts'
import { portsOf } from './ports.ts'
import { statisticsOf } from './statistics.ts'
import { TcpSocket } from './tcp.ts'

const ICMP_HEADER_SIZE = 8
/** The largest error: what every host takes, and the least MTU of IPv6. */
const MOST4 = 576
const MOST6 = 1280
const UNREACHABLE4 = [3, 3] as const
const UNREACHABLE6 = [1, 4] as const
/** The precedence of errors: internetwork control. */
const CONTROL = 0xc0
const TTL = 64

/** The ICMP error to a datagram for a port that nobody has. */
export function unreachable({ bytes, from, to, tos }: IpPacket): IpPacket {
  const v4 = isV4(to)
  const most = v4 ? MOST4 - IP_HEADER_SIZE : MOST6 - IP6_HEADER_SIZE
  const quoted = bytes.subarray(0, most - ICMP_HEADER_SIZE)
  const message = new Uint8Array(ICMP_HEADER_SIZE + quoted.length)
  message.set(v4 ? UNREACHABLE4 : UNREACHABLE6)
  message.set(quoted, ICMP_HEADER_SIZE)
  const protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6
  const service = v4 ? (tos & 0x1e) | CONTROL : 0
  const packet = buildPacket({ protocol, from: to, to: from, ttl: TTL, tos: service }, message)
  if (v4) writeChecksum(packet.bytes, packet.payloadAt + 2, packet.payloadAt, packet.bytes.length)
  else writePseudoChecksum(packet, 2)
  return packet
}

const TCP_HEADER_SIZE = 20
const CHECKSUM_AT = 16
const FIN = 1
const SYN = 2
const RST = 4
const ACK = 16
const WINDOW = 65483

interface TcpHeader {
  fromPort: number
  toPort: number
  sequence: number
  acknowledged: number
  flags: number
  /** Bytes behind the header. */
  length: number
}

function parseTcp(packet: IpPacket): TcpHeader | undefined {
  const { bytes, payloadAt } = packet
  const size = bytes.length - payloadAt
  if (size < TCP_HEADER_SIZE) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + payloadAt, size)
  const header = (view.getUint8(12) >> 4) * 4
  if (header < TCP_HEADER_SIZE || header > size || !isSound(packet)) return undefined
  return {
    fromPort: view.getUint16(0),
    toPort: view.getUint16(2),
    sequence: view.getUint32(4),
    acknowledged: view.getUint32(8),
    flags: view.getUint8(13),
    length: size - header,
  }
}

function isSound(packet: IpPacket): boolean {
  const bytes = packet.bytes.slice()
  const at = packet.payloadAt + CHECKSUM_AT
  bytes[at] = bytes[at + 1] = 0
  writePseudoChecksum({ ...packet, bytes }, CHECKSUM_AT)
  return bytes[at] === packet.bytes[at] && bytes[at + 1] === packet.bytes[at + 1]
}

/** The answer to a segment that belongs to no connection; undefined when there is none. */
export function answerSegment(net: NetNamespace, packet: IpPacket): IpPacket | undefined {
  const segment = parseTcp(packet)
  if (segment === undefined) return undefined
  const { flags, fromPort, toPort, sequence, acknowledged, length } = segment
  let listening = false
  for (const socket of portsOf(net, IPPROTO_TCP).at(toPort) ?? []) {
    if (!(socket instanceof TcpSocket) || !socket.takes(packet.to)) continue
    const state = socket.stateNumber
    listening ||= state === TCP_LISTEN
    const own = state !== TCP_LISTEN && state !== TCP_CLOSE
    // Its ends are in this kernel, and know better.
    if (own && socket.peerPort === fromPort && socket.peerIp === packet.from) return undefined
  }
  if ((flags & RST) !== 0) return undefined
  if (listening && (flags & ACK) === 0) {
    if ((flags & (SYN | FIN)) !== SYN) return undefined
    const chosen = Math.floor(Math.random() * 2 ** 32)
    return reply(packet, segment, SYN | ACK, chosen, sequence + 1, WINDOW)
  }
  if (isV4(packet.to)) statisticsOf(net).tcp.OutRsts++
  if ((flags & ACK) !== 0) return reply(packet, segment, RST, acknowledged, 0, 0)
  const end = sequence + length + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)
  return reply(packet, segment, RST | ACK, 0, end, 0)
}

function reply(
  { from, to }: IpPacket,
  { fromPort, toPort }: TcpHeader,
  flags: number,
  sequence: number,
  acknowledged: number,
  window: number,
): IpPacket {
  const header = new Uint8Array(TCP_HEADER_SIZE)
  const view = new DataView(header.buffer)
  view.setUint16(0, toPort)
  view.setUint16(2, fromPort)
  view.setUint32(4, sequence >>> 0)
  view.setUint32(8, acknowledged >>> 0)
  view.setUint8(12, (TCP_HEADER_SIZE / 4) << 4)
  view.setUint8(13, flags)
  view.setUint16(14, window)
  const fields = { protocol: IPPROTO_TCP, from: to, to: from, ttl: TTL, tos: 0 }
  const packet = buildPacket(fields, header)
  writePseudoChecksum(packet, CHECKSUM_AT)
  return packet
}
