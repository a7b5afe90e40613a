// Paths and files on tmpfs, through the handlers.

import { beforeEach, expect, test } from 'vitest'
import {
  EACCES,
  EEXIST,
  EFBIG,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EROFS,
  EXDEV,
} from '../../syscall-table/errno.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  MS_BIND,
  MS_RDONLY,
  MS_REMOUNT,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RLIMIT_FSIZE,
  SEEK_END,
  SEEK_SET,
} from '../../syscall-table/flags.ts'
import { boot, type TestTask, userCreds } from '../../test/kernel.ts'
import { dPath } from '../vfs/d-path.ts'

let k: TestTask
beforeEach(() => {
  k = boot()
})

function put(path: string, text: string, mode = 0o644): void {
  const fd = k.sys.open(path, O_CREAT | O_WRONLY | O_TRUNC, mode)
  expect(fd).toBeGreaterThanOrEqual(0)
  expect(k.sys.write(fd, Buffer.from(text), text.length)).toBe(text.length)
  expect(k.sys.close(fd)).toBe(0)
}

function get(path: string): string {
  const fd = k.sys.open(path, O_RDONLY, 0)
  expect(fd).toBeGreaterThanOrEqual(0)
  const at = k.room(4096)
  const n = k.sys.read(fd, at, 4096)
  k.sys.close(fd)
  return k.text(at, n)
}

function list(path: string): string[] {
  const fd = k.sys.open(path, O_RDONLY | O_DIRECTORY, 0)
  const names: string[] = []
  for (;;) {
    const at = k.room(512)
    const n = k.sys.getdents64(fd, at, 128)
    expect(n).toBeGreaterThanOrEqual(0)
    if (n === 0) break
    const view = k.view(at, n)
    for (let i = 0; i < n; i += view.getUint16(i + 16, true)) {
      const end = i + view.getUint16(i + 16, true)
      names.push(k.text(at + i + 19, end - i - 19).replace(/\0.*$/s, ''))
    }
  }
  k.sys.close(fd)
  return names
}

const statOf = (path: string, flags = 0) => {
  const at = k.room(144)
  const n = k.sys.newfstatat(AT_FDCWD, path, at, flags)
  const v = k.view(at, 144)
  return {
    n,
    ino: v.getUint32(8, true),
    nlink: v.getUint32(16, true),
    mode: v.getUint32(24, true),
    size: v.getUint32(48, true),
  }
}

test('create, write, read and stat', () => {
  put('/a', 'hello')
  expect(get('/a')).toBe('hello')
  expect(statOf('/a')).toMatchObject({ n: 0, mode: 0o100644, size: 5, nlink: 1 })
  expect(k.sys.open('/a', O_CREAT | O_EXCL | O_WRONLY, 0o600)).toBe(-EEXIST)
  expect(k.sys.open('/none', O_RDONLY, 0)).toBe(-ENOENT)
  expect(k.sys.open('/a/', O_RDONLY, 0)).toBe(-ENOTDIR)
  expect(k.sys.open('/a/b', O_RDONLY, 0)).toBe(-ENOTDIR)
  expect(k.sys.open('/new/', O_CREAT | O_WRONLY, 0o600)).toBe(-EISDIR)
  expect(k.sys.open('', O_RDONLY, 0)).toBe(-ENOENT)
  expect(k.sys.open(`/${'x'.repeat(256)}`, O_RDONLY, 0)).toBe(-ENAMETOOLONG)
  expect(k.sys.open(`/${'x/'.repeat(2100)}`, O_RDONLY, 0)).toBe(-ENAMETOOLONG)
})

