// What diagnosis tells of a socket of AF_INET or AF_INET6, be it one of this kernel or one of the host's.

import {
  AF_INET,
  AF_INET6,
  IPPROTO_RAW,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
  SO_BINDTOIFINDEX,
  SOCK_RAW,
  SOL_SOCKET,
  SOL_TCP,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_INFO,
  TCP_LISTEN,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { HostSocket } from '../host/host-socket.ts'
import { writeAddress } from '../inet/address.ts'
import { portsOf } from '../inet/ports.ts'
import { TcpSocket } from '../inet/tcp.ts'
import { UdpSocket } from '../inet/udp.ts'
import { wireOf } from '../inet/wire.ts'
import { MAX_ADDRESS } from '../message.ts'
import type { Socket } from '../socket.ts'
import { optionBytes, optionNumber } from './reply.ts'

/** TCP_BOUND_INACTIVE: it has a port, and neither listens nor is connected. Only diagnosis has this state. */
export const BOUND_INACTIVE = 13
const INFO_SIZE = 232
const PROTOCOLS = new Set([IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_RAW])

/** One end of a connection: four words of an address, of which IPv4 uses the first, and a port. */
export interface Endpoint {
  readonly address: Uint8Array
  readonly port: number
}

export interface InetFacts {
  readonly socket: Socket
  readonly state: number
  readonly uid: number
  readonly own: Endpoint
  readonly peer: Endpoint
  readonly device: number
  /** idiag_rqueue and idiag_wqueue. */
  readonly received: number
  readonly sent: number
  /** RCV_SHUTDOWN and SEND_SHUTDOWN. */
  readonly shutdown: number
  /** The kernel has chosen the port. */
  readonly autobound: boolean
}

const sockaddr = new Uint8Array(MAX_ADDRESS)

/** The end in a sockaddr. */
function endpointIn(family: number, bytes: Uint8Array): Endpoint {
  const address = new Uint8Array(16)
  if (family === AF_INET) address.set(bytes.subarray(4, 8))
  else address.set(bytes.subarray(8, 24))
  return { address, port: (bytes[2]! << 8) | bytes[3]! }
}

function endpoint(family: number, ip: number, port: number): Endpoint {
  writeAddress(family, ip, port, sockaddr)
  return endpointIn(family, sockaddr)
}

/** The sockets of a protocol in the task's network namespace; undefined for one that has none. */
export function socketsOf(task: Task, protocol: number): Socket[] | undefined {
  const { net } = task.nsproxy
  if (!PROTOCOLS.has(protocol)) return undefined
  const raw = protocol === IPPROTO_RAW
  if (net.host !== null)
    return [...net.host.sockets].filter(({ type, family, protocol: own }) => {
      const inet = family === AF_INET || family === AF_INET6
      return inet && (raw ? type === SOCK_RAW : type !== SOCK_RAW && own === protocol)
    })
  return raw
    ? [...wireOf(net).raw].filter(observer => observer instanceof UdpSocket)
    : portsOf(net, protocol).all()
}

/** The facts of one of them; null when Linux would not find it among its sockets. */
export function factsOf(task: Task, socket: Socket): InetFacts | null {
  if (socket instanceof HostSocket) return hostFacts(task, socket)
  return socket instanceof TcpSocket || socket instanceof UdpSocket ? ownFacts(socket) : null
}

function ownFacts(socket: TcpSocket | UdpSocket): InetFacts {
  const { family, ip, port, peerIp, peerPort, incoming, device } = socket
  const tcp = socket instanceof TcpSocket
  const raw = socket.type === SOCK_RAW
  const [waiting, backlog] = tcp ? socket.acceptQueue : [0, 0]
  const state = socket.stateNumber
  return {
    socket,
    // Of those that only have a port, Linux's tables of connections know nothing.
    state: tcp && state === TCP_CLOSE ? BOUND_INACTIVE : state,
    uid: socket.file?.inode.uid ?? 0,
    own: endpoint(family, ip, raw ? socket.protocol : port),
    peer: endpoint(family, peerIp, peerPort),
    device,
    received: state === TCP_LISTEN ? waiting : incoming.bytes,
    sent: state === TCP_LISTEN ? backlog : Math.max(0, socket.unsent()),
    shutdown: shutdownOf(socket),
    autobound: !socket.boundPort,
  }
}

/** RCV_SHUTDOWN and SEND_SHUTDOWN. */
export function shutdownOf({ noReceive, noSend }: { noReceive: boolean; noSend: boolean }): number {
  return (noReceive ? 1 : 0) | (noSend ? 2 : 0)
}

/** The host knows the addresses and the state. */
function hostFacts(task: Task, socket: HostSocket): InetFacts | null {
  const { family, protocol, type } = socket
  sockaddr.fill(0)
  if (socket.ownAddress(sockaddr) < 0) return null
  const own = endpointIn(family, sockaddr)
  sockaddr.fill(0)
  const connected = socket.peerAddress(sockaddr) >= 0
  const peer = endpointIn(family, sockaddr)
  let state = connected ? TCP_ESTABLISHED : TCP_CLOSE
  let received = socket.unread()
  let sent = socket.unsent()
  if (protocol === IPPROTO_TCP) {
    const info = optionBytes(task, socket, SOL_TCP, TCP_INFO, INFO_SIZE)
    if (info === null) return null
    state = info[0]!
    if (state === TCP_LISTEN) {
      const view = new DataView(info.buffer, info.byteOffset)
      received = view.getUint32(24, true)
      sent = view.getUint32(28, true)
    } else if (state === TCP_CLOSE) state = BOUND_INACTIVE
  }
  if (type !== SOCK_RAW && own.port === 0) return null
  return {
    ...{ socket, state, own, peer },
    uid: socket.file?.inode.uid ?? socket.uid,
    device: optionNumber(task, socket, SOL_SOCKET, SO_BINDTOIFINDEX),
    received: Math.max(0, received),
    sent: Math.max(0, sent),
    shutdown: socket.shut,
    autobound: false,
  }
}
