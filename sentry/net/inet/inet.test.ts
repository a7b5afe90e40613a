// Sockets over the loopback interface by their system calls, where a program on Linux cannot look.

import { beforeEach, describe, expect, test } from 'vitest'
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EALREADY,
  EBLOCKED,
  ECONNREFUSED,
  EINPROGRESS,
  ENETUNREACH,
} from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  SHUT_RD,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from '../../../syscall-table/flags.ts'
import { boot } from '../../../test/kernel.ts'
import * as calls from '../../syscalls/socket.ts'
import { LOOPBACK4, LOOPBACK6, parseAddress, parsed, writeAddress } from './address.ts'

let k: ReturnType<typeof boot>
beforeEach(() => {
  k = boot()
})

function address(ip: number, port: number, family = AF_INET): Uint8Array {
  const bytes = new Uint8Array(28)
  return bytes.slice(0, writeAddress(family, ip, port, bytes))
}
const open = (type: number, family = AF_INET) => k.call(calls.sys_socket, family, type, 0)
const bind = (fd: number, to: Uint8Array) => k.call(calls.sys_bind, fd, to, to.length)
const connect = (fd: number, to: Uint8Array) => k.call(calls.sys_connect, fd, to, to.length)

describe('addresses', () => {
  test('are the same after they were written and read', () => {
    for (const [family, ip] of [
      [AF_INET, LOOPBACK4],
      [AF_INET6, LOOPBACK4],
      [AF_INET6, LOOPBACK6],
    ] as const) {
      const bytes = address(ip, 4711, family)
      expect(parseAddress(family, bytes, bytes.length)).toBe(0)
      expect(parsed).toEqual({ ip, port: 4711, scope: 0 })
    }
  })

  test('beyond the loopback interface cannot be had or reached', () => {
    const far = address(0x08080808, 53)
    expect(bind(open(SOCK_STREAM), far)).toBe(-EADDRNOTAVAIL)
    expect(connect(open(SOCK_STREAM), far)).toBe(-ENETUNREACH)
    expect(connect(open(SOCK_DGRAM), far)).toBe(-ENETUNREACH)
  })
})

describe('a full backlog', () => {
  const to = address(LOOPBACK4, 8080)
  let server: number
  beforeEach(() => {
    server = open(SOCK_STREAM)
    expect(bind(server, to)).toBe(0)
    expect(bind(open(SOCK_STREAM), to)).toBe(-EADDRINUSE)
    expect(k.call(calls.sys_listen, server, 0)).toBe(0)
    expect(connect(open(SOCK_STREAM), to)).toBe(0)
  })

  test('lets clients wait until there is room', () => {
    const late = open(SOCK_STREAM | SOCK_NONBLOCK)
    expect(connect(late, to)).toBe(-EINPROGRESS)
    expect(connect(late, to)).toBe(-EALREADY)
    expect(connect(open(SOCK_STREAM), to)).toBe(-EBLOCKED)
    const other = k.fork()
    expect(other.call(calls.sys_accept, server, 0, 0)).toBeGreaterThan(0)
    expect(other.call(calls.sys_connect, late, to, to.length)).toBe(0)
    expect(k.woken).toBe(false)
    expect(other.call(calls.sys_accept, server, 0, 0)).toBeGreaterThan(0)
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(0)
  })

  test('refuses those who wait when the listener stops', () => {
    expect(connect(open(SOCK_STREAM), to)).toBe(-EBLOCKED)
    expect(k.fork().call(calls.sys_shutdown, server, SHUT_RD)).toBe(0)
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(-ECONNREFUSED)
  })

  test('is refused at other addresses', () => {
    expect(connect(open(SOCK_STREAM), address(LOOPBACK4 + 1, 8080))).toBe(-ECONNREFUSED)
    expect(connect(open(SOCK_STREAM, AF_INET6), address(LOOPBACK6, 8080, AF_INET6))).toBe(
      -ECONNREFUSED,
    )
    expect(connect(open(SOCK_STREAM, AF_INET6), address(LOOPBACK4, 8080, AF_INET6))).toBe(-EBLOCKED)
  })
})
