// NETLINK_ROUTE where the loopback interface is all there is: rtnetlink(7), net/core/rtnetlink.c. Everything can be
// asked, in Linux's terms; nothing can be changed.

import {
  EBADF,
  EEXIST,
  EINVAL,
  ENETUNREACH,
  ENODEV,
  ENOENT,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
} from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  CAP_NET_ADMIN,
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_RUNNING,
  IFF_UP,
} from '../../../syscall-table/flags.ts'
import { namespaceOfFile } from '../../fs/nsfs.ts'
import { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import { ip4At, writeIp4 } from '../inet/address.ts'
import {
  addAddress,
  addedAddresses,
  addedSource,
  isLocal,
  networkOf,
  removeAddress,
} from '../inet/local.ts'
import {
  attributeOf,
  HEADER_SIZE,
  MessageWriter,
  NLM_F_DUMP,
  NLM_F_MULTI,
  NLMSG_DONE,
  type Request,
} from './message.ts'
import type { NetlinkSocket } from './netlink-socket.ts'

const RTM_NEWLINK = 16
const RTM_SETLINK = 19
const RTM_GETLINK = 18
const RTM_DELLINK = 17
const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const RTM_GETADDR = 22
const RTM_NEWROUTE = 24
const RTM_GETROUTE = 26
const RTM_NEWRULE = 32
const RTM_GETRULE = 34
const RTM_NEWNSID = 88
const RTM_GETNSID = 90
const IFLA_GROUP = 27
const NETNSA_NSID = 1
const NETNSA_PID = 2
const NETNSA_FD = 3
const NOT_ASSIGNED = -1
/** rtm_flags of a route that was looked up: RTM_F_CLONED, and RTCF_LOCAL of one to this machine. */
const LOOKED_UP = 0x80000200
/** Tables that are there and empty: neighbours, queueing, classes, filters, multicast, anycast, labels, namespaces, next hops. */
const EMPTY = new Set([30, 38, 42, 46, 58, 62, 66, 74, 90, 106])
const LAST_TYPE = 123

const LO = 1
const LO_FLAGS = IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_LOWER_UP
const ARPHRD_LOOPBACK = 772
const NO_HARDWARE_ADDRESS = new Uint8Array(6)
const FOREVER = Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0)
const IFA_F_PERMANENT = 0x80
/** sizeof(struct rta_cacheinfo). */
const CACHE_INFO_SIZE = 32
const SCOPE_HOST = 254
const SCOPE_UNIVERSE = 0
const SCOPE_LINK = 253
const TABLE_LOCAL = 255
const TABLE_MAIN = 254
const TABLE_DEFAULT = 253
const PROTO_KERNEL = 2
const TYPE_LOCAL = 2
const TYPE_BROADCAST = 3

const IP4 = { loopback: Uint8Array.of(127, 0, 0, 1) }
const IP6_LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)

const NLM_F_EXCL = 0x200
const NLM_F_CREATE = 0x400
const NLM_F_REPLACE = 0x100

const writer = new MessageWriter()

/** Answer one request. */
export function handleRoute(socket: NetlinkSocket, task: Task, request: Request): number {
  const { type } = request
  if (type > LAST_TYPE) return -EOPNOTSUPP
  // Types come in fours: new, delete, get, set.
  if (type % 4 !== 2) return change(task, request)
  const family = request.bytes[HEADER_SIZE]
  if (family === undefined) return -EINVAL
  const dump = (request.flags & NLM_F_DUMP) !== 0
  const answer = new Answer(socket, request, dump ? NLM_F_MULTI : 0)
  if (type === RTM_GETLINK) return dump ? answer.link().finish() : oneLink(answer, request)
  if (type === RTM_GETROUTE && !dump) return oneRoute(answer, task, request, family)
  if (type === RTM_GETNSID && !dump) return namespaceId(answer, task, request)
  if (!dump) return -EOPNOTSUPP
  switch (type) {
    case RTM_GETADDR:
      return answer.addresses(task.nsproxy.net, family).finish()
    case RTM_GETROUTE:
      return answer.routes(task.nsproxy.net, family).finish()
    case RTM_GETRULE:
      return answer.rules(family).finish()
    default:
      return EMPTY.has(type) ? answer.finish() : -EOPNOTSUPP
  }
}

/** rtnl_net_getid: no other network namespace has a number in this one. */
function namespaceId(answer: Answer, task: Task, request: Request): number {
  const at = HEADER_SIZE + 4
  const pid = intAttribute(request, at, NETNSA_PID)
  const fd = intAttribute(request, at, NETNSA_FD)
  if (pid !== undefined) {
    if (task.pidNs.pids.get(pid) === undefined) return -ESRCH
  } else if (fd !== undefined) {
    const file = task.files.get(fd)
    if (file === undefined) return -EBADF
    if (!(namespaceOfFile(file) instanceof NetNamespace)) return -EINVAL
  } else if (intAttribute(request, at, NETNSA_NSID) === undefined) return -EINVAL
  else return -ENOENT
  return answer.namespace(NOT_ASSIGNED).send()
}

