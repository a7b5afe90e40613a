// The options of SOL_SOCKET: sk_setsockopt and sk_getsockopt in net/core/sock.c.

import {
  EBADF,
  EDOM,
  EINVAL,
  ENODATA,
  ENODEV,
  ENOPROTOOPT,
  ENOTCONN,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
} from '../../syscall-table/errno.ts'
import * as f from '../../syscall-table/flags.ts'
import { installPidfd } from '../kernel/pidfd.ts'
import type { Task } from '../kernel/task.ts'
import { INTERFACE_NAME_SIZE, interfaceIndex, interfaceName } from './inet/interface.ts'
import { MAX_ADDRESS } from './message.ts'
import { DEFAULT_BUFFER, type Socket } from './socket.ts'
import { isFilterOption, setFilterOption } from './socket-filter.ts'
import { getTimestampOption, isTimestampOption, setTimestampOption } from './timestamps.ts'

const MIN_SEND_BUFFER = 4608
const MIN_RECEIVE_BUFFER = 2304
/** Bound of SO_SNDBUFFORCE and SO_RCVBUFFORCE; Linux has none but the size of an int. */
const MAX_FORCED_BUFFER = 16 << 20
const MAX_UNPRIVILEGED_PRIORITY = 6
const NO_PACING = 0xffffffff
/** SO_BPF_EXTENSIONS: the ancillary loads that a filter may use, SKF_AD_MAX. */
const BPF_EXTENSIONS = 64
const MEMINFO_SIZE = 36

/** Switches that are only kept: what they change does not exist here, or the family looks at them. */
const SWITCHES = new Set([
  f.SO_DEBUG,
  f.SO_REUSEADDR,
  f.SO_REUSEPORT,
  f.SO_DONTROUTE,
  f.SO_BROADCAST,
  f.SO_KEEPALIVE,
  f.SO_OOBINLINE,
  f.SO_NO_CHECK,
  f.SO_RXQ_OVFL,
  f.SO_WIFI_STATUS,
  f.SO_NOFCS,
  f.SO_SELECT_ERR_QUEUE,
  f.SO_PREFER_BUSY_POLL,
  f.SO_RCVMARK,
])

/** Numbers that are kept, with what they are at first and the least and the most that they may be. */
const NUMBERS = new Map<number, readonly [number, number, number]>([
  [f.SO_INCOMING_CPU, [-1, -0x80000000, 0x7fffffff]],
  [f.SO_BUSY_POLL, [0, 0, 0x7fffffff]],
  [f.SO_BUF_LOCK, [0, 0, 3]],
])

const netAdmin = (task: Task): boolean =>
  task.creds.capableIn(task.nsproxy.net.owner!, f.CAP_NET_ADMIN)
const netRaw = (task: Task): boolean => task.creds.capableIn(task.nsproxy.net.owner!, f.CAP_NET_RAW)

const isInet = ({ family }: Socket): boolean => family === f.AF_INET || family === f.AF_INET6
const isTcp = (socket: Socket): boolean => isInet(socket) && socket.type === f.SOCK_STREAM
/** sk_may_scm_recv: the families whose messages say who has sent them. */
const tellsSender = ({ family }: Socket): boolean => family === f.AF_UNIX || family === f.AF_NETLINK

/** setsockopt(2) with the value in `view[0…size]`. */
export function setGeneric(
  task: Task,
  socket: Socket,
  name: number,
  view: DataView,
  size: number,
): number {
  if (name === f.SO_BINDTODEVICE) return bindToDevice(socket, view, size)
  if (size < 4) return -EINVAL
  if (isFilterOption(name)) return setFilterOption(task, socket, name, view, size)
  const number = view.getInt32(0, true)
  const refused = mayNot(task, socket, name, number)
  if (refused < 0) return refused
  if (SWITCHES.has(name)) {
    socket.options.set(name, number !== 0 ? 1 : 0)
    return 0
  }
  const bounds = NUMBERS.get(name)
  if (bounds !== undefined) {
    if (number < bounds[1] || number > bounds[2]) return -EINVAL
    socket.options.set(name, number)
    return 0
  }
  if (isTimestampOption(name)) return setTimestampOption(socket, name, view, size)
  return setOther(task, socket, name, view, size)
}