test('append, truncation and positions', () => {
  put('/a', 'one')
  const fd = k.sys.open('/a', O_RDWR | O_APPEND, 0)
  expect(k.sys.write(fd, Buffer.from('two'), 3)).toBe(3)
  expect(get('/a')).toBe('onetwo')
  expect(k.sys.lseek(fd, -1, SEEK_END)).toBe(5)
  expect(k.sys.lseek(fd, -9, SEEK_SET)).toBe(-EINVAL)
  expect(k.sys.ftruncate(fd, 2)).toBe(0)
  expect(k.sys.ftruncate(fd, 4)).toBe(0)
  expect(get('/a')).toBe('on\0\0')
  expect(k.sys.truncate('/', 1)).toBe(-EISDIR)
})

test('large and sparse files move to the host and back to the reader', () => {
  const fd = k.sys.open('/big', O_CREAT | O_RDWR, 0o600)
  const block = new Uint8Array(100_000).fill(7)
  expect(k.sys.pwrite64(fd, block, block.length, 1_000_000)).toBe(block.length)
  expect(statOf('/big').size).toBe(1_100_000)
  const at = k.room(10)
  expect(k.sys.pread64(fd, at, 10, 1_099_995)).toBe(5)
  expect([...k.bytes(at, 5)]).toEqual([7, 7, 7, 7, 7])
  expect(k.sys.pread64(fd, at, 10, 5)).toBe(10)
  expect(k.bytes(at, 10).every(b => b === 0)).toBe(true)
})

test('directories, listing in small pieces, removal', () => {
  expect(k.sys.mkdir('/d', 0o777)).toBe(0)
  expect(k.sys.mkdir('/d/', 0o777)).toBe(-EEXIST)
  expect(k.sys.mkdir('/d/sub/', 0o777)).toBe(0)
  for (let i = 0; i < 20; i++) put(`/d/file${i}`, 'x')
  expect(list('/d').sort()).toEqual(
    ['.', '..', 'sub', ...Array.from({ length: 20 }, (_, i) => `file${i}`)].sort(),
  )
  expect(statOf('/d')).toMatchObject({ mode: 0o40755, nlink: 3 })
  expect(k.sys.rmdir('/d')).toBe(-ENOTEMPTY)
  expect(k.sys.rmdir('/d/.')).toBe(-EINVAL)
  expect(k.sys.unlink('/d/sub')).toBe(-EISDIR)
  expect(k.sys.rmdir('/d/file1')).toBe(-ENOTDIR)
  expect(k.sys.unlinkat(AT_FDCWD, '/d/sub', AT_REMOVEDIR)).toBe(0)
  for (let i = 0; i < 20; i++) expect(k.sys.unlink(`/d/file${i}`)).toBe(0)
  expect(k.sys.rmdir('/d')).toBe(0)
  expect(statOf('/d').n).toBe(-ENOENT)
})

test('a removed but open file lives on', () => {
  const fd = k.sys.open('/gone', O_CREAT | O_RDWR, 0o600)
  k.sys.write(fd, Buffer.from('data'), 4)
  expect(k.sys.unlink('/gone')).toBe(0)
  const file = k.task.files.get(fd)!
  expect(dPath(file.mount, file.dentry, k.task.fs.root)).toBe('/gone (deleted)')
  const at = k.room(4)
  expect(k.sys.pread64(fd, at, 4, 0)).toBe(4)
  expect(k.text(at, 4)).toBe('data')
  expect(k.sys.fstat(fd, k.room(144))).toBe(0)
})

