// Sockets as the system calls see them: struct socket and proto_ops. A family registers how it makes sockets;
// its class derives from Socket.

import type { SocketFilter } from 'seccomp-bpf-compiler'
import {
  EAFNOSUPPORT,
  EAGAIN,
  EINVAL,
  EOPNOTSUPP,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
} from '../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  AF_MAX,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  FIOGETOWN,
  FIONREAD,
  FIOSETOWN,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  O_RDWR,
  POLLIN,
  POLLOUT,
  SIOCGPGRP,
  SIOCINQ,
  SIOCOUTQ,
  SIOCSPGRP,
  SOCK_PACKET,
  SOCK_RAW,
  SOCK_STREAM,
} from '../../syscall-table/flags.ts'
import type { Creds } from '../kernel/creds.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { NetNamespace } from '../kernel/nsproxy.ts'
import type { Task } from '../kernel/task.ts'
import { WaitQueue } from '../kernel/wait-queue.ts'
import type { Io } from '../mm/io.ts'
import { inodeFile, socketInode } from '../vfs/anon.ts'
import { type File, FileOps } from '../vfs/file.ts'
import { setOwnerAt, tellOwnerAt } from '../vfs/file-owner.ts'
import { interfaceIoctl } from './inet/interface.ts'
import { Message, type Ucred } from './message.ts'

/** net.core.wmem_default and rmem_default. */
export const DEFAULT_BUFFER = 212992

const message = new Message()
let lastCookie = 0

export abstract class Socket extends FileOps {
  readonly kernel: Kernel
  readonly net: NetNamespace
  readonly family: number
  /** SOCK_STREAM and so on. */
  readonly type: number
  readonly protocol: number
  override readonly queue = new WaitQueue()
  /** The one open file; null while a connection waits to be accepted, and after the last close. */
  file: File | null = null
  /** Pending error of SO_ERROR, positive. */
  error = 0
  sendBuffer = DEFAULT_BUFFER
  receiveBuffer = DEFAULT_BUFFER
  /** SO_SNDTIMEO, SO_RCVTIMEO in ns; 0 is none. */
  sendTimeoutNs = 0
  receiveTimeoutNs = 0
  passCredentials = false
  /** SO_PASSPIDFD: who sends is told by a pidfd, too. */
  passPidfd = false
  /** Options of SOL_SOCKET that are kept and told, by number. */
  readonly options = new Map<number, number>()
  /** Index of the interface of SO_BINDTODEVICE and SO_BINDTOIFINDEX; 0 is any. */
  device = 0
  /** The form of time stamps that is wanted with each packet, SO_TIMESTAMP and so on; 0 is none. */
  timestamp = 0
  /** SOF_TIMESTAMPING_*, and the option that has set them. */
  timestamping = 0
  timestampingForm = 0
  lingerOn = 0
  lingerSeconds = 0
  /** SO_ATTACH_FILTER, and whether SO_LOCK_FILTER keeps it as it is. */
  filter: SocketFilter | null = null
  filterLocked = false
  #cookie = 0
  /** SO_PEEK_OFF: where MSG_PEEK begins; negative when it is always at the front. */
  peekOffset = -1
  /** Control messages are the socket's own business: they are handed over as they are. */
  readonly rawControl: boolean = false

  constructor(net: NetNamespace, family: number, type: number, protocol: number) {
    super()
    this.kernel = net.kernel
    this.net = net
    this.family = family
    this.type = type
    this.protocol = protocol
  }

  /** Whether messages tell who has sent them. */
  get tellsSender(): boolean {
    return this.passCredentials || this.passPidfd
  }

  /** Whether the socket runs filters over what arrives. */
  get filters(): boolean {
    return false
  }

  /** Whether the socket has SO_PEEK_OFF. */
  get hasPeekOffset(): boolean {
    return false
  }

  /** Bytes have been peeked at: sk_peek_offset_fwd. */
  peekedOver(bytes: number): void {
    if (this.peekOffset >= 0) this.peekOffset += bytes
  }

