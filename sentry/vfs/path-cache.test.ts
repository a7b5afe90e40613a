// Walks that were kept must not outlive what they went through. Each path is asked for twice before the change.

import { beforeEach, expect, test } from 'vitest'
import { EACCES, ELOOP, ENOENT } from '../../syscall-table/errno.ts'
import { O_CREAT, O_NOFOLLOW, O_RDONLY, O_WRONLY } from '../../syscall-table/flags.ts'
import { readText } from '../../test/files.ts'
import { boot, type TestTask, userCreds } from '../../test/kernel.ts'

let k: TestTask
beforeEach(() => {
  k = boot()
  k.sys.mkdir('/a', 0o755)
  k.sys.mkdir('/a/b', 0o755)
  put('/a/b/f', 'one')
})

function put(path: string, text: string): void {
  const fd = k.sys.open(path, O_CREAT | O_WRONLY, 0o644)
  k.sys.write(fd, Buffer.from(text), text.length)
  k.sys.close(fd)
}

const get = (t: TestTask, path: string) => {
  readText(t, path)
  return readText(t, path)
}

test('a directory on the way is renamed or replaced', () => {
  expect(get(k, '/a/b/f')).toBe('one')
  k.sys.rename('/a', '/c')
  expect(get(k, '/a/b/f')).toBe(-ENOENT)
  k.sys.mkdir('/a', 0o755)
  k.sys.mkdir('/a/b', 0o755)
  put('/a/b/f', 'two')
  expect(get(k, '/a/b/f')).toBe('two')
  expect(get(k, '/c/b/f')).toBe('one')
})

test('the file at the end comes, goes, and becomes a link', () => {
  expect(get(k, '/a/b/f')).toBe('one')
  k.sys.unlink('/a/b/f')
  expect(get(k, '/a/b/f')).toBe(-ENOENT)
  put('/target', 'linked')
  k.sys.symlink('/target', '/a/b/f')
  expect(get(k, '/a/b/f')).toBe('linked')
  expect(k.sys.open('/a/b/f', O_RDONLY | O_NOFOLLOW, 0)).toBe(-ELOOP)
  k.sys.unlink('/a/b/f')
  k.sys.symlink('/a/b/other', '/a/b/f')
  expect(get(k, '/a/b/f')).toBe(-ENOENT)
})

test('a missing name is made, and renamed over', () => {
  expect(get(k, '/a/b/new')).toBe(-ENOENT)
  put('/a/b/new', 'new')
  expect(get(k, '/a/b/new')).toBe('new')
  put('/a/b/other', 'other')
  expect(get(k, '/a/b/other')).toBe('other')
  k.sys.rename('/a/b/other', '/a/b/new')
  expect(get(k, '/a/b/new')).toBe('other')
  expect(get(k, '/a/b/other')).toBe(-ENOENT)
})

test('permissions and mounts', () => {
  const user = k.fork(userCreds(1000))
  expect(get(user, '/a/b/f')).toBe('one')
  k.sys.chmod('/a', 0o700)
  expect(get(user, '/a/b/f')).toBe(-EACCES)
  expect(get(k, '/a/b/f')).toBe('one')
  k.sys.mount('t', '/a/b', 'tmpfs', 0, 0)
  expect(get(k, '/a/b/f')).toBe(-ENOENT)
  k.sys.umount2('/a/b', 0)
  expect(get(k, '/a/b/f')).toBe('one')
})

test('the same path from another root or directory is another walk', () => {
  put('/f', 'top')
  expect(get(k, '/f')).toBe('top')
  expect(get(k, 'f')).toBe('top')
  k.sys.chdir('/a/b')
  expect(get(k, 'f')).toBe('one')
  k.sys.chroot('/a/b')
  expect(get(k, '/f')).toBe('one')
})
