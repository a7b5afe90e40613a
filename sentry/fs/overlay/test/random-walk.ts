// Random walks: the same operations on an overlay and on a plain tmpfs with the same first contents. Results and
// trees must be equal after each step. Between steps, unused dentries are dropped, so that inodes have to be
// found again.

import { expect } from 'vitest'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  FALLOC_FL_KEEP_SIZE,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../../../syscall-table/flags.ts'
import { linkTarget, names, readText } from '../../../../test/files.ts'
import type { TestClock, TestTask } from '../../../../test/kernel.ts'
import type { Mount } from '../../../vfs/mount.ts'
import { dropUnused } from './setup.ts'

const TREES = ['/over', '/plain'] as const

/** xorshift32: the same walk for the same seed. */
function randomSource(seed: number): (below: number) => number {
  let x = seed
  return below => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % below
  }
}

/** The first contents of both trees. */
export function fill(k: TestTask, top: string): void {
  const put = (path: string, size: number): void => {
    const fd = k.sys.open(`${top}/${path}`, O_CREAT | O_WRONLY, 0o644)
    k.sys.write(fd, new Uint8Array(size).fill(path.length), size)
    k.sys.close(fd)
  }
  for (const dir of ['a', 'a/a', 'a/b', 'a/a/a', 'b', 'b/c', 'c'])
    k.sys.mkdir(`${top}/${dir}`, 0o755)
  put('d', 10)
  put('a/c', 100)
  put('a/d', 70_000)
  put('a/a/b', 5000)
  put('a/a/a/c', 1)
  put('b/a', 0)
  put('b/c/a', 4096)
  k.sys.link(`${top}/a/c`, `${top}/b/b`)
  k.sys.link(`${top}/d`, `${top}/a/a/d`)
  k.sys.symlink('../d', `${top}/b/d`)
  k.sys.symlink('a', `${top}/a/b/a`)
  k.sys.mknod(`${top}/c/a`, S_IFIFO | 0o600, 0)
  k.sys.setxattr(`${top}/a/c`, 'user.first', Buffer.from('lower'), 5, 0)
  k.sys.setxattr(`${top}/a/a`, 'user.dir', Buffer.from('there'), 5, 0)
}

interface Node {
  path: string
  ino: number
  text: string
}

/**
 * Everything about a tree but inode numbers, which are told as classes of equal ones. `times`: times of
 * modification as well.
 */
export function dump(k: TestTask, top: string, times: boolean): string {
  const nodes: Node[] = []
  collect(k, top, '', times, nodes)
  const classes = new Map<number, string>()
  return nodes
    .map(({ path, ino, text }) => {
      if (!classes.has(ino)) classes.set(ino, path)
      return `${path} = ${classes.get(ino)} ${text}`
    })
    .join('\n')
}

function collect(k: TestTask, top: string, path: string, times: boolean, into: Node[]): void {
  const full = top + path
  const at = k.room(144)
  expect(k.sys.newfstatat(AT_FDCWD, full, at, AT_SYMLINK_NOFOLLOW)).toBe(0)
  const v = k.view(at, 144)
  const mode = v.getUint32(24, true)
  const type = mode & S_IFMT
  let text = `${mode.toString(8)} n${v.getUint32(16, true)} ${v.getUint32(28, true)}:${v.getUint32(32, true)}`
  if (times) text += ` m${v.getUint32(88, true)}.${v.getUint32(96, true)}`
  if (type === S_IFREG) text += ` ${v.getUint32(48, true)} ${digest(readText(k, full, 65536))}`
  if (type === S_IFLNK) text += ` -> ${linkTarget(k, full)}`
  if (type === S_IFREG || type === S_IFDIR) text += ` ${xattrs(k, full)}`
  into.push({
    path: path || '/',
    ino: v.getUint32(8, true) + v.getUint32(12, true) * 2 ** 32,
    text,
  })
  if (type !== S_IFDIR) return
  for (const name of (names(k, full, 200) as string[]).sort())
    collect(k, top, `${path}/${name}`, times, into)
}

