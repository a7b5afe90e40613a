// Sockets of AF_NETLINK whose other side is this kernel: net/netlink/af_netlink.c. A request is answered while it is
// sent; the answers wait in the queue as datagrams from port 0.

import {
  EAGAIN,
  EBUSY,
  ECONNREFUSED,
  EFAULT,
  EINTR,
  EINVAL,
  EMSGSIZE,
  ENOBUFS,
  ENODATA,
  ENOPROTOOPT,
  ENOTTY,
  EOPNOTSUPP,
  EPERM,
} from '../../../syscall-table/errno.ts'
import {
  AF_NETLINK,
  AF_UNSPEC,
  FIONREAD,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  POLLERR,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  SIOCOUTQ,
  SOL_NETLINK,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import type { Message } from '../message.ts'
import { Socket } from '../socket.ts'
import { passMessage } from '../socket-filter.ts'
import {
  eachMessage,
  HEADER_SIZE,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CAPPED,
  NLM_F_MULTI,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_MIN_TYPE,
  type Request,
} from './message.ts'
import { givePortBack, parsed, parseName, takePort, writeName } from './names.ts'

const NETLINK_ADD_MEMBERSHIP = 1
const NETLINK_DROP_MEMBERSHIP = 2
const NETLINK_LIST_MEMBERSHIPS = 9
const NETLINK_CAP_ACK = 10
/** Switches that only say how errors and details are told. */
const SWITCHES = new Set([3, 4, 5, NETLINK_CAP_ACK, 11, 12])
/** PKTINFO, BROADCAST_ERROR, NO_ENOBUFS, LISTEN_ALL_NSID, CAP_ACK. */
const DIAGNOSED = [3, 4, 5, 8, NETLINK_CAP_ACK]
const MAX_GROUPS = 32
const MAX_REQUEST = 65536

/** The kernel's side of a protocol: 0, or -errno as the answer. Replies go to `socket.reply`. */
export type RequestHandler = (socket: NetlinkSocket, task: Task, request: Request) => number

/** The least and the most that one datagram of a dump holds: NLMSG_GOODSIZE, and 32 KiB less what a packet costs. */
const LEAST_DUMP = 3776
const MOST_DUMP = 32448

/** A long answer, of which the program reads one datagram after the other: struct netlink_callback. */
export interface Dump {
  /** How it ended: 0 or -errno. */
  readonly result: number
  /** The next message, to a port; null at the end. */
  next(port: number): Uint8Array | null
}

/** A handler's answer to a request that it has begun to dump for: nothing is acknowledged. */
export const DUMPING = -EINTR

const writer = new MessageWriter()

/** States, as netlink_connect sets them; before it there is that of all new sockets. */
const NEW = 7
const CONNECTED = 1
const UNCONNECTED = 0

export class NetlinkSocket extends Socket {
  /** Null: nobody listens in this kernel, it only ever speaks by itself. */
  readonly #handler: RequestHandler | null
  readonly #queue: Uint8Array[] = []
  readonly #switches = new Map<number, number>()
  #queued = 0
  #bound = false
  #port = 0
  #groups = 0
  #peerPort = 0
  #peerGroups = 0
  #dump: Dump | null = null
  #dumpSequence = 0
  /** A message of the dump that has not fitted into the last datagram. */
  #next: Uint8Array | null = null
  /** The largest buffer that the program has received into. */
  #longest = 0
  /** As diagnosis tells it. */
  stateNumber = NEW

  constructor(net: NetNamespace, type: number, protocol: number, handler: RequestHandler | null) {
    super(net, AF_NETLINK, type, protocol)
    this.#handler = handler
  }

  override get filters(): boolean {
    return true
  }

  /** Bytes that wait to be read. */
  get queuedBytes(): number {
    return this.#queued
  }

  get port(): number {
    return this.#port
  }

  /** NDIAG_FLAG_*: a dump is under way, and the switches in the order of theirs. */
  get diagnosisFlags(): number {
    const flags = DIAGNOSED.map((name, i) => (this.#switches.get(name) === 1 ? 2 << i : 0))
    return flags.reduce((all, flag) => all | flag, this.#dump === null ? 0 : 1)
  }

  override bind(task: Task, address: Uint8Array, length: number): number {
    const n = parseName(address, length)
    if (n < 0) return n
    const { port, groups } = parsed
    if (this.#bound && port !== this.#port) return -EINVAL
    const error = this.#bound ? 0 : this.#take(task, port)
    if (error === 0) this.#groups = groups
    return error
  }

  #take(task: Task, wanted: number): number {
    const port = takePort(task, this, wanted)
    if (port < 0) return port
    this.#port = port
    this.#bound = true
    return 0
  }

  override connect(task: Task, address: Uint8Array, length: number, _file: File): number {
    if (length < 2) return -EINVAL
    if ((address[0]! | (address[1]! << 8)) === AF_UNSPEC) {
      this.#peerPort = this.#peerGroups = 0
      this.stateNumber = UNCONNECTED
      return 0
    }
    const n = parseName(address, length)
    if (n < 0) return n
    const { port, groups } = parsed
    if (port !== 0 || groups !== 0) return -EPERM
    if (!this.#bound && this.#take(task, 0) < 0) return -EAGAIN
    this.stateNumber = CONNECTED
    return 0
  }

  override listen(_task: Task, _backlog: number): number {
    return -EOPNOTSUPP
  }

  override accept(_task: Task): Socket | number {
    return -EOPNOTSUPP
  }

  override send(task: Task, message: Message): number {
    const { io } = message
    if ((message.flags & MSG_OOB) !== 0) return -EOPNOTSUPP
    if (message.nameLength > 0) {
      const n = parseName(message.name, message.nameLength)
      if (n < 0) return n
      // Only the kernel may be spoken to.
      if (parsed.port !== 0 || parsed.groups !== 0) return -EPERM
    }
    const length = io.remaining
    if (length === 0) return -ENODATA
    if (length > MAX_REQUEST) return -EMSGSIZE
    if (!this.#bound && this.#take(task, 0) < 0) return -EAGAIN
    const bytes = new Uint8Array(length)
    if (io.take(bytes, 0, length) < length) return -EFAULT
    if (this.#handler === null) return -ECONNREFUSED
    eachMessage(bytes, request => this.#answer(task, request))
    return length
  }

  #answer(task: Task, request: Request): void {
    if ((request.flags & NLM_F_REQUEST) === 0) return
    const n = request.type < NLMSG_MIN_TYPE ? 0 : this.#handler!(this, task, request)
    if (n === DUMPING) return
    if (n < 0 || (request.flags & NLM_F_ACK) !== 0) this.#acknowledge(request, n)
  }

  /** Begin a dump: netlink_dump_start. */
  dump(request: Request, dump: Dump): number {
    if (this.#dump !== null) return -EBUSY
    this.#dump = dump
    this.#dumpSequence = request.sequence
    this.#continue()
    return DUMPING
  }

  /** Queue the next datagram of the dump, the last of which only says how it ended. */
  #continue(): void {
    const dump = this.#dump
    if (dump === null || this.#queued > this.receiveBuffer / 2) return
    const room = Math.max(LEAST_DUMP, Math.min(this.#longest, MOST_DUMP))
    const parts: Uint8Array[] = []
    let length = 0
    for (;;) {
      const part = this.#next ?? dump.next(this.#port)
      this.#next = null
      if (part === null) break
      if (length > 0 && length + part.length > room) {
        this.#next = part
        break
      }
      parts.push(part)
      length += part.length
    }
    if (length > 0) {
      this.reply(Buffer.concat(parts))
      return
    }
    this.#dump = null
    writer.begin(NLMSG_DONE, NLM_F_MULTI, this.#dumpSequence, this.#port).u32(dump.result).end()
    this.reply(writer.take())
  }

  /** struct nlmsgerr: the error, and the request that it is about. */
  #acknowledge(request: Request, error: number): void {
    const capped = error === 0 || this.#switches.get(NETLINK_CAP_ACK) === 1
    const flags = capped && request.bytes.length > HEADER_SIZE ? NLM_F_CAPPED : 0
    writer.begin(NLMSG_ERROR, flags, request.sequence, this.#port).u32(error)
    const told = Math.min(capped ? HEADER_SIZE : request.bytes.length, MAX_ECHO)
    writer.bytes.set(request.bytes.subarray(0, told), writer.length)
    writer.bytes.fill(0, writer.length + told, writer.length + told + 3)
    writer.length += (told + 3) & ~3
    writer.end()
    this.reply(writer.take())
  }

  /** Queue a datagram for the program. */
  reply(whole: Uint8Array): void {
    const kept = passMessage(this, whole)
    if (kept < 0) return
    const datagram = whole.subarray(0, kept)
    if (this.#queued + datagram.length > this.receiveBuffer) this.error = ENOBUFS
    else {
      this.#queue.push(datagram)
      this.#queued += datagram.length
    }
    this.queue.wake(POLLIN | POLLRDNORM)
  }

  override receive(_task: Task, message: Message): number {
    const { io, flags } = message
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP
    if (this.error !== 0) {
      const { error } = this
      this.error = 0
      return -error
    }
    const datagram = this.#queue[0]
    if (datagram === undefined) return -EAGAIN
    this.#longest = Math.max(this.#longest, io.remaining)
    const want = Math.min(io.remaining, datagram.length)
    if (want > 0 && io.put(datagram, 0, want) < want) return -EFAULT
    message.nameLength = writeName(0, 0, message.name)
    if (this.passCredentials) message.credentials = true
    message.ucred.pid = null
    message.ucred.uid = message.ucred.gid = 0
    if (want < datagram.length) message.outFlags |= MSG_TRUNC
    if ((flags & MSG_PEEK) === 0) {
      this.#queue.shift()
      this.#queued -= datagram.length
      this.#continue()
    }
    return (flags & MSG_TRUNC) !== 0 ? datagram.length : want
  }

  override shutdown(_how: number): number {
    return -EOPNOTSUPP
  }

  override ownAddress(into: Uint8Array): number {
    return writeName(this.#port, this.#groups, into)
  }

  override peerAddress(into: Uint8Array): number {
    return writeName(this.#peerPort, this.#peerGroups, into)
  }

  override unread(): number {
    return this.#queue[0]?.length ?? 0
  }

  override unsent(): number {
    return 0
  }

  override ioctl(file: File, task: Task, request: number, arg: number): number {
    const queues = request === FIONREAD || request === SIOCOUTQ
    return queues ? -ENOTTY : super.ioctl(file, task, request, arg)
  }

  override get listening(): boolean {
    return false
  }

  override setOption(
    _task: Task,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ): number {
    if (level !== SOL_NETLINK) return -ENOPROTOOPT
    if (length < 4) return -EINVAL
    const number = new DataView(value.buffer, value.byteOffset).getUint32(0, true)
    if (SWITCHES.has(name)) {
      this.#switches.set(name, number !== 0 ? 1 : 0)
      return 0
    }
    if (name !== NETLINK_ADD_MEMBERSHIP && name !== NETLINK_DROP_MEMBERSHIP) return -ENOPROTOOPT
    if (number === 0 || number > MAX_GROUPS) return -EINVAL
    const bit = 1 << (number - 1)
    this.#groups =
      (name === NETLINK_ADD_MEMBERSHIP ? this.#groups | bit : this.#groups & ~bit) >>> 0
    return 0
  }

  override getOption(
    _task: Task,
    level: number,
    name: number,
    into: Uint8Array,
    room: number,
  ): number {
    if (level !== SOL_NETLINK) return -ENOPROTOOPT
    const list = name === NETLINK_LIST_MEMBERSHIPS
    if (!list && !SWITCHES.has(name)) return -ENOPROTOOPT
    if (!list && room < 4) return -EINVAL
    const value = list ? this.#groups : (this.#switches.get(name) ?? 0)
    new DataView(into.buffer, into.byteOffset).setUint32(0, value, true)
    return 4
  }

  override poll(_file: File): number {
    return (
      POLLOUT |
      POLLWRNORM |
      (this.#queue.length > 0 ? POLLIN | POLLRDNORM : 0) |
      (this.error !== 0 ? POLLERR : 0)
    )
  }

  override close(): void {
    if (this.#bound) givePortBack(this, this.#port)
    this.#bound = false
    this.#queue.length = 0
    this.#dump = this.#next = null
  }
}

/** Most of a request that its error repeats. */
const MAX_ECHO = 8192
