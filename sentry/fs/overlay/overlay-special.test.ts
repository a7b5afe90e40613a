// What an overlay does beyond names and contents: limits, mappings, holes, listings, special files.

import { beforeEach, expect, test } from 'vitest'
import { pread } from '../../../native/index.ts'
import { EEXIST, ENODATA, ENOSPC, ENOTEMPTY, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_WRONLY,
  OVERLAYFS_SUPER_MAGIC,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFCHR,
  S_IFIFO,
  SEEK_DATA,
  SEEK_SET,
} from '../../../syscall-table/flags.ts'
import { mountOn, names, readText } from '../../../test/files.ts'
import { boot, type TestTask } from '../../../test/kernel.ts'
import type { Inode } from '../../vfs/inode.ts'
import type { Mount } from '../../vfs/mount.ts'
import type { OverlayDir } from './directory.ts'
import type { OverlaySuperBlock } from './overlay.ts'
import type { OverlayFile } from './regular.ts'
import { dropUnused, mountOver } from './test/setup.ts'

let k: TestTask
let over: Mount

beforeEach(() => {
  k = boot()
  mountOn(k, 'tmpfs', '/l', 'mode=755')
})

const start = (): void => {
  over = mountOver(k, '/l', '/o')
}

function put(path: string, text: string | Uint8Array): void {
  const fd = k.sys.open(path, O_CREAT | O_WRONLY, 0o644)
  const bytes = Buffer.from(text)
  expect(k.sys.write(fd, bytes, bytes.length)).toBe(bytes.length)
  k.sys.close(fd)
}

const inodeAt = (name: string): Inode => {
  k.sys.lstat(`/o/${name}`, k.room(144))
  return over.root.children.get(name)!.inode!
}

function stat(path: string): {
  ino: number
  nlink: number
  mode: number
  dev: number
  blocks: number
} {
  const at = k.room(144)
  expect(k.sys.newfstatat(AT_FDCWD, path, at, AT_SYMLINK_NOFOLLOW)).toBe(0)
  const v = k.view(at, 144)
  const n = (i: number): number => v.getUint32(i, true)
  return { dev: n(0), ino: n(8), nlink: n(16), mode: n(24), blocks: n(64) }
}

test('numbers are stable through copy-up and eviction', () => {
  k.sys.mkdir('/l/d', 0o755)
  put('/l/d/f', 'text')
  start()
  const { ino, dev } = stat('/o/d/f')
  expect(ino).toBe(stat('/l/d/f').ino)
  expect(dev).not.toBe(stat('/l/d/f').dev)
  k.sys.truncate('/o/d/f', 2)
  dropUnused(over)
  expect(stat('/o/d/f')).toMatchObject({ ino, dev })
  k.sys.rename('/o/d', '/o/e')
  dropUnused(over)
  expect(stat('/o/e/f')).toMatchObject({ ino, dev })
  expect(readText(k, '/o/e/f')).toBe('te')
})

test('a failed rename changes nothing', () => {
  for (const path of ['/l/a', '/l/b', '/l/b/x']) k.sys.mkdir(path, 0o755)
  start()
  expect(k.sys.rename('/o/a', '/o/b')).toBe(-ENOTEMPTY)
  expect(k.sys.renameat2(AT_FDCWD, '/o/a', AT_FDCWD, '/o/b', RENAME_NOREPLACE)).toBe(-EEXIST)
  expect((over.sb.root as OverlayDir).whiteoutCount).toBe(0)
  expect(k.sys.renameat2(AT_FDCWD, '/o/a', AT_FDCWD, '/o/b/x', RENAME_EXCHANGE)).toBe(0)
  expect(k.sys.rename('/o/b/x', '/o/c')).toBe(0)
  expect((names(k, '/o') as string[]).sort()).toEqual(['a', 'b', 'c'])
})

test('directories of a lower layer that does not count links show 1', () => {
  for (const path of ['/l/d', '/l/d/a', '/l/d/b']) k.sys.mkdir(path, 0o755)
  const lower = k.sys.stat('/l/d', k.room(144))
  expect(lower).toBe(0)
  const mount = [...k.kernel.mounts.mounts].at(-1)!
  mount.root.children.get('d')!.inode!.nlink = 1
  start()
  expect(stat('/o/d').nlink).toBe(1)
  expect(k.sys.rmdir('/o/d/a')).toBe(0)
  expect(k.sys.rmdir('/o/d/b')).toBe(0)
  expect(stat('/o/d').nlink).toBe(1)
  dropUnused(over)
  expect(names(k, '/o/d')).toEqual([])
  expect(k.sys.mkdir('/o/d/c', 0o755)).toBe(0)
  expect(stat('/o/d').nlink).toBe(1)
  expect(k.sys.rmdir('/o/d/c')).toBe(0)
  expect(k.sys.rmdir('/o/d')).toBe(0)
})

