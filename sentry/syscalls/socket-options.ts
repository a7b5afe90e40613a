// getsockopt(2) and setsockopt(2): the options of SOL_SOCKET, net/core/sock.c; others go to the socket.

import {
  EDOM,
  EFAULT,
  EINVAL,
  ENODATA,
  ENOPROTOOPT,
  ENOTCONN,
  EPERM,
} from '../../syscall-table/errno.ts'
import {
  CAP_NET_ADMIN,
  SO_ACCEPTCONN,
  SO_BROADCAST,
  SO_COOKIE,
  SO_DEBUG,
  SO_DOMAIN,
  SO_DONTROUTE,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_MARK,
  SO_NO_CHECK,
  SO_OOBINLINE,
  SO_PASSCRED,
  SO_PEERCRED,
  SO_PEERGROUPS,
  SO_PEERNAME,
  SO_PEERSEC,
  SO_PRIORITY,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_RCVLOWAT,
  SO_RCVTIMEO_NEW,
  SO_RCVTIMEO_OLD,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SO_SNDLOWAT,
  SO_SNDTIMEO_NEW,
  SO_SNDTIMEO_OLD,
  SO_TIMESTAMP,
  SO_TIMESTAMPNS,
  SO_TYPE,
  SOL_SOCKET,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { MAX_ADDRESS } from '../net/message.ts'
import { DEFAULT_BUFFER, type Socket } from '../net/socket.ts'
import { socketOf } from './socket-wait.ts'

const MAX_VALUE = 4096
const MIN_SEND_BUFFER = 4608
const MIN_RECEIVE_BUFFER = 2304
/** Bound of SO_SNDBUFFORCE and SO_RCVBUFFORCE; Linux has none but the size of an int. */
const MAX_FORCED_BUFFER = 16 << 20

const value = new Uint8Array(MAX_VALUE)
const view = new DataView(value.buffer)

/** Switches that are only kept: what they change does not exist here, or the family looks at them. */
const SWITCHES = new Set([
  SO_DEBUG,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_DONTROUTE,
  SO_BROADCAST,
  SO_KEEPALIVE,
  SO_OOBINLINE,
  SO_NO_CHECK,
  SO_TIMESTAMP,
  SO_TIMESTAMPNS,
])

/** setsockopt(2). */
export function sys_setsockopt(
  task: Task,
  fd: number,
  level: number,
  name: number,
  addr: number,
  length: number,
): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  if (length < 0) return -EINVAL
  const size = Math.min(length, MAX_VALUE)
  if (size > 0 && task.mm.copyIn(task, addr, value, 0, size) < 0) return -EFAULT
  if (level !== SOL_SOCKET || socket.ownsOption(name))
    return socket.setOption(task, level, name, value, size)
  if (size < 4) return -EINVAL
  return setGeneric(task, socket, name, view.getInt32(0, true), size)
}

function setGeneric(
  task: Task,
  socket: Socket,
  name: number,
  number: number,
  size: number,
): number {
  if (SWITCHES.has(name)) {
    if (
      name === SO_DEBUG &&
      number !== 0 &&
      !task.creds.capableIn(task.nsproxy.net.owner!, CAP_NET_ADMIN)
    )
      return -EPERM
    socket.options.set(name, number !== 0 ? 1 : 0)
    return 0
  }
  switch (name) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE: {
      const n = bufferSize(task, number, name === SO_SNDBUFFORCE, MIN_SEND_BUFFER)
      if (n < 0) return n
      socket.sendBuffer = n
      return 0
    }
    case SO_RCVBUF:
    case SO_RCVBUFFORCE: {
      const n = bufferSize(task, number, name === SO_RCVBUFFORCE, MIN_RECEIVE_BUFFER)
      if (n < 0) return n
      socket.receiveBuffer = n
      return 0
    }
    case SO_PASSCRED:
      socket.passCredentials = number !== 0
      return 0
    case SO_PRIORITY:
      if (
        (number < 0 || number > 6) &&
        !task.creds.capableIn(task.nsproxy.net.owner!, CAP_NET_ADMIN)
      )
        return -EPERM
      socket.options.set(name, number)
      return 0
    case SO_MARK:
      if (!task.creds.capableIn(task.nsproxy.net.owner!, CAP_NET_ADMIN)) return -EPERM
      socket.options.set(name, number)
      return 0
    case SO_RCVLOWAT:
      socket.options.set(name, number < 0 ? 0x7fffffff : number || 1)
      return 0
    case SO_LINGER:
      if (size < 8) return -EINVAL
      socket.lingerOn = number !== 0 ? 1 : 0
      socket.lingerSeconds = view.getInt32(4, true)
      return 0
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
      return setTimeoutOption(socket, size, true)
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
      return setTimeoutOption(socket, size, false)
    default:
      return -ENOPROTOOPT
  }
}

