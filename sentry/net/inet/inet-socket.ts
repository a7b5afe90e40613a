// What TCP and UDP sockets share: addresses, binding, options. net/ipv4/af_inet.c, net/ipv6/af_inet6.c.

import {
  EADDRNOTAVAIL,
  EAGAIN,
  EINVAL,
  ENETUNREACH,
  ENOENT,
  ENOTCONN,
  EPERM,
} from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  CAP_NET_ADMIN,
  CAP_NET_RAW,
  IP_FREEBIND,
  IP_HDRINCL,
  IP_MTU,
  IP_MULTICAST_IF,
  IP_NODEFRAG,
  IP_PROTOCOL,
  IP_ROUTER_ALERT,
  IP_TRANSPARENT,
  IPPROTO_IPV6,
  IPV6_FREEBIND,
  IPV6_MTU,
  IPV6_MULTICAST_IF,
  IPV6_TRANSPARENT,
  IPV6_V6ONLY,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
  SIOCGSTAMP_NEW,
  SIOCGSTAMP_OLD,
  SIOCGSTAMPNS_NEW,
  SIOCGSTAMPNS_OLD,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_IP,
  SOL_IPV6,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { File } from '../../vfs/file.ts'
import { SegmentQueue, type Sender } from '../segment-queue.ts'
import { Socket } from '../socket.ts'
import {
  ANY4,
  ANY6,
  BROADCAST4,
  destination,
  isAny,
  isBroadcast,
  isMulticast,
  isV4,
  needsScope,
  parseAddress,
  parsed,
  sourceFor,
  writeAddress,
} from './address.ts'
import { addedSource, isLocal } from './local.ts'
import { Multicast } from './multicast.ts'
import { InetOptions } from './options.ts'
import { type Ports, portsOf, takesAddress } from './ports.ts'

/** The index and the MTU of the only interface, of which a packet of IPv4 cannot use all. */
export const LO = 1
const MTU4 = 65535
const MTU6 = 65536

