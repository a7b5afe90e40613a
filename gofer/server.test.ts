// The server against a hostile sentry: random and damaged messages must get answers, never a crash, and must
// not touch anything outside of the attach points.

import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { close, openat } from '../native/index.ts'
import {
  EBADF,
  EINVAL,
  EISDIR,
  ELOOP,
  ENFILE,
  ENOENT,
  ENOSPC,
  ENOSYS,
  ENOTDIR,
  EROFS,
  ESTALE,
  EXDEV,
} from '../syscall-table/errno.ts'
import { AT_FDCWD, O_PATH, O_RDONLY, O_RDWR, O_WRONLY } from '../syscall-table/flags.ts'
import { openDescriptors } from './descriptors.ts'
import {
  ANY_CPU,
  ATTACH_READ_ONLY,
  HEADER_SIZE,
  MESSAGE_MAX,
  MessageWriter,
  OP_ATTACH,
  OP_CLOSE,
  OP_COUNT,
  OP_CREATE,
  OP_FOLLOW,
  OP_GETATTR,
  OP_LINK,
  OP_LIST_TREE,
  OP_MKDIR,
  OP_OPEN,
  OP_OPEN_FILES,
  OP_READDIR,
  OP_RENAME,
  OP_SETATTR,
  OP_SYMLINK,
  OP_UNLINK,
  OP_UNWATCH,
  OP_WALK,
  OP_WATCH,
  REQUEST_GUARDED,
  WALK_HANDLES,
  WATCHES_MAX,
} from './protocol.ts'
import { GoferServer } from './server.ts'

let base: string
let server: GoferServer
const writer = new MessageWriter()

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'gofer-'))
  mkdirSync(join(base, 'tree/dir/sub'), { recursive: true })
  mkdirSync(join(base, 'outside'))
  mkdirSync(join(base, 'ro'))
  writeFileSync(join(base, 'tree/file'), 'inside')
  writeFileSync(join(base, 'ro/file'), 'read only')
  writeFileSync(join(base, 'outside/canary'), 'untouched')
  chmodSync(join(base, 'outside/canary'), 0o640)
  symlinkSync('../outside', join(base, 'tree/out'))
  symlinkSync(join(base, 'outside/canary'), join(base, 'tree/canary'))
  const at = (name: string) => openat(AT_FDCWD, join(base, name), O_PATH, 0)
  server = new GoferServer({
    attachPoints: [
      { fd: at('tree'), flags: 0 },
      { fd: at('ro'), flags: ATTACH_READ_ONLY },
      { fd: at('ro/file'), flags: ATTACH_READ_ONLY },
    ],
    descriptors: openDescriptors(),
    maxHandles: 100,
  })
})

afterEach(() => {
  server.shutdown()
  for (const point of server.attachPoints) close(point.fd)
  close(server.descriptors)
  rmSync(base, { recursive: true, force: true })
})

/** Sends what is in `writer`; returns the result. */
function send(): number {
  server.request.bytes.set(writer.bytes.subarray(0, writer.at))
  const length = server.handle(writer.at)
  server.releaseDonated()
  return length === 0 ? 0 : server.reply.view.getInt32(4, true)
}

function request(op: number, ...fields: (number | string)[]): number {
  writer.request(7, op, 0)
  for (const field of fields) typeof field === 'number' ? writer.u32(field) : writer.string(field)
  return send()
}

function walk(handle: number, ...names: string[]): { count: number; stop: number; last: number } {
  writer.request(7, OP_WALK, WALK_HANDLES)
  writer.u32(handle)
  writer.u16(names.length)
  for (const name of names) writer.string(name)
  const count = send()
  const stop = count < 0 ? count : server.reply.view.getInt32(HEADER_SIZE, true)
  const last = count === 1 ? server.reply.view.getUint32(HEADER_SIZE + 4, true) : 0
  return { count, stop, last }
}

function canaries(): string {
  const s = lstatSync(join(base, 'outside/canary'))
  const stat = [s.mode, s.uid, s.gid, s.size, s.nlink, s.mtimeMs, s.ino].join(' ')
  const outside = readdirSync(join(base, 'outside')).join(',')
  const ro = lstatSync(join(base, 'ro/file'))
  return [
    stat,
    outside,
    readFileSync(join(base, 'outside/canary'), 'utf8'),
    readdirSync(join(base, 'ro')).join(','),
    ro.mode,
    ro.uid,
    ro.nlink,
    ro.mtimeMs,
    readFileSync(join(base, 'ro/file'), 'utf8'),
    readdirSync(base).join(','),
  ].join('|')
}

