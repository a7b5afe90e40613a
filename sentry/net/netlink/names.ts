// Addresses of AF_NETLINK: netlink(7). A socket has a port number, by default its process's pid, that is its own among
// those of its protocol.

import { EADDRINUSE, EINVAL } from '../../../syscall-table/errno.ts'
import {
  AF_NETLINK,
  NETLINK_GENERIC,
  NETLINK_KOBJECT_UEVENT,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
} from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import type { Socket } from '../socket.ts'

export const SOCKADDR_NL_SIZE = 12
/** Where the kernel has a socket itself, at port 0. */
export const KERNEL_PROTOCOLS = [
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
  NETLINK_KOBJECT_UEVENT,
  NETLINK_GENERIC,
]
/** Where Linux looks for another number when a pid is taken: negative ones, from here down. */
const FIRST_SPARE = -4097
const LAST_SPARE = -(2 ** 31)

/** What `parseName` has found. */
export const parsed = { port: 0, groups: 0 }

/** Read a sockaddr_nl into `parsed`. Returns 0 or -EINVAL. */
export function parseName(address: Uint8Array, length: number): number {
  if (length < SOCKADDR_NL_SIZE) return -EINVAL
  const view = new DataView(address.buffer, address.byteOffset, length)
  if (view.getUint16(0, true) !== AF_NETLINK) return -EINVAL
  parsed.port = view.getUint32(4, true)
  parsed.groups = view.getUint32(8, true)
  return 0
}

/** Write a sockaddr_nl; returns its length. */
export function writeName(port: number, groups: number, into: Uint8Array): number {
  const view = new DataView(into.buffer, into.byteOffset)
  view.setUint32(0, AF_NETLINK, true)
  view.setUint32(4, port >>> 0, true)
  view.setUint32(8, groups >>> 0, true)
  return SOCKADDR_NL_SIZE
}

/** The sockets that have a port, by protocol and number. */
type Ports = Map<string, Socket>

const taken = new WeakMap<NetNamespace, Ports>()

function portsOf(net: NetNamespace): Ports {
  const ports: Ports = taken.get(net) ?? new Map()
  taken.set(net, ports)
  return ports
}

const keyOf = (protocol: number, port: number) => `${protocol}:${port >>> 0}`

/** The sockets of a network namespace that have a port. */
export function namedSockets(net: NetNamespace): Iterable<Socket> {
  return portsOf(net).values()
}

/** Take a port for a socket; 0 stands for one of the kernel's choice. Returns it, or -EADDRINUSE. */
export function takePort(task: Task, socket: Socket, wanted: number): number {
  const { net, protocol } = socket
  const ports = portsOf(net)
  let port = wanted === 0 ? task.group.tgid : wanted
  if (ports.has(keyOf(protocol, port))) {
    if (wanted !== 0) return -EADDRINUSE
    port = FIRST_SPARE
    while (ports.has(keyOf(protocol, port)) && port > LAST_SPARE) port--
  }
  ports.set(keyOf(protocol, port), socket)
  return port >>> 0
}

export function givePortBack({ net, protocol }: Socket, port: number): void {
  portsOf(net).delete(keyOf(protocol, port))
}