/** What a program must be privileged for, and what a family does not have. */
function mayNot(task: Task, socket: Socket, name: number, number: number): number {
  switch (name) {
    case f.SO_DEBUG:
      return number === 0 || netAdmin(task) ? 0 : -EPERM
    case f.SO_REUSEPORT:
      return number === 0 || isInet(socket) ? 0 : -EOPNOTSUPP
    case f.SO_PRIORITY: {
      const free = number >= 0 && number <= MAX_UNPRIVILEGED_PRIORITY
      return free || netRaw(task) || netAdmin(task) ? 0 : -EPERM
    }
    case f.SO_MARK:
    case f.SO_RCVMARK:
      return netRaw(task) || netAdmin(task) ? 0 : -EPERM
    case f.SO_BUSY_POLL:
    case f.SO_PREFER_BUSY_POLL:
      return number <= (socket.options.get(name) ?? 0) || netAdmin(task) ? 0 : -EPERM
    case f.SO_PASSCRED:
    case f.SO_PASSSEC:
      return tellsSender(socket) ? 0 : -EOPNOTSUPP
    case f.SO_TXREHASH:
      return isTcp(socket) ? 0 : -EOPNOTSUPP
    default:
      return 0
  }
}

function setOther(task: Task, socket: Socket, name: number, view: DataView, size: number): number {
  const number = view.getInt32(0, true)
  switch (name) {
    case f.SO_SNDBUF:
    case f.SO_SNDBUFFORCE:
    case f.SO_RCVBUF:
    case f.SO_RCVBUFFORCE:
      return setBuffer(task, socket, name, number)
    case f.SO_PASSCRED:
      socket.passCredentials = number !== 0
      return 0
    case f.SO_PASSSEC:
      // There are no labels that could be told.
      socket.options.set(name, number !== 0 ? 1 : 0)
      return 0
    case f.SO_PRIORITY:
    case f.SO_MARK:
      socket.options.set(name, number)
      return 0
    case f.SO_RCVLOWAT:
      socket.options.set(name, lowWater(socket, number))
      return 0
    case f.SO_LINGER:
      if (size < 8) return -EINVAL
      socket.lingerOn = number !== 0 ? 1 : 0
      socket.lingerSeconds = view.getInt32(4, true)
      return 0
    case f.SO_MAX_PACING_RATE:
      socket.options.set(name, number >>> 0)
      return 0
    case f.SO_BINDTOIFINDEX:
      if (number < 0) return -EINVAL
      socket.device = number
      return 0
    case f.SO_TXREHASH:
      if (number < -1 || number > 1) return -EINVAL
      socket.options.set(name, number === 0 ? 0 : 1)
      return 0
    // Of old programs, and a hint to look for another route: nothing to do.
    case f.SO_BSDCOMPAT:
    case f.SO_CNX_ADVICE:
      return 0
    case f.SO_RESERVE_MEM:
      return number < 0 ? -EINVAL : -EOPNOTSUPP
    case f.SO_DETACH_REUSEPORT_BPF:
      return -EINVAL
    case f.SO_PEEK_OFF:
      if (!socket.hasPeekOffset) return -EOPNOTSUPP
      socket.peekOffset = number
      return 0
    case f.SO_ZEROCOPY:
      return -EOPNOTSUPP
    case f.SO_PASSPIDFD:
      if (socket.family !== f.AF_UNIX) return -EOPNOTSUPP
      socket.passPidfd = number !== 0
      return 0
    // There are no programs of the other kind that a descriptor could be of.
    case f.SO_ATTACH_BPF:
      return task.files.get(number) === undefined ? -EBADF : -EINVAL
    case f.SO_SNDTIMEO_OLD:
    case f.SO_SNDTIMEO_NEW:
      return setTimeoutOption(socket, view, size, true)
    case f.SO_RCVTIMEO_OLD:
    case f.SO_RCVTIMEO_NEW:
      return setTimeoutOption(socket, view, size, false)
    default:
      return -ENOPROTOOPT
  }
}

/** SO_BINDTODEVICE: an interface's name, or an empty one for none. */
function bindToDevice(socket: Socket, view: DataView, size: number): number {
  const name = Buffer.from(view.buffer, view.byteOffset, Math.min(size, INTERFACE_NAME_SIZE - 1))
    .toString('latin1')
    .split('\0')[0]!
  const index = name === '' ? 0 : interfaceIndex(name)
  if (index < 0) return -ENODEV
  socket.device = index
  return 0
}

/** tcp_set_rcvlowat keeps a program from asking for more than a receive buffer ever holds. */
function lowWater(socket: Socket, number: number): number {
  const wanted = number < 0 ? 0x7fffffff : number || 1
  return isTcp(socket) ? Math.min(wanted, MAX_TCP_BUFFER >> 1) : wanted
}

