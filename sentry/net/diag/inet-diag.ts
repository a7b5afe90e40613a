// Diagnosis of AF_INET and AF_INET6: net/ipv4/inet_diag.c, tcp_diag.c, udp_diag.c, raw_diag.c.

import { EINVAL, ENOENT } from '../../../syscall-table/errno.ts'
import * as f from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { attributeOf, HEADER_SIZE, type Request } from '../netlink/message.ts'
import type { NetlinkSocket } from '../netlink/netlink-socket.ts'
import type { Socket } from '../socket.ts'
import { BOUND_INACTIVE, type Endpoint, factsOf, type InetFacts, socketsOf } from './inet-facts.ts'
import { auditFilter, passesFilter } from './inet-filter.ts'
import {
  begin,
  checkCookie,
  end,
  inodeOf,
  memoryOf,
  optionBytes,
  optionNumber,
  SocketDump,
  writeCookie,
  writer,
} from './reply.ts'

/** struct inet_diag_req_v2 and struct inet_diag_req. */
const REQUEST_SIZE = 56
const OLD_REQUEST_SIZE = 60
const REQ_BYTECODE = 1
const REQ_PROTOCOL = 3

const MEMINFO = 1
const INFO = 2
const CONG = 4
const TOS = 5
const TCLASS = 6
const SKMEMINFO = 7
const SHUTDOWN = 8
const PROTOCOL = 10
const SKV6ONLY = 11
const MARK = 15
const CLASS_ID = 17
const SOCKOPT = 22

const INFO_SIZE = 232
const CONGESTION_SIZE = 16

/** What is asked for, in whatever form. */
interface Query {
  family: number
  protocol: number
  /** A bit for each attribute that is wanted, of the first eight. */
  extensions: number
  states: number
  /** Ports that the sockets must have; 0 is any. */
  ownPort: number
  peerPort: number
  filter: Uint8Array | undefined
  admin: boolean
}

const isAdmin = ({ creds, nsproxy }: Task): boolean =>
  creds.capableIn(nsproxy.net.owner!, f.CAP_NET_ADMIN)

/** Read struct inet_diag_req_v2; -errno when it is none. */
function parse(task: Task, request: Request): Query | number {
  const { bytes, view } = request
  if (bytes.length < HEADER_SIZE + REQUEST_SIZE) return -EINVAL
  const protocol = attributeOf(request, HEADER_SIZE + REQUEST_SIZE, REQ_PROTOCOL)
  if (protocol !== undefined && protocol.length !== 4) return -EINVAL
  const id = HEADER_SIZE + 8
  return {
    family: bytes[HEADER_SIZE]!,
    protocol:
      protocol === undefined
        ? bytes[HEADER_SIZE + 1]!
        : new DataView(protocol.buffer, protocol.byteOffset).getUint32(0, true),
    extensions: bytes[HEADER_SIZE + 2]!,
    states: view.getUint32(HEADER_SIZE + 4, true),
    ownPort: view.getUint16(id),
    peerPort: view.getUint16(id + 2),
    filter: attributeOf(request, HEADER_SIZE + REQUEST_SIZE, REQ_BYTECODE),
    admin: isAdmin(task),
  }
}

/** SOCK_DIAG_BY_FAMILY for both families. */
export function diagnoseInet(socket: NetlinkSocket, task: Task, request: Request): number {
  const query = parse(task, request)
  if (typeof query === 'number') return query
  if ((request.flags & DUMP) !== 0) return dump(socket, task, request, query)
  const found = findOne(task, request, query)
  if (typeof found === 'number') return found
  begin(request, socket.port)
  writeFacts(task, query, found)
  socket.reply(end())
  return 0
}

/** NLM_F_ROOT or NLM_F_MATCH. */
const DUMP = 0x300

