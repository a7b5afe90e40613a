import { beforeEach, describe, expect, it } from 'vitest'
import {
  EAGAIN,
  EBLOCKED,
  EIO,
  ENOSPC,
  ENOTTY,
  ENXIO,
  ERESTARTSYS,
} from '../../../syscall-table/errno.ts'
import {
  ECHO,
  ICANON,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDWR,
  POLLHUP,
  POLLIN,
  S_IFCHR,
  SIGHUP,
  SIGINT,
  SIGTTIN,
  SIGTTOU,
  SIGWINCH,
  TCGETS,
  TCSETS,
  TIOCGPGRP,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCGSID,
  TIOCGWINSZ,
  TIOCNOTTY,
  TIOCPKT,
  TIOCSCTTY,
  TIOCSPGRP,
  TIOCSPTLCK,
  TIOCSTI,
  TIOCSWINSZ,
  VMIN,
  VTIME,
} from '../../../syscall-table/flags.ts'
import { linkTarget, mountOn, names, readText } from '../../../test/files.ts'
import { boot, type TestTask, userCreds } from '../../../test/kernel.ts'
import { ProcessGroup } from '../../kernel/thread-group.ts'
import '../file-systems.ts'

type Booted = ReturnType<typeof boot>
let k: Booted
beforeEach(() => {
  k = boot()
  expect(mountOn(k, 'devtmpfs', '/dev')).toBe(0)
  expect(mountOn(k, 'devpts', '/dev/pts', 'gid=5,mode=620,ptmxmode=666')).toBe(0)
  expect(mountOn(k, 'proc', '/proc')).toBe(0)
  k.task.group.session.leader = k.task.group
})

function read(t: TestTask, fd: number, length = 4096): string | number {
  const at = t.room(length)
  const n = t.sys.read(fd, at, length)
  return n < 0 ? n : t.text(at, n)
}

const write = (t: TestTask, fd: number, text: string): number =>
  t.sys.write(fd, Buffer.from(text, 'latin1'), text.length)

function int(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, value, true)
  return bytes
}

function getInt(t: TestTask, fd: number, request: number): number {
  const at = t.room(4)
  const n = t.sys.ioctl(fd, request, at)
  return n < 0 ? n : t.view(at, 4).getInt32(0, true)
}

/** A new pseudo-terminal: descriptors of its master and slave. */
function openPty(flags = O_NOCTTY): { master: number; slave: number } {
  const master = k.sys.open('/dev/ptmx', O_RDWR | O_NONBLOCK, 0)
  expect(master).toBeGreaterThanOrEqual(0)
  expect(k.sys.ioctl(master, TIOCSPTLCK, int(0))).toBe(0)
  const slave = k.sys.open(`/dev/pts/${getInt(k, master, TIOCGPTN)}`, O_RDWR | flags, 0)
  expect(slave).toBeGreaterThanOrEqual(0)
  return { master, slave }
}

/** Change the local modes and control characters of a terminal. */
function setModes(fd: number, off: number, cc: Record<number, number> = {}): void {
  const at = k.room(36)
  expect(k.sys.ioctl(fd, TCGETS, at)).toBe(0)
  const bytes = k.bytes(at, 36)
  const view = new DataView(bytes.buffer)
  view.setUint32(12, view.getUint32(12, true) & ~off, true)
  for (const [index, value] of Object.entries(cc)) bytes[17 + Number(index)] = value
  expect(k.sys.ioctl(fd, TCSETS, bytes)).toBe(0)
}

const pending = (t: TestTask, signo: number): boolean =>
  t.task.group.pending.set.has(signo) || t.task.signals.pending.set.has(signo)

