// Filters of sockets: SO_ATTACH_FILTER and its company in socket(7), sk_attach_filter and sk_get_filter in net/core/filter.c.
// Families run them over what arrives.

import { type PacketView, SIZEOF_INSN, SocketFilter, toBytes } from 'seccomp-bpf-compiler'
import { EFAULT, EINVAL, ENOENT, ENOPROTOOPT, EPERM } from '../../syscall-table/errno.ts'
import { SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { Socket } from './socket.ts'

/** sizeof(struct sock_fprog), and BPF_MAXINSNS. */
const FPROG_SIZE = 16
const MAX_LENGTH = 4096

/** setsockopt(2) of the three options, with the value in `view[0…size]`; `length` is what the program said. */
export function setFilterOption(
  task: Task,
  socket: Socket,
  name: number,
  view: DataView,
  size: number,
): number {
  switch (name) {
    case SO_ATTACH_FILTER:
      return attach(task, socket, view, size)
    case SO_DETACH_FILTER:
      if (socket.filterLocked) return -EPERM
      if (socket.filter === null) return -ENOENT
      socket.filter = null
      return 0
    default: {
      const on = view.getInt32(0, true) !== 0
      if (socket.filterLocked && !on) return -EPERM
      socket.filterLocked = on
      return 0
    }
  }
}

/** struct sock_fprog: a length, and where the instructions are. */
function attach(task: Task, socket: Socket, view: DataView, size: number): number {
  // DIFFERS: connections of TCP have no packets over lo that a filter could see, and those of the host are the host's.
  if (!socket.filters) return -ENOPROTOOPT
  if (size !== FPROG_SIZE) return -EINVAL
  if (socket.filterLocked) return -EPERM
  const length = view.getUint16(0, true)
  const at = view.getUint32(12, true) * 2 ** 32 + view.getUint32(8, true)
  if (at === 0 || length === 0 || length > MAX_LENGTH) return -EINVAL
  const bytes = new Uint8Array(length * SIZEOF_INSN)
  if (task.mm.copyIn(task, at, bytes, 0, bytes.length) < 0) return -EFAULT
  const filter = SocketFilter.load(bytes)
  if (typeof filter === 'number') return filter
  socket.filter = filter
  return 0
}

/** Whether setsockopt(2) of SOL_SOCKET with this name is for `setFilterOption`. */
export function isFilterOption(name: number): boolean {
  return name === SO_ATTACH_FILTER || name === SO_DETACH_FILTER || name === SO_LOCK_FILTER
}

/** SO_GET_FILTER: copies the program to `addr`, which has room for `room` instructions; returns their number. */
export function copyFilter(task: Task, socket: Socket, addr: number, room: number): number {
  const { filter } = socket
  if (filter === null) return 0
  const { length } = filter.program
  if (room === 0) return length
  if (room < length) return -EINVAL
  const bytes = toBytes(filter.program)
  return task.mm.copyResult(task, addr, bytes, 0, bytes.length) < 0 ? -EFAULT : length
}

/** What a filter sees of data that came without a network. */
class BareData implements PacketView {
  readonly bytes: Uint8Array
  readonly dataAt = 0
  readonly networkAt = -1
  readonly linkAt = -1
  readonly protocol = 0
  readonly kind = 0
  readonly device = 0
  readonly hardware = 0
  readonly mark = 0
  readonly payloadOffset = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** How much of a message within this kernel a socket's filter lets through; -1 when it drops it. */
export function passMessage({ filter }: Socket, bytes: Uint8Array): number {
  if (filter === null) return bytes.length
  const most = filter.run(new BareData(bytes))
  return most === 0 ? -1 : Math.min(most, bytes.length)
}
