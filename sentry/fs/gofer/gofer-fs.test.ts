// The gofer file system against a real gofer process, through the handlers.

import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { close } from '../../../native/index.ts'
import {
  EACCES,
  EEXIST,
  EISDIR,
  ENODATA,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EOPNOTSUPP,
  EPERM,
} from '../../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  RENAME_EXCHANGE,
} from '../../../syscall-table/flags.ts'
import { boot, userCreds } from '../../../test/kernel.ts'
import { forgetTree } from '../../vfs/dcache.ts'
import type { GoferClient } from './client.ts'
import { GoferConnection } from './connection.ts'
import { type GoferSuperBlock, mountGofer } from './super.ts'
import { spawnGofer } from './test/spawn.ts'

let tree: string
let k: ReturnType<typeof boot>
let client: GoferClient
let sb: GoferSuperBlock

function start(shared = false): void {
  // Attach point flags 0: the sandbox may write.
  client = spawnGofer(`0:${tree}`).client
  const connection = new GoferConnection(client)
  k = boot({
    root: kernel => {
      const mounted = mountGofer(kernel, connection, 0, { shared, readonly: false })
      if (typeof mounted === 'number') throw new Error(`attach: ${mounted}`)
      sb = mounted
      return sb
    },
  })
}

beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'gofer-fs-'))
  mkdirSync(join(tree, 'a/b/c'), { recursive: true })
  writeFileSync(join(tree, 'a/b/c/file'), 'deep')
  writeFileSync(join(tree, 'top'), 'top contents')
  symlinkSync('a/b', join(tree, 'link'))
})
afterEach(() => {
  close(client.socket)
  rmSync(tree, { recursive: true })
})

const get = (path: string): string | number => k.contents(path)

function put(path: string, text: string, flags = O_CREAT | O_WRONLY | O_TRUNC): number {
  const fd = k.sys.open(path, flags, 0o644)
  if (fd < 0) return fd
  const n = k.sys.write(fd, Buffer.from(text), text.length)
  k.sys.close(fd)
  return n
}

function list(path: string): string[] {
  const fd = k.sys.open(path, O_RDONLY | O_DIRECTORY, 0)
  const names: string[] = []
  for (;;) {
    const at = k.room(1024)
    const n = k.sys.getdents64(fd, at, 1024)
    expect(n).toBeGreaterThanOrEqual(0)
    if (n === 0) break
    const view = k.view(at, n)
    for (let i = 0; i < n; i += view.getUint16(i + 16, true)) {
      const end = i + view.getUint16(i + 16, true)
      names.push(k.text(at + i + 19, end - i - 19).replace(/\0.*$/s, ''))
    }
  }
  k.sys.close(fd)
  return names.sort()
}

function stat(
  path: string,
  flags = 0,
): { n: number; size: number; mode: number; nlink: number; mtime: number } {
  const at = k.room(144)
  const n = k.sys.newfstatat(AT_FDCWD, path, at, flags)
  const v = k.view(at, 144)
  return {
    n,
    size: v.getUint32(48, true),
    mode: v.getUint32(24, true),
    nlink: v.getUint32(16, true),
    mtime: v.getUint32(88, true) + v.getUint32(96, true) / 1e9,
  }
}

test('reads deep paths, through symlinks too', () => {
  start()
  expect(get('/a/b/c/file')).toBe('deep')
  expect(get('/link/c/file')).toBe('deep')
  expect(get('/a/x/y/z')).toBe(-ENOENT)
  expect(get('/top')).toBe('top contents')
  expect(stat('/link', AT_SYMLINK_NOFOLLOW).mode & 0o170000).toBe(0o120000)
})

test('writes reach the host, and the attributes follow', () => {
  start()
  expect(put('/new', 'hello')).toBe(5)
  expect(put('/new', ' world', O_WRONLY | O_APPEND)).toBe(6)
  expect(readFileSync(join(tree, 'new'), 'utf8')).toBe('hello world')
  expect(stat('/new')).toMatchObject({ size: 11, mode: 0o100644, nlink: 1 })
  expect(stat('/new').mtime).toBeCloseTo(statSync(join(tree, 'new')).mtimeMs / 1000, 3)
  expect(put('/new', 'x', O_WRONLY | O_TRUNC)).toBe(1)
  expect(statSync(join(tree, 'new')).size).toBe(1)
  expect(k.sys.chmod('/new', 0o600)).toBe(0)
  expect(statSync(join(tree, 'new')).mode).toBe(0o100600)
  expect(k.sys.open('/new', O_CREAT | O_EXCL | O_RDWR, 0o600)).toBe(-EEXIST)
})