describe('memory devices', () => {
  it('behave as their names say', () => {
    const fd = k.sys.open('/dev/null', O_RDWR, 0)
    expect([write(k, fd, 'x'), read(k, fd)]).toEqual([1, ''])
    const zero = k.sys.open('/dev/zero', O_RDWR, 0)
    expect(read(k, zero, 100)).toBe('\0'.repeat(100))
    const full = k.sys.open('/dev/full', O_RDWR, 0)
    expect([write(k, full, 'x'), read(k, full, 2)]).toEqual([-ENOSPC, '\0\0'])
    const random = k.sys.open('/dev/urandom', O_RDWR, 0)
    const a = read(k, random, 64)
    expect(a).toHaveLength(64)
    expect(read(k, random, 64)).not.toBe(a)
  })

  it('are there with links and directories', () => {
    expect(names(k, '/dev')).toEqual(
      expect.arrayContaining([
        'null',
        'zero',
        'full',
        'random',
        'urandom',
        'tty',
        'fd',
        'stdin',
        'ptmx',
        'pts',
        'shm',
      ]),
    )
    expect(linkTarget(k, '/dev/fd')).toBe('/proc/self/fd')
    expect(k.sys.mknod('/nul', S_IFCHR | 0o666, 0x199)).toBe(0)
    expect(k.sys.open('/nul', O_RDWR, 0)).toBe(-ENXIO)
  })
})

describe('pseudo-terminals', () => {
  it('carry lines from the master and output to it', () => {
    const { master, slave } = openPty()
    expect(names(k, '/dev/pts')).toEqual(['ptmx', '0'])
    expect(read(k, slave)).toBe(-EBLOCKED)
    expect(write(k, master, 'hel')).toBe(3)
    expect(k.woken).toBe(false)
    k.task.state = 1
    write(k, master, 'lo\r')
    expect(read(k, slave)).toBe('hello\n')
    expect(read(k, master)).toBe('hello\r\n')
    expect(write(k, slave, 'a\nb')).toBe(3)
    expect(read(k, master)).toBe('a\r\nb')
    expect(read(k, master)).toBe(-EAGAIN)
  })

  it('are locked at first, and gone with their master', () => {
    const master = k.sys.open('/dev/ptmx', O_RDWR, 0)
    expect(k.sys.open('/dev/pts/0', O_RDWR, 0)).toBe(-EIO)
    k.sys.ioctl(master, TIOCSPTLCK, int(0))
    const slave = k.sys.ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)
    expect(slave).toBeGreaterThan(master)
    expect(linkTarget(k, `/proc/self/fd/${slave}`)).toBe('/dev/pts/0')
    k.sys.close(master)
    expect(names(k, '/dev/pts')).toEqual(['ptmx'])
    expect(read(k, slave)).toBe('')
    expect(write(k, slave, 'x')).toBe(-EIO)
  })

  it('report the end when the slave is closed', () => {
    const { master, slave } = openPty()
    write(k, slave, 'bye')
    k.sys.close(slave)
    const file = k.task.files.get(master)!
    expect(file.ops.poll(file) & (POLLIN | POLLHUP)).toBe(POLLIN | POLLHUP)
    expect(read(k, master)).toBe('bye')
    expect(read(k, master)).toBe(-EIO)
  })

  it('block writers that nobody reads, and let them finish', () => {
    const { master, slave } = openPty()
    const text = 'x'.repeat(100_000)
    const at = k.place(Buffer.from(text))
    expect(k.sys.write(slave, at, text.length)).toBe(-EBLOCKED)
    let seen = 0
    const other = k.fork()
    const drain = () => {
      for (;;) {
        const part = read(other, master, 8192)
        if (typeof part === 'number') return
        seen += part.length
      }
    }
    drain()
    expect(k.woken).toBe(true)
    let n = k.rerun()
    while (n === -EBLOCKED) {
      drain()
      n = k.rerun()
    }
    drain()
    expect([n, seen]).toEqual([100_000, 100_000])
  })

  it('obey VMIN and VTIME', () => {
    const { master, slave } = openPty()
    setModes(slave, ICANON | ECHO, { [VMIN]: 3, [VTIME]: 0 })
    write(k, master, 'ab')
    expect(read(k, slave)).toBe(-EBLOCKED)
    write(k, master, 'c')
    expect(read(k, slave)).toBe('abc')
    setModes(slave, 0, { [VMIN]: 0, [VTIME]: 0 })
    expect(read(k, slave)).toBe('')
    setModes(slave, 0, { [VMIN]: 0, [VTIME]: 5 })
    expect(read(k, slave)).toBe(-EBLOCKED)
    k.clock.nowNs += 6e8
    k.kernel.timers.run(k.clock.nowNs)
    expect(k.rerun()).toBe(0)
  })

  it('tell the master of state changes in packet mode', () => {
    const { master, slave } = openPty()
    k.sys.ioctl(master, TIOCPKT, int(1))
    write(k, slave, 'x')
    expect(read(k, master)).toBe('\0x')
    write(k, master, '\x13')
    expect(read(k, master)).toBe('\x04')
    write(k, master, '\x11')
    expect(read(k, master)).toBe('\x08')
  })
})

