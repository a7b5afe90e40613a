// AF_PACKET over lo: packet(7), net/packet/af_packet.c. Each frame is seen when it is sent, by sockets of ETH_P_ALL, and
// when it has arrived.

import {
  EAFNOSUPPORT,
  EAGAIN,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENODEV,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
} from '../../../syscall-table/errno.ts'
import {
  AF_PACKET,
  CAP_NET_RAW,
  MSG_CMSG_CLOEXEC,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITFORONE,
  POLLERR,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
  SOCK_DGRAM,
  SOCK_RAW,
} from '../../../syscall-table/flags.ts'
import { setNetTable } from '../../fs/proc/net.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File, MapSource } from '../../vfs/file.ts'
import { hostNetworkOf } from '../host/lookup.ts'
import { receiveFrame } from '../inet/icmp.ts'
import { interfaceName } from '../inet/interface.ts'
import { type FrameObserver, showFrame, wireOf } from '../inet/wire.ts'
import type { Message } from '../message.ts'
import { MESSAGE_OVERHEAD } from '../segment-queue.ts'
import { NO_TYPE, registerFamily, Socket } from '../socket.ts'
import { PacketOptions } from './options.ts'
import type { PacketRing } from './ring.ts'

const LO = 1
const SOCKADDR_SIZE = 20
/** Up to sll_addr. */
const ADDRESS_AT = 12
const HARDWARE_LOOPBACK = 772
const HARDWARE_SIZE = 6
const ETHERNET_HEADER = 14
const TYPE_AT = 12
const MTU = 65536
const ETH_P_ALL = 3
const PACKET_HOST = 0
const PAGE_SIZE = 4096
const PACKET_OUTGOING = 4
const KNOWN_RECEIVE_FLAGS =
  MSG_PEEK |
  MSG_DONTWAIT |
  MSG_TRUNC |
  MSG_ERRQUEUE |
  MSG_NOSIGNAL |
  MSG_CMSG_CLOEXEC |
  MSG_WAITFORONE

/** A number in network order in a field that is read in ours. */
const swap = (n: number): number => ((n & 255) << 8) | ((n >> 8) & 255)

const time = { sec: 0, nsec: 0 }

interface Frame {
  bytes: Uint8Array
  /** Of the whole frame, of which a filter may have let only the start through. */
  length: number
  /** Where the payload of the link layer begins, in a copy with its header. */
  payloadAt: number
  etherType: number
  outgoing: boolean
}

export class PacketSocket extends Socket implements FrameObserver {
  override readonly rawControl = true
  readonly #frames: Frame[] = []
  #queued = 0
  /** What is seen, as it was given: in network order. 0 sees nothing. */
  #etherType: number
  #index = 0
  readonly #options = new PacketOptions()

  constructor(net: NetNamespace, type: number, protocol: number) {
    super(net, AF_PACKET, type, protocol)
    this.#etherType = swap(protocol & 0xffff)
    wireOf(net).frames.add(this)
  }

  override get filters(): boolean {
    return true
  }

  override get listening(): boolean {
    return false
  }

  get etherType(): number {
    return this.#etherType
  }