function intAttribute(request: Request, at: number, type: number): number | undefined {
  const bytes = attributeOf(request, at, type)
  if (bytes === undefined || bytes.length < 4) return undefined
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true)
}

/** What a privileged program may do is to ask for what is so already. */
function change(task: Task, request: Request): number {
  if (!task.creds.capableIn(task.nsproxy.net.owner!, CAP_NET_ADMIN)) return -EPERM
  const { type, bytes, view } = request
  if (type === RTM_NEWADDR || type === RTM_DELADDR) return changeAddress(task, request)
  if (type === RTM_DELLINK) return deleteLink(request)
  if ((type !== RTM_NEWLINK && type !== RTM_SETLINK) || bytes.length < HEADER_SIZE + 16)
    return -EOPNOTSUPP
  const named = attributeOf(request, HEADER_SIZE + 16, 3)
  const index = view.getInt32(HEADER_SIZE + 4, true)
  if (type === RTM_SETLINK && index > 0 && index !== LO) return -ENODEV
  if (index !== LO && (named === undefined || !isLo(named)))
    return absentLink(request, index, named !== undefined)
  const flags = view.getUint32(HEADER_SIZE + 8, true)
  const changed = view.getUint32(HEADER_SIZE + 12, true)
  return ((flags ^ LO_FLAGS) & changed) === 0 ? 0 : -EOPNOTSUPP
}

/** __rtnl_newlink of an interface that is not there: none can be made, of whatever kind. */
function absentLink(request: Request, index: number, named: boolean): number {
  if (index < 0) return -EINVAL
  const { type, flags } = request
  const create = type === RTM_NEWLINK && (flags & NLM_F_CREATE) !== 0
  // Neither a number nor a name, but a group of interfaces.
  const grouped = !named && index === 0 && attributeOf(request, HEADER_SIZE + 16, IFLA_GROUP)
  return create || grouped ? -EOPNOTSUPP : -ENODEV
}

/** Nobody can delete lo, and there is nothing else. */
function deleteLink({ bytes, view }: Request): number {
  if (bytes.length < HEADER_SIZE + 16) return -EINVAL
  const index = view.getInt32(HEADER_SIZE + 4, true)
  const named = bytes.length > HEADER_SIZE + 16
  if (index === LO) return -EOPNOTSUPP
  return index > 0 || named ? -ENODEV : -EINVAL
}

/** An address of lo comes or goes: struct ifaddrmsg. */
function changeAddress(task: Task, request: Request): number {
  const { bytes, view, type, flags } = request
  if (bytes.length < HEADER_SIZE + 8) return -EINVAL
  const family = bytes[HEADER_SIZE]
  const bits = bytes[HEADER_SIZE + 1]!
  const local = attributeOf(request, HEADER_SIZE + 8, 2)
  const address = local ?? attributeOf(request, HEADER_SIZE + 8, 1)
  if (view.getUint32(HEADER_SIZE + 4, true) !== LO) return -ENODEV
  if (address === undefined) return -EINVAL
  if (isOwnAddress(family, bits, address))
    return type === RTM_NEWADDR ? nameLoopback(task, flags) : -EOPNOTSUPP
  // LIMIT: no further addresses of IPv6.
  if (family !== AF_INET) return -EOPNOTSUPP
  if (bits > 32 || address.length !== 4) return -EINVAL
  const { net } = task.nsproxy
  const ip = ip4At(address, 0)
  if (type === RTM_DELADDR) return removeAddress(net, ip, bits)
  if (local === undefined) return -EINVAL
  const replace = (flags & NLM_F_REPLACE) !== 0 && (flags & NLM_F_EXCL) === 0
  return addAddress(net, ip, bits, replace)
}

function isOwnAddress(family: number | undefined, bits: number, address: Uint8Array): boolean {
  const known = family === AF_INET ? IP4.loopback : IP6_LOOPBACK
  return bits === (family === AF_INET ? 8 : 128) && known.every((byte, i) => address[i] === byte)
}

/**
 * The addresses of lo are there from the start, where on Linux the first program of a network namespace gives it one:
 * that program is told that it did.
 */
function nameLoopback({ nsproxy }: Task, flags: number): number {
  const first = !nsproxy.net.loopbackNamed
  nsproxy.net.loopbackNamed = true
  return first || (flags & NLM_F_EXCL) === 0 ? 0 : -EEXIST
}

