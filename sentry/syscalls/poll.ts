// Handlers of the calls that wait for readiness: fs/select.c, fs/eventpoll.c, fs/eventfd.c.

import { EBLOCKED, EFAULT, EINVAL, ERESTARTNOHAND } from '../../syscall-table/errno.ts'
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  O_CLOEXEC,
  POLLERR,
  POLLHUP,
  POLLNVAL,
  RLIMIT_NOFILE,
} from '../../syscall-table/flags.ts'
import { createEventFd } from '../fs/eventfd.ts'
import { pollTable } from '../kernel/poll-table.ts'
import { signalPending } from '../kernel/signal.ts'
import type { Task } from '../kernel/task.ts'
import { dropTemporaryMask, setTemporaryMask } from '../kernel/temporary-mask.ts'
import {
  fromMs,
  isError,
  readTimeout,
  setDeadline,
  signalPrevails,
  writeRemaining,
} from './poll-timeout.ts'

export {
  sys_epoll_create,
  sys_epoll_create1,
  sys_epoll_ctl,
  sys_epoll_pwait,
  sys_epoll_pwait2,
  sys_epoll_wait,
} from './poll-epoll.ts'
export { sys_pselect6, sys_select } from './poll-select.ts'

const POLLFD_SIZE = 8

/** poll(2). */
export function sys_poll(task: Task, fds: number, count: number, timeoutMs: number): number {
  return pollFiles(task, fds, count, fromMs(timeoutMs))
}

/** ppoll(2). The remaining time is written back, as Linux does. */
export function sys_ppoll(
  task: Task,
  fds: number,
  count: number,
  timeoutAt: number,
  mask: number,
  maskSize: number,
): number {
  const timeout = readTimeout(task, timeoutAt)
  if (isError(timeout)) return timeout
  const n = setTemporaryMask(task, mask, maskSize)
  if (n < 0) return n
  const result = pollFiles(task, fds, count, timeout)
  if (result < -ERESTARTNOHAND) {
    if (!signalPending(task)) return result
    // The program sees how much time is left, and the mask stays in force until the signal is delivered.
    task.stopWaiting()
    writeRemaining(task, timeoutAt, timeout, 1)
    return -ERESTARTNOHAND
  }
  writeRemaining(task, timeoutAt, timeout, 1)
  dropTemporaryMask(task)
  return result
}

function pollFiles(task: Task, addr: number, count: number, timeoutNs: number): number {
  if (count > task.group.rlimits[RLIMIT_NOFILE]!.cur) return -EINVAL
  const { kernel, restart } = task
  const bytes = count * POLLFD_SIZE
  let buffer = kernel.scratch
  let view = kernel.scratchView
  if (bytes > buffer.length) {
    buffer = new Uint8Array(bytes)
    view = new DataView(buffer.buffer)
  }
  if (bytes > 0 && task.mm.copyIn(task, addr, buffer, 0, bytes) < 0) return -EFAULT
  const ready = check(task, view, count)
  if (ready === 0 && timeoutNs !== 0 && !restart.timedOut) {
    setDeadline(task, timeoutNs)
    return waitForAny(task, view, count)
  }
  if (bytes > 0 && task.mm.copyResult(task, addr, buffer, 0, bytes) < 0) return -EFAULT
  if (ready === 0 && signalPrevails(task)) return -EBLOCKED
  return ready
}

/** Fill in `revents`. Returns how many are not 0. */
function check(task: Task, view: DataView, count: number): number {
  const { files } = task
  let ready = 0
  for (let i = 0; i < count; i++) {
    const at = i * POLLFD_SIZE
    const fd = view.getInt32(at, true)
    let events = 0
    if (fd >= 0) {
      const file = files.getReal(fd)
      if (file === undefined) events = POLLNVAL
      else events = file.ops.poll(file) & (view.getUint16(at + 4, true) | POLLERR | POLLHUP)
    }
    view.setUint16(at + 6, events, true)
    if (events !== 0) ready++
  }
  return ready
}

function waitForAny(task: Task, view: DataView, count: number): number {
  const { files } = task
  const table = count > 1 ? pollTable(task) : null
  for (let i = 0; i < count; i++) {
    const at = i * POLLFD_SIZE
    const fd = view.getInt32(at, true)
    const queue = fd >= 0 ? files.get(fd)?.ops.queue : null
    if (queue === null || queue === undefined) continue
    const events = view.getUint16(at + 4, true) | POLLERR | POLLHUP
    if (table === null) return task.block(queue, events)
    table.link(queue, events)
  }
  return task.block(null, 0)
}

/** eventfd(2) without flags. */
export function sys_eventfd(task: Task, initial: number): number {
  return sys_eventfd2(task, initial, 0)
}

/** eventfd(2). */
export function sys_eventfd2(task: Task, initial: number, flags: number): number {
  if ((flags & ~(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)) !== 0) return -EINVAL
  const file = createEventFd(
    task.kernel,
    initial,
    (flags & EFD_SEMAPHORE) !== 0,
    flags & EFD_NONBLOCK,
  )
  const fd = task.files.install(
    file,
    (flags & O_CLOEXEC) !== 0,
    task.group.rlimits[RLIMIT_NOFILE]!.cur,
  )
  if (fd < 0) file.unref()
  return fd
}
