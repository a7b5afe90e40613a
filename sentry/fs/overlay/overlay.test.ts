// An overlay over a tmpfs: every change must stay above.

import { beforeEach, expect, test } from 'vitest'
import { ENOENT, ENOTEMPTY } from '../../../syscall-table/errno.ts'
import {
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
} from '../../../syscall-table/flags.ts'
import { boot, type TestTask } from '../../../test/kernel.ts'
import type { SuperBlock } from '../../vfs/inode.ts'
import { mountTmpfs } from '../tmpfs/mount.ts'
import type { OverlayDir } from './directory.ts'
import { mountOverlay } from './mount.ts'

let k: TestTask
let below: TestTask

beforeEach(() => {
  let lower!: SuperBlock
  below = boot({
    root: kernel => {
      lower = mountTmpfs(kernel, 'mode=755') as SuperBlock
      return lower
    },
  })
  below.sys.mkdir('/d', 0o755)
  below.sys.mkdir('/d/sub', 0o755)
  write(below, '/d/file', 'lower', O_CREAT | O_WRONLY)
  write(below, '/d/sub/deep', 'deep', O_CREAT | O_WRONLY)
  below.sys.link('/d/file', '/hard')
  below.sys.symlink('d/file', '/link')
  k = boot({ root: kernel => mountOverlay(kernel, lower, { size: 0 }) })
})

function write(t: TestTask, path: string, text: string, flags: number): void {
  const fd = t.sys.open(path, flags, 0o644)
  expect(fd).toBeGreaterThanOrEqual(0)
  expect(t.sys.write(fd, Buffer.from(text), text.length)).toBe(text.length)
  t.sys.close(fd)
}

function get(t: TestTask, path: string): string | number {
  const fd = t.sys.open(path, O_RDONLY, 0)
  if (fd < 0) return fd
  const at = t.room(4096)
  const n = t.sys.read(fd, at, 4096)
  t.sys.close(fd)
  return n < 0 ? n : t.text(at, n)
}

function list(t: TestTask, path: string): string[] {
  const fd = t.sys.open(path, O_RDONLY | O_DIRECTORY, 0)
  const names: string[] = []
  for (;;) {
    const at = t.room(256)
    const n = t.sys.getdents64(fd, at, 64)
    if (n <= 0) break
    const view = t.view(at, n)
    for (let i = 0; i < n; i += view.getUint16(i + 16, true)) {
      const end = i + view.getUint16(i + 16, true)
      names.push(t.text(at + i + 19, end - i - 19).replace(/\0.*$/s, ''))
    }
  }
  t.sys.close(fd)
  return names.filter(name => name !== '.' && name !== '..').sort()
}

const ino = (t: TestTask, path: string) => {
  const at = t.room(144)
  t.sys.lstat(path, at)
  return t.view(at, 144).getUint32(8, true)
}

test('reads show the lower layer', () => {
  expect(get(k, '/d/file')).toBe('lower')
  expect(get(k, '/link')).toBe('lower')
  expect(list(k, '/d')).toEqual(['file', 'sub'])
  expect(ino(k, '/d/file')).toBe(ino(below, '/d/file'))
})

test('writes copy up, for all names of the file', () => {
  const fd = k.sys.open('/d/file', O_RDONLY, 0)
  write(k, '/d/file', '!', O_WRONLY | O_APPEND)
  expect(get(k, '/d/file')).toBe('lower!')
  expect(get(k, '/hard')).toBe('lower!')
  expect(get(below, '/d/file')).toBe('lower')
  const at = k.room(16)
  expect(k.sys.read(fd, at, 16)).toBe(6)
  write(k, '/hard', 'new', O_WRONLY | O_TRUNC)
  expect(get(k, '/d/file')).toBe('new')
  expect(get(below, '/hard')).toBe('lower')
})

test('attributes are kept above', () => {
  expect(k.sys.chmod('/d/file', 0o600)).toBe(0)
  expect(k.sys.chown('/d', 5, 6)).toBe(0)
  const at = k.room(144)
  expect(below.sys.stat('/d/file', at)).toBe(0)
  expect(below.view(at, 144).getUint32(24, true)).toBe(0o100644)
  expect(k.sys.stat('/hard', at)).toBe(0)
  expect(k.view(at, 144).getUint32(24, true)).toBe(0o100600)
})

test('removed names stay removed, and may come back', () => {
  expect(k.sys.unlink('/d/file')).toBe(0)
  expect(get(k, '/d/file')).toBe(-ENOENT)
  expect(list(k, '/d')).toEqual(['sub'])
  expect(get(k, '/hard')).toBe('lower')
  write(k, '/d/file', 'again', O_CREAT | O_RDWR)
  expect(get(k, '/d/file')).toBe('again')
  expect(list(k, '/d')).toEqual(['file', 'sub'])
  expect(k.sys.unlink('/d/file')).toBe(0)
  expect(get(k, '/d/file')).toBe(-ENOENT)
  expect(k.sys.rmdir('/d')).toBe(-ENOTEMPTY)
  expect(k.sys.unlink('/d/sub/deep')).toBe(0)
  expect(k.sys.rmdir('/d/sub')).toBe(0)
  expect(k.sys.rmdir('/d')).toBe(0)
  expect(k.sys.mkdir('/d', 0o755)).toBe(0)
  expect(list(k, '/d')).toEqual([])
  expect(list(below, '/d')).toEqual(['file', 'sub'])
})

test('directories of the lower layer can be renamed', () => {
  expect(k.sys.rename('/d', '/e')).toBe(0)
  expect(get(k, '/e/sub/deep')).toBe('deep')
  expect(get(k, '/d/sub/deep')).toBe(-ENOENT)
  write(k, '/e/sub/deep', 'changed', O_WRONLY | O_TRUNC)
  expect(k.sys.rename('/e/sub', '/sub')).toBe(0)
  expect(get(k, '/sub/deep')).toBe('changed')
  expect(list(k, '/e')).toEqual(['file'])
  expect(list(k, '/')).toEqual(['e', 'hard', 'link', 'sub'])
  expect(k.sys.rename('/hard', '/e/file')).toBe(0)
  expect(get(below, '/d/sub/deep')).toBe('deep')
})

test('names that were never below leave no whiteouts', () => {
  for (let i = 0; i < 100; i++) {
    write(k, `/d/tmp${i}`, 'x', O_CREAT | O_WRONLY)
    k.sys.unlink(`/d/tmp${i}`)
  }
  const dir = k.kernel.mounts.root.root.children.get('d')!.inode as OverlayDir
  expect(dir.whiteoutCount).toBe(0)
})

test('a large file is copied up through the host', () => {
  const big = new Uint8Array(300_000).fill(3)
  const fd = below.sys.open('/big', O_CREAT | O_RDWR, 0o644)
  expect(below.sys.write(fd, big, big.length)).toBe(big.length)
  const up = k.sys.open('/big', O_RDWR, 0)
  expect(k.sys.pwrite64(up, Buffer.from('X'), 1, 200_000)).toBe(1)
  const at = k.room(4)
  expect(k.sys.pread64(up, at, 4, 199_999)).toBe(4)
  expect([...k.bytes(at, 4)]).toEqual([3, 88, 3, 3])
  expect(below.sys.pread64(fd, at, 4, 199_999)).toBe(4)
  expect([...below.bytes(at, 4)]).toEqual([3, 3, 3, 3])
})