/** Linux doubles the size, to allow for its own overhead, and tells the doubled one. */
function bufferSize(task: Task, wanted: number, force: boolean, least: number): number {
  if (force && !task.creds.capableIn(task.nsproxy.net.owner!, CAP_NET_ADMIN)) return -EPERM
  const limit = force ? MAX_FORCED_BUFFER : DEFAULT_BUFFER
  // Negative sizes count as huge ones.
  const size = !force && wanted < 0 ? limit : Math.max(0, Math.min(wanted, limit))
  return Math.max(size * 2, least)
}

function setTimeoutOption(socket: Socket, size: number, sending: boolean): number {
  if (size < 16) return -EINVAL
  const sec = view.getInt32(4, true) * 2 ** 32 + view.getUint32(0, true)
  const usec = view.getInt32(12, true) * 2 ** 32 + view.getUint32(8, true)
  if (usec < 0 || usec >= 1e6) return -EDOM
  const ns = sec < 0 ? 0 : sec * 1e9 + usec * 1e3
  const bounded = ns >= 2 ** 53 ? 0 : ns
  if (sending) socket.sendTimeoutNs = bounded
  else socket.receiveTimeoutNs = bounded
  return 0
}

/** getsockopt(2). */
export function sys_getsockopt(
  task: Task,
  fd: number,
  level: number,
  name: number,
  addr: number,
  lengthAt: number,
): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, lengthAt, scratch, 0, 4) < 0) return -EFAULT
  const room = scratchView.getInt32(0, true)
  if (room < 0) return -EINVAL
  const n =
    level === SOL_SOCKET && !socket.ownsOption(name)
      ? getGeneric(task, socket, name, room)
      : socket.getOption(task, level, name, value, room)
  if (n < 0) return n
  const size = Math.min(room, n)
  if (size > 0 && task.mm.copyResult(task, addr, value, 0, size) < 0) return -EFAULT
  scratchView.setInt32(0, size, true)
  return task.mm.copyResult(task, lengthAt, scratch, 0, 4)
}

/** Puts the option's value into `value`; returns its length or -errno. */
function getGeneric(task: Task, socket: Socket, name: number, room: number): number {
  if (SWITCHES.has(name) || name === SO_PRIORITY || name === SO_MARK)
    return int(socket.options.get(name) ?? 0)
  switch (name) {
    case SO_TYPE:
      return int(socket.type)
    case SO_DOMAIN:
      return int(socket.family)
    case SO_PROTOCOL:
      return int(socket.protocol)
    case SO_ERROR: {
      const { error } = socket
      socket.error = 0
      return int(error)
    }
    case SO_SNDBUF:
      return int(socket.sendBuffer)
    case SO_RCVBUF:
      return int(socket.receiveBuffer)
    case SO_PASSCRED:
      return int(socket.passCredentials ? 1 : 0)
    case SO_ACCEPTCONN:
      return int(socket.listening ? 1 : 0)
    case SO_RCVLOWAT:
      return int(socket.options.get(name) ?? 1)
    case SO_SNDLOWAT:
      return int(1)
    case SO_LINGER:
      int(socket.lingerOn)
      view.setInt32(4, socket.lingerSeconds, true)
      return 8
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
      return timeval(socket.sendTimeoutNs)
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
      return timeval(socket.receiveTimeoutNs)
    case SO_PEERCRED:
      return peerCredentials(task, socket)
    case SO_PEERNAME: {
      const n = socket.peerAddress(value.subarray(0, MAX_ADDRESS))
      if (n < 0) return -ENOTCONN
      return n < room ? -EINVAL : n
    }
    case SO_PEERGROUPS:
      return -ENODATA
    case SO_COOKIE:
      view.setUint32(0, socket.file?.inode.ino ?? 0, true)
      view.setUint32(4, 0, true)
      return room < 8 ? -EINVAL : 8
    case SO_PEERSEC:
      return -ENOPROTOOPT
    default:
      return -ENOPROTOOPT
  }
}

function int(n: number): number {
  view.setInt32(0, n, true)
  return 4
}

function timeval(ns: number): number {
  const sec = Math.floor(ns / 1e9)
  view.setUint32(0, sec % 2 ** 32, true)
  view.setUint32(4, Math.floor(sec / 2 ** 32), true)
  view.setUint32(8, Math.floor((ns - sec * 1e9) / 1e3), true)
  view.setUint32(12, 0, true)
  return 16
}

/** Without a peer: pid 0 and no ids. */
function peerCredentials(task: Task, socket: Socket): number {
  const peer = socket.peerCredentials()
  const { userNs } = task.creds
  view.setInt32(0, peer?.pid?.numberIn(task.pidNs) ?? 0, true)
  view.setInt32(4, peer === null ? -1 : userNs.showUid(peer.uid), true)
  view.setInt32(8, peer === null ? -1 : userNs.showGid(peer.gid), true)
  return 12
}
