// select(2) and pselect6(2): fs/select.c. The three sets of the program are laid out one after the other in
// kernel memory, followed by the three results.

import { EBADF, EBLOCKED, EFAULT, EINVAL, ERESTARTNOHAND } from '../../syscall-table/errno.ts'
import {
  O_PATH,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDBAND,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
} from '../../syscall-table/flags.ts'
import { pollTable } from '../kernel/poll-table.ts'
import { signalPending } from '../kernel/signal.ts'
import type { Task } from '../kernel/task.ts'
import { dropTemporaryMask, setTemporaryMask } from '../kernel/temporary-mask.ts'
import {
  isError,
  readTimeout,
  readTimevalTimeout,
  setDeadline,
  signalPrevails,
  writeRemaining,
} from './poll-timeout.ts'

/** Events that make a file readable, writable and exceptional. */
const SET_EVENTS = [
  POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
  POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
  POLLPRI,
] as const
const ALL_EVENTS = SET_EVENTS[0] | SET_EVENTS[1] | SET_EVENTS[2]

/** select(2). The remaining time is written back, as Linux does. */
export function sys_select(
  task: Task,
  count: number,
  reads: number,
  writes: number,
  exceptions: number,
  timeoutAt: number,
): number {
  const timeout = readTimevalTimeout(task, timeoutAt)
  if (isError(timeout)) return timeout
  return finish(
    task,
    select(task, count, reads, writes, exceptions, timeout),
    timeoutAt,
    timeout,
    1000,
  )
}

/** pselect6(2): the last argument points to the mask's address and size. */
export function sys_pselect6(
  task: Task,
  count: number,
  reads: number,
  writes: number,
  exceptions: number,
  timeoutAt: number,
  maskArg: number,
): number {
  const timeout = readTimeout(task, timeoutAt)
  if (isError(timeout)) return timeout
  if (maskArg !== 0) {
    const { scratch, scratchView } = task.kernel
    if (task.mm.copyIn(task, maskArg, scratch, 0, 16) < 0) return -EFAULT
    const mask = scratchView.getUint32(4, true) * 2 ** 32 + scratchView.getUint32(0, true)
    const size = scratchView.getUint32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
    const n = setTemporaryMask(task, mask, size)
    if (n < 0) return n
  }
  return finish(
    task,
    select(task, count, reads, writes, exceptions, timeout),
    timeoutAt,
    timeout,
    1,
  )
}

/** poll_select_finish: the remaining time and the mask. */
function finish(
  task: Task,
  result: number,
  timeoutAt: number,
  timeoutNs: number,
  nsPerUnit: number,
): number {
  if (result < -ERESTARTNOHAND) {
    if (!signalPending(task)) return result
    task.stopWaiting()
    writeRemaining(task, timeoutAt, timeoutNs, nsPerUnit)
    return -ERESTARTNOHAND
  }
  writeRemaining(task, timeoutAt, timeoutNs, nsPerUnit)
  dropTemporaryMask(task)
  return result
}

function select(
  task: Task,
  wanted: number,
  reads: number,
  writes: number,
  exceptions: number,
  timeoutNs: number,
): number {
  if (wanted < 0) return -EINVAL
  const count = Math.min(wanted, tableSize(task))
  const bytes = Math.ceil(count / 64) * 8
  const { kernel, restart } = task
  const buffer = 6 * bytes <= kernel.scratch.length ? kernel.scratch : new Uint8Array(6 * bytes)
  buffer.fill(0, 0, 6 * bytes)
  if (!load(task, reads, buffer, 0, bytes)) return -EFAULT
  if (!load(task, writes, buffer, bytes, bytes)) return -EFAULT
  if (!load(task, exceptions, buffer, 2 * bytes, bytes)) return -EFAULT
  const ready = check(task, buffer, bytes, count)
  if (ready < 0) return ready
  if (ready === 0 && timeoutNs !== 0 && !restart.timedOut) {
    setDeadline(task, timeoutNs)
    return waitForAny(task, buffer, bytes, count)
  }
  if (ready === 0 && signalPrevails(task)) return -EBLOCKED
  if (!store(task, reads, buffer, 3 * bytes, bytes)) return -EFAULT
  if (!store(task, writes, buffer, 4 * bytes, bytes)) return -EFAULT
  return store(task, exceptions, buffer, 5 * bytes, bytes) ? ready : -EFAULT
}

/** Linux looks at no more descriptors than the table has room for: a power of two, at least 64. */
function tableSize(task: Task): number {
  let size = 64
  while (size < task.files.size) size *= 2
  return size
}

function load(task: Task, addr: number, buffer: Uint8Array, at: number, bytes: number): boolean {
  return addr === 0 || bytes === 0 || task.mm.copyIn(task, addr, buffer, at, bytes) === 0
}

function store(task: Task, addr: number, buffer: Uint8Array, at: number, bytes: number): boolean {
  return addr === 0 || bytes === 0 || task.mm.copyResult(task, addr, buffer, at, bytes) === 0
}

/** The sets (bits 0, 1, 2) that hold descriptor `fd`. */
function setsOf(buffer: Uint8Array, bytes: number, fd: number): number {
  const at = fd >> 3
  const bit = fd & 7
  return (
    ((buffer[at]! >> bit) & 1) |
    (((buffer[bytes + at]! >> bit) & 1) << 1) |
    (((buffer[2 * bytes + at]! >> bit) & 1) << 2)
  )
}

function check(task: Task, buffer: Uint8Array, bytes: number, count: number): number {
  let ready = 0
  for (let fd = 0; fd < count; fd++) {
    // Empty stretches are the rule.
    const at = fd >> 3
    if ((fd & 7) === 0 && (buffer[at]! | buffer[bytes + at]! | buffer[2 * bytes + at]!) === 0) {
      fd += 7
      continue
    }
    const sets = setsOf(buffer, bytes, fd)
    if (sets === 0) continue
    const file = task.files.get(fd)
    if (file === undefined) return -EBADF
    // POLLNVAL, which belongs to all three sets.
    const events = (file.flags & O_PATH) !== 0 ? -1 : file.ops.poll(file)
    for (let set = 0; set < 3; set++) {
      if ((sets & (1 << set)) === 0 || (events & SET_EVENTS[set]!) === 0) continue
      buffer[(3 + set) * bytes + at]! |= 1 << (fd & 7)
      ready++
    }
  }
  return ready
}

function waitForAny(task: Task, buffer: Uint8Array, bytes: number, count: number): number {
  const table = pollTable(task)
  for (let fd = 0; fd < count; fd++) {
    const queue = setsOf(buffer, bytes, fd) === 0 ? null : task.files.get(fd)?.ops.queue
    if (queue !== null && queue !== undefined) table.link(queue, ALL_EVENTS)
  }
  return task.block(null, 0)
}