test('names: make, list, link, rename, remove', () => {
  start()
  expect(k.sys.mkdir('/d', 0o750)).toBe(0)
  expect(k.sys.symlink('target', '/d/s')).toBe(0)
  expect(readlinkSync(join(tree, 'd/s'))).toBe('target')
  for (let i = 0; i < 50; i++) expect(put(`/d/f${i}`, 'x')).toBe(1)
  expect(list('/d')).toHaveLength(53)
  expect(k.sys.link('/d/f0', '/hard')).toBe(0)
  expect(stat('/hard').nlink).toBe(2)
  expect(k.sys.rename('/d/f1', '/d/f2')).toBe(0)
  expect(stat('/d/f1').n).toBe(-ENOENT)
  expect(k.sys.rename('/d', '/e')).toBe(0)
  expect(get('/e/f2')).toBe('x')
  expect(get('/d/f2')).toBe(-ENOENT)
  expect(existsSync(join(tree, 'e/f2'))).toBe(true)
  expect(k.sys.renameat2(AT_FDCWD, '/e', AT_FDCWD, '/top', RENAME_EXCHANGE)).toBe(0)
  expect(get('/e')).toBe('top contents')
  expect(get('/top/f2')).toBe('x')
  expect(k.sys.rmdir('/top')).toBe(-ENOTEMPTY)
  for (const name of list('/top').slice(2)) expect(k.sys.unlink(`/top/${name}`)).toBe(0)
  expect(k.sys.rmdir('/top')).toBe(0)
  expect(existsSync(join(tree, 'top'))).toBe(false)
})

test('a removed but open file lives on, with its attributes', () => {
  start()
  const fd = k.sys.open('/top', O_RDWR, 0)
  expect(k.sys.unlink('/top')).toBe(0)
  expect(k.sys.fchmod(fd, 0o640)).toBe(0)
  expect(k.sys.write(fd, Buffer.from('TOP'), 3)).toBe(3)
  const at = k.room(144)
  expect(k.sys.fstat(fd, at)).toBe(0)
  expect(k.view(at, 144).getUint32(24, true)).toBe(0o100640)
  expect(k.view(at, 144).getUint32(16, true)).toBe(0)
  expect(k.sys.close(fd)).toBe(0)
})

test('hard links are one inode', () => {
  linkSync(join(tree, 'top'), join(tree, 'other'))
  start()
  const fd = k.sys.open('/top', O_WRONLY | O_APPEND, 0)
  expect(stat('/other').size).toBe(12)
  k.sys.write(fd, Buffer.from('!'), 1)
  expect(stat('/other').size).toBe(13)
})

test('shared: changes from outside are seen', () => {
  start(true)
  expect(get('/late')).toBe(-ENOENT)
  writeFileSync(join(tree, 'late'), 'now')
  expect(get('/late')).toBe('now')
  writeFileSync(join(tree, 'late'), 'longer now')
  expect(stat('/late').size).toBe(10)
  rmSync(join(tree, 'late'))
  expect(stat('/late').n).toBe(-ENOENT)
  mkdirSync(join(tree, 'a/x'))
  writeFileSync(join(tree, 'a/x/file'), 'shallow')
  expect(get('/a/x/file')).toBe('shallow')
  rmSync(join(tree, 'a/x'), { recursive: true })
  expect(get('/a/x/file')).toBe(-ENOENT)
  symlinkSync('b/c', join(tree, 'a/x'))
  expect(get('/a/x/file')).toBe('deep')
  const fd = k.sys.open('/top', O_RDONLY, 0)
  chmodSync(join(tree, 'top'), 0o600)
  expect(stat('/top').mode & 0o7777).toBe(0o600)
  k.sys.close(fd)
  expect(put('/made', 'here')).toBe(4)
  expect(lstatSync(join(tree, 'made')).size).toBe(4)
})

