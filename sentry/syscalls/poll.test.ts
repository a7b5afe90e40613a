import { beforeEach, describe, expect, test } from 'vitest'
import {
  EAGAIN,
  EBADF,
  EBLOCKED,
  EFAULT,
  EINTR,
  EINVAL,
  EPERM,
  ERESTARTNOHAND,
} from '../../syscall-table/errno.ts'
import {
  EPOLL_CTL_ADD,
  EPOLLIN,
  F_SETPIPE_SZ,
  O_CREAT,
  O_NONBLOCK,
  O_RDWR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  SIGALRM,
} from '../../syscall-table/flags.ts'
import { boot, type TestTask } from '../../test/kernel.ts'
import { sendSignal } from '../kernel/signal-send.ts'
import * as pollCalls from './poll.ts'

let k: ReturnType<typeof boot>
beforeEach(() => {
  k = boot()
})

function pipe(k: TestTask, flags = 0): [number, number] {
  const at = k.room(8)
  expect(k.sys.pipe2(at, flags)).toBe(0)
  const view = k.view(at, 8)
  return [view.getInt32(0, true), view.getInt32(4, true)]
}

function pollFds(...entries: [number, number][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * entries.length))
  entries.forEach(([fd, events], i) => {
    view.setInt32(8 * i, fd, true)
    view.setInt16(8 * i + 4, events, true)
  })
  return new Uint8Array(view.buffer)
}
const revents = (at: number, i: number) => k.view(at + 8 * i, 8).getInt16(6, true)

function fireTimers(ns: number): void {
  k.clock.nowNs += ns
  k.kernel.timers.run(k.clock.nowNs)
}

describe('pipes', () => {
  test('a blocking write goes on where it stopped', () => {
    const [r, w] = pipe(k)
    const data = Uint8Array.from({ length: 100000 }, (_, i) => i % 251)
    expect(k.sys.write(w, data, data.length)).toBe(-EBLOCKED)
    const reader = k.fork()
    const into = reader.room(65536)
    expect(reader.sys.read(r, into, 65536)).toBe(65536)
    expect(reader.bytes(into, 65536)).toEqual(data.subarray(0, 65536))
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(100000)
    expect(reader.sys.read(r, into, 65536)).toBe(34464)
    expect(reader.bytes(into, 34464)).toEqual(data.subarray(65536))
  })

  test('a blocked read wakes for data and for the end', () => {
    const [r, w] = pipe(k)
    const buffer = k.room(16)
    expect(k.sys.read(r, buffer, 16)).toBe(-EBLOCKED)
    const writer = k.fork()
    expect(k.woken).toBe(false)
    expect(writer.sys.write(w, 'hey', 3)).toBe(3)
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(3)
    expect(writer.sys.fcntl(w, F_SETPIPE_SZ, 8192)).toBe(8192)
    expect(writer.sys.write(r, 'x', 1)).toBe(-EBADF)
  })

  test('non-blocking ends do not wait', () => {
    const [r] = pipe(k, O_NONBLOCK)
    expect(k.sys.read(r, k.room(1), 1)).toBe(-EAGAIN)
    expect(k.sys.pipe2(k.room(8), O_CREAT)).toBe(-EINVAL)
    expect(k.sys.pipe(8)).toBe(-EFAULT)
  })
})

