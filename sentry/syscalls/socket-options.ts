// getsockopt(2) and setsockopt(2): those of SOL_SOCKET are in net/socket-options.ts, others go to the socket.

import { EFAULT, EINVAL, ERANGE } from '../../syscall-table/errno.ts'
import {
  SO_ATTACH_FILTER,
  SO_PEERGROUPS,
  SOL_PACKET,
  SOL_SOCKET,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { bytesOfOption } from '../net/option-sizes.ts'
import { PACKET_HDRLEN } from '../net/packet/options.ts'
import { copyFilter } from '../net/socket-filter.ts'
import { getGeneric, setGeneric } from '../net/socket-options.ts'
import { socketOf } from './socket-wait.ts'

const MAX_VALUE = 4096
const value = new Uint8Array(MAX_VALUE)
const view = new DataView(value.buffer)

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
  const needed = bytesOfOption(level, name, size)
  if (needed > 0 && task.mm.copyIn(task, addr, value, 0, needed) < 0) return -EFAULT
  value.fill(0, needed, size)
  if (level !== SOL_SOCKET || socket.ownsOption(name))
    return socket.setOption(task, level, name, value, size)
  return setGeneric(task, socket, name, view, size)
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
  // SO_GET_FILTER, whose lengths are those of instructions.
  if (level === SOL_SOCKET && name === SO_ATTACH_FILTER) {
    const count = copyFilter(task, socket, addr, room)
    if (count < 0) return count
    scratchView.setInt32(0, count, true)
    return task.mm.copyResult(task, lengthAt, scratch, 0, 4)
  }
  // This one asks with a number.
  const asks = level === SOL_PACKET && name === PACKET_HDRLEN && room >= 4
  if (asks && task.mm.copyIn(task, addr, value, 0, 4) < 0) return -EFAULT
  const n =
    level === SOL_SOCKET && !socket.ownsOption(name)
      ? getGeneric(task, socket, name, view, room)
      : socket.getOption(task, level, name, value, room)
  if (n < 0) return n
  // Of groups all are told or none, but how many there are.
  const tooMany = level === SOL_SOCKET && name === SO_PEERGROUPS && n > room
  if (tooMany) {
    scratchView.setInt32(0, n, true)
    return task.mm.copyOut(task, lengthAt, scratch, 0, 4) < 0 ? -EFAULT : -ERANGE
  }
  const size = Math.min(room, n)
  if (size > 0 && task.mm.copyResult(task, addr, value, 0, size) < 0) return -EFAULT
  scratchView.setInt32(0, size, true)
  return task.mm.copyResult(task, lengthAt, scratch, 0, 4)
}
