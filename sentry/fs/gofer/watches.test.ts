// Shared mounts whose directories are watched: what is known need not be asked again, and what others change is seen.

import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { close, dup, listxattr, setDescriptorCeiling } from '../../../native/index.ts'
import { EACCES, EEXIST, ENOENT } from '../../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from '../../../syscall-table/flags.ts'
import { boot, userCreds } from '../../../test/kernel.ts'
import type { GoferClient } from './client.ts'
import { GoferConnection } from './connection.ts'
import { mountGofer } from './super.ts'
import { spawnGofer } from './test/spawn.ts'

let base: string
let k: ReturnType<typeof boot>
let client: GoferClient
/** Of this process, before any file was opened. */
let descriptors: number
const countDescriptors = () => readdirSync('/proc/self/fd').length
const tree = (...names: string[]) => join(base, 'tree', ...names)

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'watches-'))
  mkdirSync(tree('a/b'), { recursive: true })
  mkdirSync(join(base, 'outside'))
  for (let i = 0; i < 100; i++) writeFileSync(tree('a/b', `f${i}`), `text ${i}`)
  chmodSync(tree(), 0o755)
  client = spawnGofer(`0:${tree()}`).client
  const connection = new GoferConnection(client)
  k = boot({
    root: kernel => {
      const sb = mountGofer(kernel, connection, 0, { shared: true, readonly: false })
      if (typeof sb === 'number') throw new Error(`attach: ${sb}`)
      return sb
    },
  })
  descriptors = countDescriptors()
  // So often that the kernel wants to be told of changes.
  for (let i = 0; i < 8; i++) expect(get(`/a/b/f${i}`)).toBe(`text ${i}`)
})
afterEach(() => {
  close(client.socket)
  rmSync(base, { recursive: true })
})

const get = (path: string): string | number => k.contents(path)

function stat(path: string): {
  n: number
  size: number
  mode: number
  nlink: number
  mtime: number
} {
  const at = k.room(144)
  const n = k.sys.newfstatat(AT_FDCWD, path, at, AT_SYMLINK_NOFOLLOW)
  const v = k.view(at, 144)
  return {
    n,
    size: v.getUint32(48, true),
    mode: v.getUint32(24, true),
    nlink: v.getUint32(16, true),
    mtime: v.getUint32(88, true),
  }
}

/** How many requests to the gofer `action` takes. */
function requests(action: () => void): number {
  const before = client.requests
  action()
  return client.requests - before
}

test('what is known is not asked again', () => {
  expect(get('/a/b/none')).toBe(-ENOENT)
  const known = () => {
    for (let i = 0; i < 8; i++) {
      expect(get(`/a/b/f${i}`)).toBe(`text ${i}`)
      expect(stat(`/a/b/f${i}`)).toMatchObject({ n: 0, size: 6, nlink: 1 })
    }
    expect(get('/a/b/none')).toBe(-ENOENT)
  }
  known()
  expect(requests(known)).toBe(0)
})

test('files of a directory are got together', () => {
  const all = () => {
    for (let i = 0; i < 100; i++) expect(stat(`/a/b/f${i}`).size).toBe(`text ${i}`.length)
  }
  expect(requests(all)).toBeLessThan(30)
})

test('who looks at all files of directories gets those of the next one together', () => {
  const names = Array.from({ length: 40 }, (_, i) => `f${i}`)
  for (let d = 0; d < 8; d++) {
    mkdirSync(tree(`d${d}`))
    for (const name of names.toReversed()) writeFileSync(tree(`d${d}`, name), name)
  }
  // In an order that is not the directory's.
  const look = (d: number) => () => {
    for (const name of names.toSorted()) expect(stat(`/d${d}/${name}`).size).toBe(name.length)
  }
  const first = requests(look(0))
  for (let d = 1; d < 7; d++) look(d)()
  expect(requests(look(7))).toBeLessThan(8)
  expect(first).toBeGreaterThan(8)
})

test('descriptors of files that nobody has open give way', () => {
  for (let i = 8; i < 40; i++) expect(stat(`/a/b/f${i}`).n).toBe(0)
  expect(countDescriptors()).toBeGreaterThan(descriptors + 40)
  const lowest = dup(client.socket, 0)
  close(lowest)
  setDescriptorCeiling(lowest)
  const fd = k.sys.open('/a/b/f1', O_RDWR, 0)
  setDescriptorCeiling(0x7fffffff)
  expect(fd).toBeGreaterThanOrEqual(0)
  // What tells of changes, and the file.
  expect(countDescriptors()).toBe(descriptors + 2)
})

/** An access control list; each entry is tag, permissions, id. */
function aclOf(...entries: [number, number, number][]): Buffer {
  const value = Buffer.alloc(4 + 8 * entries.length)
  value.writeUInt32LE(2)
  entries.forEach(([tag, permissions, id], i) => {
    value.writeUInt16LE(tag, 4 + 8 * i)
    value.writeUInt16LE(permissions, 6 + 8 * i)
    value.writeUInt32LE(id, 8 + 8 * i)
  })
  return value
}

