// Rings of packet sockets: packet_set_ring and tpacket_rcv in net/packet/af_packet.c. Frames lie in memory that the program
// maps, each behind a header whose first word says whose it is: the program hands it back by setting it to 0. The memory is
// a memory file, so that the kernel never touches a mapping of the program's.

import { type HostFd, pread, pwrite } from '../../../native/index.ts'
import { EINVAL, ENOMEM } from '../../../syscall-table/errno.ts'
import { AF_PACKET } from '../../../syscall-table/flags.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { createSharedMemory } from '../../mm/shared-memory.ts'
import type { File, MapSource } from '../../vfs/file.ts'

/** TPACKET_V1 and TPACKET_V2. */
export const FIRST_VERSION = 0
export const SECOND_VERSION = 1
/** sizeof(struct tpacket_hdr) with its padding, and of struct tpacket2_hdr: the same. */
export const HEADER_SIZE = 32
/** sizeof(struct tpacket_req). */
export const REQUEST_SIZE = 16

const PAGE_SIZE = 4096
const ALIGNMENT = 16
/** struct sockaddr_ll follows the header; then at least this much is left for that of the link. */
const ADDRESS_SIZE = 20
const LINK_ROOM = 16
const STATUS_KERNEL = 0
const STATUS_USER = 1
const STATUS_LOSING = 4
/** LIMIT: Linux bounds the memory of a ring only by what there is. */
const MAX_RING = 64 << 20

const align = (n: number): number => (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1)

/** What is put into the ring. */
export interface RingFrame {
  bytes: Uint8Array
  /** Of the whole, of which `bytes` may be the start. */
  length: number
  /** Where in `bytes` the header of the network begins: behind that of the link, if there is one. */
  payloadAt: number
  etherType: number
  kind: number
}

const word = new Uint8Array(8)
const wordView = new DataView(word.buffer)

/** The size of a ring and of its parts. */
interface Shape {
  frameSize: number
  blockSize: number
  framesPerBlock: number
  frames: number
}

/** Check struct tpacket_req for headers and `reserve` bytes more before each frame. */
function shapeOf(view: DataView, reserve: number): Shape | number {
  const blockSize = view.getInt32(0, true)
  const blocks = view.getUint32(4, true)
  const frameSize = view.getUint32(8, true)
  const frames = view.getUint32(12, true)
  if (blockSize <= 0 || blockSize % PAGE_SIZE !== 0) return -EINVAL
  if (frameSize < HEADER_SIZE + ADDRESS_SIZE + reserve || frameSize % ALIGNMENT !== 0)
    return -EINVAL
  const framesPerBlock = Math.floor(blockSize / frameSize)
  if (framesPerBlock === 0 || framesPerBlock * blocks !== frames) return -EINVAL
  return { frameSize, blockSize, framesPerBlock, frames }
}

export class PacketRing {
  readonly #memory: File
  readonly #source: MapSource
  readonly #hostFd: HostFd
  readonly #shape: Shape
  readonly #version: number
  readonly #reserve: number
  /** The next frame. */
  #head = 0

  private constructor(
    memory: File,
    source: MapSource,
    shape: Shape,
    version: number,
    reserve: number,
  ) {
    this.#memory = memory
    this.#source = source
    this.#hostFd = source.hostFd
    this.#shape = shape
    this.#version = version
    this.#reserve = reserve
  }

  /** A ring as `view` asks for it; `used` bytes has the socket in others. */
  static make(
    kernel: Kernel,
    view: DataView,
    version: number,
    reserve: number,
    used: number,
  ): PacketRing | number {
    const shape = shapeOf(view, reserve)
    if (typeof shape === 'number') return shape
    const size = (shape.frames / shape.framesPerBlock) * shape.blockSize
    if (size + used > MAX_RING) return -ENOMEM
    const memory = createSharedMemory(kernel, size)
    if (typeof memory === 'number') return memory
    const source = memory.ops.map(memory, 0, size, true, true)
    if (typeof source !== 'number') return new PacketRing(memory, source, shape, version, reserve)
    memory.unref()
    return -ENOMEM
  }