test('the limit is half of the memory, for copies as well', () => {
  put('/l/big', new Uint8Array(200_000).fill(1))
  put('/l/small', 'small')
  k.kernel.memoryBytes = 2 * 160_000
  start()
  const at = k.room(120)
  expect(k.sys.statfs('/o', at)).toBe(0)
  expect(k.view(at, 120).getUint32(0, true)).toBe(OVERLAYFS_SUPER_MAGIC)
  expect(k.view(at, 120).getUint32(16, true)).toBe(Math.ceil(160_000 / 4096))
  const fd = k.sys.open('/o/big', O_RDWR, 0)
  expect(k.sys.pwrite64(fd, Buffer.from('x'), 1, 0)).toBe(-ENOSPC)
  // What was copied until then has been given back, and the file is as it was.
  expect((over.sb as OverlaySuperBlock).pagesUsed).toBe(0)
  expect(k.sys.ftruncate(fd, 100_000)).toBe(0)
  expect(readText(k, '/o/big')).toBe('\x01'.repeat(100_000))
  expect(k.sys.ftruncate(fd, 0)).toBe(0)
  put('/o/more', new Uint8Array(100_000))
  k.sys.unlink('/o/more')
  k.sys.close(fd)
  expect(k.sys.unlink('/o/big')).toBe(0)
  expect((over.sb as OverlaySuperBlock).pagesUsed).toBe(0)
})

test('holes stay holes', () => {
  const fd = k.sys.open('/l/sparse', O_CREAT | O_RDWR, 0o644)
  k.sys.pwrite64(fd, Buffer.from('start'), 5, 0)
  k.sys.pwrite64(fd, Buffer.from('middle'), 6, 5 << 20)
  k.sys.ftruncate(fd, 10 << 20)
  start()
  const up = k.sys.open('/o/sparse', O_RDWR, 0)
  expect(k.sys.pwrite64(up, Buffer.from('S'), 1, 0)).toBe(1)
  expect(stat('/o/sparse').blocks).toBeLessThan(512)
  const at = k.room(8)
  expect(k.sys.pread64(up, at, 6, 5 << 20)).toBe(6)
  expect(k.text(at, 6)).toBe('middle')
  expect(k.sys.lseek(up, 1 << 20, SEEK_DATA)).toBe(5 << 20)
  expect(k.sys.pread64(up, at, 8, (10 << 20) - 8)).toBe(8)
  expect(k.text(at, 8)).toBe('\0'.repeat(8))
})

test('mappings are of the lower file until it may be written', () => {
  put('/l/f', 'contents')
  start()
  const reading = k.task.files.get(k.sys.open('/o/f', O_RDONLY, 0))!
  const writing = k.task.files.get(k.sys.open('/o/f', O_RDWR, 0))!
  const below = reading.ops.map(reading, 0, 8, true, false)
  const inode = inodeAt('f') as OverlayFile
  expect(inode.below).toBe(true)
  const lowerFd = (below as { hostFd: number }).hostFd
  const above = writing.ops.map(writing, 0, 8, true, true)
  expect(inode.below).toBe(false)
  expect((above as { hostFd: number }).hostFd).not.toBe(lowerFd)
  const bytes = new Uint8Array(8)
  // The descriptor lent before stays valid as long as the file is open.
  expect(pread(lowerFd, bytes, 0, 8, 0)).toBe(8)
  expect(Buffer.from(bytes).toString()).toBe('contents')
})