test('exclusive: changes from outside are seen once there is a doubt', () => {
  start()
  const replace = (path: string, text: string) => {
    rmSync(join(tree, path))
    writeFileSync(join(tree, path), text)
  }
  expect(get('/top')).toBe('top contents')
  expect(get('/a/late')).toBe(-ENOENT)
  expect(get('/a/b/c/file')).toBe('deep')
  expect(list('/a')).toEqual(['.', '..', 'b'])
  const fd = k.sys.open('/top', O_RDONLY, 0)
  replace('top', 'new')
  writeFileSync(join(tree, 'a/late'), 'now')
  rmSync(join(tree, 'a/b'), { recursive: true })
  writeFileSync(join(tree, 'a/b'), 'a file')
  chmodSync(join(tree, 'a'), 0o700)
  sb.doubt()
  expect(get('/top')).toBe('new')
  expect(stat('/top').size).toBe(3)
  expect(list('/a')).toEqual(['.', '..', 'b', 'late'])
  expect(get('/a/late')).toBe('now')
  expect(get('/a/b')).toBe('a file')
  expect(get('/a/b/c/file')).toBe(-ENOTDIR)
  expect(stat('/a').mode & 0o7777).toBe(0o700)
  // What was open before is still the old file.
  const at = k.room(16)
  expect(k.sys.read(fd, at, 16)).toBe(12)
  expect(k.text(at, 12)).toBe('top contents')
  // What has been asked for since is known.
  expect(requests(() => stat('/top'))).toBe(0)
})

/** How many requests to the gofer `action` takes. */
function requests(action: () => void): number {
  const before = client.requests
  action()
  return client.requests - before
}

test('shared: a file is removed with one request, whatever its name is of by then', () => {
  linkSync(join(tree, 'top'), join(tree, 'a/other'))
  for (const name of ['seen', 'swapped', 'new', 'dir']) writeFileSync(join(tree, 'a', name), name)
  start(true)
  const dir = k.sys.open('/a', O_RDONLY | O_DIRECTORY, 0)
  expect(requests(() => expect(k.sys.unlinkat(dir, 'seen', 0)).toBe(0))).toBe(1)
  expect(existsSync(join(tree, 'a/seen'))).toBe(false)
  expect(requests(() => expect(k.sys.unlinkat(dir, 'seen', 0)).toBe(-ENOENT))).toBeLessThan(3)
  expect(stat('/top').nlink).toBe(2)
  expect(k.sys.unlinkat(dir, 'other', 0)).toBe(0)
  expect(stat('/top').nlink).toBe(1)
  // Known as another file, which is open.
  const fd = k.sys.open('/a/swapped', O_RDWR, 0)
  renameSync(join(tree, 'a/swapped'), join(tree, 'a/kept'))
  renameSync(join(tree, 'a/new'), join(tree, 'a/swapped'))
  expect(k.sys.unlinkat(dir, 'swapped', 0)).toBe(0)
  expect(existsSync(join(tree, 'a/swapped'))).toBe(false)
  expect(k.sys.fchmod(fd, 0o600)).toBe(0)
  expect(stat('/a/kept')).toMatchObject({ n: 0, nlink: 1, mode: 0o100600 })
  // Known as a file, which has become a directory.
  expect(stat('/a/dir').n).toBe(0)
  rmSync(join(tree, 'a/dir'))
  mkdirSync(join(tree, 'a/dir'))
  expect(k.sys.unlinkat(dir, 'dir', 0)).toBe(-EISDIR)
  expect(k.sys.unlinkat(dir, 'b', 0)).toBe(-EISDIR)
  k.sys.close(fd)
  k.sys.close(dir)
})

test('shared: an open file that loses its name keeps its attributes', () => {
  start(true)
  const root = k.sys.open('/', O_RDONLY | O_DIRECTORY, 0)
  const fd = k.sys.open('/top', O_RDWR, 0)
  expect(k.sys.unlinkat(root, 'top', 0)).toBe(0)
  expect(k.sys.fchmod(fd, 0o640)).toBe(0)
  const at = k.room(144)
  expect(k.sys.fstat(fd, at)).toBe(0)
  expect(k.view(at, 144).getUint32(24, true)).toBe(0o100640)
  expect(k.view(at, 144).getUint32(16, true)).toBe(0)
  expect(put('/top', 'another')).toBe(7)
  expect(k.sys.fstat(fd, at)).toBe(0)
  expect(k.view(at, 144).getUint32(16, true)).toBe(0)
})