  get size(): number {
    const { frames, framesPerBlock, blockSize } = this.#shape
    return (frames / framesPerBlock) * blockSize
  }

  get source(): MapSource {
    return this.#source
  }

  #at(index: number): number {
    const { framesPerBlock, blockSize, frameSize } = this.#shape
    return Math.floor(index / framesPerBlock) * blockSize + (index % framesPerBlock) * frameSize
  }

  /** The program may write what it likes there: only whether it is 0 counts. */
  #isFree(index: number): boolean {
    const n = pread(this.#hostFd, word, 0, 4, this.#at(index))
    return n === 4 && wordView.getUint32(0, true) === STATUS_KERNEL
  }

  /** Whether the last frame waits to be read: packet_poll. */
  get readable(): boolean {
    return !this.#isFree((this.#head + this.#shape.frames - 1) % this.#shape.frames)
  }

  /** Put a frame into the ring; false when that is full. `lost` says that some were dropped since somebody asked. */
  put(
    frame: RingFrame,
    dgram: boolean,
    lost: boolean,
    time: { sec: number; nsec: number },
  ): boolean {
    if (!this.#isFree(this.#head)) return false
    const { frameSize, frames } = this.#shape
    const link = dgram ? 0 : frame.payloadAt
    const headers = HEADER_SIZE + ADDRESS_SIZE
    const networkAt = dgram
      ? align(headers) + LINK_ROOM + this.#reserve
      : align(headers + Math.max(link, LINK_ROOM)) + this.#reserve
    const dataAt = networkAt - link
    const kept = Math.max(0, Math.min(frame.bytes.length, frameSize - dataAt))
    const bytes = new Uint8Array(dataAt + kept)
    const view = new DataView(bytes.buffer)
    this.#describe(view, frame.length, kept, dataAt, networkAt, time)
    view.setUint16(HEADER_SIZE, AF_PACKET, true)
    view.setUint16(HEADER_SIZE + 2, frame.etherType)
    view.setInt32(HEADER_SIZE + 4, LO, true)
    view.setUint16(HEADER_SIZE + 8, HARDWARE_LOOPBACK, true)
    bytes[HEADER_SIZE + 10] = frame.kind
    bytes[HEADER_SIZE + 11] = HARDWARE_SIZE
    bytes.set(frame.bytes.subarray(0, kept), dataAt)
    const at = this.#at(this.#head)
    pwrite(this.#hostFd, bytes, 0, bytes.length, at)
    // The frame is the program's only when all of it is there.
    wordView.setUint32(0, STATUS_USER | (lost ? STATUS_LOSING : 0), true)
    pwrite(this.#hostFd, word, 0, 4, at)
    this.#head = (this.#head + 1) % frames
    return true
  }

  /** struct tpacket_hdr or tpacket2_hdr, without its status. */
  #describe(
    view: DataView,
    length: number,
    kept: number,
    dataAt: number,
    networkAt: number,
    { sec, nsec }: { sec: number; nsec: number },
  ): void {
    // The status of the first version is a long.
    const at = this.#version === FIRST_VERSION ? 8 : 4
    view.setUint32(at, length, true)
    view.setUint32(at + 4, kept, true)
    view.setUint16(at + 8, dataAt, true)
    view.setUint16(at + 10, networkAt, true)
    view.setUint32(at + 12, sec >>> 0, true)
    view.setUint32(at + 16, this.#version === FIRST_VERSION ? Math.floor(nsec / 1000) : nsec, true)
  }

  /** Nobody maps it any more. */
  release(): void {
    this.#memory.unref()
  }
}

const LO = 1
const HARDWARE_LOOPBACK = 772
const HARDWARE_SIZE = 6
