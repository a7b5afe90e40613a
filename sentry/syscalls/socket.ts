// Handlers of the socket calls: net/socket.c.

import { EINVAL } from '../../syscall-table/errno.ts'
import {
  POLLIN,
  POLLOUT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_TYPE_MASK,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { MAX_ADDRESS } from '../net/message.ts'
import { createPair, createSocket, socketFile } from '../net/socket.ts'
import '../net/inet/inet.ts'
import '../net/netlink/netlink.ts'
import '../net/packet/packet.ts'
import '../net/unix.ts'
import { installPair } from './file-pipe.ts'
import { installSocket, orWait, readAddress, socketOf, writeAddress } from './socket-wait.ts'

export {
  sys_recvfrom,
  sys_recvmmsg,
  sys_recvmsg,
  sys_sendmmsg,
  sys_sendmsg,
  sys_sendto,
} from './socket-message.ts'
export { sys_getsockopt, sys_setsockopt } from './socket-options.ts'

const TYPE_FLAGS = SOCK_CLOEXEC | SOCK_NONBLOCK
const address = new Uint8Array(MAX_ADDRESS)

/** socket(2). */
export function sys_socket(task: Task, family: number, type: number, protocol: number): number {
  const flags = type & ~SOCK_TYPE_MASK
  if ((flags & ~TYPE_FLAGS) !== 0) return -EINVAL
  const socket = createSocket(task, family, type & SOCK_TYPE_MASK, protocol)
  if (typeof socket === 'number') return socket
  return installSocket(task, socketFile(socket, flags & SOCK_NONBLOCK, task.creds), flags)
}

/** socketpair(2). */
export function sys_socketpair(
  task: Task,
  family: number,
  type: number,
  protocol: number,
  fds: number,
): number {
  const flags = type & ~SOCK_TYPE_MASK
  if ((flags & ~TYPE_FLAGS) !== 0) return -EINVAL
  const pair = createPair(task, family, type & SOCK_TYPE_MASK, protocol)
  if (typeof pair === 'number') return pair
  const a = socketFile(pair[0], flags & SOCK_NONBLOCK, task.creds)
  const b = socketFile(pair[1], flags & SOCK_NONBLOCK, task.creds)
  return installPair(task, a, b, (flags & SOCK_CLOEXEC) !== 0, fds)
}

/** bind(2). */
export function sys_bind(task: Task, fd: number, addr: number, length: number): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  const n = readAddress(task, addr, length, address)
  return n < 0 ? n : socket.bind(task, address, n)
}

/** listen(2). */
export function sys_listen(task: Task, fd: number, backlog: number): number {
  const socket = socketOf(task, fd)
  return typeof socket === 'number' ? socket : socket.listen(task, backlog)
}

/** connect(2). */
export function sys_connect(task: Task, fd: number, addr: number, length: number): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  const n = readAddress(task, addr, length, address)
  if (n < 0) return n
  const file = task.files.get(fd)!
  const result = socket.connect(task, address, n, file)
  return orWait(task, socket, POLLOUT, result, !file.nonblocking, socket.sendTimeoutNs)
}

/** accept(2). */
export function sys_accept(task: Task, fd: number, addr: number, lengthAt: number): number {
  return sys_accept4(task, fd, addr, lengthAt, 0)
}

/** accept4(2). */
export function sys_accept4(
  task: Task,
  fd: number,
  addr: number,
  lengthAt: number,
  flags: number,
): number {
  if ((flags & ~TYPE_FLAGS) !== 0) return -EINVAL
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  const accepted = socket.accept(task)
  if (typeof accepted === 'number') {
    const mayWait = !task.files.get(fd)!.nonblocking
    return orWait(task, socket, POLLIN, accepted, mayWait, socket.receiveTimeoutNs)
  }
  const file = socketFile(accepted, flags & SOCK_NONBLOCK, task.creds)
  if (addr !== 0) {
    const length = accepted.peerAddress(address)
    const n = length < 0 ? length : writeAddress(task, addr, lengthAt, address, length)
    if (n < 0) {
      file.unref()
      return n
    }
  }
  return installSocket(task, file, flags)
}

/** shutdown(2). */
export function sys_shutdown(task: Task, fd: number, how: number): number {
  const socket = socketOf(task, fd)
  return typeof socket === 'number' ? socket : socket.shutdown(how)
}

/** getsockname(2). */
export function sys_getsockname(task: Task, fd: number, addr: number, lengthAt: number): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  const n = socket.ownAddress(address)
  return n < 0 ? n : writeAddress(task, addr, lengthAt, address, n)
}

/** getpeername(2). */
export function sys_getpeername(task: Task, fd: number, addr: number, lengthAt: number): number {
  const socket = socketOf(task, fd)
  if (typeof socket === 'number') return socket
  const n = socket.peerAddress(address)
  return n < 0 ? n : writeAddress(task, addr, lengthAt, address, n)
}
