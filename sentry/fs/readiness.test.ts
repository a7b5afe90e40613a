// Pipes, event counters and epoll, without a program: transfers go to and from kernel buffers.

import { describe, expect, test, vi } from 'vitest'
import {
  EAGAIN,
  EBLOCKED,
  EBUSY,
  EEXIST,
  EINVAL,
  ELOOP,
  ENOENT,
  ENXIO,
  EPERM,
  EPIPE,
} from '../../syscall-table/errno.ts'
import {
  EPOLLET,
  EPOLLONESHOT,
  O_DIRECT,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  SIGPIPE,
} from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { KernelIo } from '../mm/io.ts'
import { pipeInode } from '../vfs/anon.ts'
import type { File, FileOps } from '../vfs/file.ts'
import { createEpoll, type Epoll } from './epoll.ts'
import { createEventFd } from './eventfd.ts'
import { createPipe, openFifo, pipeOf } from './pipe.ts'

const sent: number[] = []
vi.mock('../kernel/signal-send.ts', () => ({
  sendSignal: (_: Task, signo: number) => sent.push(signo),
}))

const kernel = { clock: { realtime: () => {}, monotonicNs: () => 0 } } as unknown as Kernel

function newTask(): Task {
  return {
    kernel,
    creds: { capable: () => true },
    io: null,
    block: () => -EBLOCKED,
    restart: { resource: null, done: 0, deadline: 0 },
  } as unknown as Task
}
const task = newTask()

const write = (file: File, data: Uint8Array) => file.ops.write(file, new KernelIo(data), 0, task)
function read(file: File, length: number): Uint8Array | number {
  const buffer = new Uint8Array(length)
  const n = file.ops.read(file, new KernelIo(buffer), 0, task)
  return n < 0 ? n : buffer.subarray(0, n)
}
const bytes = (n: number, from = 0) => Uint8Array.from({ length: n }, (_, i) => (i + from) & 255)
const poll = (file: File) => file.ops.poll(file) & (POLLIN | POLLOUT | POLLERR | POLLHUP)

describe('pipe', () => {
  test('keeps order through growth and wrap-around', () => {
    const [r, w] = createPipe(kernel, 0)
    let written = 0
    let done = 0
    for (let round = 0; round < 300; round++) {
      const n = write(w, bytes(1 + ((round * 977) % 6000), written))
      if (n > 0) written += n
      const got = read(r, 1 + ((round * 733) % 5000))
      if (typeof got === 'number') continue
      expect(got).toEqual(bytes(got.length, done))
      done += got.length
    }
    expect(pipeOf(r)!.used).toBe(written - done)
  })

  test('small writes are atomic, large ones partial', () => {
    const [r, w] = createPipe(kernel, O_NONBLOCK)
    expect(write(w, bytes(70000))).toBe(65536)
    expect(write(w, bytes(1))).toBe(-EAGAIN)
    read(r, 100)
    expect(write(w, bytes(101))).toBe(-EAGAIN)
    expect(poll(w)).toBe(0)
    expect(write(w, bytes(100))).toBe(100)
    expect(pipeOf(w)!.resize(4096, 1 << 20)).toBe(-EBUSY)
    expect(pipeOf(w)!.resize(100000, 1 << 20)).toBe(131072)
    expect(pipeOf(w)!.resize(2 << 20, 1 << 20)).toBe(-EPERM)
  })

  test('the ends see each other go', () => {
    const [r, w] = createPipe(kernel, O_NONBLOCK)
    expect(read(r, 1)).toBe(-EAGAIN)
    write(w, bytes(3))
    w.unref()
    expect(poll(r)).toBe(POLLIN | POLLHUP)
    expect(read(r, 9)).toEqual(bytes(3))
    expect(read(r, 9)).toEqual(bytes(0))
    const [r2, w2] = createPipe(kernel, O_NONBLOCK)
    r2.unref()
    expect(poll(w2)).toBe(POLLOUT | POLLERR)
    expect(write(w2, bytes(1))).toBe(-EPIPE)
    expect(sent.at(-1)).toBe(SIGPIPE)
  })

  test('packets keep their bounds', () => {
    const [r, w] = createPipe(kernel, O_NONBLOCK | O_DIRECT)
    expect(write(w, bytes(5000))).toBe(5000)
    write(w, bytes(3))
    expect((read(r, 8000) as Uint8Array).length).toBe(4096)
    expect((read(r, 10) as Uint8Array).length).toBe(10)
    expect(read(r, 10)).toEqual(bytes(3))
    expect(read(r, 10)).toBe(-EAGAIN)
    for (let i = 0; i < 16; i++) expect(write(w, bytes(1))).toBe(1)
    expect(write(w, bytes(1))).toBe(-EAGAIN)
  })

  test('a pipe that is opened again does not wait', () => {
    const [r, w] = createPipe(kernel, 0)
    write(w, bytes(2))
    w.unref()
    const again = openFifo(r.inode, task, O_RDONLY) as FileOps
    expect(again.poll(r) & (POLLIN | POLLHUP)).toBe(POLLIN | POLLHUP)
  })

  test("a FIFO's open waits for the other side", () => {
    // Stands for a FIFO's: only its file system matters.
    const inode = Object.assign(pipeInode(kernel), { sb: { type: 'tmpfs' } })
    const other = newTask()
    expect(openFifo(inode, task, O_WRONLY | O_NONBLOCK)).toBe(-ENXIO)
    expect(openFifo(inode, task, O_RDONLY)).toBe(-EBLOCKED)
    expect(openFifo(inode, task, O_RDONLY)).toBe(-EBLOCKED)
    const writer = openFifo(inode, other, O_WRONLY) as FileOps
    expect(typeof writer).toBe('object')
    const reader = openFifo(inode, task, O_RDONLY) as FileOps
    expect(typeof reader).toBe('object')
    expect(task.restart.resource).toBeNull()
    expect(openFifo(inode, task, O_RDWR)).toBeTypeOf('object')
  })
})