test('a walk ends at a symlink and never passes through one', () => {
  const root = request(OP_ATTACH, 0)
  expect(root).toBeGreaterThan(0)
  expect(walk(root, 'out', 'canary')).toMatchObject({ count: 1, stop: 0 })
  const { last } = walk(root, 'out')
  expect(walk(last, 'canary')).toMatchObject({ count: 0, stop: -ENOTDIR })
  expect(request(OP_OPEN, last, O_RDONLY)).toBe(-ELOOP)
  expect(request(OP_READDIR, last, 0, 0)).toBe(-ENOTDIR)
  expect(request(OP_CREATE, last, O_WRONLY, 0o644, 0, 0, 'x')).toBe(-ENOTDIR)
})

test('names that would lead elsewhere are refused', () => {
  const root = request(OP_ATTACH, 0)
  for (const name of ['', '.', '..', 'a/b', '/', '../outside', 'a\0b']) {
    expect(walk(root, name).count, name).toBe(-EINVAL)
    expect(request(OP_MKDIR, root, 0o755, 0, 0, name), name).toBe(-EINVAL)
    expect(request(OP_UNLINK, root, 0, name), name).toBe(-EINVAL)
    expect(request(OP_RENAME, root, root, 0, 'file', name), name).toBe(-EINVAL)
  }
  expect(walk(root, 'missing', 'x')).toMatchObject({ count: 0, stop: -ENOENT })
  expect(walk(root, 'file', 'x')).toMatchObject({ count: 1, stop: -ENOTDIR })
})

test('a read-only attach point cannot be written, nor linked out of', () => {
  const root = request(OP_ATTACH, 0)
  const readOnly = request(OP_ATTACH, 1)
  const { last: file } = walk(readOnly, 'file')
  expect(request(OP_OPEN, file, O_RDONLY)).toBe(0)
  expect(request(OP_OPEN, file, O_RDWR)).toBe(-EROFS)
  expect(request(OP_CREATE, readOnly, O_RDWR, 0o644, 0, 0, 'new')).toBe(-EROFS)
  expect(request(OP_MKDIR, readOnly, 0o755, 0, 0, 'new')).toBe(-EROFS)
  expect(request(OP_SYMLINK, readOnly, 0, 0, 'new', 'target')).toBe(-EROFS)
  expect(request(OP_UNLINK, readOnly, 0, 'file')).toBe(-EROFS)
  expect(request(OP_LINK, file, root, 'stolen')).toBe(-EXDEV)
  expect(request(OP_RENAME, readOnly, root, 0, 'file', 'stolen')).toBe(-EROFS)
  expect(request(OP_RENAME, root, readOnly, 0, 'file', 'file')).toBe(-EROFS)
  expect(request(OP_SETATTR, file, 1, 0o777, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)).toBe(-EROFS)
})

test('a file can be an attach point', () => {
  const file = request(OP_ATTACH, 2)
  expect(request(OP_GETATTR, file)).toBe(0)
  expect(request(OP_OPEN, file, O_RDONLY)).toBe(0)
})

test('directories are never donated, and other opens have exact flags', () => {
  const root = request(OP_ATTACH, 0)
  expect(request(OP_OPEN, root, O_RDONLY)).toBe(-EISDIR)
  expect(request(OP_OPEN, root, 0o2000000)).toBe(-EINVAL)
  expect(request(OP_CREATE, root, 0o1000, 0o644, 0, 0, 'x')).toBe(-EINVAL)
})

test('it runs where the sentry does, if it may', () => {
  const cpus = () =>
    /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/thread-self/status', 'latin1'))![1]!
  const before = cpus()
  const cpu = Number(/\d+$/.exec(before)![0])
  expect(request(OP_FOLLOW, cpu)).toBe(0)
  expect(cpus()).toBe(String(cpu))
  for (const none of [1023, 1024, 0x7fffffff, 0x80000000, 0xfffffffe])
    expect(request(OP_FOLLOW, none)).toBe(-EINVAL)
  expect(cpus()).toBe(String(cpu))
  expect(request(OP_FOLLOW, ANY_CPU)).toBe(0)
  expect(cpus()).toBe(before)
  request(OP_FOLLOW, cpu)
  server.shutdown()
  expect(cpus()).toBe(before)
})

