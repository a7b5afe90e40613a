// Options of the host's sockets: those in the list are the host's, with what capabilities Linux asks for checked
// against the program; the rest is the kernel's own business (time-outs), or does not exist.

import {
  HOST_SOCKET_FACTS,
  HOST_SOCKET_OPTIONS,
  socketGetOption,
  socketSetOption,
} from '../../../native/index.ts'
import { EINVAL, ENOPROTOOPT, EOPNOTSUPP, EPERM } from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  CAP_NET_ADMIN,
  CAP_NET_RAW,
  IP_TRANSPARENT,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
  IPV6_TRANSPARENT,
  SO_DEBUG,
  SO_LINGER,
  SO_MARK,
  SO_PRIORITY,
  SO_RCVBUFFORCE,
  SO_SNDBUFFORCE,
  SOCK_RAW,
  SOL_IP,
  SOL_IPV6,
  SOL_RAW,
  SOL_SOCKET,
  SOL_UDP,
  SOL_UDPLITE,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import type { HostSocket } from './host-socket.ts'

const MAX_UNPRIVILEGED_PRIORITY = 6
const LINGER_SIZE = 8

const settable = new Map([...HOST_SOCKET_OPTIONS].map(([level, list]) => [level, new Set(list)]))
const tellable = new Map([...HOST_SOCKET_FACTS].map(([level, list]) => [level, new Set(list)]))

/** Whether an option of SOL_SOCKET is the host's. */
export function isHostOption(name: number): boolean {
  return settable.get(SOL_SOCKET)!.has(name) || tellable.get(SOL_SOCKET)!.has(name)
}

/** setsockopt(2) with `value[0…length]`. */
export function setHostOption(
  socket: HostSocket,
  task: Task,
  level: number,
  name: number,
  value: Uint8Array,
  length: number,
): number {
  if (settable.get(level)?.has(name) !== true) return -ENOPROTOOPT
  const n =
    level === SOL_SOCKET ? mayChange(task, name, value, length) : mayRoute(task, level, name)
  if (n < 0) return n
  if (level === SOL_SOCKET && name === SO_LINGER) return setLinger(socket, value, length)
  return socketSetOption(socket.hostFd, level, name, value, length)
}

/** What Linux lets only a privileged program do. */
function mayChange(task: Task, name: number, value: Uint8Array, length: number): number {
  const admin = task.creds.capable(CAP_NET_ADMIN)
  switch (name) {
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
      return admin ? 0 : -EPERM
    case SO_DEBUG:
      return admin || intOf(value, length) === 0 ? 0 : -EPERM
    case SO_MARK:
      return admin || task.creds.capable(CAP_NET_RAW) ? 0 : -EPERM
    case SO_PRIORITY: {
      const wanted = intOf(value, length)
      if (wanted >= 0 && wanted <= MAX_UNPRIVILEGED_PRIORITY) return 0
      return admin || task.creds.capable(CAP_NET_RAW) ? 0 : -EPERM
    }
    default:
      return 0
  }
}

/** A transparent socket may take other machines' addresses. */
function mayRoute(task: Task, level: number, name: number): number {
  const transparent =
    (level === SOL_IP && name === IP_TRANSPARENT) ||
    (level === SOL_IPV6 && name === IPV6_TRANSPARENT)
  if (!transparent) return 0
  return task.creds.capable(CAP_NET_ADMIN) || task.creds.capable(CAP_NET_RAW) ? 0 : -EPERM
}

const intOf = (value: Uint8Array, length: number): number =>
  length < 4 ? 0 : value[0]! | (value[1]! << 8) | (value[2]! << 16) | (value[3]! << 24)

/**
 * The host's close(2) would wait for the time that is set here, and the whole kernel with it. So the host learns only
 * of time 0, which means to reset the connection.
 * DIFFERS: close(2) of a socket with SO_LINGER does not wait until the data is sent.
 */
function setLinger(socket: HostSocket, value: Uint8Array, length: number): number {
  if (length < LINGER_SIZE) return -EINVAL
  const seconds = intOf(value.subarray(4), 4)
  socket.lingerOn = intOf(value, length) !== 0 ? 1 : 0
  socket.lingerSeconds = seconds
  const abort = new Uint8Array(LINGER_SIZE)
  abort[0] = socket.lingerOn !== 0 && seconds === 0 ? 1 : 0
  return socketSetOption(socket.hostFd, SOL_SOCKET, SO_LINGER, abort, LINGER_SIZE)
}

/** getsockopt(2): fills `into`, which the program has `room` for; returns the length. */
export function getHostOption(
  socket: HostSocket,
  level: number,
  name: number,
  into: Uint8Array,
  room: number,
): number {
  if (settable.get(level)?.has(name) !== true && tellable.get(level)?.has(name) !== true)
    return isOwnLevel(socket, level) ? -ENOPROTOOPT : -EOPNOTSUPP
  if (level === SOL_SOCKET && name === SO_LINGER) {
    new DataView(into.buffer, into.byteOffset).setInt32(0, socket.lingerOn, true)
    new DataView(into.buffer, into.byteOffset).setInt32(4, socket.lingerSeconds, true)
    return LINGER_SIZE
  }
  return socketGetOption(socket.hostFd, level, name, into, Math.min(room, into.length))
}

/** Sockets of IPv4 say of the options of other protocols that they do not have them, in other words than of their own. */
function isOwnLevel({ family, type, protocol }: HostSocket, level: number): boolean {
  if (family !== AF_INET || level === SOL_SOCKET || level === SOL_IP) return true
  if (type === SOCK_RAW) return level === SOL_RAW
  if (protocol === IPPROTO_UDP || protocol === IPPROTO_UDPLITE)
    return level === SOL_UDP || level === SOL_UDPLITE
  return protocol === level
}
