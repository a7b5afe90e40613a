// AF_UNIX sockets without a program: messages go to and from kernel buffers.

import { beforeEach, describe, expect, test, vi } from 'vitest'
import {
  EADDRINUSE,
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EINVAL,
  EISCONN,
  EMSGSIZE,
  ENOTCONN,
  EPERM,
  EPIPE,
} from '../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_PEEK,
  MSG_TRUNC,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  SCM_RIGHTS,
  SHUT_WR,
  SIGPIPE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../syscall-table/flags.ts'
import { createPipe } from '../fs/pipe.ts'
import { Creds } from '../kernel/creds.ts'
import { FdTable } from '../kernel/fdtable.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Pid } from '../kernel/pid-namespace.ts'
import type { Task } from '../kernel/task.ts'
import { KernelIo } from '../mm/io.ts'
import type { File } from '../vfs/file.ts'
import { buildControl, parseControl } from './control.ts'
import { Message } from './message.ts'
import { createPair, createSocket, type Socket, socketFile } from './socket.ts'
import './unix.ts'
import { unixSockets } from './unix-names.ts'

const sent: number[] = []
vi.mock('../kernel/signal-send.ts', () => ({
  sendSignal: (_: Task, signo: number) => sent.push(signo),
}))

const pid = { number: 7 } as Pid
let task: Task
beforeEach(() => {
  const kernel = {
    tunables: { somaxconn: 4096 },
    clock: { realtime: () => {}, monotonicNs: () => 0 },
  } as unknown as Kernel
  task = {
    kernel,
    io: null,
    creds: new Creds(),
    nsproxy: { net: { kernel } },
    files: new FdTable(),
    group: { tgid: 7, pid, rlimits: Array.from({ length: 16 }, () => ({ cur: 100, max: 100 })) },
    restart: { resource: null, done: 0, deadline: 0 },
  } as unknown as Task
})

const bytes = (n: number, from = 0) => Uint8Array.from({ length: n }, (_, i) => (i + from) & 255)
const poll = (s: Socket) => s.poll(s.file!) & (POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP)

function pair(type: number): [Socket, Socket] {
  const made = createPair(task, AF_UNIX, type, 0) as [Socket, Socket]
  for (const socket of made) socketFile(socket, 0)
  return made
}
function socket(type: number): Socket {
  const made = createSocket(task, AF_UNIX, type, 0) as Socket
  socketFile(made, 0)
  return made
}
function send(
  s: Socket,
  data: Uint8Array,
  rights: File[] | null = null,
  to: Uint8Array | null = null,
): number {
  const message = new Message().reset(task, new KernelIo(data), 0, true)
  message.rights = rights
  if (to !== null) {
    message.name.set(to)
    message.nameLength = to.length
  }
  return s.send(task, message)
}
function receive(
  s: Socket,
  length: number,
  flags = 0,
): { n: number; data: Uint8Array; message: Message } {
  const data = new Uint8Array(length)
  const message = new Message().reset(task, new KernelIo(data), flags, true)
  const n = s.receive(task, message)
  return { n, data: data.subarray(0, Math.max(0, n)), message }
}
const abstract = (name: string) => new Uint8Array([AF_UNIX, 0, 0, ...Buffer.from(name)])

const NOTHING = { passCredentials: false, passPidfd: false }

describe('stream', () => {
  test('moves bytes in order and stops at the send buffer', () => {
    const [a, b] = pair(SOCK_STREAM)
    let put = 0
    for (;;) {
      const n = send(a, bytes(10007, put))
      if (n < 0) {
        expect(n).toBe(-EAGAIN)
        break
      }
      put += n
    }
    expect(put).toBe(a.sendBuffer)
    expect(poll(a)).toBe(0)
    expect(b.unread()).toBe(put)
    let got = 0
    while (got < put) {
      const { n, data } = receive(b, 7001)
      expect(data).toEqual(bytes(n, got))
      got += n
    }
    expect(poll(a)).toBe(POLLOUT)
    expect(a.unsent()).toBe(0)
    expect(receive(b, 1).n).toBe(-EAGAIN)
  })

  test('ends, resets and breaks', () => {
    const [a, b] = pair(SOCK_STREAM)
    send(a, bytes(5))
    expect(a.shutdown(SHUT_WR)).toBe(0)
    expect(poll(b)).toBe(POLLIN | POLLOUT | POLLRDHUP)
    expect(receive(b, 9, MSG_PEEK).data).toEqual(bytes(5))
    expect(receive(b, 9).data).toEqual(bytes(5))
    expect(receive(b, 9).n).toBe(0)
    expect(send(a, bytes(1))).toBe(-EPIPE)
    expect(sent.pop()).toBe(SIGPIPE)
    send(b, bytes(3))
    a.file!.unref()
    expect(poll(b) & (POLLHUP | POLLERR)).toBe(POLLHUP | POLLERR)
    expect(receive(b, 1).n).toBe(-ECONNRESET)
    expect(receive(b, 1).n).toBe(0)
  })

  test('listens, connects and accepts', () => {
    const listener = socket(SOCK_STREAM)
    const client = socket(SOCK_STREAM)
    const name = abstract('door')
    expect(client.connect(task, name, name.length, client.file!)).toBe(-ECONNREFUSED)
    expect(listener.bind(task, name, name.length)).toBe(0)
    expect(socket(SOCK_STREAM).bind(task, name, name.length)).toBe(-EADDRINUSE)
    expect(listener.listen(task, 0)).toBe(0)
    expect(listener.accept(task)).toBe(-EAGAIN)
    expect(client.connect(task, name, name.length, client.file!)).toBe(0)
    expect(client.connect(task, name, name.length, client.file!)).toBe(-EAGAIN)
    expect(poll(listener)).toBe(POLLIN)
    const server = listener.accept(task) as Socket
    socketFile(server, 0)
    expect(client.connect(task, name, name.length, client.file!)).toBe(-EISCONN)
    expect(server.peerCredentials()).toEqual({ pid, uid: 0, gid: 0, groups: [] })
    const own = new Uint8Array(128)
    expect(server.ownAddress(own)).toBe(name.length)
    expect(own.subarray(0, name.length)).toEqual(name)
    send(server, bytes(2))
    expect(receive(client, 5).data).toEqual(bytes(2))
    listener.file!.unref()
    expect(socket(SOCK_STREAM).bind(task, name, name.length)).toBe(0)
  })

  test('unconnected and foreign uses', () => {
    const lone = socket(SOCK_STREAM)
    expect(poll(lone)).toBe(POLLOUT | POLLHUP)
    expect(send(lone, bytes(1))).toBe(-ENOTCONN)
    expect(receive(lone, 1).n).toBe(-EINVAL)
    expect(lone.listen(task, 5)).toBe(-EINVAL)
    expect(createSocket(task, AF_INET + 1, SOCK_STREAM, 0)).toBeLessThan(0)
  })
})

