// The gofer file system against a real gofer process, through the handlers: what programs and the host see of each other.

import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  EACCES,
  EEXIST,
  EISDIR,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
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
import { userCreds } from '../../../test/kernel.ts'
import {
  client,
  eachWithTree,
  get,
  k,
  list,
  put,
  requests,
  sb,
  start,
  stat,
  tree,
} from './test/tree.ts'

eachWithTree()

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