test('symlinks', () => {
  put('/target', 'T')
  k.sys.mkdir('/d', 0o755)
  expect(k.sys.symlink('../target', '/d/link')).toBe(0)
  expect(k.sys.symlink('/d', '/dirlink')).toBe(0)
  expect(k.sys.symlink('loop', '/loop')).toBe(0)
  expect(get('/d/link')).toBe('T')
  expect(get('/dirlink/link')).toBe('T')
  expect(k.sys.open('/d/link', O_RDONLY | O_NOFOLLOW, 0)).toBe(-ELOOP)
  expect(k.sys.open('/loop', O_RDONLY, 0)).toBe(-ELOOP)
  expect(k.sys.open('/loop/x', O_RDONLY, 0)).toBe(-ELOOP)
  const at = k.room(64)
  expect(k.sys.readlink('/d/link', at, 64)).toBe(9)
  expect(k.text(at, 9)).toBe('../target')
  expect(k.sys.readlink('/target', at, 64)).toBe(-EINVAL)
  expect(statOf('/d/link', AT_SYMLINK_NOFOLLOW).mode).toBe(0o120777)
  expect(k.sys.symlink('made-through-link', '/dangling')).toBe(0)
  put('/dangling', 'new')
  expect(get('/made-through-link')).toBe('new')
  expect(k.sys.open('/dirlink', O_RDONLY | O_NOFOLLOW | O_DIRECTORY, 0)).toBeLessThan(0)
  expect(statOf('/dirlink/', AT_SYMLINK_NOFOLLOW).mode & 0o170000).toBe(0o040000)
})

test('".." stops at the root and leaves mounts', () => {
  k.sys.mkdir('/mnt', 0o755)
  k.sys.mkdir('/jail', 0o755)
  put('/secret', 's')
  expect(k.sys.mount('none', '/mnt', 'tmpfs', 0, 0)).toBe(0)
  k.sys.mkdir('/mnt/in', 0o755)
  expect(get('/mnt/in/../../secret')).toBe('s')
  expect(get('/../../secret')).toBe('s')
  expect(k.sys.chroot('/jail')).toBe(0)
  expect(k.sys.chdir('/')).toBe(0)
  expect(k.sys.open('../secret', O_RDONLY, 0)).toBe(-ENOENT)
})

