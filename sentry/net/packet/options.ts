// Options of SOL_PACKET.

import { EBUSY, EINVAL, ENODEV, ENOPROTOOPT } from '../../../syscall-table/errno.ts'
import { SOL_PACKET } from '../../../syscall-table/flags.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { ControlWriter } from '../inet/datagram-control.ts'
import { interfaceName } from '../inet/interface.ts'
import { intOf } from '../inet/option-tables.ts'
import type { Message } from '../message.ts'
import { FIRST_VERSION, HEADER_SIZE, PacketRing, REQUEST_SIZE, SECOND_VERSION } from './ring.ts'

const PACKET_ADD_MEMBERSHIP = 1
const PACKET_DROP_MEMBERSHIP = 2
const PACKET_RX_RING = 5
const PACKET_STATISTICS = 6
const PACKET_AUXDATA = 8
const PACKET_ORIGDEV = 9
const PACKET_VERSION = 10
export const PACKET_HDRLEN = 11
const PACKET_RESERVE = 12
const PACKET_IGNORE_OUTGOING = 23
const MREQ_SIZE = 16
const AUXDATA_SIZE = 20
const TP_STATUS_USER = 1

export class PacketOptions {
  packets = 0
  drops = 0
  /** The ring of what arrives. */
  ring: PacketRing | null = null
  /** Rings that are not in use any more, but may be mapped still: their memory is lent to the mappings. */
  readonly #retired: PacketRing[] = []
  readonly #kept = new Map<number, number>()

  get ignoresOutgoing(): boolean {
    return this.#kept.get(PACKET_IGNORE_OUTGOING) === 1
  }

  get version(): number {
    return this.#kept.get(PACKET_VERSION) ?? 0
  }

  /** PDI_AUXDATA and PDI_ORIGDEV of the diagnosis. */
  get diagnosisFlags(): number {
    return (
      (this.#kept.get(PACKET_AUXDATA) === 1 ? 2 : 0) |
      (this.#kept.get(PACKET_ORIGDEV) === 1 ? 4 : 0)
    )
  }

  /** setsockopt(2): `value[0…length]`. */
  set(kernel: Kernel, level: number, name: number, value: Uint8Array, length: number): number {
    if (level !== SOL_PACKET) return -ENOPROTOOPT
    const number = length < 4 ? 0 : intOf(value)
    switch (name) {
      case PACKET_ADD_MEMBERSHIP:
      case PACKET_DROP_MEMBERSHIP:
        // Every frame of lo is for this machine, whatever one joins.
        if (length < MREQ_SIZE) return -EINVAL
        if (name === PACKET_DROP_MEMBERSHIP) return 0
        return interfaceName(number) === undefined ? -ENODEV : 0
      case PACKET_AUXDATA:
      case PACKET_ORIGDEV:
        if (length < 4) return -EINVAL
        this.#kept.set(name, number === 0 ? 0 : 1)
        return 0
      // LIMIT: not TPACKET_V3; programs take the second version then, as on kernels before 3.2.
      case PACKET_VERSION:
        if (length !== 4 || number < FIRST_VERSION || number > SECOND_VERSION) return -EINVAL
        return this.#keepForRing(name, number)
      case PACKET_RESERVE:
        if (length !== 4 || number < 0) return -EINVAL
        return this.#keepForRing(name, number)
      case PACKET_RX_RING:
        return this.#setRing(kernel, value, length)
      case PACKET_IGNORE_OUTGOING:
        if (length !== 4 || number < 0 || number > 1) return -EINVAL
        this.#kept.set(name, number)
        return 0
      default:
        return -ENOPROTOOPT
    }
  }

  /** What decides how frames lie in a ring does not change under it. */
  #keepForRing(name: number, number: number): number {
    if (this.ring !== null) return -EBUSY
    this.#kept.set(name, number)
    return 0
  }

  #setRing(kernel: Kernel, value: Uint8Array, length: number): number {
    if (length < REQUEST_SIZE) return -EINVAL
    const view = new DataView(value.buffer, value.byteOffset, REQUEST_SIZE)
    if (view.getUint32(4, true) === 0) {
      if (view.getUint32(12, true) !== 0) return -EINVAL
      // DIFFERS: Linux refuses while the ring is mapped.
      if (this.ring !== null) this.#retired.push(this.ring)
      this.ring = null
      return 0
    }
    if (this.ring !== null) return -EBUSY
    const used = this.#retired.reduce((sum, { size }) => sum + size, 0)
    const reserve = this.#kept.get(PACKET_RESERVE) ?? 0
    const ring = PacketRing.make(kernel, view, this.version, reserve, used)
    if (typeof ring === 'number') return ring
    this.ring = ring
    return 0
  }

  /** The socket's file is closed, and no mapping is left. */
  release(): void {
    for (const ring of this.#retired.splice(0)) ring.release()
    this.ring?.release()
    this.ring = null
  }

  /** getsockopt(2): fills `into`, returns the length. Statistics start again when they have been told. */
  get(level: number, name: number, into: Uint8Array, room: number): number {
    if (level !== SOL_PACKET) return -ENOPROTOOPT
    const view = new DataView(into.buffer, into.byteOffset)
    switch (name) {
      case PACKET_STATISTICS:
        view.setUint32(0, this.packets, true)
        view.setUint32(4, this.drops, true)
        this.packets = this.drops = 0
        return 8
      case PACKET_HDRLEN: {
        if (room < 4) return -EINVAL
        const version = view.getInt32(0, true)
        if (version < FIRST_VERSION || version > SECOND_VERSION) return -EINVAL
        view.setInt32(0, HEADER_SIZE, true)
        return 4
      }
      case PACKET_AUXDATA:
      case PACKET_ORIGDEV:
      case PACKET_VERSION:
      case PACKET_RESERVE:
      case PACKET_IGNORE_OUTGOING:
        view.setInt32(0, this.#kept.get(name) ?? 0, true)
        return 4
      default:
        return -ENOPROTOOPT
    }
  }

  /** The control message of PACKET_AUXDATA: struct tpacket_auxdata. */
  tell(message: Message, length: number, kept: number, payloadAt: number): void {
    const writer = new ControlWriter(message)
    if (this.#kept.get(PACKET_AUXDATA) === 1) {
      const bytes = new Uint8Array(AUXDATA_SIZE)
      const view = new DataView(bytes.buffer)
      view.setUint32(0, TP_STATUS_USER, true)
      view.setUint32(4, length, true)
      view.setUint32(8, kept, true)
      view.setUint16(14, payloadAt, true)
      writer.put(SOL_PACKET, PACKET_AUXDATA, bytes)
    }
    writer.end()
  }
}