const STAMP_REQUESTS = new Set([SIOCGSTAMP_OLD, SIOCGSTAMPNS_OLD, SIOCGSTAMP_NEW, SIOCGSTAMPNS_NEW])

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
  #multicast: Multicast | null = null

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

  /** The groups that it is in and sends to. */
  get multicast(): Multicast {
    this.#multicast ??= new Multicast(this.net, this.type === SOCK_STREAM)
    return this.#multicast
  }

  leaveGroups(): void {
    this.#multicast?.leaveAll()
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
    if (needsScope(ip) && parsed.scope === 0 && this.device === 0) return -EINVAL
    n = this.addressError(ip)
    if (n < 0) return n
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

  /** Why the socket cannot be bound to an address; 0 when it can. */
  protected addressError(ip: number): number {
    return this.#mayHave(ip) ? 0 : -EADDRNOTAVAIL
  }

  /** What the clock says. */
  protected now(): { sec: number; nsec: number } {
    const time = { sec: 0, nsec: 0 }
    this.kernel.clock.realtime(time)
    return time
  }

  /** inet_addr_valid_or_nonlocal: an address of this machine or of all, unless the program takes any. */
  #mayHave(ip: number): boolean {
    if (isAny(ip) || isLocal(this.net, ip)) return true
    const v4 = isV4(ip)
    if (isMulticast(ip)) return v4 || this.type !== SOCK_STREAM
    if (ip === BROADCAST4) return true
    const { inetOptions } = this
    return v4 && this.family === AF_INET
      ? inetOptions.on(SOL_IP, IP_FREEBIND) || inetOptions.on(SOL_IP, IP_TRANSPARENT)
      : inetOptions.on(SOL_IPV6, IPV6_FREEBIND) || inetOptions.on(SOL_IPV6, IPV6_TRANSPARENT)
  }

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
    return this.#reaches(parsed.ip) ? 0 : -ENETUNREACH
  }

  /** Groups and broadcasts have no route on lo: the socket says that they go there. */
  #reaches(ip: number): boolean {
    if (this.device !== 0 && this.device !== LO) return false
    if (this.type === SOCK_STREAM) return isLocal(this.net, ip) && !isBroadcast(ip)
    if (isLocal(this.net, ip)) return true
    if (!isV4(ip) || (!isMulticast(ip) && ip !== BROADCAST4)) return false
    const bound = isV4(this.ip) && isLocal(this.net, this.ip)
    return this.device === LO || bound || (isMulticast(ip) && this.multicast.index === LO)
  }

  /** The address that a packet to `ip` comes from. */
  sourceTo(ip: number): number {
    if (isLocal(this.net, this.ip) && !isAny(this.ip) && !isBroadcast(this.ip)) return this.ip
    // The address of lo is for the machine alone: Linux does not choose it by itself for packets to others.
    if (isMulticast(ip) && isV4(ip)) return this.multicast.address
    return ip === BROADCAST4 ? ANY4 : (addedSource(this.net, ip) ?? sourceFor(ip))
  }

  override ownAddress(into: Uint8Array): number {
    return writeAddress(this.family, this.ip, this.port, into)
  }

  override setOption(
    task: Task,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ): number {
    // The version is decided when the socket gets its address.
    const only = level === IPPROTO_IPV6 && name === IPV6_V6ONLY
    if (only && this.family === AF_INET6 && this.port !== 0) return -EINVAL
    if (isTransparent(level, name) && !mayBeTransparent(task)) return -EPERM
    if (level === SOL_IP || (level === SOL_IPV6 && this.family === AF_INET6)) {
      const n = this.multicast.set(level, name, value, length)
      if (n !== undefined) return n
    }
    return this.inetOptions.set(level, name, value, length)
  }

  override getOption(
    _task: Task,
    level: number,
    name: number,
    into: Uint8Array,
    room: number,
  ): number {
    if (
      (level === SOL_IP && name === IP_MTU) ||
      (level === SOL_IPV6 && name === IPV6_MTU && this.family === AF_INET6)
    ) {
      new DataView(into.buffer, into.byteOffset).setInt32(0, level === SOL_IP ? MTU4 : MTU6, true)
      return isAny(this.peerIp) ? -ENOTCONN : 4
    }
    const fact = level === SOL_IP ? this.#ipFact(name) : undefined
    if (fact !== undefined) {
      new DataView(into.buffer, into.byteOffset).setInt32(0, fact, true)
      return room < 4 && room > 0 && fact < 256 ? 1 : 4
    }
    const n = this.#multicast?.get(level, name, into) ?? unset(this.family, level, name, into)
    return n ?? this.inetOptions.read(level, name, into, room)
  }

  /** What the options of IP tell that only raw sockets can set. */
  #ipFact(name: number): number | undefined {
    if (name === IP_HDRINCL || name === IP_ROUTER_ALERT || name === IP_NODEFRAG) return 0
    if (name !== IP_PROTOCOL) return undefined
    return this.type === SOCK_RAW ? this.protocol : this.port
  }

  /** When the last packet came that was read without being told so. */
  protected lastStamp: { sec: number; nsec: number } | null = null

  override ioctl(file: File, task: Task, request: number, arg: number): number {
    if (!STAMP_REQUESTS.has(request)) return super.ioctl(file, task, request, arg)
    const { lastStamp } = this
    if (lastStamp === null) return -ENOENT
    const { scratch, scratchView } = task.kernel
    const { sec, nsec } = lastStamp
    const nanoseconds = request === SIOCGSTAMPNS_OLD || request === SIOCGSTAMPNS_NEW
    scratchView.setUint32(0, sec % 2 ** 32, true)
    scratchView.setUint32(4, Math.floor(sec / 2 ** 32), true)
    scratchView.setUint32(8, nanoseconds ? nsec : Math.floor(nsec / 1000), true)
    scratchView.setUint32(12, 0, true)
    return task.mm.copyResult(task, arg, scratch, 0, 16)
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

/** The answer of a socket that has never had to do with groups. */
function unset(family: number, level: number, name: number, into: Uint8Array): number | undefined {
  if (level === SOL_IP ? name !== IP_MULTICAST_IF : name !== IPV6_MULTICAST_IF) return undefined
  if (level !== SOL_IP && (level !== SOL_IPV6 || family !== AF_INET6)) return undefined
  into.fill(0, 0, 4)
  return 4
}

const isTransparent = (level: number, name: number): boolean =>
  (level === SOL_IP && name === IP_TRANSPARENT) || (level === SOL_IPV6 && name === IPV6_TRANSPARENT)

const mayBeTransparent = ({ creds, nsproxy }: Task): boolean =>
  creds.capableIn(nsproxy.net.owner!, CAP_NET_ADMIN) ||
  creds.capableIn(nsproxy.net.owner!, CAP_NET_RAW)