describe('job control', () => {
  it('makes a terminal the controlling one of a session leader', () => {
    expect(k.sys.open('/dev/tty', O_RDWR, 0)).toBe(-ENXIO)
    const { slave } = openPty(0)
    expect(k.task.group.session.terminal).not.toBeNull()
    expect(k.sys.open('/dev/tty', O_RDWR, 0)).toBeGreaterThan(slave)
    expect([getInt(k, slave, TIOCGPGRP), getInt(k, slave, TIOCGSID)]).toEqual([1, 1])
    expect(readText(k, '/proc/self/stat')).toMatch(/^1 \(\) R 0 1 1 34816 1 /)
    expect(k.sys.ioctl(slave, TIOCNOTTY, 0)).toBe(0)
    expect(getInt(k, slave, TIOCGPGRP)).toBe(-ENOTTY)
    expect(k.sys.ioctl(slave, TIOCSCTTY, 0)).toBe(0)
  })

  it('sends signals of keys and of window changes to the foreground group', () => {
    const { master, slave } = openPty(0)
    const child = k.fork()
    const pgrp = new ProcessGroup(child.task.pid, k.task.group.session)
    child.task.group.pgrp.members.delete(child.task.group)
    child.task.group.pgrp = pgrp
    pgrp.members.add(child.task.group)
    child.task.pid.pgrp = pgrp
    expect(k.sys.ioctl(slave, TIOCSPGRP, int(pgrp.pid.number))).toBe(0)
    for (const signo of [SIGINT, SIGWINCH]) {
      child.task.group.handlers.actions[signo]!.handler = 0x1000
    }
    write(k, master, '\x03')
    expect([pending(child, SIGINT), pending(k, SIGINT)]).toEqual([true, false])
    const size = new Uint8Array([24, 0, 80, 0, 0, 0, 0, 0])
    expect(k.sys.ioctl(master, TIOCSWINSZ, size)).toBe(0)
    expect(pending(child, SIGWINCH)).toBe(true)
    const at = k.room(8)
    expect(k.sys.ioctl(slave, TIOCGWINSZ, at)).toBe(0)
    expect([...k.bytes(at, 8)]).toEqual([...size])
    // The leader is in the background now. Its group has no parent in the session: it is orphaned.
    expect(read(k, slave)).toBe(-EIO)
    k.task.group.handlers.actions[SIGTTOU]!.handler = 1
    expect(k.sys.ioctl(slave, TIOCSPGRP, int(1))).toBe(0)
    expect(read(child, slave)).toBe(-ERESTARTSYS)
    expect(pending(child, SIGTTIN)).toBe(true)
  })

  it('hangs up when the master is closed', () => {
    const { master } = openPty(0)
    k.task.group.handlers.actions[SIGHUP]!.handler = 0x1000
    k.sys.close(master)
    expect(pending(k, SIGHUP)).toBe(true)
    expect(k.task.group.session.terminal).toBeNull()
    expect(k.sys.open('/dev/tty', O_RDWR, 0)).toBe(-ENXIO)
  })

  it('does not let ordinary users type for others', () => {
    const { slave } = openPty(0)
    const user = k.fork(userCreds(1000))
    expect(user.sys.ioctl(slave, TIOCSTI, Buffer.from('x'))).toBe(-EIO)
  })
})
