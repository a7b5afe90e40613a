// Raw sockets: raw(7), net/ipv4/raw.c, net/ipv6/raw.c. They see the packets of their protocol that arrive at lo, and send
// any; those of IPPROTO_RAW only send.

import {
  EACCES,
  EAFNOSUPPORT,
  EDESTADDRREQ,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENOPROTOOPT,
  EOPNOTSUPP,
} from '../../../syscall-table/errno.ts'
import * as f from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import type { Message } from '../message.ts'
import { NO_PROTOCOL, type Socket } from '../socket.ts'
import {
  ANY4,
  ANY6,
  familyOf,
  ip4At,
  isAny,
  isBroadcast,
  isMulticast,
  isV4,
  parseAddress,
  parsed,
  writeAddress,
  writeIp4,
} from './address.ts'
import { type PacketFacts, packetFacts } from './datagram-control.ts'
import { arrive, sealIcmp } from './icmp.ts'
import {
  buildPacket,
  IP_HEADER_SIZE,
  type IpPacket,
  parsePacket,
  writeChecksum,
  writePseudoChecksum,
} from './ip-packet.ts'
import { intOf } from './option-tables.ts'
import { type Datagram, UdpSocket } from './udp.ts'
import { type Observer, wireOf } from './wire.ts'

const IPPROTO_RAW = 255
const MAX_PACKET = 65535
const ICMP6_FILTER_SIZE = 32

class RawSocket extends UdpSocket implements Observer {
  /** The program writes the IP header: IP_HDRINCL. */
  #headerIncluded: boolean
  /** ICMP_FILTER or ICMP6_FILTER: a bit for each type that is kept out. */
  readonly #filter = new Uint8Array(ICMP6_FILTER_SIZE)
  /** IPV6_CHECKSUM: where in the payload the kernel writes and checks one; -1 is nowhere. */
  #checksumAt: number

  constructor(net: NetNamespace, family: number, uid: number, protocol: number) {
    super(net, family, uid, protocol, f.SOCK_RAW)
    this.#headerIncluded = protocol === IPPROTO_RAW
    this.#checksumAt = this.#isIcmp6 ? 2 : -1
    // INET_PROTOSW_REUSE.
    this.options.set(f.SO_REUSEADDR, 1)
    wireOf(net).raw.add(this)
  }