describe('eventfd', () => {
  test('counts, saturates and hands out', () => {
    const file = createEventFd(kernel, 3, false, 0)
    const value = (n: bigint) => new Uint8Array(BigUint64Array.of(n).buffer)
    expect(write(file, value(2n ** 40n))).toBe(8)
    expect(read(file, 8)).toEqual(value(2n ** 40n + 3n))
    expect(read(file, 8)).toBe(-EAGAIN)
    expect(write(file, value(2n ** 64n - 1n))).toBe(-EINVAL)
    expect(write(file, value(2n ** 64n - 2n))).toBe(8)
    expect(write(file, value(1n))).toBe(-EAGAIN)
    expect(poll(file)).toBe(POLLIN)
    const semaphore = createEventFd(kernel, 2, true, 0)
    expect(read(semaphore, 8)).toEqual(value(1n))
    expect(read(semaphore, 8)).toEqual(value(1n))
    expect(read(semaphore, 8)).toBe(-EAGAIN)
  })
})

describe('epoll', () => {
  const collect = (epoll: File, max = 10) => {
    const got: [number, number][] = []
    ;(epoll.ops as Epoll).collect(max, { event: (events, low) => got.push([events, low]) })
    return got
  }
  const ctl = (epoll: File) => epoll.ops as Epoll

  test('level, edge and one-shot', () => {
    const epoll = createEpoll(kernel)
    const [r, w] = createPipe(kernel, O_NONBLOCK)
    expect(ctl(epoll).add(r, 3, POLLIN, 1, 0)).toBe(0)
    expect(ctl(epoll).add(r, 3, POLLIN, 1, 0)).toBe(-EEXIST)
    expect(collect(epoll)).toEqual([])
    write(w, bytes(2))
    expect(collect(epoll)).toEqual([[POLLIN, 1]])
    expect(collect(epoll)).toEqual([[POLLIN, 1]])
    expect(ctl(epoll).modify(r, 3, POLLIN | EPOLLET, 2, 0)).toBe(0)
    expect(collect(epoll)).toEqual([[POLLIN, 2]])
    expect(collect(epoll)).toEqual([])
    write(w, bytes(2))
    expect(collect(epoll)).toEqual([[POLLIN, 2]])
    ctl(epoll).modify(r, 3, POLLIN | EPOLLONESHOT, 3, 0)
    expect(collect(epoll)).toEqual([[POLLIN, 3]])
    write(w, bytes(2))
    expect(collect(epoll)).toEqual([])
    expect(ctl(epoll).delete(r, 3)).toBe(0)
    expect(ctl(epoll).delete(r, 3)).toBe(-ENOENT)
  })

  test('forgets files that end, and takes turns', () => {
    const epoll = createEpoll(kernel)
    const files = [1, 2, 3].map(n => createEventFd(kernel, n, false, 0))
    files.forEach((file, i) => {
      ctl(epoll).add(file, i, POLLIN, i, 0)
    })
    expect(collect(epoll, 2)).toEqual([
      [POLLIN, 0],
      [POLLIN, 1],
    ])
    expect(collect(epoll, 2)).toEqual([
      [POLLIN, 2],
      [POLLIN, 0],
    ])
    files[1]!.unref()
    expect(collect(epoll)).toEqual([
      [POLLIN, 2],
      [POLLIN, 0],
    ])
  })

  test('may watch another one, but not in a circle', () => {
    const chain = [0, 1, 2, 3, 4, 5].map(() => createEpoll(kernel))
    const event = createEventFd(kernel, 0, false, 0)
    ctl(chain[0]!).add(event, 9, POLLIN, 0, 0)
    for (let i = 1; i < 5; i++) expect(ctl(chain[i]!).add(chain[i - 1]!, i, POLLIN, i, 0)).toBe(0)
    expect(ctl(chain[5]!).add(chain[4]!, 5, POLLIN, 5, 0)).toBe(-ELOOP)
    expect(ctl(chain[0]!).add(chain[4]!, 8, POLLIN, 8, 0)).toBe(-ELOOP)
    expect(poll(chain[4]!)).toBe(0)
    write(event, bytes(8, 1))
    expect(poll(chain[4]!)).toBe(POLLIN)
    expect(collect(chain[4]!)).toEqual([[POLLIN, 4]])
  })
})
