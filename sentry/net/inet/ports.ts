// Which ports are in use: inet_csk_get_port and udp_lib_get_port. One table for each transport protocol; IPv4
// and IPv6 share it, because an IPv6 socket can take IPv4 connections.

import { EACCES, EADDRINUSE } from '../../../syscall-table/errno.ts'
import { CAP_NET_BIND_SERVICE, SO_REUSEADDR, SO_REUSEPORT } from '../../../syscall-table/flags.ts'
import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import { ANY4, ANY6, isV4 } from './address.ts'
import type { InetSocket } from './inet-socket.ts'

/** The bound sockets of a transport protocol. */
export class Ports {
  readonly #bound = new Map<number, Set<InetSocket>>()
  #next = Math.floor(Math.random() * 65536)

  /** The sockets at a port. */
  at(port: number): ReadonlySet<InetSocket> | undefined {
    return this.#bound.get(port)
  }

  all(): InetSocket[] {
    return [...this.#bound.values()].flatMap(sockets => [...sockets])
  }

  /** Take a port for the socket, which has its address already; 0 lets the kernel choose. */
  bind(task: Task, socket: InetSocket, port: number): number {
    const { owner } = task.nsproxy.net
    if (
      port !== 0 &&
      port < task.kernel.tunables.unprivilegedPortStart &&
      !task.creds.capableIn(owner!, CAP_NET_BIND_SERVICE)
    )
      return -EACCES
    const chosen = port === 0 ? this.#free(task) : port
    if (chosen === 0) return -EADDRINUSE
    if (this.conflicts(socket, chosen)) return -EADDRINUSE
    this.add(socket, chosen)
    return 0
  }

  /** Add a socket without a check: a connection shares its listener's port. */
  add(socket: InetSocket, port: number): void {
    socket.port = port
    const sockets = this.#bound.get(port)
    if (sockets === undefined) this.#bound.set(port, new Set([socket]))
    else sockets.add(socket)
  }

  remove(socket: InetSocket): void {
    const sockets = this.#bound.get(socket.port)
    if (sockets === undefined) return
    sockets.delete(socket)
    if (sockets.size === 0) this.#bound.delete(socket.port)
  }

  /** Whether another socket at the port keeps `socket` from it. */
  conflicts(socket: InetSocket, port: number): boolean {
    const sockets = this.#bound.get(port)
    if (sockets === undefined) return false
    for (const other of sockets)
      if (other !== socket && overlap(socket, other) && !mayShare(socket, other)) return true
    return false
  }

  #free({ kernel: { tunables } }: Task): number {
    const { localPortFirst: first, localPortLast: last } = tunables
    const range = last - first + 1
    for (let i = 0; i < range; i++) {
      const port = first + (this.#next++ % range)
      if (!this.#bound.has(port)) return port
    }
    return 0
  }
}

/** Whether a packet could be for both. */
function overlap(a: InetSocket, b: InetSocket): boolean {
  return a.takes(b.ip) || b.takes(a.ip)
}

/** Whether `b`, which is bound, lets `a` in: sockets with SO_REUSEADDR may share until one listens. */
function mayShare(a: InetSocket, b: InetSocket): boolean {
  const { options } = a
  if (options.get(SO_REUSEPORT) && b.options.get(SO_REUSEPORT) && a.uid === b.uid) return true
  return !!options.get(SO_REUSEADDR) && !!b.options.get(SO_REUSEADDR) && !b.listening
}

/** Whether a socket that is bound to `bound` takes packets to `ip`. */
export function takesAddress(bound: number, ip: number, v6only: boolean): boolean {
  if (bound === ip) return true
  if (bound === ANY6) return !isV4(ip) || !v6only
  return bound === ANY4 && isV4(ip)
}

const spaces = new WeakMap<NetNamespace, Map<number, Ports>>()

/** The ports of a transport protocol. */
export function portsOf(net: NetNamespace, protocol: number): Ports {
  let space = spaces.get(net)
  if (space === undefined) {
    space = new Map()
    spaces.set(net, space)
  }
  let ports = space.get(protocol)
  if (ports === undefined) {
    ports = new Ports()
    space.set(protocol, ports)
  }
  return ports
}