  get #isIcmp6(): boolean {
    return this.family === f.AF_INET6 && this.protocol === f.IPPROTO_ICMPV6
  }

  override get connected(): boolean {
    return !isAny(this.peerIp)
  }

  /** There are no ports: an address may be taken by any number of sockets. */
  override bind(_task: Task, address: Uint8Array, length: number): number {
    if (this.connected) return -EINVAL
    const n = parseAddress(this.family, address, length)
    if (n < 0) return n
    const { ip } = parsed
    // IPv4 in IPv6 is for those with a port only.
    if (this.family === f.AF_INET6 && isV4(ip)) return -EINVAL
    const refused = this.addressError(ip)
    if (refused < 0) return refused
    this.ip = ip
    this.boundIp = !isAny(ip)
    return 0
  }

  override connect(_task: Task, address: Uint8Array, length: number, _file: File): number {
    if (familyOf(address, length) === f.AF_UNSPEC) {
      this.peerIp = this.family === f.AF_INET ? ANY4 : ANY6
      this.peerPort = 0
      if (!this.boundIp) this.ip = this.peerIp
      return 0
    }
    const n = this.#parse(address, length)
    if (n < 0) return n
    if (isBroadcast(parsed.ip) && !this.options.get(f.SO_BROADCAST)) return -EACCES
    this.peerIp = parsed.ip
    this.peerPort = parsed.port
    if (!this.boundIp) this.ip = this.sourceTo(parsed.ip)
    return 0
  }

  #parse(address: Uint8Array, length: number): number {
    const family = familyOf(address, length)
    if (family >= 0 && family !== this.family && family !== f.AF_UNSPEC) return -EAFNOSUPPORT
    const n = parseAddress(this.family, address, length)
    if (n < 0) return n
    if (this.family === f.AF_INET6) {
      if (isV4(parsed.ip)) return -EINVAL
      if (parsed.port !== 0 && parsed.port !== this.protocol) return -EINVAL
    }
    return this.route()
  }

  override send(_task: Task, message: Message): number {
    const { io } = message
    const length = io.remaining
    if (length > MAX_PACKET) return -EMSGSIZE
    if ((message.flags & f.MSG_OOB) !== 0) return -EOPNOTSUPP
    if (message.nameLength > 0) {
      const n = this.#parse(message.name, message.nameLength)
      if (n < 0) return n
    } else if (this.connected) parsed.ip = this.peerIp
    else return -EDESTADDRREQ
    const to = parsed.ip
    if (isBroadcast(to) && !this.options.get(f.SO_BROADCAST)) return -EACCES
    if (this.error !== 0) return this.takeError()
    const facts = packetFacts(this, message, to, 0)
    if (typeof facts === 'number') return facts
    const bytes = new Uint8Array(length)
    if (length > 0 && io.take(bytes, 0, length) < length) return -EFAULT
    const n = this.#headerIncluded ? this.#sendWhole(bytes, facts) : this.#sendPayload(bytes, facts)
    return n < 0 ? n : length
  }

  /** raw_send_hdrinc: the kernel fills in what the program has left out, and writes length and checksum. */
  #sendWhole(bytes: Uint8Array, facts: PacketFacts): number {
    if (this.family === f.AF_INET6) {
      const packet = parsePacket(bytes)
      if (packet !== undefined) arrive(this.net, packet, facts)
      return 0
    }
    const headerLength = ((bytes[0] ?? 0) & 15) * 4
    if (bytes.length < IP_HEADER_SIZE || bytes.length < headerLength) return -EINVAL
    if (ip4At(bytes, 12) === ANY4) writeIp4(bytes, 12, facts.from)
    bytes[2] = bytes.length >> 8
    bytes[3] = bytes.length & 255
    bytes[10] = bytes[11] = 0
    writeChecksum(bytes, 10, 0, headerLength)
    const packet = parsePacket(bytes)
    if (packet !== undefined) arrive(this.net, packet, facts)
    return 0
  }

  #sendPayload(bytes: Uint8Array, facts: PacketFacts): number {
    if (bytes.length > MAX_PACKET - IP_HEADER_SIZE) return -EMSGSIZE
    const packet = buildPacket(facts, bytes)
    if (this.#checksumAt >= 0) {
      const at = packet.payloadAt + this.#checksumAt
      if (at + 2 > packet.bytes.length) return -EINVAL
      packet.bytes[at] = packet.bytes[at + 1] = 0
      if (this.#isIcmp6) sealIcmp(packet)
      else writePseudoChecksum(packet, this.#checksumAt)
    }
    arrive(this.net, packet, facts)
    return 0
  }

  /** A packet has arrived. Sockets of IPv4 get it whole, those of IPv6 get what is in it. */
  see(packet: IpPacket): void {
    const { protocol, from, to, ttl, tos } = packet
    const v4 = isV4(to)
    if (protocol !== this.protocol || v4 !== (this.family === f.AF_INET)) return
    if (this.noReceive && !this.connected) return
    if (!isAny(this.ip) && this.ip !== to) return
    if (this.connected && this.peerIp !== from) return
    if (isMulticast(to) && !this.multicast.accepts(to, from, this.#takesAllGroups)) return
    if (this.#isFiltered(packet.bytes[packet.payloadAt])) return
    const bytes = v4 ? packet.bytes.slice() : packet.bytes.slice(packet.payloadAt)
    const facts = {
      ...{ protocol, from, to, ttl, tos, fromPort: 0, toPort: 0, mark: 0 },
      ...this.now(),
    }
    this.enqueue(bytes, 0, facts)
  }

  get #takesAllGroups(): boolean {
    return this.inetOptions.on(f.SOL_IP, f.IP_MULTICAST_ALL)
  }

  #isFiltered(type: number | undefined): boolean {
    if (type === undefined) return false
    const icmp = this.family === f.AF_INET && this.protocol === f.IPPROTO_ICMP
    if (!icmp && !this.#isIcmp6) return false
    if (icmp && type >= 32) return false
    return ((this.#filter[type >> 3]! >> (type & 7)) & 1) === 1
  }

  protected override nameSource({ ip }: Datagram, message: Message): number {
    return writeAddress(this.family, ip, 0, message.name)
  }

  /** Linux tells the protocol as the port. */
  override ownAddress(into: Uint8Array): number {
    return writeAddress(this.family, this.ip, this.protocol, into)
  }

  override setOption(
    task: Task,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ): number {
    if (level === f.SOL_IP && name === f.IP_HDRINCL && this.family === f.AF_INET) {
      if (length < 1) return -EINVAL
      this.#headerIncluded = (length < 4 ? value[0]! : intOf(value)) !== 0
      return 0
    }
    if (this.#filterOption(level) === name) {
      const most = this.#isIcmp6 ? ICMP6_FILTER_SIZE : 4
      this.#filter.set(value.subarray(0, Math.min(length, most)))
      return 0
    }
    const checksum = level === f.SOL_IPV6 || level === f.SOL_RAW
    if (checksum && name === f.IPV6_CHECKSUM && this.family === f.AF_INET6)
      return this.#setChecksum(level, value, length)
    if (level === f.SOL_RAW || level === f.SOL_ICMPV6)
      return this.family === f.AF_INET && level === f.SOL_RAW && name === f.ICMP_FILTER
        ? -EOPNOTSUPP
        : -ENOPROTOOPT
    return super.setOption(task, level, name, value, length)
  }

  /** The number of the filter's option at a level, -1 where there is none. */
  #filterOption(level: number): number {
    if (level === f.SOL_ICMPV6 && this.#isIcmp6) return f.ICMP6_FILTER
    const icmp = this.family === f.AF_INET && this.protocol === f.IPPROTO_ICMP
    return level === f.SOL_RAW && icmp ? f.ICMP_FILTER : -1
  }

  #setChecksum(level: number, value: Uint8Array, length: number): number {
    if (length < 4) return -EINVAL
    // ICMPv6 has its checksum where it has it; RFC 3542 forbids to say otherwise.
    if (this.#isIcmp6 && level === f.SOL_IPV6) return -EINVAL
    const at = intOf(value)
    if (at > 0 && (at & 1) === 1) return -EINVAL
    this.#checksumAt = at < 0 ? -1 : at
    return 0
  }

  override getOption(
    task: Task,
    level: number,
    name: number,
    into: Uint8Array,
    room: number,
  ): number {
    const view = new DataView(into.buffer, into.byteOffset)
    if (level === f.SOL_IP && name === f.IP_HDRINCL && this.family === f.AF_INET) {
      view.setInt32(0, this.#headerIncluded ? 1 : 0, true)
      return room < 4 && room > 0 ? 1 : 4
    }
    if (this.#filterOption(level) === name) {
      into.set(this.#filter)
      return this.#isIcmp6 ? ICMP6_FILTER_SIZE : 4
    }
    const checksum = level === f.SOL_IPV6 || level === f.SOL_RAW
    if (checksum && name === f.IPV6_CHECKSUM && this.family === f.AF_INET6) {
      view.setInt32(0, this.#checksumAt, true)
      return 4
    }
    if (level === f.SOL_RAW || level === f.SOL_ICMPV6)
      return this.family === f.AF_INET && (level === f.SOL_ICMPV6 || name === f.ICMP_FILTER)
        ? -EOPNOTSUPP
        : -ENOPROTOOPT
    return super.getOption(task, level, name, into, room)
  }

  override close(): void {
    wireOf(this.net).raw.delete(this)
    super.close()
  }
}

/** socket(AF_INET or AF_INET6, SOCK_RAW, …) of a program that may have it. */
export function makeRawSocket(task: Task, family: number, protocol: number): Socket | number {
  if (protocol === 0) return NO_PROTOCOL
  // Numbers beyond a byte are no protocols of packets, but Linux lets sockets have them.
  return new RawSocket(task.nsproxy.net, family, task.creds.uid, protocol)
}
