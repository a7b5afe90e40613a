// The connection to the gofer: requests and answers as gofer/PROTOCOL.md frames them. Nothing is thrown for what the
// gofer does: errors come back as -errno, and a connection that is broken or answers nonsense gives -EIO from then on.

import {
  ANY_CPU,
  CLOSE_MAX,
  type FileAttr,
  HEADER_SIZE,
  MESSAGE_MAX,
  MessageReader,
  MessageWriter,
  OP_CLOSE,
  OP_FOLLOW,
  OPEN_FILES_MAX,
  REQUEST_GUARDED,
} from '../../../gofer/protocol.ts'
import {
  beforeMessage,
  belowCeiling,
  close,
  type HostFd,
  recvMessage,
  sendMessage,
  setSendBuffer,
} from '../../../native/index.ts'
import { EIO, ENAMETOOLONG, ERANGE } from '../../../syscall-table/errno.ts'
import { type Guard, isSane, type NewFile } from './results.ts'

const NO_GUARDS: readonly Guard[] = []
/** So many handles are worth a message. */
const CLOSE_BATCH = 64

/** Make the socket take the largest message; the sentry may not do that itself any more once it is confined. */
export function sizeGoferSocket(socket: HostFd): void {
  setSendBuffer(socket, 2 * MESSAGE_MAX)
}

export class GoferTransport {
  readonly socket: HostFd
  protected readonly out = new MessageWriter()
  protected readonly in = new MessageReader(new Uint8Array(MESSAGE_MAX))
  /** [number of descriptors received, the descriptors] */
  protected readonly fds = new Int32Array(1 + OPEN_FILES_MAX)
  /** A descriptor that goes along with the request. */
  protected readonly lent = new Int32Array(1)
  protected lentCount = 0
  readonly #closing = new Uint32Array(CLOSE_MAX)
  #closingCount = 0
  #tag = 0
  #broken = false
  #guards: readonly Guard[] = NO_GUARDS
  /** Where the gofer was told to run; -1: anywhere. */
  #cpu = -1
  /** Takes the answer to a request that nobody waits for; see `post`. */
  #answered: ((result: number) => void) | null = null
  #postedTag = 0
  #postedFds = 0
  /** Messages that were answered. */
  requests = 0

  /** `socket`: this end of a SOCK_SEQPACKET pair, in blocking mode, large enough for our messages. */
  constructor(socket: HostFd) {
    this.socket = socket
  }

