// What TCP and UDP sockets share: addresses, binding, options. net/ipv4/af_inet.c, net/ipv6/af_inet6.c.

import { EADDRNOTAVAIL, EAGAIN, EINVAL, ENETUNREACH } from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import { SegmentQueue, type Sender } from '../segment-queue.ts'
import { Socket } from '../socket.ts'
import {
  ANY4,
  ANY6,
  destination,
  isAny,
  isLoopback,
  isV4,
  parseAddress,
  parsed,
  writeAddress,
} from './address.ts'
import { InetOptions } from './options.ts'
import { type Ports, portsOf, takesAddress } from './ports.ts'

export const READABLE = POLLIN | POLLRDNORM
export const WRITABLE = POLLOUT | POLLWRNORM | POLLWRBAND
export const ANY_CHANGE = READABLE | WRITABLE | POLLHUP | POLLERR | POLLRDHUP

export abstract class InetSocket extends Socket implements Sender {
  /** The socket's address and port; port 0 is not bound. */
  ip: number
  port = 0
  /** The peer's. */
  peerIp: number
  peerPort = 0
  /** Whether the program has chosen the address or the port, which then outlive a connection. */
  boundIp = false
  boundPort = false
  /** Who made it: sockets of one user may share a port. */
  readonly uid: number
  readonly name = ''
  inFlight = 0
  noReceive = false
  noSend = false
  /** Data that has been sent to this socket. */
  readonly incoming = new SegmentQueue()
  readonly inetOptions: InetOptions
  readonly ports: Ports
  /** Closed: nobody will read or write here again. */
  dead = false

  constructor(net: NetNamespace, family: number, type: number, protocol: number, uid: number) {
    super(net, family, type, protocol)
    this.uid = uid
    this.ip = this.peerIp = family === AF_INET ? ANY4 : ANY6
    this.inetOptions = new InetOptions(family, protocol)
    this.ports = portsOf(net, protocol)
  }

  abstract get mayWrite(): boolean

  get v6only(): boolean {
    return this.family === AF_INET6 && this.inetOptions.get(IPPROTO_IPV6, IPV6_V6ONLY) !== 0
  }

  /** Whether packets to `ip` are for this socket. */
  takes(ip: number): boolean {
    return takesAddress(this.ip, ip, this.v6only)
  }

  override bind(task: Task, address: Uint8Array, length: number): number {
    let n = parseAddress(this.family, address, length)
    if (n < 0) return n
    const { ip, port } = parsed
    if (this.family === AF_INET6 && isV4(ip) && this.v6only) return -EINVAL
    if (!isAny(ip) && !isLoopback(ip)) return -EADDRNOTAVAIL
    if (this.port !== 0 || !this.mayBind) return -EINVAL
    const before = this.ip
    this.ip = ip
    n = this.ports.bind(task, this, port)
    if (n < 0) this.ip = before
    else {
      this.boundIp = !isAny(ip)
      this.boundPort = port !== 0
    }
    return n
  }

  protected abstract get mayBind(): boolean

  /** Take a port of the kernel's choice, unless there is one: inet_autobind. */
  autobind(task: Task): number {
    return this.port !== 0 ? 0 : this.ports.bind(task, this, 0) < 0 ? -EAGAIN : 0
  }

  /** Give the port back. */
  unbind(): void {
    if (this.port === 0) return
    this.ports.remove(this)
    this.port = 0
  }

  /** What `parseAddress` has found, as where a packet of this socket goes: `parsed`, or -ENETUNREACH. */
  protected route(): number {
    const { ip } = parsed
    if (this.family === AF_INET6 && isV4(ip) && this.v6only) return -ENETUNREACH
    // A socket that is bound to an address of one version has no way to the other.
    if (this.ip !== ANY6 && isV4(this.ip) !== isV4(ip) && !isAny(ip)) return -ENETUNREACH
    parsed.ip = destination(ip)
    return isLoopback(parsed.ip) ? 0 : -ENETUNREACH
  }

  override ownAddress(into: Uint8Array): number {
    return writeAddress(this.family, this.ip, this.port, into)
  }

  override setOption(
    _task: Task,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ): number {
    // The version is decided when the socket gets its address.
    const only = level === IPPROTO_IPV6 && name === IPV6_V6ONLY
    if (only && this.family === AF_INET6 && this.port !== 0) return -EINVAL
    return this.inetOptions.set(level, name, value, length)
  }

  override getOption(
    _task: Task,
    level: number,
    name: number,
    into: Uint8Array,
    _room: number,
  ): number {
    return this.inetOptions.read(level, name, into)
  }

  /** An error that the next call reports. */
  fail(error: number): void {
    this.error = error
    this.queue.wake(ANY_CHANGE)
  }

  /** Take the pending error: 0 or -errno. */
  takeError(): number {
    const { error } = this
    this.error = 0
    return -error
  }
}
