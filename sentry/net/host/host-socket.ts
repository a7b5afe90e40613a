// A socket of the host's network stack behind a socket of the program. The host's one never blocks; readiness comes
// from an edge-triggered watch on it, which is set when somebody first has to wait.

import {
  close,
  type HostFd,
  poll as hostPoll,
  socketAccept,
  socketBind,
  socketConnect,
  socketListen,
  socketName,
  socketNumber,
  socketPeer,
  socketShutdown,
} from '../../../native/index.ts'
import {
  EACCES,
  EAGAIN,
  EALREADY,
  EINPROGRESS,
  EMFILE,
  ENFILE,
} from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  CAP_NET_BIND_SERVICE,
  FIONREAD,
  IPPROTO_TCP,
  IPPROTO_UDP,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRNORM,
  SIOCATMARK,
  SIOCOUTQ,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
} from '../../../syscall-table/flags.ts'
import type { HostEventSource } from '../../kernel/host-events.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import { signalUrgent } from '../../vfs/file-signal.ts'
import { MAX_ADDRESS, type Message } from '../message.ts'
import { Socket } from '../socket.ts'
import { receiveFromHost, sendToHost } from './host-data.ts'
import type { HostNetwork } from './network.ts'
import { getHostOption, isHostOption, setHostOption } from './options.ts'

/** EPOLLET. */
const EDGES = 0x80000000
const WATCHED = POLLIN | POLLPRI | POLLOUT | POLLRDHUP
const lengths = new Int32Array(1)

/** What a socket is, besides its descriptor. */
export interface HostSocketKind {
  family: number
  type: number
  protocol: number
  /** Of the program that made it. */
  uid: number
}

/** The host's limit of descriptors is not the program's. */
export const hostError = (n: number): number => (n === -EMFILE ? -ENFILE : n)

export class HostSocket extends Socket implements HostEventSource {
  /** Null for a socket that is none of its network. */
  readonly network: HostNetwork | null
  readonly hostFd: HostFd
  readonly uid: number
  override readonly rawControl = true
  #watching = false
  /** Events that have come and that no call has used up since. */
  #known = 0
  #listening = false
  #shut = 0
  #peer: Uint8Array | null = null

  constructor(
    network: HostNetwork | null,
    net: NetNamespace,
    kind: HostSocketKind,
    hostFd: HostFd,
  ) {
    super(net, kind.family, kind.type, kind.protocol || defaultProtocol(kind))
    this.network = network
    this.hostFd = hostFd
    this.uid = kind.uid
    network?.add(this)
  }

