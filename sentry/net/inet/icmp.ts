// What lo does with a packet that a program has made: ip_local_deliver_finish and icmp_rcv. Echo requests are answered,
// datagrams go to their sockets; whoever looks on sees all of it.

import {
  AF_INET,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import { isBroadcast, isMulticast, isV4, LOOPBACK6 } from './address.ts'
import type { PacketFacts } from './datagram-control.ts'
import {
  buildPacket,
  type IpPacket,
  parsePacket,
  parseUdp,
  writeChecksum,
  writePseudoChecksum,
} from './ip-packet.ts'
import { isLocal } from './local.ts'
import { portsOf } from './ports.ts'
import { answerSegment, unreachable } from './refusal.ts'
import { statisticsOf } from './statistics.ts'
import { deliverDatagram, UdpSocket } from './udp.ts'
import { ETH_P_IPV6, show, showRaw } from './wire.ts'

export const ECHO_HEADER_SIZE = 8
const ECHO = 8
const ECHO_REPLY = 0
const ECHO6 = 128
const ECHO6_REPLY = 129

/** Whether an ICMP message is an echo request. */
export function isEcho(message: Uint8Array, family: number): boolean {
  return message[0] === (family === AF_INET ? ECHO : ECHO6)
}

/** Write the checksum of a packet's ICMP message. */
export function sealIcmp(packet: IpPacket): void {
  const { bytes, payloadAt } = packet
  bytes[payloadAt + 2] = bytes[payloadAt + 3] = 0
  if (isV4(packet.to)) writeChecksum(bytes, payloadAt + 2, payloadAt, bytes.length)
  else writePseudoChecksum(packet, 2)
}

/** A packet has been sent to an address of lo. `facts` says when, and with which mark. */
export function arrive(net: NetNamespace, packet: IpPacket, facts: PacketFacts): void {
  show(net, packet)
  deliver(net, packet, facts)
}

/**
 * A frame of a packet socket has come to lo: what is in it, if anybody here knows what it is. Linux drops those with
 * IPv4, as packets with addresses of lo that did not come by its routes.
 */
export function receiveFrame(net: NetNamespace, bytes: Uint8Array, etherType: number): void {
  if (etherType !== ETH_P_IPV6) return
  const packet = parsePacket(bytes.slice())
  if (packet === undefined || packet.to !== LOOPBACK6) return
  showRaw(net, packet)
  const facts = { ...packet, fromPort: 0, toPort: 0, mark: 0, sec: 0, nsec: 0 }
  net.kernel.clock.realtime(facts)
  deliver(net, packet, facts)
}

function deliver(net: NetNamespace, packet: IpPacket, facts: PacketFacts): void {
  const { protocol, to, from } = packet
  if (protocol === IPPROTO_UDP) {
    const udp = parseUdp(packet)
    if (udp === undefined) return
    const { fromPort, toPort, data } = udp
    const told = {
      ...facts,
      protocol,
      from,
      fromPort,
      to,
      toPort,
      ttl: packet.ttl,
      tos: packet.tos,
    }
    const taken = deliverDatagram(net, portsOf(net, IPPROTO_UDP), NOBODY, told, data)
    if (!taken && !isMulticast(to) && !isBroadcast(to)) {
      if (isV4(to)) statisticsOf(net).udp.NoPorts++
      show(net, unreachable(packet))
    }
    return
  }
  if (protocol === IPPROTO_TCP && isLocal(net, to) && isLocal(net, from)) {
    const answer = answerSegment(net, packet)
    if (answer !== undefined) arrive(net, answer, facts)
    return
  }
  const icmp = isV4(to) ? IPPROTO_ICMP : IPPROTO_ICMPV6
  if (protocol !== icmp || isMulticast(to) || isBroadcast(to) || !isLocal(net, from)) return
  const message = packet.bytes.subarray(packet.payloadAt)
  if (message.length < ECHO_HEADER_SIZE) return
  if (message[0] === (isV4(to) ? ECHO : ECHO6)) answer(net, packet, facts)
  else if (message[0] === (isV4(to) ? ECHO_REPLY : ECHO6_REPLY)) deliverReply(net, packet, facts)
}

/** Nobody pays for a packet that came from a raw socket. */
const NOBODY = {
  get queue(): never {
    throw new Error('nothing is charged to the sender of a packet')
  },
  name: '',
  mayWrite: true,
  inFlight: 0,
}

/** The reply to an echo request, which is the same but for its type and the way it goes. */
function answer(net: NetNamespace, request: IpPacket, facts: PacketFacts): void {
  const { protocol, to, from, tos } = request
  const reply = buildPacket(
    { protocol, from: to, to: from, ttl: 64, tos },
    request.bytes.subarray(request.payloadAt),
  )
  reply.bytes[reply.payloadAt] = isV4(to) ? ECHO_REPLY : ECHO6_REPLY
  sealIcmp(reply)
  arrive(net, reply, facts)
}

/** The ping socket that has the reply's identifier. */
function deliverReply(net: NetNamespace, packet: IpPacket, facts: PacketFacts): void {
  const { bytes, payloadAt, protocol, from, to, ttl, tos } = packet
  const identifier = (bytes[payloadAt + 4]! << 8) | bytes[payloadAt + 5]!
  const told = { ...facts, protocol, from, fromPort: 0, to, toPort: 0, ttl, tos }
  for (const socket of portsOf(net, protocol).at(identifier) ?? [])
    if (socket instanceof UdpSocket && socket.takes(to))
      socket.enqueue(bytes.slice(payloadAt), 0, told)
}