test.each([false, true])('a new name is not looked up before (shared: %s)', shared => {
  writeFileSync(join(tree, 'a/file'), '')
  start(shared)
  const dir = k.sys.open('/a', O_RDONLY | O_DIRECTORY, 0)
  const one = (result: number, call: () => number) =>
    expect(requests(() => expect(call()).toBe(result))).toBe(1)
  const create = (name: string) => k.sys.openat(dir, name, O_CREAT | O_EXCL | O_RDWR, 0o600)
  one(-EEXIST, () => create('file'))
  one(-EEXIST, () => k.sys.mkdirat(dir, 'b', 0o700))
  one(-EEXIST, () => k.sys.symlinkat('x', dir, 'file'))
  one(0, () => k.sys.mkdirat(dir, 'd', 0o700))
  one(0, () => k.sys.symlinkat('x', dir, 's'))
  const before = client.requests
  const fd = create('new')
  expect(client.requests).toBe(before + 1)
  expect(k.sys.write(fd, Buffer.from('new'), 3)).toBe(3)
  expect(get('/a/new')).toBe('new')
  expect(readFileSync(join(tree, 'a/new'), 'utf8')).toBe('new')
  // What was known of the name before is not what it is of now.
  expect(stat('/a/later').n).toBe(-ENOENT)
  expect(create('later')).toBeGreaterThan(0)
  expect(stat('/a/later').mode).toBe(0o100600)
  expect(list('/a')).toEqual(['.', '..', 'b', 'd', 'file', 'later', 'new', 's'])
})

test('shared: files are made below known directories with one request, as long as these are what they were', () => {
  chmodSync(tree, 0o755)
  start(true)
  expect(put('/a/b/c/1', 'x')).toBe(1)
  expect(requests(() => put('/a/b/c/2', 'x'))).toBe(1)
  expect(readFileSync(join(tree, 'a/b/c/2'), 'utf8')).toBe('x')
  expect(put('/a/b/c/2', 'longer')).toBe(6)
  expect(put('/a/b/c/2', 'x', O_CREAT | O_EXCL | O_WRONLY)).toBe(-EEXIST)
  writeFileSync(join(tree, 'a/b/c/3'), 'from outside')
  expect(put('/a/b/c/3', 'y', O_CREAT | O_WRONLY)).toBe(1)
  expect(readFileSync(join(tree, 'a/b/c/3'), 'utf8')).toBe('yrom outside')
  // Another directory has come into the place.
  renameSync(join(tree, 'a/b'), join(tree, 'a/old'))
  mkdirSync(join(tree, 'a/b/c'), { recursive: true })
  expect(put('/a/b/c/4', 'x')).toBe(1)
  expect(existsSync(join(tree, 'a/b/c/4'))).toBe(true)
  expect(existsSync(join(tree, 'a/old/c/4'))).toBe(false)
  // A link has come into the place.
  renameSync(join(tree, 'a/b'), join(tree, 'a/older'))
  symlinkSync('old', join(tree, 'a/b'))
  expect(put('/a/b/c/5', 'x')).toBe(1)
  expect(existsSync(join(tree, 'a/old/c/5'))).toBe(true)
  // Nothing has.
  rmSync(join(tree, 'a/b'))
  expect(put('/a/b/c/6', 'x')).toBe(-ENOENT)
  expect(k.sys.open('/a/b/c/6', O_CREAT | O_EXCL | O_WRONLY, 0o600)).toBe(-ENOENT)
})

test('shared: permissions of directories count as they are now', () => {
  chmodSync(tree, 0o755)
  chmodSync(join(tree, 'a/b/c'), 0o777)
  start(true)
  const user = k.fork(userCreds(1000))
  const make = (path: string) => user.sys.open(path, O_CREAT | O_WRONLY, 0o600)
  for (let i = 0; i < 3; i++) expect(make(`/a/b/c/${i}`)).toBeGreaterThanOrEqual(0)
  chmodSync(join(tree, 'a/b/c'), 0o755)
  expect(make('/a/b/c/x')).toBe(-EACCES)
  chmodSync(join(tree, 'a/b/c'), 0o777)
  expect(make('/a/b/c/x')).toBeGreaterThanOrEqual(0)
  chmodSync(join(tree, 'a/b'), 0o700)
  expect(make('/a/b/c/y')).toBe(-EACCES)
  chmodSync(join(tree, 'a/b'), 0o711)
  expect(make('/a/b/c/y')).toBeGreaterThanOrEqual(0)
  expect(existsSync(join(tree, 'a/b/c/y'))).toBe(true)
})

