// The form of netlink messages: struct nlmsghdr, and attributes as in rtnetlink(3).

/** sizeof(struct nlmsghdr). */
export const HEADER_SIZE = 16
const ATTRIBUTE_HEADER = 4
export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3
/** Types below are the protocol's own. */
export const NLMSG_MIN_TYPE = 0x10
export const NLM_F_REQUEST = 1
export const NLM_F_MULTI = 2
export const NLM_F_ACK = 4
/** NLM_F_ROOT | NLM_F_MATCH. */
export const NLM_F_DUMP = 0x300
export const NLM_F_CAPPED = 0x100

const align = (n: number): number => (n + 3) & ~3

/** Writes messages one behind the other. */
export class MessageWriter {
  readonly bytes = new Uint8Array(32768)
  readonly view = new DataView(this.bytes.buffer)
  length = 0
  #start = 0

  begin(type: number, flags: number, sequence: number, port: number): this {
    this.#start = this.length
    this.bytes.fill(0, this.length, this.length + HEADER_SIZE)
    this.view.setUint16(this.length + 4, type, true)
    this.view.setUint16(this.length + 6, flags, true)
    this.view.setUint32(this.length + 8, sequence, true)
    this.view.setUint32(this.length + 12, port, true)
    this.length += HEADER_SIZE
    return this
  }

  u8(...values: number[]): this {
    for (const value of values) this.bytes[this.length++] = value
    return this
  }

  u16(value: number): this {
    this.view.setUint16(this.length, value, true)
    this.length += 2
    return this
  }

  u32(value: number): this {
    this.view.setUint32(this.length, value >>> 0, true)
    this.length += 4
    return this
  }

  attribute(type: number, value: Uint8Array): this {
    this.u16(ATTRIBUTE_HEADER + value.length)
    this.u16(type)
    this.bytes.set(value, this.length)
    const end = align(this.length + value.length)
    this.bytes.fill(0, this.length + value.length, end)
    this.length = end
    return this
  }

  numberAttribute(type: number, value: number): this {
    this.u16(ATTRIBUTE_HEADER + 4)
    this.u16(type)
    return this.u32(value)
  }

  byteAttribute(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value))
  }

  textAttribute(type: number, value: string): this {
    return this.attribute(type, Buffer.from(`${value}\0`, 'latin1'))
  }

  /** Begin an attribute that holds others; `close` ends it. */
  open(type: number): number {
    const at = this.length
    this.u16(0)
    this.u16(type)
    return at
  }

  close(at: number): void {
    this.view.setUint16(at, this.length - at, true)
  }

  /** Bytes that are 0. */
  zero(count: number): this {
    this.bytes.fill(0, this.length, this.length + count)
    this.length += count
    return this
  }

  end(): void {
    this.view.setUint32(this.#start, this.length - this.#start, true)
  }

  /** What has been written; the writer is empty again. */
  take(): Uint8Array {
    const taken = this.bytes.slice(0, this.length)
    this.length = 0
    return taken
  }
}

/** A request of a program, copied and whole. */
export interface Request {
  type: number
  flags: number
  sequence: number
  /** All of it, header included. */
  bytes: Uint8Array
  view: DataView
}

/** The first attribute of a type behind `at`; undefined when there is none. */
export function attributeOf(request: Request, at: number, type: number): Uint8Array | undefined {
  const { bytes, view } = request
  for (let pos = at; pos + ATTRIBUTE_HEADER <= bytes.length; ) {
    const size = view.getUint16(pos, true)
    if (size < ATTRIBUTE_HEADER || pos + size > bytes.length) return undefined
    // The two upper bits say how the value is made.
    if ((view.getUint16(pos + 2, true) & 0x3fff) === type)
      return bytes.subarray(pos + ATTRIBUTE_HEADER, pos + size)
    pos += align(size)
  }
  return undefined
}

/** Call `handle` for each whole message in `bytes`, as netlink_rcv_skb walks them; the rest is ignored. */
export function eachMessage(bytes: Uint8Array, handle: (request: Request) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at + HEADER_SIZE <= bytes.length; ) {
    const size = view.getUint32(at, true)
    if (size < HEADER_SIZE || size > bytes.length - at) return
    handle({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      bytes: bytes.subarray(at, at + size),
      view: new DataView(bytes.buffer, bytes.byteOffset + at, size),
    })
    at += align(size)
  }
}