  /** Gives a handle back, some time soon: they are collected and sent many at a time. */
  close(handle: number): void {
    this.#closing[this.#closingCount++] = handle
    if (this.#closingCount >= CLOSE_BATCH) this.flush()
  }

  /** Sends the collected handles now (before the table of the gofer is full: -ENFILE). */
  flush(): void {
    if (this.#closingCount === 0) return
    const out = this.begin(OP_CLOSE, 0)
    for (let i = 0; i < this.#closingCount; i++) out.u32(this.#closing[i]!)
    this.#closingCount = 0
    if (!this.#broken && sendMessage(this.socket, out.bytes, 0, out.at, this.fds, 0) < 0) {
      this.fail()
    }
  }

  /** The next request is answered with -ESTALE, and does nothing, when one of the guards does not hold any more. */
  guardNext(guards: readonly Guard[]): void {
    this.#guards = guards
  }

  /** The message for the next request, with its header and guards written. */
  protected begin(op: number, flags: number): MessageWriter {
    this.settle()
    const cpu = beforeMessage()
    if (cpu !== this.#cpu) this.#lead(cpu)
    const out = this.out
    const guards = this.#guards
    this.#tag = (this.#tag + 1) >>> 0
    out.request(this.#tag, op, guards.length > 0 ? flags | REQUEST_GUARDED : flags)
    if (guards.length > 0) this.#putGuards(guards)
    return out
  }

  /** Have the gofer run on a CPU. If it may not, nothing but speed is lost. */
  #lead(cpu: number): void {
    const lent = this.lentCount
    this.#cpu = cpu
    this.#tag = (this.#tag + 1) >>> 0
    this.out.request(this.#tag, OP_FOLLOW, 0)
    this.out.u32(cpu < 0 ? ANY_CPU : cpu)
    this.lentCount = 0
    this.callForResult()
    this.lentCount = lent
  }

  #putGuards(guards: readonly Guard[]): void {
    const out = this.out
    this.#guards = NO_GUARDS
    out.u16(guards.length)
    for (const { handle, name, ino, devMajor, devMinor, mode, uid, gid } of guards) {
      out.u32(handle)
      out.i64(ino)
      out.u32(devMajor)
      out.u32(devMinor)
      out.u32(mode)
      out.u32(uid)
      out.u32(gid)
      out.string(name)
    }
  }

  /**
   * Sends the request and waits for its answer in `input`, read up to the payload. A success must bring `fdCount`
   * descriptors, and may bring `mayFds` more. Returns the result.
   */
  protected call(input: MessageReader, fdCount: number, mayFds = 0): number {
    const n = this.#send()
    return n < 0 ? n : this.#receive(input, this.#tag, fdCount, mayFds)
  }

  /**
   * Sends the request without waiting for its answer: the gofer works for it while the kernel goes on. `answered` is called with
   * the result, and with the answer in `in`, when somebody wants it or before the next request, as they are answered in order.
   */
  protected post(mayFds: number, answered: (result: number) => void): void {
    const n = this.#send()
    if (n < 0) return answered(n)
    this.#postedTag = this.#tag
    this.#postedFds = mayFds
    this.#answered = answered
  }

  /** The gofer works for a request that was posted, or has done so. */
  get posted(): boolean {
    return this.#answered !== null
  }

  /** Wait for the answer to the request that was posted, if there is one. */
  settle(): void {
    const answered = this.#answered
    if (answered === null) return
    this.#answered = null
    answered(this.#receive(this.in, this.#postedTag, 0, this.#postedFds))
  }

  #send(): number {
    const out = this.out
    if (this.#broken) return -EIO
    if (out.overflow) return -ENAMETOOLONG
    const lent = this.lentCount
    this.lentCount = 0
    return sendMessage(this.socket, out.bytes, 0, out.at, this.lent, lent) < 0 ? this.fail() : 0
  }

  #receive(input: MessageReader, tag: number, fdCount: number, mayFds: number): number {
    const length = recvMessage(this.socket, input.bytes, this.fds)
    this.requests++
    const received = this.fds[0]!
    const result = length < HEADER_SIZE ? -EIO : input.view.getInt32(4, true)
    const wanted = result < 0 ? 0 : fdCount
    const most = result < 0 ? 0 : fdCount + mayFds
    const sound =
      length >= HEADER_SIZE &&
      input.view.getUint32(0, true) === tag &&
      result >= -4095 &&
      received >= wanted &&
      received <= most
    if (!sound) {
      this.dropFds()
      return this.fail()
    }
    for (let i = 1; i <= received; i++) this.fds[i] = belowCeiling(this.fds[i]!)
    input.start(length)
    // An error has no payload.
    return result < 0 ? this.#endOf(input, result) : result
  }

  protected dropFds(): void {
    for (let i = 1; i <= this.fds[0]!; i++) close(this.fds[i]!)
    this.fds[0] = 0
  }

  /** The connection cannot be trusted any more. */
  protected fail(): number {
    this.#broken = true
    return -EIO
  }

  #endOf(input: MessageReader, result: number): number {
    return input.done() ? result : this.fail()
  }

  /** The result of an answer that must have been read to its end. */
  protected end(result: number): number {
    return this.#endOf(this.in, result)
  }

  protected callForResult(): number {
    const r = this.call(this.in, 0)
    return r < 0 ? r : this.end(0)
  }

  protected callForAttr(attr: FileAttr): number {
    const r = this.call(this.in, 0)
    if (r < 0) return r
    this.in.attr(attr)
    return isSane(attr) ? this.end(0) : this.fail()
  }

  protected callForFd(): number {
    const r = this.call(this.in, 1)
    if (r < 0) return r
    if (this.end(0) === 0) return this.fds[1]!
    this.dropFds()
    return -EIO
  }

  protected callForNew(made: NewFile, fdCount: number, mayFds = 0): number {
    made.fd = -1
    const r = this.call(this.in, fdCount, mayFds)
    if (r < 0) return r
    this.in.attr(made.attr)
    const handle = this.handleWith(r, made.attr)
    if (handle < 0) {
      this.dropFds()
      return handle
    }
    made.handle = handle
    return 0
  }

  /** The end of an answer that gives a handle with its attributes. */
  protected handleWith(handle: number, attr: FileAttr): number {
    if (handle === 0 || !isSane(attr)) return this.fail()
    return this.end(handle)
  }

  protected callForBytes(into: Uint8Array): number {
    const r = this.call(this.in, 0)
    if (r < 0) return r
    const at = this.in.take(r)
    if (at < 0 || !this.in.done()) return this.fail()
    if (into.length === 0) return r
    if (r > into.length) return -ERANGE
    into.set(this.in.bytes.subarray(at, at + r))
    return r
  }
}