test('that a name exists comes before any other reason not to make it', () => {
  chmodSync(tree, 0o755)
  start()
  expect(k.sys.link('/a', '/top')).toBe(-EEXIST)
  expect(k.sys.link('/a', '/none')).toBe(-EPERM)
  expect(k.sys.mkdir('/top/', 0o700)).toBe(-EEXIST)
  expect(k.sys.symlink('x', '/top/')).toBe(-EEXIST)
  expect(k.sys.symlink('x', '/none/')).toBe(-ENOENT)
  expect(k.sys.chmod('/a', 0o555)).toBe(0)
  const user = k.fork(userCreds(1000))
  expect(user.sys.mkdir('/a/b', 0o700)).toBe(-EEXIST)
  expect(user.sys.open('/a/b', O_CREAT | O_EXCL | O_RDWR, 0o600)).toBe(-EEXIST)
  expect(user.sys.mkdir('/a/none', 0o700)).toBe(-EACCES)
  expect(user.sys.open('/a/none', O_CREAT | O_EXCL | O_RDWR, 0o600)).toBe(-EACCES)
})

test('extended attributes and file system figures', () => {
  start()
  const at = k.room(256)
  expect(k.sys.getxattr('/top', 'user.none', at, 16)).toBe(-ENODATA)
  const n = k.sys.setxattr('/top', 'user.x', Buffer.from('1'), 1, 0)
  if (n === 0) expect(k.sys.getxattr('/top', 'user.x', at, 16)).toBe(1)
  expect(k.sys.statfs('/top', at)).toBe(0)
})

test('many files are known to have no extended attributes, until they get some', () => {
  for (let i = 0; i < 20; i++) writeFileSync(join(tree, `a/f${i}`), '')
  start()
  const count = () => {
    let n = 0
    for (let i = 0; i < 20; i++) n += k.sys.listxattr(`/a/f${i}`, 0, 0)
    return n
  }
  list('/a')
  expect(count()).toBe(0)
  const n = k.sys.setxattr('/a/f17', 'user.x', Buffer.from('1'), 1, 0)
  if (n === -EOPNOTSUPP) return console.log('skipped: no user.* attributes on this file system')
  expect(count()).toBe(7)
  // Also when nothing of the file is in memory any more, but what was told of its directory before.
  for (const child of [...rootDentry().children.get('a')!.children.values()]) forgetTree(child)
  expect(count()).toBe(7)
  expect(k.sys.rename('/a/f17', '/a/f3')).toBe(0)
  expect(k.sys.listxattr('/a/f3', 0, 0)).toBe(7)
  expect(k.sys.removexattr('/a/f3', 'user.x')).toBe(0)
  expect(k.sys.listxattr('/a/f3', 0, 0)).toBe(0)
})

test.each([false, true])('nothing is found or made in a removed directory (shared: %s)', shared => {
  start(shared)
  expect(k.sys.chdir('/a/b/c')).toBe(0)
  const dir = k.sys.open('.', O_RDONLY | O_DIRECTORY, 0)
  expect(k.sys.unlink('file')).toBe(0)
  expect(k.sys.rmdir('/a/b/c')).toBe(0)
  for (const flags of [O_RDONLY, O_CREAT | O_WRONLY, O_CREAT | O_EXCL | O_WRONLY]) {
    expect(k.sys.open('file', flags, 0o600)).toBe(-ENOENT)
    expect(k.sys.openat(dir, 'file', flags, 0o600)).toBe(-ENOENT)
  }
  expect(k.sys.mkdir('d', 0o700)).toBe(-ENOENT)
  expect(k.sys.unlink('file')).toBe(-ENOENT)
  expect(stat('.')).toMatchObject({ n: 0, nlink: 0 })
})

test.each([
  false,
  true,
])('an open file is asked for extended attributes by its descriptor (shared: %s)', shared => {
  start(shared)
  const fd = k.sys.open('/top', O_RDONLY, 0)
  expect(requests(() => expect(k.sys.flistxattr(fd, 0, 0)).toBe(0))).toBe(0)
  if (k.sys.fsetxattr(fd, 'user.x', Buffer.from('1'), 1, 0) === -EOPNOTSUPP)
    return console.log('skipped: no user.* attributes on this file system')
  expect(k.sys.flistxattr(fd, 0, 0)).toBe(7)
  expect(k.sys.fremovexattr(fd, 'user.x')).toBe(0)
  expect(requests(() => expect(k.sys.flistxattr(fd, 0, 0)).toBe(0))).toBe(0)
})