  /** Bytes have left the queue: sk_peek_offset_bwd. */
  readOver(bytes: number): void {
    if (this.peekOffset > 0) this.peekOffset = Math.max(0, this.peekOffset - bytes)
  }

  /** SO_COOKIE: a number that no other socket has or had; it is chosen when somebody first asks. */
  get cookie(): number {
    if (this.#cookie === 0) this.#cookie = ++lastCookie
    return this.#cookie
  }

  /** `address[0…length]` is the sockaddr. */
  abstract bind(task: Task, address: Uint8Array, length: number): number
  /** -EAGAIN when it must wait for POLLOUT. */
  abstract connect(task: Task, address: Uint8Array, length: number, file: File): number
  abstract listen(task: Task, backlog: number): number
  /** A connection that has arrived, without a file; -EAGAIN when it must wait for POLLIN. */
  abstract accept(task: Task): Socket | number
  /** Bytes sent, or -EAGAIN when it must wait for POLLOUT. */
  abstract send(task: Task, message: Message): number
  /** Bytes received, or -EAGAIN when it must wait for POLLIN. */
  abstract receive(task: Task, message: Message): number
  abstract shutdown(how: number): number
  /** Write the socket's own sockaddr, or its peer's; returns the length or -errno. */
  abstract ownAddress(into: Uint8Array): number
  abstract peerAddress(into: Uint8Array): number
  /** Bytes that one receive would give, or -EINVAL; and bytes sent that have not been read. */
  abstract unread(): number
  abstract unsent(): number
  abstract get listening(): boolean

  /** Whether an option of SOL_SOCKET is for `setOption` and `getOption`, and not kept with those of every socket. */
  ownsOption(_name: number): boolean {
    return false
  }

  /** Options beyond SOL_SOCKET, and those that it owns; the value is in `value[0…length]`. */
  setOption(
    _task: Task,
    _level: number,
    _name: number,
    _value: Uint8Array,
    _length: number,
  ): number {
    return -EOPNOTSUPP
  }
  /** Fills `into`; returns the length or -errno. `room` is what the program has asked for. */
  getOption(_task: Task, _level: number, _name: number, _into: Uint8Array, _room: number): number {
    return -EOPNOTSUPP
  }
  /** SO_PEERCRED, or null when there is no peer. */
  peerCredentials(): Ucred | null {
    return null
  }

  override read(file: File, io: Io, _pos: number, task: Task): number {
    if (io.remaining === 0) return 0
    message.reset(task, io, 0, file.nonblocking)
    const n = this.receive(task, message)
    message.dropRights()
    return this.#timed(task, n, this.receiveTimeoutNs)
  }

  override write(file: File, io: Io, _pos: number, task: Task): number {
    message.reset(task, io, 0, file.nonblocking)
    return this.#timed(task, this.send(task, message), this.sendTimeoutNs)
  }

  /** read(2) and write(2) wait in `orBlock`, which ends at the deadline. */
  #timed(task: Task, n: number, timeoutNs: number): number {
    if (n !== -EAGAIN || !message.resumable) return n
    if (task.restart.timedOut) return task.restart.done > 0 ? task.restart.done : n
    startTimeout(task, timeoutNs)
    return n
  }

  override ioctl(file: File, task: Task, request: number, arg: number): number {
    if (request === FIOSETOWN || request === SIOCSPGRP) return setOwnerAt(task, file, arg)
    if (request === FIOGETOWN || request === SIOCGPGRP) return tellOwnerAt(task, file, arg)
    if (request !== FIONREAD && request !== SIOCINQ && request !== SIOCOUTQ)
      return interfaceIoctl(task, request, arg)
    const n = request === SIOCOUTQ ? this.unsent() : this.unread()
    if (n < 0) return n
    const { scratch, scratchView } = task.kernel
    scratchView.setInt32(0, n, true)
    return task.mm.copyResult(task, arg, scratch, 0, 4)
  }