test('getcwd', () => {
  k.sys.mkdir('/a', 0o755)
  k.sys.mkdir('/a/b', 0o755)
  expect(k.sys.chdir('/a/b')).toBe(0)
  const at = k.room(64)
  expect(k.sys.getcwd(at, 64)).toBe(5)
  expect(k.text(at, 4)).toBe('/a/b')
  expect(k.sys.getcwd(at, 4)).toBe(-34)
  expect(k.sys.rmdir('/a/b')).toBe(0)
  expect(k.sys.getcwd(at, 64)).toBe(-ENOENT)
  expect(k.sys.open('x', O_CREAT | O_WRONLY, 0o644)).toBe(-ENOENT)
  expect(k.sys.open('..', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
})

test('hard links', () => {
  put('/a', 'same')
  expect(k.sys.link('/a', '/b')).toBe(0)
  expect(statOf('/b')).toMatchObject({ nlink: 2, ino: statOf('/a').ino })
  expect(k.sys.link('/a', '/b')).toBe(-EEXIST)
  expect(k.sys.unlink('/a')).toBe(0)
  expect(get('/b')).toBe('same')
  k.sys.mkdir('/d', 0o755)
  expect(k.sys.link('/d', '/e')).toBe(-EPERM)
})

test('rename', () => {
  k.sys.mkdir('/d', 0o755)
  k.sys.mkdir('/d/sub', 0o755)
  put('/a', 'A')
  put('/b', 'B')
  expect(k.sys.rename('/a', '/b')).toBe(0)
  expect(get('/b')).toBe('A')
  expect(statOf('/a').n).toBe(-ENOENT)
  expect(k.sys.renameat2(AT_FDCWD, '/b', AT_FDCWD, '/d', RENAME_NOREPLACE)).toBe(-EEXIST)
  expect(k.sys.rename('/b', '/d')).toBe(-EISDIR)
  expect(k.sys.rename('/d', '/b')).toBe(-ENOTDIR)
  expect(k.sys.rename('/d', '/d/sub/x')).toBe(-EINVAL)
  expect(k.sys.rename('/d/sub', '/moved')).toBe(0)
  expect(statOf('/d').nlink).toBe(2)
  expect(k.sys.renameat2(AT_FDCWD, '/b', AT_FDCWD, '/moved', RENAME_EXCHANGE)).toBe(0)
  expect(get('/moved')).toBe('A')
  expect(statOf('/b').mode & 0o170000).toBe(0o040000)
  put('/b/inside', 'x')
  expect(get('/b/inside')).toBe('x')
})

test('permissions of others', () => {
  put('/private', 'x', 0o600)
  k.sys.mkdir('/closed', 0o700)
  put('/closed/f', 'x')
  const user = k.fork(userCreds(1000))
  expect(user.sys.open('/private', O_RDONLY, 0)).toBe(-EACCES)
  expect(user.sys.open('/closed/f', O_RDONLY, 0)).toBe(-EACCES)
  expect(user.sys.unlink('/private')).toBe(-EACCES)
  expect(user.sys.chmod('/private', 0o777)).toBe(-EPERM)
  expect(user.sys.open('/mine', O_CREAT | O_WRONLY, 0o600)).toBe(-EACCES)
  expect(k.sys.mkdir('/tmp', 0o777)).toBe(0)
  expect(k.sys.chmod('/tmp', 0o1777)).toBe(0)
  put('/tmp/root-owned', 'x', 0o666)
  expect(user.sys.unlink('/tmp/root-owned')).toBe(-EPERM)
  expect(user.sys.open('/tmp/mine', O_CREAT | O_WRONLY, 0o000)).toBeGreaterThanOrEqual(0)
  expect(user.sys.access('/tmp/mine', 4)).toBe(-EACCES)
})

test('a read-only mount refuses changes', () => {
  k.sys.mkdir('/ro', 0o755)
  k.sys.mkdir('/d', 0o755)
  put('/d/f', 'x')
  expect(k.sys.mount('/d', '/ro', 0, MS_BIND, 0)).toBe(0)
  expect(k.sys.mount(0, '/ro', 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0)).toBe(0)
  expect(get('/ro/f')).toBe('x')
  expect(k.sys.open('/ro/f', O_WRONLY, 0)).toBe(-EROFS)
  expect(k.sys.mkdir('/ro/x', 0o755)).toBe(-EROFS)
  expect(k.sys.unlink('/ro/f')).toBe(-EROFS)
  expect(k.sys.rename('/ro/f', '/d/g')).toBe(-EXDEV)
  expect(k.sys.umount2('/ro', 0)).toBe(0)
  expect(statOf('/ro/f').n).toBe(-ENOENT)
})

test('O_TMPFILE and O_PATH', () => {
  k.sys.mkdir('/tmp', 0o777)
  const fd = k.sys.open('/tmp', O_TMPFILE | O_RDWR, 0o600)
  expect(fd).toBeGreaterThanOrEqual(0)
  k.sys.write(fd, Buffer.from('hi'), 2)
  expect(list('/tmp')).toEqual(['.', '..'])
  expect(k.sys.linkat(fd, '', AT_FDCWD, '/tmp/named', AT_EMPTY_PATH)).toBe(0)
  expect(get('/tmp/named')).toBe('hi')
  const path = k.sys.open('/tmp/named', O_PATH, 0)
  expect(k.sys.read(path, k.room(4), 4)).toBe(-9)
  expect(k.sys.newfstatat(path, '', k.room(144), AT_EMPTY_PATH)).toBe(0)
})

test('size limits: RLIMIT_FSIZE and the mount option', () => {
  k.task.group.rlimits[RLIMIT_FSIZE]!.cur = 10
  const fd = k.sys.open('/limited', O_CREAT | O_RDWR, 0o600)
  expect(k.sys.write(fd, new Uint8Array(20), 20)).toBe(10)
  expect(k.sys.write(fd, new Uint8Array(20), 20)).toBe(-EFBIG)
  k.task.group.rlimits[RLIMIT_FSIZE]!.cur = Number.POSITIVE_INFINITY
  k.sys.mkdir('/small', 0o755)
  expect(k.sys.mount('none', '/small', 'tmpfs', 0, k.place('size=64k,nr_inodes=3'))).toBe(0)
  const full = k.sys.open('/small/f', O_CREAT | O_RDWR, 0o600)
  expect(k.sys.write(full, new Uint8Array(60_000), 60_000)).toBe(60_000)
  // One page is left.
  expect(k.sys.pwrite64(full, new Uint8Array(60_000), 60_000, 65536)).toBe(4096)
  expect(k.sys.pwrite64(full, new Uint8Array(60_000), 60_000, 2 ** 20)).toBe(-28)
  expect(k.sys.mkdir('/small/d', 0o755)).toBe(0)
  expect(k.sys.mkdir('/small/e', 0o755)).toBe(-28)
})

test('extended attributes', () => {
  put('/a', 'x')
  expect(k.sys.setxattr('/a', 'user.note', Buffer.from('v1'), 2, 0)).toBe(0)
  const at = k.room(64)
  expect(k.sys.getxattr('/a', 'user.note', at, 64)).toBe(2)
  expect(k.text(at, 2)).toBe('v1')
  expect(k.sys.listxattr('/a', at, 64)).toBe(10)
  expect(k.sys.setxattr('/a', 'user.note', Buffer.from('v'), 1, 1)).toBe(-EEXIST)
  expect(k.sys.setxattr('/a', 'system.posix_acl_access', Buffer.from('v'), 1, 0)).toBe(-22)
  expect(k.sys.setxattr('/a', 'system.other', Buffer.from('v'), 1, 0)).toBe(-95)
  expect(k.sys.removexattr('/a', 'user.note')).toBe(0)
  expect(k.sys.getxattr('/a', 'user.note', at, 64)).toBe(-61)
})

test('extended attributes of tmpfs share the room for its inodes', () => {
  k.sys.mkdir('/small', 0o755)
  expect(k.sys.mount('none', '/small', 'tmpfs', 0, k.place('nr_inodes=6'))).toBe(0)
  expect(k.sys.open('/small/f', O_CREAT | O_RDWR, 0o600)).toBeGreaterThanOrEqual(0)
  const value = new Uint8Array(2500)
  const set = (name: string) => k.sys.setxattr('/small/f', name, value, value.length, 0)
  expect(set('user.a')).toBe(0)
  expect(set('user.b')).toBe(-28)
  // In place of itself it takes no more.
  expect(set('user.a')).toBe(0)
  expect(k.sys.removexattr('/small/f', 'user.a')).toBe(0)
  expect(set('user.b')).toBe(0)
})

test('openat2 resolves in its scope', () => {
  k.sys.mkdir('/box', 0o755)
  put('/out', 'o')
  put('/box/in', 'i')
  k.sys.symlink('/out', '/box/abs')
  k.sys.symlink('in', '/box/rel')
  const dir = k.sys.open('/box', O_RDONLY | O_DIRECTORY, 0)
  const how = (resolve: number) => {
    const b = new Uint8Array(24)
    b[16] = resolve
    return b
  }
  expect(k.sys.openat2(dir, 'rel', how(8), 24)).toBeGreaterThanOrEqual(0)
  expect(k.sys.openat2(dir, '../out', how(8), 24)).toBe(-EXDEV)
  expect(k.sys.openat2(dir, 'abs', how(8), 24)).toBe(-EXDEV)
  expect(k.sys.openat2(dir, '/in', how(16), 24)).toBeGreaterThanOrEqual(0)
  expect(k.sys.openat2(dir, 'abs', how(16), 24)).toBe(-ENOENT)
  expect(k.sys.openat2(dir, 'rel', how(4), 24)).toBe(-ELOOP)
  expect(k.sys.openat2(dir, 'in', how(64), 24)).toBe(-EINVAL)
})