/** The last number of net.ipv4.tcp_rmem. */
const MAX_TCP_BUFFER = 6291456

function setBuffer(task: Task, socket: Socket, name: number, wanted: number): number {
  const force = name === f.SO_SNDBUFFORCE || name === f.SO_RCVBUFFORCE
  if (force && !netAdmin(task)) return -EPERM
  const sending = name === f.SO_SNDBUF || name === f.SO_SNDBUFFORCE
  const size = bufferSize(wanted, force, sending ? MIN_SEND_BUFFER : MIN_RECEIVE_BUFFER)
  if (sending) socket.sendBuffer = size
  else socket.receiveBuffer = size
  const locked = socket.options.get(f.SO_BUF_LOCK) ?? 0
  socket.options.set(f.SO_BUF_LOCK, locked | (sending ? 1 : 2))
  return 0
}

/** Linux doubles the size, to allow for its own overhead, and tells the doubled one. */
function bufferSize(wanted: number, force: boolean, least: number): number {
  const limit = force ? MAX_FORCED_BUFFER : DEFAULT_BUFFER
  // Negative sizes count as huge ones.
  const size = !force && wanted < 0 ? limit : Math.max(0, Math.min(wanted, limit))
  return Math.max(size * 2, least)
}

function setTimeoutOption(socket: Socket, view: DataView, size: number, sending: boolean): number {
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

/** getsockopt(2): puts the option's value into `view`; returns its length or -errno. */
export function getGeneric(
  task: Task,
  socket: Socket,
  name: number,
  view: DataView,
  room: number,
): number {
  const kept = SWITCHES.has(name) || name === f.SO_PRIORITY || name === f.SO_MARK
  if (kept) return int(view, socket.options.get(name) ?? 0)
  const bounds = NUMBERS.get(name)
  if (bounds !== undefined) return int(view, socket.options.get(name) ?? bounds[0])
  if (isTimestampOption(name)) return getTimestampOption(socket, name, view)
  switch (name) {
    case f.SO_TYPE:
      return int(view, socket.type)
    case f.SO_DOMAIN:
      return int(view, socket.family)
    case f.SO_PROTOCOL:
      return int(view, socket.protocol)
    case f.SO_ERROR: {
      const { error } = socket
      socket.error = 0
      return int(view, error)
    }
    case f.SO_SNDBUF:
      return int(view, socket.sendBuffer)
    case f.SO_RCVBUF:
      return int(view, socket.receiveBuffer)
    case f.SO_PASSCRED:
      return tellsSender(socket) ? int(view, socket.passCredentials ? 1 : 0) : -EOPNOTSUPP
    case f.SO_PASSSEC:
      return tellsSender(socket) ? int(view, socket.options.get(name) ?? 0) : -EOPNOTSUPP
    case f.SO_ACCEPTCONN:
      return int(view, socket.listening ? 1 : 0)
    case f.SO_RCVLOWAT:
      return int(view, socket.options.get(name) ?? 1)
    case f.SO_SNDLOWAT:
      return int(view, 1)
    case f.SO_LINGER:
      view.setInt32(4, socket.lingerSeconds, true)
      int(view, socket.lingerOn)
      return 8
    case f.SO_SNDTIMEO_OLD:
    case f.SO_SNDTIMEO_NEW:
      return timeval(view, socket.sendTimeoutNs)
    case f.SO_RCVTIMEO_OLD:
    case f.SO_RCVTIMEO_NEW:
      return timeval(view, socket.receiveTimeoutNs)
    default:
      return getFact(task, socket, name, view, room)
  }
}

/** What cannot be set, and what is seldom asked for. */
function getFact(task: Task, socket: Socket, name: number, view: DataView, room: number): number {
  switch (name) {
    case f.SO_BSDCOMPAT:
    case f.SO_INCOMING_NAPI_ID:
      return int(view, 0)
    case f.SO_BINDTODEVICE:
      return deviceName(socket, view, room)
    case f.SO_BINDTOIFINDEX:
      return int(view, socket.device)
    case f.SO_BPF_EXTENSIONS:
      return int(view, BPF_EXTENSIONS)
    case f.SO_MAX_PACING_RATE: {
      const rate = socket.options.get(name) ?? NO_PACING
      view.setUint32(0, rate, true)
      view.setUint32(4, rate === NO_PACING ? NO_PACING : 0, true)
      return room < 8 ? 4 : 8
    }
    case f.SO_TXREHASH:
      return isTcp(socket) ? int(view, socket.options.get(name) ?? 1) : -EOPNOTSUPP
    case f.SO_MEMINFO:
      return memoryInfo(socket, view)
    case f.SO_LOCK_FILTER:
      return int(view, socket.filterLocked ? 1 : 0)
    case f.SO_PEERCRED:
      return peerCredentials(task, socket, view)
    case f.SO_PEERNAME: {
      const n = socket.peerAddress(new Uint8Array(view.buffer, view.byteOffset, MAX_ADDRESS))
      if (n < 0) return -ENOTCONN
      return n < room ? -EINVAL : n
    }
    case f.SO_PEERGROUPS:
      return peerGroups(task, socket, view)
    case f.SO_PEERPIDFD: {
      const pid = socket.peerCredentials()?.pid
      if (pid === undefined || pid === null) return -ENODATA
      if (pid.group === null) return -ESRCH
      const fd = installPidfd(task, pid.group, 0)
      return fd < 0 ? fd : int(view, fd)
    }
    case f.SO_COOKIE:
      view.setUint32(0, socket.cookie >>> 0, true)
      view.setUint32(4, Math.floor(socket.cookie / 2 ** 32), true)
      return room < 8 ? -EINVAL : 8
    case f.SO_NETNS_COOKIE:
      view.setUint32(0, socket.net.ino >>> 0, true)
      view.setUint32(4, 0, true)
      return room === 8 ? 8 : -EINVAL
    case f.SO_PEEK_OFF:
      return socket.hasPeekOffset ? int(view, socket.peekOffset) : -EOPNOTSUPP
    case f.SO_ZEROCOPY:
      return -EOPNOTSUPP
    case f.SO_PASSPIDFD:
      return socket.family === f.AF_UNIX ? int(view, socket.passPidfd ? 1 : 0) : -EOPNOTSUPP
    default:
      return -ENOPROTOOPT
  }
}

function deviceName(socket: Socket, view: DataView, room: number): number {
  if (socket.device === 0) return 0
  if (room < INTERFACE_NAME_SIZE) return -EINVAL
  const name = interfaceName(socket.device)
  if (name === undefined) return -ENODEV
  const bytes = new Uint8Array(view.buffer, view.byteOffset)
  bytes.fill(0, 0, INTERFACE_NAME_SIZE)
  bytes.set(Buffer.from(name, 'latin1'))
  return name.length + 1
}

/** SK_MEMINFO_*: what lies in the queues, and the buffers. */
function memoryInfo(socket: Socket, view: DataView): number {
  for (let at = 0; at < MEMINFO_SIZE; at += 4) view.setUint32(at, 0, true)
  const unread = socket.unread()
  view.setUint32(0, Math.max(0, unread), true)
  view.setUint32(4, socket.receiveBuffer, true)
  view.setUint32(8, Math.max(0, socket.unsent()), true)
  view.setUint32(12, socket.sendBuffer, true)
  return MEMINFO_SIZE
}

function int(view: DataView, n: number): number {
  view.setInt32(0, n, true)
  return 4
}

function timeval(view: DataView, ns: number): number {
  const sec = Math.floor(ns / 1e9)
  view.setUint32(0, sec % 2 ** 32, true)
  view.setUint32(4, Math.floor(sec / 2 ** 32), true)
  view.setUint32(8, Math.floor((ns - sec * 1e9) / 1e3), true)
  view.setUint32(12, 0, true)
  return 16
}

/** LIMIT: no more groups than fit into the buffer of an option are told. */
function peerGroups(task: Task, socket: Socket, view: DataView): number {
  const groups = socket.peerCredentials()?.groups
  if (groups === undefined) return -ENODATA
  const told = groups.slice(0, view.byteLength / 4)
  told.forEach((gid, i) => {
    view.setUint32(i * 4, task.creds.userNs.showGid(gid), true)
  })
  return told.length * 4
}

/** Without a peer: pid 0 and no ids. */
function peerCredentials(task: Task, socket: Socket, view: DataView): number {
  const peer = socket.peerCredentials()
  const { userNs } = task.creds
  view.setInt32(0, peer?.pid?.numberIn(task.pidNs) ?? 0, true)
  view.setInt32(4, peer === null ? -1 : userNs.showUid(peer.uid), true)
  view.setInt32(8, peer === null ? -1 : userNs.showGid(peer.gid), true)
  return 12
}