describe('messages', () => {
  test('keep their bounds', () => {
    const [a, b] = pair(SOCK_SEQPACKET)
    send(a, bytes(10))
    send(a, bytes(0))
    send(a, bytes(3))
    const cut = receive(b, 4, MSG_TRUNC)
    expect(cut.n).toBe(10)
    expect(cut.message.outFlags).toBe(MSG_TRUNC)
    expect(receive(b, 4).n).toBe(0)
    expect(receive(b, 4).data).toEqual(bytes(3))
    expect(send(a, bytes(300000))).toBe(-EMSGSIZE)
    a.file!.unref()
    expect(receive(b, 4).n).toBe(0)
    expect(send(b, bytes(1))).toBe(-EPIPE)
  })

  test('datagrams find names, wait for room and notice the end', () => {
    const server = socket(SOCK_DGRAM)
    const client = socket(SOCK_DGRAM)
    const name = abstract('box')
    expect(send(client, bytes(1), null, name)).toBe(-ECONNREFUSED)
    server.bind(task, name, name.length)
    expect(client.bind(task, Uint8Array.of(AF_UNIX, 0), 2)).toBe(0)
    for (let i = 0; i < 11; i++) expect(send(client, bytes(i), null, name)).toBe(i)
    expect(send(client, bytes(1), null, name)).toBe(-EAGAIN)
    expect(client.connect(task, name, name.length, client.file!)).toBe(0)
    expect(poll(client)).toBe(0)
    const first = receive(server, 10)
    expect(first.message.nameLength).toBe(8)
    expect(poll(client)).toBe(POLLOUT)
    const other = socket(SOCK_DGRAM)
    const back = first.message.name.subarray(0, first.message.nameLength)
    expect(send(other, bytes(1), null, back)).toBe(-EPERM)
    expect(send(server, bytes(1), null, back)).toBe(1)
    server.file!.unref()
    expect(send(client, bytes(1))).toBe(-ECONNREFUSED)
    expect(send(client, bytes(1))).toBe(-ENOTCONN)
  })
})

describe('files in flight', () => {
  test('arrive with their bytes', () => {
    const [a, b] = pair(SOCK_STREAM)
    const [r, w] = createPipe(task.kernel, 0)
    send(a, bytes(4))
    expect(send(a, bytes(4), [r.ref(), w.ref()])).toBe(4)
    send(a, bytes(4))
    const { n, message } = receive(b, 100)
    expect(n).toBe(8)
    expect(message.rights).toEqual([r, w])
    expect(receive(b, 100).n).toBe(4)
    message.dropRights()
    expect(r.refs).toBe(1)
  })

  test('are closed with a queue that nobody reads', () => {
    const [a, b] = pair(SOCK_DGRAM)
    const [r] = createPipe(task.kernel, 0)
    send(a, bytes(1), [r.ref()])
    b.file!.unref()
    expect(r.refs).toBe(1)
    expect(a.unsent()).toBe(0)
  })

  test('do not keep a circle of sockets alive', () => {
    const sockets = unixSockets(task.kernel)
    const before = sockets.size
    const [a, b] = pair(SOCK_STREAM)
    const [c, d] = pair(SOCK_STREAM)
    send(a, bytes(1), [b.file!.ref(), c.file!.ref()])
    send(d, bytes(1), [a.file!.ref()])
    for (const s of [a, b, c]) s.file!.unref()
    expect(sockets.size).toBe(before + 4)
    d.file!.unref()
    expect(sockets.size).toBe(before)
  })

  test('travel as control messages', () => {
    const [r] = createPipe(task.kernel, 0)
    const fd = task.files.install(r, false, 100)
    const view = new DataView(new ArrayBuffer(64))
    view.setUint32(0, 20, true)
    view.setInt32(8, SOL_SOCKET, true)
    view.setInt32(12, SCM_RIGHTS, true)
    view.setInt32(16, fd, true)
    const message = new Message().reset(task, new KernelIo(bytes(0)), MSG_CMSG_CLOEXEC, true)
    expect(parseControl(task, message, view, 24)).toBe(0)
    expect(message.rights).toEqual([r])
    expect(r.refs).toBe(2)
    expect(buildControl(task, message, NOTHING, view, 64)).toBe(24)
    const got = view.getInt32(16, true)
    expect(task.files.get(got)).toBe(r)
    expect(task.files.cloexec(got)).toBe(true)
    message.rights = [r.ref()]
    expect(buildControl(task, message, NOTHING, view, 12)).toBe(0)
    expect(message.outFlags).toBe(MSG_CTRUNC)
    expect(r.refs).toBe(2)
  })
})
