import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  close,
  type HostFd,
  pipe2,
  poll,
  read,
  readable,
  socketpair,
  write,
} from '../../../native/index.ts'
import { EBLOCKED, EPIPE, ESPIPE } from '../../../syscall-table/errno.ts'
import {
  O_APPEND,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POLLIN,
  POLLOUT,
  SEEK_SET,
  SIGPIPE,
  TIOCGPGRP,
  TIOCGWINSZ,
} from '../../../syscall-table/flags.ts'
import { linkTarget, mountOn, readText } from '../../../test/files.ts'
import { boot, type TestTask } from '../../../test/kernel.ts'
import type { HostEventSource } from '../../kernel/host-events.ts'
import { hostFile } from './host-file.ts'
import { attachHostTerminal } from './terminal.ts'
import '../file-systems.ts'

let k: TestTask
let watches: Map<HostFd, { events: number; source: HostEventSource }>
let dir: string

beforeEach(() => {
  k = boot()
  watches = new Map()
  dir = mkdtempSync(join(tmpdir(), 'host-'))
  k.kernel.hostEvents.watch = (fd, events, source) => void watches.set(fd, { events, source })
  k.kernel.hostEvents.unwatch = fd => void watches.delete(fd)
})
afterEach(() => rmSync(dir, { recursive: true }))

/** Deliver what the watched descriptors have, as the run loop does. */
function dispatch(): void {
  for (const [fd, { events, source }] of [...watches]) {
    const revents = events === 0 ? 0 : poll(fd, events, 100)
    if (revents > 0) source.onHostEvent(revents)
  }
}

function install(hostFd: HostFd, flags: number): number {
  const file = hostFile(k.kernel, hostFd, flags)
  if (typeof file === 'number') throw new Error(`hostFile: ${file}`)
  return k.task.files.install(file, false, 100)
}