  /** Have the queue woken when something changes; call this before the last look. */
  watch(): void {
    if (this.#watching) return
    this.#watching = true
    this.kernel.hostEvents.watch(this.hostFd, WATCHED | EDGES, this)
  }

  onHostEvent(events: number): void {
    const all = complete(events)
    // An urgent byte has come; its edge comes once.
    if ((events & POLLPRI) !== 0 && this.file !== null) signalUrgent(this.file)
    this.#known |= all
    this.wake((events & (POLLERR | POLLHUP)) !== 0 ? 0 : all)
  }

  /** Tell those who wait. */
  protected wake(events: number): void {
    this.queue.wake(events)
  }

  /** A call may have used up what was known. */
  forget(events: number): void {
    this.#known &= ~events
  }

  override bind(task: Task, address: Uint8Array, length: number): number {
    if (isPrivileged(this, address, length) && !task.creds.capable(CAP_NET_BIND_SERVICE))
      return -EACCES
    return socketBind(this.hostFd, address, length)
  }

  /** The host's connect(2) tells each time how far it is: that makes it one to call again. */
  override connect(_task: Task, address: Uint8Array, length: number, file: File): number {
    this.#known = 0
    const n = socketConnect(this.hostFd, address, length)
    if ((n !== -EINPROGRESS && n !== -EALREADY) || file.nonblocking) return n
    if (this.#watching) return -EAGAIN
    this.watch()
    return -EAGAIN
  }

  override listen(_task: Task, backlog: number): number {
    this.#known = 0
    const n = socketListen(this.hostFd, backlog)
    if (n === 0) this.#listening = true
    return n
  }

  override accept(_task: Task): Socket | number {
    if (this.network?.full) return -ENFILE
    const from = new Uint8Array(MAX_ADDRESS)
    this.#known = 0
    const fd = socketAccept(this.hostFd, from, lengths)
    if (fd === -EAGAIN) this.watch()
    if (fd < 0) return hostError(fd)
    const accepted = new HostSocket(this.network, this.net, this, fd)
    accepted.#peer = from.subarray(0, lengths[0])
    accepted.lingerOn = this.lingerOn
    accepted.lingerSeconds = this.lingerSeconds
    accepted.sendTimeoutNs = this.sendTimeoutNs
    accepted.receiveTimeoutNs = this.receiveTimeoutNs
    return accepted
  }

  override send(task: Task, message: Message): number {
    return sendToHost(this, task, message)
  }

  override receive(task: Task, message: Message): number {
    return receiveFromHost(this, task, message)
  }

  /** What has come from the host, before the program sees it. */
  received(_bytes: Uint8Array, _length: number): void {}

  override shutdown(how: number): number {
    this.#known = 0
    const n = socketShutdown(this.hostFd, how)
    // SHUT_RD, SHUT_WR, SHUT_RDWR, as the bits RCV_SHUTDOWN and SEND_SHUTDOWN.
    if (n === 0) this.#shut |= how + 1
    return n
  }

  /** The directions in which nothing comes any more, as the bits RCV_SHUTDOWN and SEND_SHUTDOWN. */
  get shut(): number {
    const events = hostPoll(this.hostFd, POLLRDHUP, 0)
    if (events > 0 && (events & POLLHUP) !== 0 && !this.#listening) return 3
    return this.#shut | (events > 0 && (events & POLLRDHUP) !== 0 ? 1 : 0)
  }

  override ownAddress(into: Uint8Array): number {
    const n = socketName(this.hostFd, into, lengths)
    return n < 0 ? n : lengths[0]!
  }

  /** The peer that accept4 has told serves once: it may be gone by now, and accept(2) tells it all the same. */
  override peerAddress(into: Uint8Array): number {
    if (this.#peer !== null) {
      const { length } = this.#peer
      into.set(this.#peer)
      this.#peer = null
      return length
    }
    const n = socketPeer(this.hostFd, into, lengths)
    return n < 0 ? n : lengths[0]!
  }

  override unread(): number {
    return socketNumber(this.hostFd, FIONREAD)
  }

  override unsent(): number {
    return socketNumber(this.hostFd, SIOCOUTQ)
  }

  override get listening(): boolean {
    return this.#listening
  }

  override ownsOption(name: number): boolean {
    return isHostOption(name)
  }

  override setOption(
    task: Task,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ): number {
    this.#known = 0
    return setHostOption(this, task, level, name, value, length)
  }

  override getOption(
    _task: Task,
    level: number,
    name: number,
    into: Uint8Array,
    room: number,
  ): number {
    this.#known = 0
    return getHostOption(this, level, name, into, room)
  }

  override ioctl(file: File, task: Task, request: number, arg: number): number {
    if (request !== SIOCATMARK) return super.ioctl(file, task, request, arg)
    const n = socketNumber(this.hostFd, request)
    if (n < 0) return n
    const { scratch, scratchView } = task.kernel
    scratchView.setInt32(0, n, true)
    return task.mm.copyResult(task, arg, scratch, 0, 4)
  }

  override poll(_file?: File): number {
    this.watch()
    // Both directions are open still: nothing to ask.
    const both = POLLIN | POLLOUT
    if ((this.#known & both) === both) return this.#known
    const events = hostPoll(this.hostFd, WATCHED, 0)
    return events < 0 ? POLLERR : complete(events)
  }

  override close(): void {
    if (this.#watching) this.kernel.hostEvents.unwatch(this.hostFd)
    this.network?.remove(this)
    close(this.hostFd)
  }
}

function defaultProtocol({ family, type }: HostSocketKind): number {
  if (family !== AF_INET && family !== AF_INET6) return 0
  if (type === SOCK_STREAM) return IPPROTO_TCP
  return type === SOCK_DGRAM ? IPPROTO_UDP : 0
}

/** poll(2)'s names for the same things. */
function complete(events: number): number {
  return (
    events |
    ((events & POLLIN) !== 0 ? POLLRDNORM : 0) |
    ((events & POLLOUT) !== 0 ? POLLWRNORM : 0)
  )
}

/** Whether a port of the address is reserved. The host would let the sentry have it, for any program. */
function isPrivileged(socket: HostSocket, address: Uint8Array, length: number): boolean {
  if (length < 4 || socket.type === SOCK_RAW) return false
  if (socket.family !== AF_INET && socket.family !== AF_INET6) return false
  const port = (address[2]! << 8) | address[3]!
  return port !== 0 && port < (socket.network?.facts.unprivilegedPorts ?? 0)
}