/** TCPDIAG_GETSOCK: the same for TCP alone. */
export function diagnoseOld(socket: NetlinkSocket, task: Task, request: Request): number {
  const { bytes, view } = request
  if (bytes.length < HEADER_SIZE + OLD_REQUEST_SIZE) return -EINVAL
  const query: Query = {
    family: bytes[HEADER_SIZE]!,
    protocol: f.IPPROTO_TCP,
    extensions: bytes[HEADER_SIZE + 3]!,
    states: view.getUint32(HEADER_SIZE + 52, true),
    ownPort: view.getUint16(HEADER_SIZE + 4),
    peerPort: view.getUint16(HEADER_SIZE + 6),
    filter: attributeOf(request, HEADER_SIZE + OLD_REQUEST_SIZE, REQ_BYTECODE),
    admin: isAdmin(task),
  }
  if ((request.flags & DUMP) !== 0) return dump(socket, task, request, query)
  const found = find(task, query, request, HEADER_SIZE + 4)
  if (typeof found === 'number') return found
  begin(request, socket.port)
  writeFacts(task, query, found)
  socket.reply(end())
  return 0
}

function dump(socket: NetlinkSocket, task: Task, request: Request, query: Query): number {
  const { filter, admin } = query
  const refused = filter === undefined ? 0 : auditFilter(filter, admin)
  if (refused < 0) return refused
  const sockets = socketsOf(task, query.protocol)
  const write = (each: Socket): boolean => {
    const facts = factsOf(task, each)
    if (facts === null || !isWanted(task, query, facts)) return false
    writeFacts(task, query, facts)
    return true
  }
  const result = sockets === undefined ? -ENOENT : 0
  return socket.dump(request, new SocketDump(request, sockets ?? [], write, result))
}

function isWanted(task: Task, query: Query, facts: InetFacts): boolean {
  const { socket, state, own, peer } = facts
  const { family, states, ownPort, peerPort, filter } = query
  if (((states >>> state) & 1) === 0) return false
  if (family !== f.AF_UNSPEC && socket.family !== family) return false
  if (ownPort !== 0 && own.port !== ownPort) return false
  if (peerPort !== 0 && peer.port !== peerPort) return false
  if (filter === undefined) return true
  const mark = optionNumber(task, socket, f.SOL_SOCKET, f.SO_MARK)
  return passesFilter(filter, socket.family, mark, facts)
}

/** The socket that a request's struct inet_diag_sockid names. */
export function findOne(task: Task, request: Request, query?: Query): InetFacts | number {
  const wanted = query ?? parse(task, request)
  return typeof wanted === 'number' ? wanted : find(task, wanted, request, HEADER_SIZE + 8)
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, i) => b[i] === byte)

function find(task: Task, query: Query, request: Request, id: number): InetFacts | number {
  const sockets = socketsOf(task, query.protocol)
  if (sockets === undefined) return -ENOENT
  const { family, ownPort, peerPort } = query
  if (family !== f.AF_INET && family !== f.AF_INET6) return -EINVAL
  const length = family === f.AF_INET ? 4 : 16
  const address = (at: number): Uint8Array => {
    const whole = new Uint8Array(16)
    whole.set(request.bytes.subarray(id + at, id + at + length))
    return whole
  }
  const own = { address: address(4), port: ownPort }
  const peer = { address: address(20), port: peerPort }
  let best: InetFacts | null = null
  let bestScore = 0
  for (const socket of sockets) {
    const facts = socket.family === family ? factsOf(task, socket) : null
    const score = facts === null ? 0 : scoreOf(facts, own, peer)
    if (score <= bestScore) continue
    best = facts
    bestScore = score
  }
  if (best === null) return -ENOENT
  const refused = checkCookie(task, best.socket, request, id + 40)
  // That of TCP is looked for once more, in vain: inet_diag_find_one_icsk.
  return refused < 0 ? (query.protocol === f.IPPROTO_TCP ? -ENOENT : refused) : best
}

/** How well a socket fits both ends, as a packet would find it; 0 for not at all. */
function scoreOf({ socket, state, own, peer }: InetFacts, at: Endpoint, from: Endpoint): number {
  if (own.port !== at.port || state === BOUND_INACTIVE) return 0
  const exact = equal(own.address, at.address)
  if (peer.port !== 0)
    return exact && peer.port === from.port && equal(peer.address, from.address) ? 3 : 0
  if (socket.protocol === f.IPPROTO_TCP && state !== f.TCP_LISTEN) return 0
  if (exact) return 2
  return own.address.every(byte => byte === 0) ? 1 : 0
}

function writeEndpoint({ address }: Endpoint): void {
  writer.u8(...address)
}