function digest(text: string | number): string {
  if (typeof text === 'number') return `error ${text}`
  let h = 0
  for (let i = 0; i < text.length; i++) h = (Math.imul(h, 31) + text.charCodeAt(i)) | 0
  return `${text.length}/${h}`
}

function xattrs(k: TestTask, path: string): string {
  const at = k.room(512)
  const n = k.sys.listxattr(path, at, 512)
  const list = k
    .text(at, Math.max(n, 0))
    .split('\0')
    .filter(name => name !== '')
    .sort()
  return list
    .map(name => {
      const value = k.room(64)
      const length = k.sys.getxattr(path, name, value, 64)
      return `${name}=${k.text(value, Math.max(length, 0))}`
    })
    .join(',')
}

/** Descriptors of the same file in the two trees. */
type Pair = readonly [number, number]

class Walk {
  readonly k: TestTask
  readonly random: (below: number) => number
  readonly open: Pair[] = []
  last = ''

  constructor(k: TestTask, seed: number) {
    this.k = k
    this.random = randomSource(seed)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.random(from.length)]!
  }

  path(): string {
    let path = ''
    for (let depth = this.random(4); depth >= 0; depth--)
      path += `/${this.pick(['a', 'b', 'c', 'd'])}`
    return path
  }

  /** Do the same in both trees; the results must be the same. */
  both(name: string, call: (top: string, i: 0 | 1) => number, sameValue = true): Pair {
    this.last = name
    const results: Pair = [call(TREES[0], 0), call(TREES[1], 1)]
    if (sameValue || results[0] < 0 || results[1] < 0) expect(results[0], name).toBe(results[1])
    return results
  }

  openOne(): void {
    const path = this.path()
    const access = this.pick([O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND])
    const flags =
      access | this.pick([0, 0, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_CREAT | O_TRUNC, O_DIRECTORY])
    const isFifo = (top: string): boolean => {
      const at = this.k.room(144)
      return (
        this.k.sys.stat(top + path, at) === 0 &&
        (this.k.view(at, 144).getUint32(24, true) & S_IFMT) === S_IFIFO
      )
    }
    // Opening a FIFO would wait for the other end.
    if (TREES.some(isFifo)) return
    const pair = this.both(
      `open ${path} ${flags.toString(8)}`,
      top => this.k.sys.open(top + path, flags, 0o640),
      false,
    )
    if (pair[0] >= 0) this.keep(pair)
  }

  tmpfile(): void {
    const dir = this.path()
    const pair = this.both(
      `tmpfile ${dir}`,
      top => this.k.sys.open(top + dir, O_TMPFILE | O_RDWR, 0o600),
      false,
    )
    if (pair[0] < 0) return
    const path = this.path()
    this.both(`link tmpfile ${path}`, (top, i) =>
      this.k.sys.linkat(pair[i], '', AT_FDCWD, top + path, AT_EMPTY_PATH),
    )
    this.keep(pair)
  }

  keep(pair: Pair): void {
    this.open.push(pair)
    if (this.open.length <= 8) return
    const [old] = this.open.splice(this.random(8), 1)
    this.both('close', (_top, i) => this.k.sys.close(old![i]))
  }

  useOpen(): void {
    if (this.open.length === 0) return
    const fds = this.pick(this.open)
    const { sys } = this.k
    const size = this.pick([0, 1, 100, 5000, 70_000])
    const at = this.pick([0, 3, 4096, 69_999])
    const byte = this.random(256)
    const data = new Uint8Array(size).fill(byte)
    switch (this.random(8)) {
      case 0:
        this.both(`write ${size}`, (_t, i) => sys.write(fds[i], data, size))
        break
      case 1:
        this.both(`pwrite ${size} at ${at}`, (_t, i) => sys.pwrite64(fds[i], data, size, at))
        break
      case 2:
      case 3:
        this.read(fds, size, at)
        break
      case 4:
        this.both(`ftruncate ${size}`, (_t, i) => sys.ftruncate(fds[i], size))
        break
      case 5:
        this.both(`lseek ${at}`, (_t, i) => sys.lseek(fds[i], at, this.open.length % 3))
        break
      case 6: {
        const mode = this.pick([0, FALLOC_FL_KEEP_SIZE])
        this.both('fallocate', (_t, i) => sys.fallocate(fds[i], mode, at, size || 1))
        break
      }
      default:
        this.both('fchmod', (_t, i) => sys.fchmod(fds[i], 0o600 + (byte & 0o77)))
    }
  }

  read(fds: Pair, size: number, at: number): void {
    const texts = ['', '']
    this.both(`pread ${size} at ${at}`, (_t, i) => {
      const into = this.k.room(size + 1)
      const n = this.k.sys.pread64(fds[i], into, size, at)
      if (n > 0) texts[i] = digest(this.k.text(into, n))
      return n
    })
    expect(texts[0], 'contents read').toBe(texts[1])
  }

  change(): void {
    const { sys } = this.k
    const path = this.path()
    const other = this.path()
    const name = this.pick(['user.first', 'user.second'])
    const size = this.pick([0, 7, 300, 66_000])
    const n = this.random(1000)
    const times = new Uint8Array(32)
    const v = new DataView(times.buffer)
    v.setUint32(0, n, true)
    v.setUint32(16, n + 1, true)
    const calls: (readonly [string, (top: string) => number])[] = [
      [`mkdir ${path}`, top => sys.mkdir(top + path, 0o755)],
      [`mkdir ${path}`, top => sys.mkdir(top + path, 0o750)],
      [`rmdir ${path}`, top => sys.rmdir(top + path)],
      [`rmdir ${path}`, top => sys.rmdir(top + path)],
      [`unlink ${path}`, top => sys.unlink(top + path)],
      [`unlink ${path}`, top => sys.unlink(top + path)],
      [`rename ${path} ${other}`, top => sys.rename(top + path, top + other)],
      [`rename ${path} ${other}`, top => sys.rename(top + path, top + other)],
      [`rename ${path} ${other}`, top => sys.rename(top + path, top + other)],
      [
        `exchange ${path} ${other}`,
        top => sys.renameat2(AT_FDCWD, top + path, AT_FDCWD, top + other, RENAME_EXCHANGE),
      ],
      [
        `noreplace ${path} ${other}`,
        top => sys.renameat2(AT_FDCWD, top + path, AT_FDCWD, top + other, RENAME_NOREPLACE),
      ],
      [`link ${path} ${other}`, top => sys.link(top + path, top + other)],
      [`link ${path} ${other}`, top => sys.link(top + path, top + other)],
      [`symlink ${path}`, top => sys.symlink('../a', top + path)],
      [`mknod ${path}`, top => sys.mknod(top + path, S_IFIFO | 0o644, 0)],
      [`chmod ${path}`, top => sys.chmod(top + path, n & 0o777)],
      [`chown ${path}`, top => sys.fchownat(AT_FDCWD, top + path, n, n + 1, AT_SYMLINK_NOFOLLOW)],
      [`utimensat ${path}`, top => sys.utimensat(AT_FDCWD, top + path, times, AT_SYMLINK_NOFOLLOW)],
      [`setxattr ${path}`, top => sys.setxattr(top + path, name, Buffer.from(`v${n}`), 3, 0)],
      [`removexattr ${path}`, top => sys.removexattr(top + path, name)],
      [`truncate ${path} ${size}`, top => sys.truncate(top + path, size)],
    ]
    const [what, call] = this.pick(calls)
    this.both(what, call)
  }

  step(): void {
    const kind = this.random(10)
    if (kind < 3) this.openOne()
    else if (kind < 5) this.useOpen()
    else if (kind === 5 && this.random(4) === 0) this.tmpfile()
    else this.change()
  }
}

/** Walk `steps` steps on the overlay `over` at /over and on /plain. */
export function randomWalk(
  k: TestTask & { clock: TestClock },
  over: Mount,
  seed: number,
  steps: number,
  times: boolean,
): void {
  const walk = new Walk(k, seed * 7919)
  const history: string[] = []
  for (let i = 0; i < steps; i++) {
    k.clock.nowNs += 1e9
    walk.last = ''
    walk.step()
    history.push(walk.last)
    if (walk.random(3) === 0) dropUnused(over)
    expect(dump(k, '/over', times), history.slice(-12).join('\n')).toBe(dump(k, '/plain', times))
  }
}