test('malformed messages are answered', () => {
  for (let op = 1; op < OP_COUNT; op++) {
    writer.request(9, op, 0)
    const result = send()
    if (op !== OP_CLOSE) expect(result, `op ${op}`).toBe(-EINVAL)
  }
  expect(request(OP_COUNT)).toBe(-ENOSYS)
  expect(request(0)).toBe(-ENOSYS)
  expect(request(OP_GETATTR, 12345)).toBe(-EBADF)
  expect(request(OP_GETATTR, 0)).toBe(-EBADF)
  expect(request(OP_GETATTR, 1, 1)).toBe(-EINVAL)
  expect(server.handle(3)).toBe(HEADER_SIZE)
  expect(server.handle(MESSAGE_MAX + 1)).toBe(HEADER_SIZE)
})

test('the table of handles is bounded', () => {
  let last = 0
  for (let i = 0; i < 100; i++) last = request(OP_ATTACH, 0)
  expect(last).toBeGreaterThan(0)
  expect(request(OP_ATTACH, 0)).toBe(-ENFILE)
  expect(request(OP_CREATE, last, O_RDWR, 0o644, 0, 0, 'x')).toBe(-ENFILE)
  expect(existsSync(join(base, 'tree/x'))).toBe(false)
  request(OP_CLOSE, last)
  expect(request(OP_ATTACH, 0)).toBe(last)
})

/** A message with a handle, a budget for listings, a way down and names. */
function aheadMessage(op: number, handle: number, way: string[], names: string[], flags = 0): void {
  writer.request(7, op, flags)
  writer.u32(handle)
  if (op === OP_LIST_TREE) writer.u32(100_000)
  writer.names(way)
  writer.names(names)
}

function ahead(op: number, handle: number, way: string[], names: string[], flags = 0): number {
  aheadMessage(op, handle, way, names, flags)
  return send()
}

test('directories are watched, only those, and not without bound', () => {
  const root = request(OP_ATTACH, 0)
  const first = request(OP_WATCH, root)
  expect(first).toBeGreaterThan(0)
  expect(request(OP_WATCH, root)).toBe(first)
  expect(request(OP_WATCH, 4711)).toBe(-EBADF)
  expect(request(OP_WATCH, walk(root, 'file').last)).toBe(-ENOTDIR)
  expect(request(OP_WATCH, root, 0)).toBe(-EINVAL)
  expect(request(OP_UNWATCH, first)).toBe(0)
  expect(request(OP_UNWATCH, first)).toBe(-EINVAL)
  expect(request(OP_UNWATCH, 0xffffffff)).toBe(-EINVAL)
  for (let i = 0; i < WATCHES_MAX; i++) server.watches.add(100_000 + i)
  expect(request(OP_WATCH, root)).toBe(-ENOSPC)
})

test('looking ahead keeps to the tree, and to what may be donated', () => {
  const root = request(OP_ATTACH, 0)
  mkdirSync(join(base, 'tree/dir/sub/deep'))
  expect(ahead(OP_LIST_TREE, root, [], ['dir'])).toBe(3)
  expect(ahead(OP_LIST_TREE, root, ['dir'], ['sub'])).toBe(2)
  for (const bad of ['..', '.', '', 'a/b', '../outside', 'a\0b', 'x'.repeat(256)]) {
    expect(ahead(OP_LIST_TREE, root, [], [bad]), bad).toBe(-EINVAL)
    expect(ahead(OP_LIST_TREE, root, [bad], ['dir']), bad).toBe(-EINVAL)
    expect(ahead(OP_OPEN_FILES, root, [], [bad]), bad).toBe(-EINVAL)
    expect(ahead(OP_OPEN_FILES, root, [bad], ['file']), bad).toBe(-EINVAL)
  }
  expect(ahead(OP_LIST_TREE, root, [], ['out'])).toBeLessThan(0)
  expect(ahead(OP_LIST_TREE, root, ['out'], ['x'])).toBeLessThan(0)
  expect(ahead(OP_OPEN_FILES, root, ['out'], ['canary'])).toBeLessThan(0)
  expect(ahead(OP_LIST_TREE, root, [], ['file'])).toBe(-ENOTDIR)
  expect(ahead(OP_LIST_TREE, root, [], [])).toBe(-EINVAL)
  expect(ahead(OP_LIST_TREE, root, [], ['dir'], 2)).toBe(-EINVAL)
  expect(ahead(OP_LIST_TREE, root, [], new Array(129).fill('dir'))).toBe(-EINVAL)
  expect(ahead(OP_OPEN_FILES, root, [], new Array(65).fill('file'))).toBe(-EINVAL)
  // Neither directories nor links, nor what is behind them.
  expect(ahead(OP_OPEN_FILES, root, [], ['file', 'dir', 'canary', 'out', 'none', 'file'])).toBe(2)
  const bytes = server.reply.bytes.subarray(HEADER_SIZE, HEADER_SIZE + 6)
  expect([...bytes]).toEqual([1, 0, 0, 0, 0, 1])
  expect(ahead(OP_OPEN_FILES, request(OP_ATTACH, 2), [], ['file'])).toBe(-ENOTDIR)
})