function pipe(): [HostFd, HostFd] {
  const fds = new Int32Array(2)
  expect(pipe2(fds, 0)).toBe(0)
  return [fds[0]!, fds[1]!]
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')

/** What can be read now; never waits for long. */
function readHost(fd: HostFd, length = 65536): string {
  if (poll(fd, POLLIN, 100) <= 0) return ''
  const into = new Uint8Array(length)
  const n = read(fd, into, 0, length)
  return Buffer.from(into.subarray(0, Math.max(0, n))).toString('latin1')
}

describe('host files', () => {
  it('wait for a pipe without ever blocking on it', () => {
    const [from, to] = pipe()
    const fd = install(from, O_RDONLY)
    const at = k.room(16)
    expect(k.sys.read(fd, at, 16)).toBe(-EBLOCKED)
    expect(watches.get(from)?.events).toBe(POLLIN)
    write(to, bytes('hello'), 0, 5)
    dispatch()
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(5)
    expect(k.text(at, 5)).toBe('hello')
    close(to)
    expect(k.sys.read(fd, at, 16)).toBe(0)
    expect(k.sys.lseek(fd, 0, SEEK_SET)).toBe(-ESPIPE)
    k.sys.close(fd)
    expect(readable(from)).toBeLessThan(0)
  })

  it('learn that the reader of a full pipe has gone', () => {
    const [from, to] = pipe()
    const fd = install(to, O_WRONLY)
    const at = k.place(bytes('y'.repeat(100_000)))
    expect(k.sys.write(fd, at, 100_000)).toBe(-EBLOCKED)
    close(from)
    dispatch()
    expect(k.woken).toBe(true)
    // As much as fitted counts first, then the error.
    expect(k.rerun()).toBe(65536)
    expect(k.sys.write(fd, at, 100_000)).toBe(-EPIPE)
  })

  it('write to a slow pipe in pieces', () => {
    const [from, to] = pipe()
    const fd = install(to, O_WRONLY)
    const at = k.place(bytes('y'.repeat(100_000)))
    let n = k.sys.write(fd, at, 100_000)
    expect(n).toBe(-EBLOCKED)
    expect(watches.get(to)?.events).toBe(POLLOUT)
    let seen = 0
    while (n === -EBLOCKED) {
      seen += readHost(from).length
      dispatch()
      n = k.rerun()
    }
    while (readable(from) > 0) seen += readHost(from).length
    expect([n, seen]).toEqual([100_000, 100_000])
    close(from)
    k.task.group.handlers.actions[SIGPIPE]!.handler = 0x1000
    expect(k.sys.write(fd, at, 1)).toBe(-EPIPE)
    expect(k.task.signals.pending.set.has(SIGPIPE)).toBe(true)
  })

  it('share the position of a regular file with the host', () => {
    const path = join(dir, 'log')
    writeFileSync(path, 'one\n')
    const fd = install(openSync(path, 'a+'), O_RDWR | O_APPEND)
    expect(k.sys.write(fd, bytes('two\n'), 4)).toBe(4)
    writeFileSync(path, 'three\n', { flag: 'a' })
    expect(k.sys.write(fd, bytes('four\n'), 5)).toBe(5)
    expect(readFileSync(path, 'latin1')).toBe('one\ntwo\nthree\nfour\n')
    const at = k.room(64)
    expect(k.sys.pread64(fd, at, 3, 4)).toBe(3)
    expect(k.text(at, 3)).toBe('two')
    expect(k.sys.lseek(fd, 14, SEEK_SET)).toBe(14)
    expect(k.sys.read(fd, at, 64)).toBe(5)
    expect(k.text(at, 4)).toBe('four')
  })

  it('can be opened again through /proc', () => {
    expect(mountOn(k, 'proc', '/proc')).toBe(0)
    const [from, to] = pipe()
    const fd = install(to, O_WRONLY)
    expect(linkTarget(k, `/proc/self/fd/${fd}`)).toMatch(/^pipe:\[\d+\]$/)
    const again = k.sys.open(`/proc/self/fd/${fd}`, O_WRONLY, 0)
    expect(again).toBeGreaterThan(fd)
    expect(k.sys.write(again, bytes('x'), 1)).toBe(1)
    expect(readHost(from)).toBe('x')
    k.sys.close(fd)
    expect(k.sys.write(again, bytes('y'), 1)).toBe(1)
    expect(readHost(from)).toBe('y')
    k.sys.close(again)
    expect(readHost(from)).toBe('')
    close(from)
  })

  it('are no terminals unless they are', () => {
    const fd = install(openSync('/dev/null', 'r+'), O_RDWR)
    expect(k.sys.ioctl(fd, TIOCGWINSZ, k.room(8))).toBeLessThan(0)
    expect(k.sys.read(fd, k.room(8), 8)).toBe(0)
    expect(k.sys.write(fd, bytes('abc'), 3)).toBe(3)
  })
})

describe('terminals over host descriptors', () => {
  const SOCK_STREAM = 1

  function attach(): {
    outside: HostFd
    fd: number
    terminal: Exclude<ReturnType<typeof attachHostTerminal>, number>
  } {
    const fds = new Int32Array(2)
    expect(socketpair(SOCK_STREAM, fds)).toBe(0)
    expect(mountOn(k, 'devtmpfs', '/dev')).toBe(0)
    expect(mountOn(k, 'devpts', '/dev/pts', 'mode=620')).toBe(0)
    expect(mountOn(k, 'proc', '/proc')).toBe(0)
    const terminal = attachHostTerminal(k.kernel, k.kernel.mounts, fds[0]!, 0, 0, 24, 80)
    if (typeof terminal === 'number') throw new Error(`attach: ${terminal}`)
    const fd = k.task.files.install(terminal.file, false, 100)
    return { outside: fds[1]!, fd, terminal }
  }

  it('relay lines, output and the window size', () => {
    const { outside, fd, terminal } = attach()
    k.task.group.session.leader = k.task.group
    expect(terminal.control(k.task)).toBe(0)
    expect(linkTarget(k, `/proc/self/fd/${fd}`)).toBe('/dev/pts/0')
    const at = k.room(64)
    expect(k.sys.read(fd, at, 64)).toBe(-EBLOCKED)
    write(outside, bytes('ls\r'), 0, 3)
    dispatch()
    expect(k.woken).toBe(true)
    expect(k.rerun()).toBe(3)
    expect(k.text(at, 3)).toBe('ls\n')
    expect(readHost(outside)).toBe('ls\r\n')
    expect(k.sys.write(fd, bytes('ok\n'), 3)).toBe(3)
    expect(readHost(outside)).toBe('ok\r\n')
    terminal.resize(50, 100)
    expect(k.sys.ioctl(fd, TIOCGWINSZ, at)).toBe(0)
    expect(k.view(at, 4).getUint32(0, true)).toBe(50 + 100 * 65536)
    const tty = k.sys.open('/dev/tty', O_RDWR, 0)
    expect(tty).toBeGreaterThanOrEqual(0)
    expect(k.sys.ioctl(tty, TIOCGPGRP, at)).toBe(0)
    closeSync(outside)
  })

  it('keep what the relay does not take at once, and end with the last program', () => {
    const { outside, fd, terminal } = attach()
    const text = 'z'.repeat(400_000)
    const at = k.place(bytes(text))
    let n = k.sys.write(fd, at, text.length)
    let seen = 0
    for (let i = 0; n === -EBLOCKED && i < 1000; i++) {
      seen += readHost(outside).length
      dispatch()
      if (k.woken) n = k.rerun()
    }
    k.sys.close(fd)
    // As long as its process lives, it can be opened again.
    const again = k.sys.open('/dev/pts/0', O_RDWR, 0)
    expect(again).toBeGreaterThanOrEqual(0)
    terminal.release()
    k.sys.close(again)
    for (;;) {
      const part = readHost(outside)
      if (part === '') break
      seen += part.length
      dispatch()
    }
    expect([n, seen]).toEqual([400_000, 400_000])
    expect(readText(k, '/dev/pts/0')).toBeLessThan(0)
    closeSync(outside)
  })

  it('hang up when the relay is gone', () => {
    const { outside, fd } = attach()
    const at = k.room(8)
    closeSync(outside)
    dispatch()
    expect(k.sys.read(fd, at, 8)).toBe(0)
    k.sys.close(fd)
  })
})