/** struct inet_diag_msg and its attributes. */
function writeFacts(task: Task, query: Query, facts: InetFacts): void {
  const { socket, state, own, peer } = facts
  writer.u8(socket.family, state, 0, 0)
  writer.u8(own.port >> 8, own.port & 255, peer.port >> 8, peer.port & 255)
  writeEndpoint(own)
  writeEndpoint(peer)
  writer.u32(facts.device)
  writeCookie(task, socket)
  writer.u32(0).u32(facts.received).u32(facts.sent)
  writer.u32(task.creds.userNs.showUid(facts.uid)).u32(inodeOf(socket))
  writeCommon(task, query, facts)
  writeWanted(task, query, facts)
}

/** inet_diag_msg_attrs_fill. */
function writeCommon(task: Task, { extensions, admin }: Query, facts: InetFacts): void {
  const { socket, state } = facts
  const number = (level: number, name: number): number => optionNumber(task, socket, level, name)
  const wants = (attribute: number): boolean => ((extensions >> (attribute - 1)) & 1) === 1
  writer.byteAttribute(SHUTDOWN, facts.shutdown)
  if (wants(TOS)) writer.byteAttribute(TOS, number(f.SOL_IP, f.IP_TOS))
  if (socket.family === f.AF_INET6) {
    if (wants(TCLASS)) writer.byteAttribute(TCLASS, number(f.SOL_IPV6, f.IPV6_TCLASS))
    if (state === f.TCP_LISTEN || state === f.TCP_CLOSE)
      writer.byteAttribute(SKV6ONLY, number(f.SOL_IPV6, f.IPV6_V6ONLY))
  }
  if (admin) writer.numberAttribute(MARK, number(f.SOL_SOCKET, f.SO_MARK))
  if (wants(TCLASS)) writer.numberAttribute(CLASS_ID, number(f.SOL_SOCKET, f.SO_PRIORITY))
  const flags = [
    [f.SOL_IP, f.IP_RECVERR],
    [-1, -1],
    [f.SOL_IP, f.IP_FREEBIND],
    [f.SOL_IP, f.IP_HDRINCL],
    [f.SOL_IP, f.IP_MULTICAST_LOOP],
    [f.SOL_IP, f.IP_TRANSPARENT],
    [f.SOL_IP, f.IP_MULTICAST_ALL],
    [f.SOL_IP, f.IP_NODEFRAG],
  ].map(([level, name]) =>
    level === -1 ? socket.protocol === f.IPPROTO_TCP : number(level!, name!) !== 0,
  )
  const bits = flags.reduce((all, on, i) => all | (on ? 1 << i : 0), 0)
  const noPort = number(f.SOL_IP, f.IP_BIND_ADDRESS_NO_PORT) !== 0 ? 1 : 0
  writer.attribute(SOCKOPT, Uint8Array.of(bits, noPort))
}

/** The rest of inet_sk_diag_fill: what is told only when it is asked for. */
function writeWanted(task: Task, { extensions }: Query, facts: InetFacts): void {
  const { socket, state } = facts
  const wants = (attribute: number): boolean => ((extensions >> (attribute - 1)) & 1) === 1
  const memory = wants(MEMINFO) || wants(SKMEMINFO) ? memoryOf(task, socket) : null
  if (wants(MEMINFO)) {
    const view = new DataView(memory!.buffer)
    const words = new Uint8Array(16)
    const into = new DataView(words.buffer)
    // Received, queued to be sent, reserved, being sent: of SK_MEMINFO_*.
    ;[0, 5, 4, 2].forEach((word, i) => {
      into.setUint32(i * 4, view.getUint32(word * 4, true), true)
    })
    writer.attribute(MEMINFO, words)
  }
  if (wants(SKMEMINFO)) writer.attribute(SKMEMINFO, memory!)
  if (socket.type === f.SOCK_RAW) writer.byteAttribute(PROTOCOL, socket.protocol)
  if (socket.protocol !== f.IPPROTO_TCP || state === 0) return
  const info = wants(INFO) ? optionBytes(task, socket, f.SOL_TCP, f.TCP_INFO, INFO_SIZE) : null
  if (info !== null) writer.attribute(INFO, info)
  const algorithm = wants(CONG)
    ? optionBytes(task, socket, f.SOL_TCP, f.TCP_CONGESTION, CONGESTION_SIZE)
    : null
  if (algorithm !== null)
    writer.textAttribute(CONG, Buffer.from(algorithm).toString('latin1').split('\0')[0]!)
}