test('an open directory lists what was there when it was read from its start', () => {
  k.sys.mkdir('/l/d', 0o755)
  for (let i = 0; i < 30; i++) put(`/l/d/f${i}`, 'x')
  start()
  const fd = k.sys.open('/o/d', O_RDONLY | O_DIRECTORY, 0)
  const seen: string[] = []
  for (;;) {
    const at = k.room(256)
    const n = k.sys.getdents64(fd, at, 100)
    expect(n).toBeGreaterThanOrEqual(0)
    if (n === 0) break
    const v = k.view(at, n)
    for (let i = 0; i < n; i += v.getUint16(i + 16, true)) {
      const name = k.text(at + i + 19, v.getUint16(i + 16, true) - 19).replace(/\0.*$/s, '')
      seen.push(name)
      // As `rm -r` does.
      if (name.startsWith('f')) expect(k.sys.unlink(`/o/d/${name}`)).toBe(0)
    }
  }
  expect(seen.length).toBe(32)
  expect(new Set(seen).size).toBe(32)
  k.sys.lseek(fd, 0, SEEK_SET)
  put('/o/d/new', 'x')
  const at = k.room(256)
  expect(k.sys.getdents64(fd, at, 256)).toBe(24 + 24 + 24)
  expect(k.sys.unlink('/o/d/new')).toBe(0)
  expect(k.sys.rmdir('/o/d')).toBe(0)
})

test('special files: the node is the lower one, what it means is of the sandbox', () => {
  k.sys.mknod('/l/null', S_IFCHR | 0o600, (1 << 8) | 3)
  k.sys.mknod('/l/pipe', S_IFIFO | 0o600, 0)
  k.sys.symlink('null', '/l/link')
  start()
  expect(stat('/o/null').mode).toBe(S_IFCHR | 0o600)
  expect(k.sys.chmod('/o/pipe', 0o644)).toBe(0)
  expect(k.sys.setxattr('/o/pipe', 'trusted.x', Buffer.from('1'), 1, 0)).toBe(0)
  expect(k.sys.lsetxattr('/o/link', 'trusted.y', Buffer.from('2'), 1, 0)).toBe(0)
  dropUnused(over)
  expect(stat('/o/pipe').mode).toBe(S_IFIFO | 0o644)
  expect(stat('/l/pipe').mode).toBe(S_IFIFO | 0o600)
  expect(k.sys.getxattr('/o/pipe', 'trusted.x', k.room(8), 8)).toBe(1)
  expect(k.sys.lgetxattr('/o/link', 'trusted.y', k.room(8), 8)).toBe(1)
  expect(k.sys.lgetxattr('/l/link', 'trusted.y', k.room(8), 8)).toBe(-ENODATA)
  expect(k.sys.lsetxattr('/o/link', 'unknown.y', Buffer.from('2'), 1, 0)).toBe(-EOPNOTSUPP)
  for (const name of ['null', 'pipe', 'link']) expect(k.sys.unlink(`/o/${name}`)).toBe(0)
  expect((over.sb as OverlaySuperBlock).inodesUsed).toBeLessThanOrEqual(1)
})

test('removed but open, and unnamed, files', () => {
  put('/l/f', 'contents')
  start()
  const fd = k.sys.open('/o/f', O_RDWR, 0)
  expect(k.sys.unlink('/o/f')).toBe(0)
  expect(k.sys.pwrite64(fd, Buffer.from('C'), 1, 0)).toBe(1)
  const at = k.room(16)
  expect(k.sys.pread64(fd, at, 16, 0)).toBe(8)
  expect(k.text(at, 8)).toBe('Contents')
  k.sys.close(fd)
  expect((over.sb as OverlaySuperBlock).pagesUsed).toBe(0)
  const unnamed = k.sys.open('/o', O_TMPFILE | O_RDWR, 0o600)
  k.sys.write(unnamed, Buffer.from('late'), 4)
  expect(k.sys.linkat(unnamed, '', AT_FDCWD, '/o/f', AT_EMPTY_PATH)).toBe(0)
  expect(readText(k, '/o/f')).toBe('late')
  expect(readText(k, '/l/f')).toBe('contents')
})

test('unmounting gives the memory back', () => {
  put('/l/f', new Uint8Array(100_000).fill(5))
  k.sys.mkdir('/l/d', 0o755)
  start()
  const sb = over.sb as OverlaySuperBlock
  put('/o/f', 'x')
  put('/o/d/new', new Uint8Array(100_000))
  const file = inodeAt('f') as OverlayFile
  expect(file.hostFd).toBeGreaterThanOrEqual(0)
  expect(k.sys.umount2('/o', 0)).toBe(0)
  expect(sb.pagesUsed).toBe(0)
  expect(file.hostFd).toBe(-1)
  expect(readText(k, '/l/f')).toHaveLength(100_000)
})