function isLo(name: Uint8Array): boolean {
  return Buffer.from(name).toString('latin1').split('\0')[0] === 'lo'
}

function oneLink(answer: Answer, request: Request): number {
  const { bytes, view } = request
  if (bytes.length < HEADER_SIZE + 16) return -EINVAL
  const index = view.getInt32(HEADER_SIZE + 4, true)
  // IFLA_IFNAME and IFLA_ALT_IFNAME.
  const name =
    attributeOf(request, HEADER_SIZE + 16, 3) ?? attributeOf(request, HEADER_SIZE + 16, 53)
  if (index === 0 && name === undefined) return -EINVAL
  if (index < 0) return -EINVAL
  if (index !== 0 ? index !== LO : !isLo(name!)) return -ENODEV
  return answer.link().send()
}

/** The way to one destination. */
function oneRoute(answer: Answer, task: Task, request: Request, family: number): number {
  const { net } = task.nsproxy
  if (request.bytes.length < HEADER_SIZE + 12) return -EINVAL
  const to = attributeOf(request, HEADER_SIZE + 12, 1)
  if (family === AF_INET6) {
    if (to === undefined || !IP6_LOOPBACK.every((byte, i) => to[i] === byte)) return -ENETUNREACH
    return answer
      .route({ family, bits: 128, table: TABLE_LOCAL, type: TYPE_LOCAL, to, from: to, metric: 0 })
      .send()
  }
  if (family !== AF_INET) return -EOPNOTSUPP
  // Without a destination it is 0.0.0.0, which is this machine.
  const target = to === undefined || to.length < 4 ? new Uint8Array(4) : to
  const ip = ip4At(target, 0)
  if (ip !== 0 && !isLocal(net, ip)) return -ENETUNREACH
  const source = addedSource(net, ip)
  const from = source === undefined ? IP4.loopback : ip4Bytes(source)
  const uid = task.creds.userNs.showUid(task.creds.uid)
  return answer.lookedUp(target, from, uid).send()
}

interface Route {
  family: number
  bits: number
  table: number
  type: number
  to: Uint8Array
  from?: Uint8Array
  metric?: number
}

/** The reply to one request: messages, and for a dump the one that ends it in a datagram of its own, as on Linux. */
class Answer {
  readonly #socket: NetlinkSocket
  readonly #request: Request
  readonly #flags: number

  constructor(socket: NetlinkSocket, request: Request, flags: number) {
    this.#socket = socket
    this.#request = request
    this.#flags = flags
    writer.length = 0
  }

  #begin(type: number): MessageWriter {
    return writer.begin(type, this.#flags, this.#request.sequence, this.#socket.port)
  }

  send(): number {
    if (writer.length > 0) this.#socket.reply(writer.take())
    return 0
  }

  finish(): number {
    this.send()
    this.#begin(NLMSG_DONE).u32(0).end()
    return this.send()
  }

  link(): this {
    this.#begin(RTM_NEWLINK)
    writer.u8(AF_UNSPEC, 0).u16(ARPHRD_LOOPBACK).u32(LO).u32(LO_FLAGS).u32(0)
    writer.textAttribute(3, 'lo')
    writer.numberAttribute(13, 1000)
    writer.byteAttribute(16, 0)
    writer.byteAttribute(17, 0)
    writer.numberAttribute(4, 65536)
    for (const type of [50, 51, 27, 30]) writer.numberAttribute(type, 0)
    writer.numberAttribute(31, 1)
    writer.numberAttribute(32, 1)
    writer.byteAttribute(33, 1)
    writer.textAttribute(6, 'noqueue')
    writer.numberAttribute(35, 0)
    writer.attribute(1, NO_HARDWARE_ADDRESS)
    writer.attribute(2, NO_HARDWARE_ADDRESS)
    // struct rtnl_link_stats64 and rtnl_link_stats: the kernel counts no packets.
    writer.attribute(23, new Uint8Array(25 * 8))
    writer.attribute(7, new Uint8Array(24 * 4))
    writer.end()
    return this
  }

  /** Of a family that has none, Linux tells those of all. */
  addresses(net: NetNamespace, family: number): this {
    const all = family !== AF_INET && family !== AF_INET6
    if (all || family === AF_INET) {
      this.#address(AF_INET, 8, IP4.loopback)
      writer.attribute(2, IP4.loopback)
      writer.textAttribute(3, 'lo')
      writer.end()
      for (const { ip, bits } of addedAddresses(net)) {
        const bytes = ip4Bytes(ip)
        this.#address(AF_INET, bits, bytes, SCOPE_UNIVERSE)
        writer.attribute(2, bytes)
        writer.textAttribute(3, 'lo')
        writer.end()
      }
    }
    if (all || family === AF_INET6) {
      this.#address(AF_INET6, 128, IP6_LOOPBACK)
      writer.end()
    }
    return this
  }