test('a guarded request does nothing unless every guard holds', () => {
  const root = request(OP_ATTACH, 0)
  const { last: dir } = walk(root, 'dir')
  const mkdir = (guards: [number, string, number[]][]) => {
    writer.request(7, OP_MKDIR, REQUEST_GUARDED)
    writer.u16(guards.length)
    for (const [handle, name, words] of guards) putGuard(handle, name, words)
    for (const field of [dir, 0o755, 0, 0]) writer.u32(field)
    writer.string('made')
    return send()
  }
  const holds: [number, string, number[]] = [root, 'dir', guardOf('tree/dir')]
  const made = () => existsSync(join(base, 'tree/dir/made'))
  for (let i = 0; i < 7; i++) {
    const wrong = [...holds[2]]
    wrong[i]! ^= 1
    expect(mkdir([[root, 'dir', wrong]])).toBe(-ESTALE)
    expect(mkdir([holds, [root, 'dir', wrong]])).toBe(-ESTALE)
  }
  expect(mkdir([[root, 'none', holds[2]]])).toBe(-ESTALE)
  // A link is a file of its own here, and no way to anywhere.
  expect(mkdir([[root, 'out', guardOf('outside')]])).toBe(-ESTALE)
  for (const name of ['..', '.', '', 'out/canary'])
    expect(mkdir([[root, name, guardOf('outside')]])).toBe(-EINVAL)
  expect(mkdir([[99, 'dir', holds[2]]])).toBe(-EBADF)
  expect(mkdir([])).toBe(-EINVAL)
  expect(made()).toBe(false)
  expect(mkdir([holds, [dir, 'sub', guardOf('tree/dir/sub')]])).toBeGreaterThan(0)
  expect(made()).toBe(true)
})

/** A small generator of repeatable numbers (xorshift32). */
function generator(seed: number): (below: number) => number {
  let x = seed
  return below => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % below
  }
}

const NAMES = [
  'file',
  'dir',
  'sub',
  'out',
  'canary',
  'a',
  'b',
  '..',
  '.',
  '',
  '/',
  '../outside/canary',
  'x'.repeat(255),
  'x'.repeat(256),
  'a\0b',
  '\xff\xfe',
  'user.a',
  'security.capability',
  'trusted.x',
]
const NUMBERS = [
  0, 1, 2, 3, 5, 0o644, 0o4755, 0o100644, 0o10644, 0o20666, 0o120777, 0x200, 0o1000, 1000, 65536,
  0x7fffffff, 0x80000000, 0xffffffff,
]

function fuzzMessage(random: (below: number) => number): void {
  writer.request(random(1000), random(OP_COUNT + 1), random(8) === 0 ? random(65536) : random(8))
  const fields = random(12)
  for (let i = 0; i < fields; i++) {
    switch (random(5)) {
      case 0:
        writer.string(NAMES[random(NAMES.length)]!)
        break
      case 1:
        writer.u16(random(4))
        break
      case 2:
        writer.u32(random(20))
        break
      default:
        writer.u32(NUMBERS[random(NUMBERS.length)]!)
    }
  }
  // Damage some bytes, or the length, of some messages.
  if (random(4) === 0) writer.bytes[random(writer.at)] = random(256)
  if (random(8) === 0) writer.at = Math.max(1, writer.at - random(10))
}