describe('poll', () => {
  test('reports what is ready', () => {
    const [r, w] = pipe(k)
    const fds = k.place(pollFds([r, POLLIN], [w, POLLOUT], [99, POLLIN], [-1, POLLIN]))
    expect(k.call(pollCalls.sys_poll, fds, 4, -1)).toBe(2)
    expect([0, 1, 2, 3].map(i => revents(fds, i))).toEqual([0, POLLOUT, POLLNVAL, 0])
    k.sys.close(w)
    expect(k.call(pollCalls.sys_poll, fds, 1, 0)).toBe(1)
    expect(revents(fds, 0)).toBe(POLLHUP)
  })

  test('waits for one of several, and for its timeout', () => {
    const [r1, w1] = pipe(k)
    const [r2] = pipe(k)
    const fds = k.place(pollFds([r1, POLLIN], [r2, POLLIN]))
    expect(k.call(pollCalls.sys_poll, fds, 2, 50)).toBe(-EBLOCKED)
    expect(k.fork().sys.write(w1, 'x', 1)).toBe(1)
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(1)
    expect([revents(fds, 0), revents(fds, 1)]).toEqual([POLLIN, 0])
    k.sys.read(r1, k.room(1), 1)
    k.kernel.nextRunnable()
    expect(k.call(pollCalls.sys_poll, fds, 2, 50)).toBe(-EBLOCKED)
    fireTimers(49e6)
    expect(k.woken).toBe(false)
    fireTimers(1e6)
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(0)
    // Nothing stays linked.
    expect(k.task.files.get(r1)!.ops.queue!.empty).toBe(true)
  })

  test('ppoll leaves its mask to signal delivery when interrupted', () => {
    const [r] = pipe(k)
    const fds = k.place(pollFds([r, POLLIN]))
    const timeout = new DataView(new ArrayBuffer(16))
    timeout.setUint32(0, 2, true)
    const at = k.place(new Uint8Array(timeout.buffer))
    const { signals, group } = k.task
    signals.mask.add(SIGALRM)
    group.handlers.actions[SIGALRM]!.handler = 0x1234
    expect(k.call(pollCalls.sys_ppoll, fds, 1, at, k.place(new Uint8Array(8)), 8)).toBe(-EBLOCKED)
    expect(signals.mask.has(SIGALRM)).toBe(false)
    k.clock.nowNs += 5e8
    sendSignal(k.task, SIGALRM)
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(-ERESTARTNOHAND)
    expect(signals.restoreMask).toBe(true)
    expect(k.view(at, 16).getUint32(0, true)).toBe(1)
    expect(k.view(at, 16).getUint32(8, true)).toBe(5e8)
    expect(k.call(pollCalls.sys_ppoll, fds, 1, 0, fds, 4)).not.toBe(-EINTR)
  })
})

describe('select', () => {
  test('fills in the sets', () => {
    const [r, w] = pipe(k)
    const set = (...fds: number[]) => {
      const bits = new Uint8Array(8)
      for (const fd of fds) bits[fd >> 3]! |= 1 << (fd & 7)
      return bits
    }
    const reads = k.place(set(r))
    const writes = k.place(set(w))
    expect(k.call(pollCalls.sys_select, 64, reads, writes, 0, 0)).toBe(1)
    expect(k.bytes(reads, 8)).toEqual(set())
    expect(k.bytes(writes, 8)).toEqual(set(w))
    expect(k.call(pollCalls.sys_select, 64, k.place(set(r, 40)), 0, 0, 0)).toBe(-EBADF)
    expect(k.call(pollCalls.sys_select, -1, 0, 0, 0, 0)).toBe(-EINVAL)
    const again = k.place(set(r))
    expect(k.call(pollCalls.sys_select, r + 1, again, 0, 0, 0)).toBe(-EBLOCKED)
    k.fork().sys.write(w, 'x', 1)
    expect(k.rerun()).toBe(1)
    expect(k.bytes(again, 8)).toEqual(set(r))
  })
})

describe('epoll', () => {
  test('waits and reports', () => {
    const [r, w] = pipe(k)
    const ep = k.call(pollCalls.sys_epoll_create1, 0)
    const event = new DataView(new ArrayBuffer(12))
    event.setUint32(0, EPOLLIN, true)
    event.setUint32(4, 77, true)
    const at = k.place(new Uint8Array(event.buffer))
    expect(k.call(pollCalls.sys_epoll_ctl, ep, EPOLL_CTL_ADD, r, at)).toBe(0)
    expect(k.call(pollCalls.sys_epoll_ctl, ep, EPOLL_CTL_ADD, ep, at)).toBe(-EINVAL)
    const regular = k.sys.open('/file', O_CREAT | O_RDWR, 0o600)
    expect(k.call(pollCalls.sys_epoll_ctl, ep, EPOLL_CTL_ADD, regular, at)).toBe(-EPERM)
    const events = k.room(48)
    expect(k.call(pollCalls.sys_epoll_wait, ep, events, 4, -1)).toBe(-EBLOCKED)
    k.fork().sys.write(w, 'x', 1)
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(1)
    expect(k.view(events, 12).getUint32(4, true)).toBe(77)
    expect(k.call(pollCalls.sys_epoll_wait, r, events, 4, 0)).toBe(-EINVAL)
    expect(k.call(pollCalls.sys_epoll_wait, ep, events, 0, 0)).toBe(-EINVAL)
  })
})