  #address(family: number, bits: number, address: Uint8Array, scope = SCOPE_HOST): void {
    this.#begin(RTM_NEWADDR).u8(family, bits, IFA_F_PERMANENT, scope).u32(LO)
    writer.attribute(1, address)
    writer.numberAttribute(8, IFA_F_PERMANENT)
    writer.attribute(6, FOREVER)
  }

  routes(net: NetNamespace, family: number): this {
    const local = { table: TABLE_LOCAL, type: TYPE_LOCAL, from: IP4.loopback }
    if (family === AF_UNSPEC || family === AF_INET) {
      const inet = { family: AF_INET, ...local }
      this.route({ ...inet, bits: 8, to: Uint8Array.of(127, 0, 0, 0) })
      this.route({ ...inet, bits: 32, to: IP4.loopback })
      const broadcast = Uint8Array.of(127, 255, 255, 255)
      this.route({ ...inet, bits: 32, type: TYPE_BROADCAST, to: broadcast })
      for (const address of addedAddresses(net)) {
        const from = ip4Bytes(address.ip)
        const { bits } = address
        if (bits < 32) this.route({ ...inet, from, bits, to: ip4Bytes(networkOf(address)) })
        this.route({ ...inet, from, bits: 32, to: from })
      }
    }
    if (family === AF_UNSPEC || family === AF_INET6) {
      const inet6 = { family: AF_INET6, bits: 128, to: IP6_LOOPBACK }
      this.route({ ...inet6, table: TABLE_LOCAL, type: TYPE_LOCAL, metric: 0 })
    }
    return this
  }

  route(route: Route): this {
    const { family, bits, table, type, to, from, metric } = route
    this.#begin(RTM_NEWROUTE).u8(family, bits, 0, 0, table, PROTO_KERNEL)
    writer.u8(scopeOf(family, type), type).u32(0)
    writer.numberAttribute(15, table)
    writer.attribute(1, to)
    if (metric !== undefined) writer.numberAttribute(6, metric)
    if (from !== undefined) writer.attribute(7, from)
    writer.numberAttribute(4, LO)
    if (family === AF_INET6) {
      writer.attribute(12, new Uint8Array(CACHE_INFO_SIZE))
      writer.byteAttribute(20, 0)
    }
    writer.end()
    return this
  }

  /** rt_fill_info: the way to one address of IPv4, for a user. It is told as one of the main table. */
  lookedUp(to: Uint8Array, from: Uint8Array, uid: number): this {
    this.#begin(RTM_NEWROUTE).u8(AF_INET, 32, 0, 0, TABLE_MAIN, 0)
    writer.u8(SCOPE_UNIVERSE, TYPE_LOCAL).u32(LOOKED_UP)
    writer.numberAttribute(15, TABLE_MAIN)
    writer.attribute(1, to)
    writer.numberAttribute(4, LO)
    writer.attribute(7, from)
    writer.numberAttribute(25, uid)
    writer.attribute(12, new Uint8Array(CACHE_INFO_SIZE))
    writer.end()
    return this
  }

  namespace(number: number): this {
    this.#begin(RTM_NEWNSID).u8(AF_UNSPEC, 0, 0, 0)
    writer.numberAttribute(NETNSA_NSID, number)
    writer.end()
    return this
  }

  /** Linux's own rules: the tables local, main and default, one after the other. */
  rules(family: number): this {
    for (const each of [AF_INET, AF_INET6]) {
      if (family !== AF_UNSPEC && family !== each) continue
      const tables: [number, number][] = [
        [0, TABLE_LOCAL],
        [32766, TABLE_MAIN],
        [32767, TABLE_DEFAULT],
      ]
      for (const [priority, table] of tables) {
        if (each === AF_INET6 && table === TABLE_DEFAULT) continue
        this.#begin(RTM_NEWRULE).u8(each, 0, 0, 0, table, 0, 0, 1).u32(0)
        writer.numberAttribute(15, table)
        writer.numberAttribute(14, 0xffffffff)
        if (priority > 0) writer.numberAttribute(6, priority)
        writer.byteAttribute(21, PROTO_KERNEL)
        writer.end()
      }
    }
    return this
  }
}

function ip4Bytes(ip: number): Uint8Array {
  const bytes = new Uint8Array(4)
  writeIp4(bytes, 0, ip)
  return bytes
}

function scopeOf(family: number, type: number): number {
  if (family === AF_INET6) return SCOPE_UNIVERSE
  return type === TYPE_BROADCAST ? SCOPE_LINK : SCOPE_HOST
}
