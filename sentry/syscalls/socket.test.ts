import { beforeEach, describe, expect, test } from 'vitest'
import {
  EACCES,
  EADDRINUSE,
  EAFNOSUPPORT,
  EAGAIN,
  EBADF,
  EBLOCKED,
  ECONNREFUSED,
  EINVAL,
  ENOTSOCK,
  ENXIO,
} from '../../syscall-table/errno.ts'
import {
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_WAITALL,
  O_RDWR,
  S_IFMT,
  S_IFSOCK,
  SCM_CREDENTIALS,
  SO_ERROR,
  SO_PASSCRED,
  SO_PEERCRED,
  SO_RCVTIMEO,
  SO_SNDBUF,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../syscall-table/flags.ts'
import { boot, type TestTask, userCreds } from '../../test/kernel.ts'
import * as calls from './socket.ts'

let k: ReturnType<typeof boot>
beforeEach(() => {
  k = boot()
})

const unixAddress = (path: string) => new Uint8Array([AF_UNIX, 0, ...Buffer.from(path), 0])

function pair(type: number): [number, number] {
  const at = k.room(8)
  expect(k.call(calls.sys_socketpair, AF_UNIX, type, 0, at)).toBe(0)
  const view = k.view(at, 8)
  return [view.getInt32(0, true), view.getInt32(4, true)]
}

function int(n: number): Uint8Array {
  return new Uint8Array(Int32Array.of(n).buffer)
}

function option(task: TestTask, fd: number, name: number, size = 4): DataView {
  const value = task.room(size)
  expect(task.call(calls.sys_getsockopt, fd, SOL_SOCKET, name, value, task.place(int(size)))).toBe(
    0,
  )
  return task.view(value, size)
}

/** A struct msghdr in program memory with one buffer and room for control messages. */
function msghdr(
  task: TestTask,
  buffer: number,
  length: number,
  control: number,
  controlLength: number,
): number {
  const iov = task.place(new Uint8Array(BigUint64Array.of(BigInt(buffer), BigInt(length)).buffer))
  const words = [0n, 0n, BigInt(iov), 1n, BigInt(control), BigInt(controlLength), 0n]
  return task.place(new Uint8Array(BigUint64Array.from(words).buffer))
}

describe('sockets bound to paths', () => {
  test('connect a server and a client', () => {
    const server = k.call(calls.sys_socket, AF_UNIX, SOCK_STREAM, 0)
    const address = unixAddress('/sock')
    expect(k.call(calls.sys_bind, server, address, address.length)).toBe(0)
    const again = k.call(calls.sys_socket, AF_UNIX, SOCK_STREAM, 0)
    expect(k.call(calls.sys_bind, again, address, address.length)).toBe(-EADDRINUSE)
    const stat = k.room(144)
    expect(k.sys.stat('/sock', stat)).toBe(0)
    expect(k.view(stat, 144).getUint32(24, true) & S_IFMT).toBe(S_IFSOCK)
    expect(k.sys.open('/sock', O_RDWR, 0)).toBe(-ENXIO)
    expect(k.call(calls.sys_connect, again, address, address.length)).toBe(-ECONNREFUSED)
    expect(k.call(calls.sys_listen, server, 5)).toBe(0)
    expect(k.call(calls.sys_accept, server, 0, 0)).toBe(-EBLOCKED)

    const stranger = k.fork(userCreds(1000))
    const other = stranger.call(calls.sys_socket, AF_UNIX, SOCK_STREAM, 0)
    expect(stranger.call(calls.sys_connect, other, address, address.length)).toBe(-EACCES)
    const client = k.fork()
    const fd = client.call(calls.sys_socket, AF_UNIX, SOCK_STREAM, 0)
    expect(client.call(calls.sys_connect, fd, address, address.length)).toBe(0)
    expect(k.woken).toBe(true)
    const connection = k.rerun()
    expect(connection).toBeGreaterThanOrEqual(0)
    expect(option(k, connection, SO_PEERCRED, 12).getInt32(0, true)).toBe(client.task.group.tgid)
    expect(client.sys.write(fd, 'ping', 4)).toBe(4)
    const buffer = k.room(16)
    expect(k.call(calls.sys_recvfrom, connection, buffer, 16, 0, 0, 0)).toBe(4)
    expect(k.text(buffer, 4)).toBe('ping')
    const name = k.room(128)
    const length = k.place(int(128))
    expect(k.call(calls.sys_getsockname, connection, name, length)).toBe(0)
    expect(k.bytes(name, address.length)).toEqual(address)
    expect(k.view(length, 4).getInt32(0, true)).toBe(address.length)
    expect(k.sys.unlink('/sock')).toBe(0)
  })

  test('reject what is not a socket', () => {
    const file = k.sys.open('/', 0, 0)
    expect(k.call(calls.sys_listen, file, 1)).toBe(-ENOTSOCK)
    expect(k.call(calls.sys_listen, 99, 1)).toBe(-EBADF)
    expect(k.call(calls.sys_socket, 29, SOCK_STREAM, 0)).toBe(-EAFNOSUPPORT)
    expect(k.call(calls.sys_socket, AF_UNIX, 77, 0)).toBe(-EINVAL)
  })
})

describe('transfers', () => {
  test('MSG_WAITALL waits for all, over several passes', () => {
    const [a, b] = pair(SOCK_STREAM)
    const buffer = k.room(10)
    expect(k.call(calls.sys_recvfrom, a, buffer, 6, MSG_WAITALL, 0, 0)).toBe(-EBLOCKED)
    const writer = k.fork()
    writer.sys.write(b, 'abc', 3)
    expect(k.rerun()).toBe(-EBLOCKED)
    k.kernel.nextRunnable()
    writer.sys.write(b, 'defgh', 5)
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(6)
    expect(k.text(buffer, 6)).toBe('abcdef')
    expect(k.call(calls.sys_recvfrom, a, buffer, 6, MSG_DONTWAIT, 0, 0)).toBe(2)
    expect(k.call(calls.sys_recvfrom, a, buffer, 6, MSG_DONTWAIT, 0, 0)).toBe(-EAGAIN)
  })

  test('a receive timeout ends read and recv', () => {
    const [a] = pair(SOCK_STREAM)
    const timeout = new Uint8Array(BigUint64Array.of(0n, 20000n).buffer)
    expect(k.call(calls.sys_setsockopt, a, SOL_SOCKET, SO_RCVTIMEO, timeout, 16)).toBe(0)
    for (const start of [
      () => k.sys.read(a, k.room(4), 4),
      () => k.call(calls.sys_recvfrom, a, k.room(4), 4, 0, 0, 0),
    ]) {
      expect(start()).toBe(-EBLOCKED)
      k.clock.nowNs += 20e6
      k.kernel.timers.run(k.clock.nowNs)
      expect(k.woken).toBe(true)
      k.kernel.nextRunnable()
      expect(k.rerun()).toBe(-EAGAIN)
    }
  })

  test('sendmsg and recvmsg carry identities', () => {
    const [a, b] = pair(SOCK_DGRAM)
    expect(k.call(calls.sys_setsockopt, b, SOL_SOCKET, SO_PASSCRED, int(1), 4)).toBe(0)
    expect(k.call(calls.sys_sendmsg, a, msghdr(k, k.place('data'), 4, 0, 0), 0)).toBe(4)
    const control = k.room(64)
    const buffer = k.room(16)
    const header = msghdr(k, buffer, 16, control, 64)
    expect(k.call(calls.sys_recvmsg, b, header, 0)).toBe(4)
    expect(k.view(header + 40, 8).getUint32(0, true)).toBe(32)
    const view = k.view(control, 32)
    expect(view.getInt32(12, true)).toBe(SCM_CREDENTIALS)
    expect(view.getInt32(16, true)).toBe(k.task.group.tgid)
  })

  test('options are told as Linux tells them', () => {
    const fd = k.call(calls.sys_socket, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)
    expect(k.call(calls.sys_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, int(10000), 4)).toBe(0)
    expect(option(k, fd, SO_SNDBUF).getInt32(0, true)).toBe(20000)
    expect(option(k, fd, SO_TYPE).getInt32(0, true)).toBe(SOCK_DGRAM)
    expect(option(k, fd, SO_ERROR).getInt32(0, true)).toBe(0)
    expect(k.call(calls.sys_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, int(1), 2)).toBe(-EINVAL)
  })
})