  /** Of struct packet_diag_info. */
  get diagnosis(): { index: number; version: number; flags: number } {
    const { version, diagnosisFlags } = this.#options
    return { index: this.#index, version, flags: diagnosisFlags | (this.#etherType !== 0 ? 1 : 0) }
  }

  override bind(_task: Task, address: Uint8Array, length: number): number {
    if (length < SOCKADDR_SIZE) return -EINVAL
    const view = new DataView(address.buffer, address.byteOffset, length)
    if (view.getUint16(0, true) !== AF_PACKET) return -EINVAL
    const index = view.getInt32(4, true)
    if (index !== 0 && interfaceName(index) === undefined) return -ENODEV
    this.#index = index
    const etherType = view.getUint16(2)
    if (etherType !== 0) this.#etherType = etherType
    return 0
  }

  override connect(): number {
    return -EOPNOTSUPP
  }
  override listen(): number {
    return -EOPNOTSUPP
  }
  override accept(): Socket | number {
    return -EOPNOTSUPP
  }
  override shutdown(_how: number): number {
    return -EOPNOTSUPP
  }
  override peerAddress(_into: Uint8Array): number {
    return -EOPNOTSUPP
  }

  override ownAddress(into: Uint8Array): number {
    writeName(into, this.#etherType, this.#index, 0)
    if (this.#index !== 0) return ADDRESS_AT + HARDWARE_SIZE
    into.fill(0, 8, ADDRESS_AT)
    return ADDRESS_AT
  }

  override send(_task: Task, message: Message): number {
    const { io, name, nameLength } = message
    const length = io.remaining
    let index = this.#index
    let etherType = this.#etherType
    if (nameLength > 0) {
      if (nameLength < SOCKADDR_SIZE) return -EINVAL
      const view = new DataView(name.buffer, name.byteOffset, nameLength)
      index = view.getInt32(4, true)
      etherType = view.getUint16(2)
    }
    if (interfaceName(index) === undefined) return -ENXIO
    const header = this.type === SOCK_RAW ? ETHERNET_HEADER : 0
    if (length < header) return -EINVAL
    if (length > MTU + header) return -EMSGSIZE
    const bytes = new Uint8Array(length)
    if (length > 0 && io.take(bytes, 0, length) < length) return -EFAULT
    if (header > 0) etherType = (bytes[TYPE_AT]! << 8) | bytes[TYPE_AT + 1]!
    const payload = bytes.subarray(header)
    showFrame(this.net, payload, etherType, this)
    receiveFrame(this.net, payload, etherType)
    return length
  }

  seeFrame(payload: Uint8Array, etherType: number, outgoing: boolean): void {
    if (this.#index !== 0 && this.#index !== LO) return
    const all = this.#etherType === ETH_P_ALL
    if (!all && (outgoing || this.#etherType !== etherType)) return
    if (outgoing && this.#options.ignoresOutgoing) return
    const header = this.type === SOCK_RAW ? ETHERNET_HEADER : 0
    const bytes = new Uint8Array(header + payload.length)
    if (header > 0) {
      bytes[TYPE_AT] = etherType >> 8
      bytes[TYPE_AT + 1] = etherType & 255
    }
    bytes.set(payload, header)
    const kept = this.#pass(bytes, header, etherType, outgoing)
    if (kept < 0) return
    this.#options.packets++
    const { length } = bytes
    const shown = bytes.subarray(0, kept)
    if (this.#options.ring !== null) {
      this.#putIntoRing(this.#options.ring, shown, length, header, etherType, outgoing)
      return
    }
    if (this.#queued > this.receiveBuffer) {
      this.#options.drops++
      return
    }
    this.#frames.push({ bytes: shown, length, payloadAt: header, etherType, outgoing })
    this.#queued += kept + MESSAGE_OVERHEAD
    this.queue.wake(POLLIN | POLLRDNORM)
  }

  #putIntoRing(
    ring: PacketRing,
    bytes: Uint8Array,
    length: number,
    payloadAt: number,
    etherType: number,
    outgoing: boolean,
  ): void {
    const kind = outgoing ? PACKET_OUTGOING : PACKET_HOST
    this.kernel.clock.realtime(time)
    const lost = this.#options.drops > 0
    const frame = { bytes, length, payloadAt, etherType, kind }
    if (!ring.put(frame, this.type === SOCK_DGRAM, lost, time)) this.#options.drops++
    this.queue.wake(POLLIN | POLLRDNORM)
  }

  /** mmap(2): the whole of the ring, or nothing. */
  override map(_file: File, offset: number, length: number): MapSource | number {
    const { ring } = this.#options
    if (ring === null || offset !== 0) return -EINVAL
    return Math.ceil(length / PAGE_SIZE) * PAGE_SIZE === ring.size ? ring.source : -EINVAL
  }

  /** How much of a frame the filter lets through; -1 when it drops it. */
  #pass(bytes: Uint8Array, header: number, protocol: number, outgoing: boolean): number {
    const { filter } = this
    if (filter === null) return bytes.length
    const most = filter.run({
      ...{ bytes, protocol, dataAt: 0, networkAt: header, linkAt: header > 0 ? 0 : -1 },
      ...{
        kind: outgoing ? PACKET_OUTGOING : PACKET_HOST,
        device: LO,
        hardware: HARDWARE_LOOPBACK,
      },
      ...{ mark: 0, payloadOffset: 0 },
    })
    return most === 0 ? -1 : Math.min(most, bytes.length)
  }

  override receive(_task: Task, message: Message): number {
    const { io, flags } = message
    if ((flags & ~KNOWN_RECEIVE_FLAGS) !== 0) return -EINVAL
    if ((flags & MSG_ERRQUEUE) !== 0) return -EAGAIN
    const frame = this.#frames[0]
    if (frame === undefined) return -EAGAIN
    const { bytes, etherType, outgoing } = frame
    const want = Math.min(io.remaining, bytes.length)
    if (want > 0 && io.put(bytes, 0, want) < want) return -EFAULT
    writeName(message.name, etherType, LO, outgoing ? PACKET_OUTGOING : PACKET_HOST)
    message.nameLength = SOCKADDR_SIZE
    this.#options.tell(message, frame.length, bytes.length, frame.payloadAt)
    if (want < bytes.length) message.outFlags |= MSG_TRUNC
    if ((flags & MSG_PEEK) === 0) {
      this.#frames.shift()
      this.#queued -= bytes.length + MESSAGE_OVERHEAD
    }
    return (flags & MSG_TRUNC) !== 0 ? bytes.length : want
  }

  override unread(): number {
    return this.#frames[0]?.bytes.length ?? 0
  }
  override unsent(): number {
    return 0
  }

  override setOption(
    _task: Task,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ): number {
    return this.#options.set(this.kernel, level, name, value, length)
  }

  override getOption(
    _task: Task,
    level: number,
    name: number,
    into: Uint8Array,
    room: number,
  ): number {
    return this.#options.get(level, name, into, room)
  }

  override poll(_file: File | null): number {
    return (
      POLLOUT |
      POLLWRNORM |
      POLLWRBAND |
      (this.#frames.length > 0 || this.#options.ring?.readable ? POLLIN | POLLRDNORM : 0) |
      (this.error !== 0 ? POLLERR : 0)
    )
  }

  override close(): void {
    wireOf(this.net).frames.delete(this)
    this.#frames.length = 0
    this.#options.release()
  }
}

/** Write a sockaddr_ll. */
function writeName(into: Uint8Array, etherType: number, index: number, kind: number): void {
  const view = new DataView(into.buffer, into.byteOffset)
  into.fill(0, 0, SOCKADDR_SIZE)
  view.setUint16(0, AF_PACKET, true)
  view.setUint16(2, etherType)
  view.setInt32(4, index, true)
  view.setUint16(8, HARDWARE_LOOPBACK, true)
  into[10] = kind
  into[11] = HARDWARE_SIZE
}

registerFamily(AF_PACKET, (task, type, protocol) => {
  if (!task.creds.capableIn(task.nsproxy.net.owner!, CAP_NET_RAW)) return -EPERM
  // The host's frames are not for the program.
  if (hostNetworkOf(task) !== null) return -EAFNOSUPPORT
  if (type !== SOCK_RAW && type !== SOCK_DGRAM) return NO_TYPE
  return new PacketSocket(task.nsproxy.net, type, protocol)
})

/** packet_seq_show. */
setNetTable('packet', net =>
  [...wireOf(net).frames]
    .filter(observer => observer instanceof PacketSocket)
    .map(({ file, type, etherType }) => {
      const kind = etherType.toString(16).padStart(4, '0')
      return `0000000000000000 3      ${type}    ${kind}   ${LO}     1 0      0      ${file?.inode.ino ?? 0}\n`
    })
    .join(''),
)