test('a list that an open file does not have is not taken away', context => {
  const anyone = 0xffffffff
  const plain = aclOf([1, 6, anyone], [4, 4, anyone], [0x20, 0, anyone])
  const named = aclOf(
    [1, 6, anyone],
    [2, 4, 7],
    [4, 4, anyone],
    [0x10, 4, anyone],
    [0x20, 0, anyone],
  )
  const fd = k.sys.open('/a/b/f1', O_RDWR, 0)
  const set = (value: Buffer) =>
    k.sys.fsetxattr(fd, 'system.posix_acl_access', value, value.length, 0)
  const onHost = () => listxattr(AT_FDCWD, tree('a/b/f1'), new Uint8Array(256), 0, 256)
  expect(requests(() => expect(set(plain)).toBe(0))).toBe(1)
  expect(stat('/a/b/f1').mode).toBe(0o100640)
  if (set(named) !== 0) return context.skip('no access control lists here')
  expect(onHost()).toBeGreaterThan(0)
  expect(set(plain)).toBe(0)
  expect(onHost()).toBe(0)
})

test('contents and attributes of known files are seen as they are', () => {
  expect(get('/a/b/f1')).toBe('text 1')
  appendFileSync(tree('a/b/f1'), '!')
  expect(get('/a/b/f1')).toBe('text 1!')
  expect(stat('/a/b/f1').size).toBe(7)
  chmodSync(tree('a/b/f1'), 0o640)
  utimesSync(tree('a/b/f1'), 7, 7)
  expect(stat('/a/b/f1')).toMatchObject({ mode: 0o100640, mtime: 7 })
  // By a name in a directory that nobody watches.
  linkSync(tree('a/b/f1'), join(base, 'outside/other'))
  expect(stat('/a/b/f1').nlink).toBe(2)
  appendFileSync(join(base, 'outside/other'), '!')
  expect(stat('/a/b/f1').size).toBe(8)
  chmodSync(join(base, 'outside/other'), 0o600)
  expect(stat('/a/b/f1').mode).toBe(0o100600)
  const user = k.fork(userCreds(1000))
  expect(user.sys.open('/a/b/f1', O_RDONLY, 0)).toBe(-EACCES)
  chmodSync(join(base, 'outside/other'), 0o644)
  expect(user.sys.open('/a/b/f1', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
})

test('names that others make, remove and move are seen', () => {
  for (let i = 0; i < 3; i++) {
    expect(get('/a/b/new')).toBe(-ENOENT)
    writeFileSync(tree('a/b/new'), 'new')
    expect(get('/a/b/new')).toBe('new')
    unlinkSync(tree('a/b/new'))
  }
  expect(get('/a/b/f2')).toBe('text 2')
  unlinkSync(tree('a/b/f2'))
  expect(get('/a/b/f2')).toBe(-ENOENT)
  // The name is another file's, of the same directory and from elsewhere.
  renameSync(tree('a/b/f3'), tree('a/b/f4'))
  expect(get('/a/b/f4')).toBe('text 3')
  expect(get('/a/b/f3')).toBe(-ENOENT)
  writeFileSync(join(base, 'outside/file'), 'from outside')
  renameSync(join(base, 'outside/file'), tree('a/b/f4'))
  expect(get('/a/b/f4')).toBe('from outside')
  linkSync(tree('a/b/f5'), tree('a/b/f3'))
  expect(get('/a/b/f3')).toBe('text 5')
  unlinkSync(tree('a/b/f5'))
  symlinkSync('f6', tree('a/b/f5'))
  expect(get('/a/b/f5')).toBe('text 6')
  unlinkSync(tree('a/b/f6'))
  mkdirSync(tree('a/b/f6'))
  expect(stat('/a/b/f6').mode >> 12).toBe(4)
})

test('names that have come along with others are not trusted after a change', () => {
  for (let i = 8; i < 30; i++) expect(stat(`/a/b/f${i}`).n).toBe(0)
  for (let i = 30; i < 50; i++) unlinkSync(tree('a/b', `f${i}`))
  for (let i = 50; i < 70; i++) {
    writeFileSync(join(base, 'outside/file'), 'another')
    renameSync(join(base, 'outside/file'), tree('a/b', `f${i}`))
  }
  for (let i = 70; i < 90; i++) linkSync(tree('a/b', `f${i}`), join(base, 'outside', `f${i}`))
  for (let i = 70; i < 90; i++) appendFileSync(join(base, 'outside', `f${i}`), '!')
  for (let i = 8; i < 30; i++) expect(get(`/a/b/f${i}`)).toBe(`text ${i}`)
  for (let i = 30; i < 50; i++) expect(stat(`/a/b/f${i}`).n).toBe(-ENOENT)
  for (let i = 50; i < 70; i++) expect(get(`/a/b/f${i}`)).toBe('another')
  for (let i = 70; i < 90; i++) expect(get(`/a/b/f${i}`)).toBe(`text ${i}!`)
})

test('directories on the way are those that are there now', () => {
  expect(get('/a/b/f1')).toBe('text 1')
  renameSync(tree('a/b'), join(base, 'outside/b'))
  expect(get('/a/b/f1')).toBe(-ENOENT)
  mkdirSync(tree('a/b'))
  writeFileSync(tree('a/b/f1'), 'another')
  expect(get('/a/b/f1')).toBe('another')
  expect(get('/a/b/f2')).toBe(-ENOENT)
  rmSync(tree('a/b'), { recursive: true })
  symlinkSync('c', tree('a/b'))
  expect(get('/a/b/f1')).toBe(-ENOENT)
  renameSync(join(base, 'outside/b'), tree('a/c'))
  expect(get('/a/b/f1')).toBe('text 1')
  renameSync(tree('a'), tree('z'))
  expect(get('/a/b/f1')).toBe(-ENOENT)
  expect(get('/z/b/f1')).toBe('text 1')
})

test('permissions of directories count as they are now', () => {
  const user = k.fork(userCreds(1000))
  const open = () => user.sys.open('/a/b/f1', O_RDONLY, 0)
  for (const dir of ['a', 'a/b']) {
    expect(open()).toBeGreaterThanOrEqual(0)
    chmodSync(tree(dir), 0o700)
    expect(open()).toBe(-EACCES)
    chmodSync(tree(dir), 0o755)
  }
  expect(open()).toBeGreaterThanOrEqual(0)
})

test('more changes than are told one by one', () => {
  expect(get('/a/b/none')).toBe(-ENOENT)
  for (let i = 0; i < 100; i++) unlinkSync(tree('a/b', `f${i}`))
  writeFileSync(tree('a/b/none'), 'some')
  for (let i = 0; i < 8; i++) expect(get(`/a/b/f${i}`)).toBe(-ENOENT)
  expect(get('/a/b/none')).toBe('some')
})

const queue = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'))
test.skipIf(queue > 100_000)('more changes than the host keeps', () => {
  expect(get('/a/b/none')).toBe(-ENOENT)
  for (let i = 0; i <= queue / 2; i++) {
    mkdirSync(tree('a/b', `d${i % 2}`))
    rmdirSync(tree('a/b', `d${i % 2}`))
  }
  writeFileSync(tree('a/b/none'), 'some')
  unlinkSync(tree('a/b/f1'))
  expect(get('/a/b/none')).toBe('some')
  expect(get('/a/b/f1')).toBe(-ENOENT)
  expect(get('/a/b/f2')).toBe('text 2')
})

test('changes of its own are seen', () => {
  const text = Buffer.from('own')
  for (let i = 0; i < 3; i++) {
    expect(get('/a/b/own')).toBe(-ENOENT)
    const fd = k.sys.open('/a/b/own', O_CREAT | O_EXCL | O_WRONLY, 0o600)
    expect(k.sys.write(fd, text, 3)).toBe(3)
    k.sys.close(fd)
    expect(get('/a/b/own')).toBe('own')
    expect(k.sys.open('/a/b/own', O_CREAT | O_EXCL | O_WRONLY, 0o600)).toBe(-EEXIST)
    expect(k.sys.rename('/a/b/own', '/a/b/moved')).toBe(0)
    expect(get('/a/b/own')).toBe(-ENOENT)
    expect(get('/a/b/moved')).toBe('own')
    expect(k.sys.unlink('/a/b/moved')).toBe(0)
    expect(get('/a/b/moved')).toBe(-ENOENT)
    expect(existsSync(tree('a/b/moved'))).toBe(false)
  }
  expect(k.sys.mkdir('/a/b/sub', 0o700)).toBe(0)
  expect(k.sys.rename('/a/b/f1', '/a/b/sub/f1')).toBe(0)
  expect(get('/a/b/sub/f1')).toBe('text 1')
  expect(get('/a/b/f1')).toBe(-ENOENT)
})

test('a directory that was read is known by its names', () => {
  const list = () => {
    const fd = k.sys.open('/a/b', O_RDONLY | O_DIRECTORY, 0)
    let bytes = 0
    for (;;) {
      const n = k.sys.getdents64(fd, k.room(4096), 4096)
      expect(n).toBeGreaterThanOrEqual(0)
      bytes += n
      if (n === 0) break
    }
    k.sys.close(fd)
    return bytes
  }
  const before = list()
  writeFileSync(tree('a/b/g'), '')
  expect(list()).toBe(before + 24)
  unlinkSync(tree('a/b/g'))
  expect(list()).toBe(before)
})
