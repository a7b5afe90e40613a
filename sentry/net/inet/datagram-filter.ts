// What filters of sockets see of datagrams over lo: their packets, with the data from the header of the socket's own
// protocol on.

import type { SocketFilter } from 'seccomp-bpf-compiler'
import {
  AF_INET,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
  SOCK_DGRAM,
  SOCK_RAW,
} from '../../../syscall-table/flags.ts'
import type { Socket } from '../socket.ts'
import { isV4 } from './address.ts'
import type { PacketFacts } from './datagram-control.ts'
import { buildPacket, buildUdp, UDP_HEADER_SIZE } from './ip-packet.ts'

const ETH_P_IP = 0x0800
const ETH_P_IPV6 = 0x86dd
const PACKET_HOST = 0
const LO = 1
const ARPHRD_LOOPBACK = 772

/** How much of a datagram a socket's filter lets through; -1 when it drops it. */
export function passDatagram(
  { family, type, protocol }: Socket,
  filter: SocketFilter,
  data: Uint8Array,
  facts: PacketFacts,
): number {
  const udp = type === SOCK_DGRAM && (protocol === IPPROTO_UDP || protocol === IPPROTO_UDPLITE)
  // Raw sockets of IPv4 get the packet with its header.
  const whole = type === SOCK_RAW && family === AF_INET
  const packet = whole
    ? { bytes: data, payloadAt: 0 }
    : udp
      ? buildUdp(facts, facts.fromPort, facts.toPort, data)
      : buildPacket(facts, data)
  const header = udp ? UDP_HEADER_SIZE : 0
  const most = filter.run({
    bytes: packet.bytes,
    dataAt: packet.payloadAt,
    networkAt: 0,
    linkAt: -1,
    protocol: isV4(facts.to) ? ETH_P_IP : ETH_P_IPV6,
    ...{ kind: PACKET_HOST, device: LO, hardware: ARPHRD_LOOPBACK, mark: facts.mark },
    payloadOffset: header,
  })
  // The header of UDP is never cut off.
  return most === 0 ? -1 : Math.min(Math.max(most, header) - header, data.length)
}