  override release(_file: File): void {
    this.file = null
    this.close()
  }

  /** The socket is not used any more. */
  abstract close(): void
}

/** The absolute deadline of a call with a socket timeout; its first pass decides. */
export function startTimeout(task: Task, timeoutNs: number): void {
  if (timeoutNs <= 0 || task.restart.deadline > 0) return
  task.restart.deadline = task.kernel.clock.monotonicNs() + timeoutNs
}

/** Whether a call with `flags` on `file` must not wait. */
export function mustNotWait(file: File, flags: number): boolean {
  return file.nonblocking || (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) !== 0
}

/** Makes a socket, or gives -errno for a type or protocol that the family does not have. */
export type SocketMaker = (task: Task, type: number, protocol: number) => Socket | number
/** Two connected sockets. */
export type PairMaker = (task: Task, type: number, protocol: number) => [Socket, Socket] | number

interface Family {
  make: SocketMaker
  pair: PairMaker
}

const families = new Map<number, Family>()

/** Linux makes the sockets before it finds that they cannot be a pair. */
function pairOfNone(make: SocketMaker): PairMaker {
  return (task, type, protocol) => {
    const socket = make(task, type, protocol)
    if (typeof socket === 'number') return socket
    socket.close()
    return -EOPNOTSUPP
  }
}

/** Say how sockets of an address family are made. */
export function registerFamily(
  family: number,
  make: SocketMaker,
  pair: PairMaker = pairOfNone(make),
): void {
  families.set(family, { make, pair })
}

function lookUp(given: number, type: number): Family | number {
  if (given < 0 || given >= AF_MAX) return -EAFNOSUPPORT
  // As packet sockets were made before they had a family.
  const family = given === AF_INET && type === SOCK_PACKET ? AF_PACKET : given
  if (type < 0 || type > SOCK_PACKET) return -EINVAL
  return families.get(family) ?? -EAFNOSUPPORT
}

/** socket(2) without the file. */
export function createSocket(
  task: Task,
  family: number,
  type: number,
  protocol: number,
): Socket | number {
  const found = lookUp(family, type)
  return typeof found === 'number' ? found : found.make(task, type, protocol)
}

/** socketpair(2) without the files. */
export function createPair(
  task: Task,
  family: number,
  type: number,
  protocol: number,
): [Socket, Socket] | number {
  const found = lookUp(family, type)
  return typeof found === 'number' ? found : found.pair(task, type, protocol)
}

/** The names of struct proto, as far as there are such sockets. */
function protocolNameOf({ family, type, protocol }: Socket): string {
  const six = family === AF_INET6 ? 'v6' : ''
  switch (family) {
    case AF_UNIX:
      return type === SOCK_STREAM ? 'UNIX-STREAM' : 'UNIX'
    case AF_NETLINK:
      return 'NETLINK'
    case AF_PACKET:
      return 'PACKET'
    default:
      if (type === SOCK_STREAM) return `TCP${six}`
      if (type === SOCK_RAW) return `RAW${six}`
      return protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6 ? `PING${six}` : `UDP${six}`
  }
}

/** The open file of a new socket; `flags` may hold O_NONBLOCK. Its inode belongs to who made it. */
export function socketFile(socket: Socket, flags: number, creds?: Creds): File {
  const inode = socketInode(socket.kernel, protocolNameOf(socket))
  if (creds !== undefined) {
    inode.uid = creds.fsuid
    inode.gid = creds.fsgid
  }
  socket.file = inodeFile(inode, socket, O_RDWR | flags)
  return socket.file
}

/** What families say to types and protocols they lack. */
export const NO_TYPE = -ESOCKTNOSUPPORT
export const NO_PROTOCOL = -EPROTONOSUPPORT
/** Events of a socket that can send or receive again. */
export const CAN_RECEIVE = POLLIN
export const CAN_SEND = POLLOUT