test('shared: extended attributes from outside are seen', () => {
  start(true)
  // Longer ago than the clock of file times is coarse.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  const fd = k.sys.open('/top', O_RDONLY, 0)
  expect(k.sys.flistxattr(fd, 0, 0)).toBe(0)
  expect(k.sys.flistxattr(fd, 0, 0)).toBe(0)
  // Another way to the same file, that this inode does not know of.
  const set = spawnSync('setfattr', ['-n', 'user.x', '-v', '1', join(tree, 'top')])
  if (set.status !== 0) return console.log('skipped: no setfattr, or no user.* attributes here')
  expect(k.sys.flistxattr(fd, 0, 0)).toBe(7)
})

test('a kept listing follows changes', () => {
  start()
  expect(list('/a/b')).toEqual(['.', '..', 'c'])
  expect(list('/a/b')).toEqual(['.', '..', 'c'])
  put('/a/b/new', 'x')
  expect(list('/a/b')).toEqual(['.', '..', 'c', 'new'])
  k.sys.rename('/a/b/new', '/a/newer')
  expect(list('/a/b')).toEqual(['.', '..', 'c'])
  expect(list('/a')).toEqual(['.', '..', 'b', 'newer'])
})

test('what has been listed needs no message, and its changes are not forgotten', () => {
  for (let i = 0; i < 100; i++) writeFileSync(join(tree, `a/b/f${i}`), 'x'.repeat(i))
  linkSync(join(tree, 'a/b/f1'), join(tree, 'hard'))
  start()
  expect(list('/a/b')).toHaveLength(103)
  const before = client.requests
  for (let i = 99; i >= 0; i--) expect(stat(`/a/b/f${i}`).size).toBe(i)
  expect(stat('/a/b/c', 0).mode & 0o170000).toBe(0o040000)
  expect(client.requests).toBe(before)
  expect(put('/hard', 'changed', O_WRONLY | O_TRUNC)).toBe(7)
  expect(stat('/a/b/f1').size).toBe(7)
  expect(k.sys.chmod('/a/b/f2', 0o600)).toBe(0)
  dropDentries()
  expect(stat('/a/b/f2').mode & 0o777).toBe(0o600)
  expect(stat('/a/b/f1').size).toBe(7)
  // Files that were put there from outside have not been listed, and are found.
  writeFileSync(join(tree, 'a/b/late'), 'late')
  expect(get('/a/b/late')).toBe('late')
})

/** As the dentry cache does it when it is full. */
function dropDentries(): void {
  for (const child of [...rootDentry().children.values()]) forgetTree(child)
}

const rootDentry = () => k.task.fs.root.mount.sb.rootDentry!

test('a directory of many pages is read in any order', () => {
  mkdirSync(join(tree, 'many'))
  const name = (i: number) => `${i}-${'n'.repeat(180)}`
  for (let i = 0; i < 1500; i++) writeFileSync(join(tree, 'many', name(i)), '')
  start()
  const all = list('/many')
  expect(new Set(all).size).toBe(1502)
  const fd = k.sys.open('/many', O_RDONLY | O_DIRECTORY, 0)
  const other = k.sys.open('/many', O_RDONLY | O_DIRECTORY, 0)
  const at = k.room(4096)
  const first = (file: number, position: number) => {
    expect(k.sys.lseek(file, position, 0)).toBe(position)
    expect(k.sys.getdents64(file, at, 4096)).toBeGreaterThan(0)
    return k.text(at + 19, 220).replace(/\0.*$/s, '')
  }
  const [early, late] = [first(fd, 10), first(other, 1400)]
  expect(early).not.toBe(late)
  expect(first(fd, 1400)).toBe(late)
  expect(first(other, 10)).toBe(early)
  expect(first(fd, 2)).not.toBe('..')
})