/** A request with the right shape and mostly sensible fields, which gets further than noise does. */
function likelyMessage(random: (below: number) => number): void {
  const handle = () => random(12)
  const name = () => NAMES[random(NAMES.length)]!
  const number = () => NUMBERS[random(NUMBERS.length)]!
  const shapes: (number | string)[][] = [
    [1, random(4)],
    [4, handle()],
    [6, handle(), random(3)],
    [7, handle(), random(3), 0o644, 0, 0, name()],
    [8, handle(), 0o755, number(), number(), name()],
    [9, handle(), number(), 0, 0, 0, 0, name()],
    [10, handle(), 0, 0, name(), random(2) === 0 ? '/etc' : '../outside'],
    [11, handle(), handle(), name()],
    [33, random(3)],
    [12, handle(), random(2) * 0x200, name()],
    [13, handle(), handle(), random(4), name(), name()],
    [14, handle()],
    [15, handle(), number(), 0],
    [5, handle(), random(256), 0o640, 0, 0, random(9000), 0, 1, 0, 5, 1, 0, 6],
    [16, handle()],
    [17, handle()],
    [18, handle(), random(4), 0, 0, random(9000), 0],
    [19, handle(), name()],
    [21, handle()],
    [22, handle(), name()],
    [23, handle(), 1],
    [3, handle()],
  ]
  const [op, ...fields] = shapes[random(shapes.length)]! as [number, ...(number | string)[]]
  const guards = random(3) === 0 ? 1 + random(2) : 0
  writer.request(random(1000), op, guards > 0 ? REQUEST_GUARDED : 0)
  if (guards > 0) writer.u16(guards)
  for (let i = 0; i < guards; i++) putGuard(handle(), name(), [number(), 0, 0, 0, number(), 0, 0])
  for (const field of fields) typeof field === 'number' ? writer.u32(field) : writer.string(field)
}

/** `words`: inode number (low, high), device (major, minor), mode, uid, gid. */
function putGuard(handle: number, name: string, words: readonly number[]): void {
  writer.u32(handle)
  for (const word of words) writer.u32(word)
  writer.string(name)
}

/** The words of a guard that holds. */
function guardOf(path: string): number[] {
  const s = lstatSync(join(base, path), { bigint: true })
  const major = Number(((s.dev >> 8n) & 0xfffn) | ((s.dev >> 32n) & 0xfffff000n))
  const minor = Number((s.dev & 0xffn) | ((s.dev >> 12n) & 0xffffff00n))
  return [s.ino & 0xffffffffn, s.ino >> 32n, major, minor, s.mode, s.uid, s.gid].map(Number)
}

/** A walk of random names, of which the tree's own are frequent. */
function walkMessage(random: (below: number) => number): void {
  writer.request(1, OP_WALK, random(2))
  writer.u32(random(12))
  const count = 1 + random(4)
  writer.u16(count)
  for (let i = 0; i < count; i++) writer.string(NAMES[random(random(2) === 0 ? 7 : NAMES.length)]!)
}

function likelyAhead(random: (below: number) => number): void {
  const some = (most: number) =>
    Array.from({ length: random(most) }, () => NAMES[random(random(3) === 0 ? NAMES.length : 7)]!)
  aheadMessage(OP_LIST_TREE + random(2), random(12), some(3), some(6), random(2))
}

test.each([1, 2, 3, 4])('random messages do no harm (seed %i)', seed => {
  const random = generator(seed * 7919)
  const before = canaries()
  const tags = new Set<number>()
  for (let i = 0; i < 20_000; i++) {
    const kind = random(4)
    if (kind === 0) fuzzMessage(random)
    else if (kind === 1) likelyMessage(random)
    else if (kind === 2) likelyAhead(random)
    else walkMessage(random)
    const tag = writer.view.getUint32(0, true)
    server.request.bytes.set(writer.bytes.subarray(0, writer.at))
    const length = server.handle(writer.at)
    expect(length).toBeLessThanOrEqual(MESSAGE_MAX)
    if (length > 0) {
      expect(length).toBeGreaterThanOrEqual(HEADER_SIZE)
      if (writer.at >= HEADER_SIZE) expect(server.reply.view.getUint32(0, true)).toBe(tag)
      expect(server.reply.view.getInt32(4, true)).toBeGreaterThanOrEqual(-4095)
    }
    server.releaseDonated()
    tags.add(server.reply.view.getInt32(4, true))
  }
  // The noise must have reached more than the first checks.
  expect(tags.size).toBeGreaterThan(8)
  expect(canaries()).toBe(before)
})

test('no descriptor is lost', () => {
  const random = generator(4711)
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  for (let i = 0; i < 5000; i++) {
    const kind = random(3)
    if (kind === 0) likelyMessage(random)
    else if (kind === 1) likelyAhead(random)
    else walkMessage(random)
    send()
  }
  expect(open()).toBe(before + server.handles.count + (server.watchInstance < 0 ? 0 : 1))
  server.shutdown()
  expect(open()).toBe(before)
})
