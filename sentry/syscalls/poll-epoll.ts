// Handlers of epoll(7).

import { EBADF, EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  POLLIN,
  RLIMIT_NOFILE,
} from '../../syscall-table/flags.ts'
import { createEpoll, type EventSink, epollOf } from '../fs/epoll.ts'
import type { Task } from '../kernel/task.ts'
import { dropTemporaryMask, setTemporaryMask } from '../kernel/temporary-mask.ts'
import { TASK_SIZE } from '../mm/mm.ts'
import { fromMs, isError, readTimeout, setDeadline } from './poll-timeout.ts'

const EVENT_SIZE = 12
const EP_MAX_EVENTS = Math.floor(0x7fffffff / EVENT_SIZE)

/** Writes events into the kernel's scratch memory. */
class ScratchSink implements EventSink {
  view!: DataView
  at = 0

  event(events: number, low: number, high: number): void {
    this.view.setUint32(this.at, events, true)
    this.view.setUint32(this.at + 4, low, true)
    this.view.setUint32(this.at + 8, high, true)
    this.at += EVENT_SIZE
  }
}

const sink = new ScratchSink()

/** epoll_create(2): the size is only checked to be positive. */
export function sys_epoll_create(task: Task, size: number): number {
  return size <= 0 ? -EINVAL : sys_epoll_create1(task, 0)
}

/** epoll_create1(2). */
export function sys_epoll_create1(task: Task, flags: number): number {
  if ((flags & ~EPOLL_CLOEXEC) !== 0) return -EINVAL
  const file = createEpoll(task.kernel)
  const fd = task.files.install(file, flags !== 0, task.group.rlimits[RLIMIT_NOFILE]!.cur)
  if (fd < 0) file.unref()
  return fd
}

/** epoll_ctl(2). */
export function sys_epoll_ctl(
  task: Task,
  epfd: number,
  op: number,
  fd: number,
  event: number,
): number {
  const { scratch, scratchView } = task.kernel
  const needsEvent = op !== EPOLL_CTL_DEL
  if (needsEvent && task.mm.copyIn(task, event, scratch, 0, EVENT_SIZE) < 0) return -EFAULT
  const epollFile = task.files.getReal(epfd)
  const file = task.files.getReal(fd)
  if (epollFile === undefined || file === undefined) return -EBADF
  const epoll = epollOf(epollFile)
  if (typeof epoll === 'number' || epollFile === file) return -EINVAL
  if (op === EPOLL_CTL_DEL) return epoll.delete(file, fd)
  const events = scratchView.getUint32(0, true)
  const low = scratchView.getUint32(4, true)
  const high = scratchView.getUint32(8, true)
  if (op === EPOLL_CTL_ADD) return epoll.add(file, fd, events, low, high)
  return op === EPOLL_CTL_MOD ? epoll.modify(file, fd, events, low, high) : -EINVAL
}

/** epoll_wait(2). */
export function sys_epoll_wait(
  task: Task,
  epfd: number,
  events: number,
  max: number,
  timeoutMs: number,
): number {
  return wait(task, epfd, events, max, fromMs(timeoutMs))
}

/** epoll_pwait(2). */
export function sys_epoll_pwait(
  task: Task,
  epfd: number,
  events: number,
  max: number,
  timeoutMs: number,
  mask: number,
  maskSize: number,
): number {
  const n = setTemporaryMask(task, mask, maskSize)
  return n < 0 ? n : waitMasked(task, epfd, events, max, fromMs(timeoutMs))
}

/** epoll_pwait2(2). */
export function sys_epoll_pwait2(
  task: Task,
  epfd: number,
  events: number,
  max: number,
  timeoutAt: number,
  mask: number,
  maskSize: number,
): number {
  const timeout = readTimeout(task, timeoutAt)
  if (isError(timeout)) return timeout
  const n = setTemporaryMask(task, mask, maskSize)
  return n < 0 ? n : waitMasked(task, epfd, events, max, timeout)
}

function waitMasked(
  task: Task,
  epfd: number,
  events: number,
  max: number,
  timeoutNs: number,
): number {
  const n = wait(task, epfd, events, max, timeoutNs)
  // While the call is parked its mask holds; a signal that ends it restores the old one on delivery.
  if (n >= -LAST_ERRNO) dropTemporaryMask(task)
  return n
}

/** Codes beyond this are internal: the call has not ended. */
const LAST_ERRNO = 511

function wait(task: Task, epfd: number, addr: number, max: number, timeoutNs: number): number {
  if (max <= 0 || max > EP_MAX_EVENTS) return -EINVAL
  if (addr + max * EVENT_SIZE > TASK_SIZE) return -EFAULT
  const epoll = epollOf(task.files.getReal(epfd))
  if (typeof epoll === 'number') return epoll
  let { scratch, scratchView } = task.kernel
  const room = Math.min(max, epoll.readyCount) * EVENT_SIZE
  if (room > scratch.length) {
    scratch = new Uint8Array(room)
    scratchView = new DataView(scratch.buffer)
  }
  sink.view = scratchView
  sink.at = 0
  const n = epoll.collect(max, sink)
  if (n > 0) return task.mm.copyResult(task, addr, scratch, 0, sink.at) < 0 ? -EFAULT : n
  if (timeoutNs === 0 || task.restart.timedOut) return 0
  setDeadline(task, timeoutNs)
  return task.block(epoll.queue, POLLIN)
}
