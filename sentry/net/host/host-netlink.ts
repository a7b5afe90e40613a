// NETLINK_ROUTE of --network=host: the host's kernel answers for the network namespace. It also decides what may be
// asked of it: the sentry has no right to change anything there. Port numbers are the sandbox's own, since the host's
// belong to whatever else lives in the namespace.

import { type HostFd, socketBind, socketName } from '../../../native/index.ts'
import { EAGAIN, EFAULT, EINVAL, ENFILE, ENODATA, EPERM } from '../../../syscall-table/errno.ts'
import {
  AF_NETLINK,
  MSG_PEEK,
  MSG_TRUNC,
  POLLIN,
  POLLRDNORM,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import type { Message } from '../message.ts'
import { HEADER_SIZE } from '../netlink/message.ts'
import {
  givePortBack,
  parsed,
  parseName,
  SOCKADDR_NL_SIZE,
  takePort,
  writeName,
} from '../netlink/names.ts'
import type { Socket } from '../socket.ts'
import { HostSocket, hostError } from './host-socket.ts'
import type { HostNetwork } from './network.ts'

const PORT_AT = 12
const name = new Uint8Array(SOCKADDR_NL_SIZE)
const lengths = new Int32Array(1)

export function makeHostNetlink(
  network: HostNetwork,
  task: Task,
  type: number,
  protocol: number,
): Socket | number {
  if (network.full) return -ENFILE
  const fd = network.opener.open(AF_NETLINK, type, protocol)
  if (fd < 0) return hostError(fd)
  return new HostNetlinkSocket(network, task, type, protocol, fd)
}

export class HostNetlinkSocket extends HostSocket {
  /** What this kernel itself has sent, and has not been read. */
  readonly #own: Uint8Array[] = []
  #bound = false
  #port = 0
  #hostPort = 0

  constructor(network: HostNetwork, task: Task, type: number, protocol: number, fd: HostFd) {
    super(
      network,
      task.nsproxy.net,
      { family: AF_NETLINK, type, protocol, uid: task.creds.uid },
      fd,
    )
  }

  override bind(task: Task, address: Uint8Array, length: number): number {
    const n = parseName(address, length)
    if (n < 0) return n
    const { port, groups } = parsed
    if (this.#bound && port !== this.#port) return -EINVAL
    return this.#bind(task, port, groups)
  }

  /** The host chooses its own number. */
  #bind(task: Task, wanted: number, groups: number): number {
    let port = this.#port
    if (!this.#bound) {
      port = takePort(task, this, wanted)
      if (port < 0) return port
    }
    writeName(this.#hostPort, groups, name)
    let n = socketBind(this.hostFd, name, SOCKADDR_NL_SIZE)
    if (n === 0) n = socketName(this.hostFd, name, lengths)
    if (n < 0) {
      if (!this.#bound) givePortBack(this, port)
      return n
    }
    this.#hostPort = new DataView(name.buffer).getUint32(4, true)
    this.#port = port
    this.#bound = true
    return 0
  }

  /** There is nobody to connect to but the kernel, with which each socket begins. */
  override connect(task: Task, address: Uint8Array, length: number, _file: File): number {
    if (length < 2) return -EINVAL
    if ((address[0]! | (address[1]! << 8)) === 0) return 0
    const n = parseName(address, length)
    if (n < 0) return n
    if (parsed.port !== 0 || parsed.groups !== 0) return -EPERM
    return this.#bound ? 0 : this.#bind(task, 0, 0)
  }

  override send(task: Task, message: Message): number {
    if (message.nameLength > 0) {
      const n = parseName(message.name, message.nameLength)
      if (n < 0) return n
      if (parsed.port !== 0 || parsed.groups !== 0) return -EPERM
      message.nameLength = 0
    }
    if (message.io.remaining === 0) return -ENODATA
    if (!this.#bound && this.#bind(task, 0, 0) < 0) return -EAGAIN
    return super.send(task, message)
  }

  /** Answers name the port that was asked from. */
  override received(bytes: Uint8Array, length: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, length)
    for (let at = 0; at + HEADER_SIZE <= length; ) {
      const size = view.getUint32(at, true)
      if (view.getUint32(at + PORT_AT, true) === this.#hostPort)
        view.setUint32(at + PORT_AT, this.#port, true)
      if (size < HEADER_SIZE || size > length - at) return
      at += (size + 3) & ~3
    }
  }

  /** Queue a datagram of this kernel, which comes before those of the host: the cookies of mq_notify(2). */
  reply(datagram: Uint8Array): void {
    this.#own.push(datagram)
    this.queue.wake(POLLIN | POLLRDNORM)
  }

  override receive(task: Task, message: Message): number {
    const datagram = this.#own[0]
    if (datagram === undefined) return super.receive(task, message)
    const { io, flags } = message
    const want = Math.min(io.remaining, datagram.length)
    if (want > 0 && io.put(datagram, 0, want) < want) return -EFAULT
    message.nameLength = writeName(0, 0, message.name)
    if (want < datagram.length) message.outFlags |= MSG_TRUNC
    if ((flags & MSG_PEEK) === 0) this.#own.shift()
    return (flags & MSG_TRUNC) !== 0 ? datagram.length : want
  }

  override poll(file?: File): number {
    const events = super.poll(file)
    return this.#own.length > 0 ? events | POLLIN | POLLRDNORM : events
  }

  override ownAddress(into: Uint8Array): number {
    const n = super.ownAddress(into)
    if (n >= SOCKADDR_NL_SIZE)
      new DataView(into.buffer, into.byteOffset).setUint32(4, this.#port, true)
    return n
  }

  override peerAddress(into: Uint8Array): number {
    return writeName(0, 0, into)
  }

  override close(): void {
    if (this.#bound) givePortBack(this, this.#port)
    super.close()
  }
}
