// --network=host: sockets of AF_INET and AF_INET6 are sockets of the host's kernel, in the network namespace that the
// container was given. The Sentry has them opened and moves them; what they mean is the host's business.

import type { HostFd } from '../../../native/index.ts'
import {
  close,
  HOST_SOCKET_IOCTLS,
  interfaceList,
  interfaceRequest,
  latin1,
  pread,
} from '../../../native/index.ts'
import { EFAULT, EINVAL, ENFILE, ENOTTY, EPERM } from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  CAP_NET_RAW,
  SIOCGIFCONF,
  SIOCGIFFLAGS,
  SIOCGIFHWADDR,
  SIOCGIFNAME,
  SIOCSIFADDR,
  SIOCSIFFLAGS,
  SIOCSIFMTU,
  SIOCSIFNETMASK,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { NO_PROTOCOL, NO_TYPE, type Socket } from '../socket.ts'
import { HostSocket, hostError } from './host-socket.ts'
import type { SocketOpener } from './opener.ts'

const IFREQ_SIZE = 40
const NAME_SIZE = 16
/** Most bytes that SIOCGIFCONF lists. */
const MAX_LIST = 64 * 1024
const MAX_PROTOCOL = 255
const TABLE_PIECE = 64 * 1024
/** A host may have more connections than fit into a string that programs read with profit. */
const MAX_TABLE = 4 << 20
const CHANGES = new Set([SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFMTU, SIOCSIFNETMASK])
const REQUESTS = new Set(HOST_SOCKET_IOCTLS)

const ifreq = new Uint8Array(IFREQ_SIZE)
const ifreqView = new DataView(ifreq.buffer)

/** What is found out, and opened, where the host's files can be seen. */
export interface HostNetworkFacts {
  /** net.ipv4.ip_unprivileged_port_start. */
  unprivilegedPorts: number
  /** Values below /proc/sys, by path: those that the namespace has by itself, or was given. */
  tunables: ReadonlyMap<string, string>
  /** Open files of /proc/net, by name: each is read anew from its start. */
  tables: ReadonlyMap<string, HostFd>
}

/** All sockets of the host that a sandbox has, in whatever namespace. */
export interface SocketBudget {
  used: number
  readonly max: number
}

/** A network namespace of the host, as the kernel reaches it. */
export class HostNetwork {
  readonly facts: HostNetworkFacts
  readonly opener: SocketOpener
  readonly budget: SocketBudget
  /** All open sockets of this namespace. */
  readonly sockets = new Set<HostSocket>()
  /** A socket that is good for questions only. */
  #control: HostFd
  #released = false

  /** Takes over the descriptors of both. */
  constructor(facts: HostNetworkFacts, opener: SocketOpener, budget: SocketBudget) {
    this.facts = facts
    this.opener = opener
    this.budget = budget
    this.#control = opener.open(AF_INET, SOCK_DGRAM, 0)
  }

  get full(): boolean {
    return this.budget.used >= this.budget.max
  }

  add(socket: HostSocket): void {
    this.sockets.add(socket)
    this.budget.used++
  }

  remove(socket: HostSocket): void {
    if (this.sockets.delete(socket)) this.budget.used--
  }

  /** Nobody lives in the namespace any more; sockets of it may be open still. */
  release(): void {
    this.#released = true
    this.opener.release()
    if (this.#control >= 0) close(this.#control)
    this.#control = -1
    for (const fd of this.facts.tables.values()) close(fd)
  }

  /** The requests of netdevice(7) that any socket takes; -ENOTTY for others. */
  interfaceIoctl(task: Task, command: number, arg: number): number {
    if (command === SIOCGIFCONF) return this.#list(task, arg)
    if (CHANGES.has(command)) return -EPERM
    if (!REQUESTS.has(command) || command < SIOCGIFNAME) return -ENOTTY
    const { scratch } = task.kernel
    if (task.mm.copyIn(task, arg, scratch, 0, IFREQ_SIZE) < 0) return -EFAULT
    const n = interfaceRequest(this.#control, command, scratch)
    return n < 0 ? n : task.mm.copyResult(task, arg, scratch, 0, IFREQ_SIZE)
  }

  /** An ifreq of one interface, answered; -errno. */
  #ask(name: string, request: number): number {
    ifreq.fill(0)
    ifreq.set(Buffer.from(name.slice(0, NAME_SIZE - 1), 'latin1'))
    return interfaceRequest(this.#control, request, ifreq)
  }

  /** A number that a request of netdevice(7) tells of an interface: index, MTU, queue length, flags. */
  interfaceNumber(name: string, request: number): number {
    const n = this.#ask(name, request)
    if (n < 0) return n
    return request === SIOCGIFFLAGS
      ? ifreqView.getUint16(NAME_SIZE, true)
      : ifreqView.getInt32(NAME_SIZE, true)
  }

  /** ARPHRD_* and the address of its kind. */
  hardware(name: string): { type: number; address: Uint8Array } | undefined {
    if (this.#ask(name, SIOCGIFHWADDR) < 0) return undefined
    const at = NAME_SIZE + 2
    return { type: ifreqView.getUint16(NAME_SIZE, true), address: ifreq.slice(at, at + 6) }
  }

  /** struct ifconf, whose buffer is elsewhere in the program's memory. */
  #list(task: Task, arg: number): number {
    const { scratch, scratchView, bounce } = task.kernel
    if (task.mm.copyIn(task, arg, scratch, 0, 16) < 0) return -EFAULT
    const room = scratchView.getInt32(0, true)
    const at = scratchView.getUint32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
    if (at !== 0 && room < 0) return -EINVAL
    const n = interfaceList(this.#control, bounce, at === 0 ? 0 : Math.min(room, MAX_LIST))
    if (n < 0) return n
    if (at !== 0 && n > 0 && task.mm.copyOut(task, at, bounce, 0, n) < 0) return -EFAULT
    scratchView.setInt32(0, n, true)
    return task.mm.copyResult(task, arg, scratch, 0, 4)
  }

  /** The present text of a table of /proc/net; undefined when the host has none. */
  table(name: string): string | undefined {
    const fd = this.facts.tables.get(name)
    if (fd === undefined || this.#released) return undefined
    const piece = new Uint8Array(TABLE_PIECE)
    let text = ''
    while (text.length < MAX_TABLE) {
      const n = pread(fd, piece, 0, piece.length, text.length)
      if (n <= 0) break
      text += latin1(piece, 0, n)
    }
    return text
  }
}

/** A socket of AF_INET or AF_INET6. */
export function makeHostSocket(
  network: HostNetwork,
  task: Task,
  family: number,
  type: number,
  protocol: number,
): Socket | number {
  if (type !== SOCK_STREAM && type !== SOCK_DGRAM && type !== SOCK_RAW) return NO_TYPE
  if (protocol < 0) return -EINVAL
  if (protocol > MAX_PROTOCOL) return NO_PROTOCOL
  if (type === SOCK_RAW && !task.creds.capable(CAP_NET_RAW)) return -EPERM
  if (network.full) return -ENFILE
  const fd = network.opener.open(family, type, protocol)
  if (fd < 0) return hostError(fd)
  return new HostSocket(
    network,
    task.nsproxy.net,
    { family, type, protocol, uid: task.creds.uid },
    fd,
  )
}
