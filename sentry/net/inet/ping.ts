// Ping sockets: icmp(7), net/ipv4/ping.c. The kernel writes identifier and checksum of an echo request, and answers it
// while it is sent.

import {
  EACCES,
  EAGAIN,
  EDESTADDRREQ,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  EOPNOTSUPP,
  EPIPE,
} from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_UNSPEC,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  MSG_OOB,
  SO_BROADCAST,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import type { Message } from '../message.ts'
import type { Socket } from '../socket.ts'
import { familyOf, isAny, isBroadcast, isMulticast, parseAddress, parsed } from './address.ts'
import { type PacketFacts, packetFacts } from './datagram-control.ts'
import { arrive, ECHO_HEADER_SIZE, isEcho, sealIcmp } from './icmp.ts'
import { buildPacket } from './ip-packet.ts'
import { UdpSocket } from './udp.ts'

const MAX_PAYLOAD = 65507

class PingSocket extends UdpSocket {
  constructor(net: NetNamespace, family: number, uid: number) {
    super(net, family, uid, family === AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6)
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
    this.peerPort = parsed.port
    if (!this.boundIp) this.ip = this.sourceTo(parsed.ip)
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
    if (isBroadcast(to) && !this.options.get(SO_BROADCAST)) return -EACCES
    const facts = packetFacts(this, message, to, 0)
    if (typeof facts === 'number') return facts
    const bytes = new Uint8Array(length)
    if (length > 0 && io.take(bytes, 0, length) < length) return -EFAULT
    const error = this.#transmit(task, bytes, facts)
    return error < 0 ? error : length
  }

  #transmit(task: Task, bytes: Uint8Array, facts: PacketFacts): number {
    if (bytes.length < ECHO_HEADER_SIZE || !isEcho(bytes, this.family) || bytes[1] !== 0)
      return -EINVAL
    if (this.autobind(task) < 0) return -EAGAIN
    bytes[4] = this.port >> 8
    bytes[5] = this.port & 255
    const packet = buildPacket(facts, bytes)
    sealIcmp(packet)
    // Groups and broadcasts are not answered.
    if (!isMulticast(facts.to) && !isBroadcast(facts.to)) arrive(this.net, packet, facts)
    return 0
  }
}

/** socket(AF_INET or AF_INET6, SOCK_DGRAM, IPPROTO_ICMP or IPPROTO_ICMPV6). */
export function makePingSocket(task: Task, family: number): Socket | number {
  const { pingGroupFirst: first, pingGroupLast: last } = task.kernel.tunables
  const { egid, groups } = task.creds
  if (![egid, ...groups].some(gid => gid >= first && gid <= last)) return -EACCES
  return new PingSocket(task.nsproxy.net, family, task.creds.uid)
}