test('a tree is gone through with few messages, and what changes meanwhile is seen', () => {
  for (let i = 0; i < 40; i++) {
    mkdirSync(join(tree, `t/d${i}/sub/deep`), { recursive: true })
    for (let j = 0; j < 10; j++) writeFileSync(join(tree, `t/d${i}/sub/f${j}`), `${i} ${j}`)
  }
  start()
  const before = client.requests
  let files = 0
  const seen: string[] = []
  const visit = (path: string) => {
    for (const name of list(path).slice(2)) {
      const below = `${path}/${name}`
      if ((stat(below).mode & 0o170000) === 0o040000) visit(below)
      else files += get(below) === `${path.slice(4, -4)} ${name.slice(1)}` ? 1 : 0
    }
    seen.push(path)
    if (seen.length !== 20) return
    // In a directory that has certainly come along by now, and from within.
    put('/t/d39/new', 'n')
    k.sys.rename('/t/d38/sub/f0', '/t/d38/sub/g')
    k.sys.unlink('/t/d37/sub/f1')
  }
  visit('/t')
  expect(seen).toHaveLength(121)
  // The renamed one has the text of another name.
  expect(files).toBe(398)
  expect(client.requests - before).toBeLessThan(120)
  expect(list('/t/d39')).toEqual(['.', '..', 'new', 'sub'])
  expect(list('/t/d38/sub')).toContain('g')
  expect(list('/t/d37/sub')).not.toContain('f1')
})

test('what came along is not taken for the present later', () => {
  for (let i = 0; i < 9; i++) mkdirSync(join(tree, `t/d${i}/sub`), { recursive: true })
  start()
  const names = list('/t').slice(2)
  for (const name of names.slice(0, 3)) list(`/t/${name}`)
  for (const name of names) writeFileSync(join(tree, 't', name, 'late'), '')
  expect(list(`/t/${names[7]}`)).toEqual(['.', '..', 'sub'])
  k.clock.nowNs += 2e9
  expect(list(`/t/${names[8]}`)).toEqual(['.', '..', 'late', 'sub'])
})

test('files that are opened in turn are opened together, as long as their names last', () => {
  for (let i = 0; i < 60; i++) writeFileSync(join(tree, `a/f${i}`), `${i}`)
  start()
  const names = list('/a')
    .slice(2)
    .filter(name => name !== 'b')
  const before = client.requests
  for (const name of names.slice(0, 30)) expect(get(`/a/${name}`)).toBe(name.slice(1))
  expect(client.requests - before).toBeLessThan(15)
  // Names that have come along, but are of other files now.
  k.sys.renameat2(AT_FDCWD, `/a/${names[58]}`, AT_FDCWD, `/a/${names[59]}`, RENAME_EXCHANGE)
  expect(get(`/a/${names[58]}`)).toBe(names[59]!.slice(1))
  for (const name of names.slice(30, 58)) expect(get(`/a/${name}`)).toBe(name.slice(1))
})

test.each([
  false,
  true,
])('files come along while others are read, each as it is when it is opened (shared: %s)', shared => {
  const count = 300
  for (let i = 0; i < count; i++) writeFileSync(join(tree, `a/b/c/f${i}`), `${i}`)
  start(shared)
  const open = () => readdirSync('/proc/self/fd').length
  const descriptors = open()
  const names = list('/a/b/c').filter(name => /^f\d/.test(name))
  const read = (from: number, to: number) => {
    for (const name of names.slice(from, to)) expect(get(`/a/b/c/${name}`)).toBe(name.slice(1))
  }
  const before = client.requests
  read(0, 150)
  expect(client.requests - before).toBeLessThan(60)
  // By whom it may be: of the sandbox itself, or of others.
  const change = shared
    ? renameSync
    : (from: string, to: string) => k.sys.rename(from.slice(tree.length), to.slice(tree.length))
  change(join(tree, `a/b/c/${names[298]}`), join(tree, `a/b/c/${names[299]}`))
  change(join(tree, `a/b/c/${names[150]}`), join(tree, `a/b/c/${names[151]}`))
  expect(get(`/a/b/c/${names[299]}`)).toBe(names[298]!.slice(1))
  expect(get(`/a/b/c/${names[298]}`)).toBe(-ENOENT)
  expect(get(`/a/b/c/${names[150]}`)).toBe(-ENOENT)
  expect(get(`/a/b/c/${names[151]}`)).toBe(names[150]!.slice(1))
  read(152, 298)
  for (const name of list('/a/b/c').filter(name => /^f\d/.test(name)))
    expect(k.sys.unlink(`/a/b/c/${name}`)).toBe(0)
  client.settle()
  expect(readdirSync(join(tree, 'a/b/c'))).toEqual(['file'])
  // What tells of changes in the directories is held as well.
  expect(open()).toBeLessThan(descriptors + 5)
})
