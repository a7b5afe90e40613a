// Descriptors: fcntl, locks, copying, memfd, close.

import { beforeEach, expect, test } from 'vitest'
import '../fs/pipe.ts'
import {
  EAGAIN,
  EBADF,
  EBLOCKED,
  EBUSY,
  EDEADLK,
  EINVAL,
  EMFILE,
  EPERM,
} from '../../syscall-table/errno.ts'
import {
  F_ADD_SEALS,
  F_DUPFD_CLOEXEC,
  F_GET_SEALS,
  F_GETFD,
  F_GETFL,
  F_GETLK,
  F_OFD_SETLK,
  F_RDLCK,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  F_SETFL,
  F_SETLK,
  F_SETLKW,
  F_UNLCK,
  F_WRLCK,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
  MAP_SHARED,
  MFD_ALLOW_SEALING,
  O_APPEND,
  O_CREAT,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  PROT_READ,
  RLIMIT_NOFILE,
  SPLICE_F_NONBLOCK,
} from '../../syscall-table/flags.ts'
import { newFlock, readFlock, SIZEOF_FLOCK, writeFlock } from '../../syscall-table/structs.gen.ts'
import { boot, type TestTask } from '../../test/kernel.ts'
import { dPath } from '../vfs/d-path.ts'

let k: TestTask
beforeEach(() => {
  k = boot()
})

const lock = (type: number, start: number, len: number) => {
  const bytes = new Uint8Array(SIZEOF_FLOCK)
  writeFlock(new DataView(bytes.buffer), 0, { type, whence: 0, start, len, pid: 0 })
  return bytes
}

function openFile(t: TestTask, path = '/f'): number {
  return t.sys.open(path, O_CREAT | O_RDWR, 0o666)
}

function pipe(): [number, number] {
  const at = k.room(8)
  expect(k.sys.pipe(at)).toBe(0)
  const v = k.view(at, 8)
  return [v.getInt32(0, true), v.getInt32(4, true)]
}

test('duplicates share the position; flags', () => {
  const fd = openFile(k)
  const dup = k.sys.fcntl(fd, F_DUPFD_CLOEXEC, 10)
  expect(dup).toBe(10)
  expect(k.sys.fcntl(dup, F_GETFD, 0)).toBe(1)
  k.sys.write(fd, Buffer.from('abc'), 3)
  expect(k.sys.lseek(dup, 0, 1)).toBe(3)
  expect(k.sys.fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK)).toBe(0)
  expect(k.sys.fcntl(dup, F_GETFL, 0) & (O_APPEND | O_NONBLOCK | 3)).toBe(
    O_APPEND | O_NONBLOCK | O_RDWR,
  )
  expect(k.sys.dup2(fd, 5)).toBe(5)
  expect(k.sys.dup3(fd, fd, 0)).toBe(-EINVAL)
  expect(k.sys.close_range(5, 100, 0)).toBe(0)
  expect(k.sys.close(10)).toBe(-EBADF)
  k.task.group.rlimits[RLIMIT_NOFILE]!.cur = 1
  expect(k.sys.dup(fd)).toBe(-EMFILE)
  expect(k.sys.open('/f', O_RDONLY, 0)).toBe(-EMFILE)
})

test('flock between open files', () => {
  const a = openFile(k)
  const b = openFile(k)
  expect(k.sys.flock(a, LOCK_SH)).toBe(0)
  expect(k.sys.flock(b, LOCK_SH)).toBe(0)
  expect(k.sys.flock(a, LOCK_EX | LOCK_NB)).toBe(-EAGAIN)
  expect(k.sys.flock(b, LOCK_UN)).toBe(0)
  expect(k.sys.flock(a, LOCK_EX | LOCK_NB)).toBe(0)
  expect(k.sys.flock(b, LOCK_EX)).toBe(-EBLOCKED)
  const child = k.fork()
  expect(child.sys.close(a)).toBe(0)
  expect(k.woken).toBe(false)
  k.task.files.get(a)!.unref()
  k.task.files.remove(a)
  expect(k.woken).toBe(true)
  expect(k.rerun()).toBe(0)
})

test('record locks: conflicts, splitting, getlk, release by any close', () => {
  const a = openFile(k)
  const other = k.fork()
  const b = openFile(other)
  expect(k.sys.fcntl(a, F_SETLK, k.place(lock(F_WRLCK, 0, 100)))).toBe(0)
  expect(other.sys.fcntl(b, F_SETLK, other.place(lock(F_RDLCK, 50, 10)))).toBe(-EAGAIN)
  expect(k.sys.fcntl(a, F_SETLK, k.place(lock(F_UNLCK, 40, 20)))).toBe(0)
  expect(other.sys.fcntl(b, F_SETLK, other.place(lock(F_WRLCK, 45, 5)))).toBe(0)
  const at = other.place(lock(F_WRLCK, 0, 0))
  expect(other.sys.fcntl(b, F_GETLK, at)).toBe(0)
  const found = newFlock()
  readFlock(other.view(at, SIZEOF_FLOCK), 0, found)
  expect(found).toMatchObject({ type: F_WRLCK, start: 0, len: 40, pid: k.task.group.tgid })
  expect(other.sys.fcntl(b, F_SETLKW, other.place(lock(F_WRLCK, 0, 10)))).toBe(-EBLOCKED)
  const again = openFile(k)
  expect(k.sys.close(again)).toBe(0)
  expect(other.woken).toBe(true)
  expect(other.rerun()).toBe(0)
})

test('record locks: deadlock and OFD locks', () => {
  const a = openFile(k)
  const other = k.fork()
  const b = openFile(other)
  k.sys.fcntl(a, F_SETLK, k.place(lock(F_WRLCK, 0, 1)))
  other.sys.fcntl(b, F_SETLK, other.place(lock(F_WRLCK, 1, 1)))
  expect(other.sys.fcntl(b, F_SETLKW, other.place(lock(F_WRLCK, 0, 1)))).toBe(-EBLOCKED)
  expect(k.sys.fcntl(a, F_SETLKW, k.place(lock(F_WRLCK, 1, 1)))).toBe(-EDEADLK)
  expect(k.sys.fcntl(openFile(k), F_OFD_SETLK, k.place(lock(F_WRLCK, 0, 1)))).toBe(-EAGAIN)
})

test('memfd and seals', () => {
  const fd = k.sys.memfd_create('name', MFD_ALLOW_SEALING)
  const file = k.task.files.get(fd)!
  expect(dPath(file.mount, file.dentry, k.task.fs.root)).toBe('/memfd:name (deleted)')
  expect(k.sys.write(fd, Buffer.from('data'), 4)).toBe(4)
  expect(k.sys.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)).toBe(0)
  expect(k.sys.ftruncate(fd, 0)).toBe(-EPERM)
  expect(k.sys.write(fd, Buffer.from('x'), 1)).toBe(-EPERM)
  expect(k.sys.pwrite64(fd, Buffer.from('x'), 1, 0)).toBe(1)
  const at = k.task.mm.map(k.task, 0, 4096, PROT_READ, MAP_SHARED, file, 0)
  expect(at).toBeGreaterThan(0)
  expect(k.sys.fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)).toBe(-EBUSY)
  expect(k.sys.fcntl(fd, F_GET_SEALS, 0)).toBe(F_SEAL_SHRINK | F_SEAL_GROW)
  expect(k.sys.fcntl(k.sys.memfd_create('n', 0), F_ADD_SEALS, F_SEAL_GROW)).toBe(-EPERM)
})

test('sendfile, splice and copy_file_range', () => {
  const fd = openFile(k)
  const data = new Uint8Array(200_000).map((_, i) => i % 251)
  expect(k.sys.write(fd, data, data.length)).toBe(data.length)
  const out = openFile(k, '/out')
  k.sys.lseek(fd, 0, 0)
  expect(k.sys.sendfile(out, fd, 0, 1_000_000)).toBe(data.length)
  const at = k.room(4)
  expect(k.sys.pread64(out, at, 4, 150_000)).toBe(4)
  expect(k.bytes(at, 1)[0]).toBe(150_000 % 251)
  const [r, w] = pipe()
  k.sys.lseek(fd, 0, 0)
  expect(k.sys.splice(fd, 0, w, 0, 1_000_000, 0)).toBe(65536)
  expect(k.sys.splice(fd, 0, w, 0, 10, SPLICE_F_NONBLOCK)).toBe(-EAGAIN)
  expect(k.sys.splice(fd, 0, w, 0, 10, 0)).toBe(-EBLOCKED)
  const copy = openFile(k, '/copy')
  expect(k.sys.splice(r, 0, copy, 0, 1_000_000, 0)).toBe(65536)
  expect(k.sys.copy_file_range(fd, k.place(new Uint8Array(8)), copy, 0, 100, 0)).toBe(100)
  expect(k.sys.lseek(copy, 0, 1)).toBe(65536 + 100)
  expect(k.sys.copy_file_range(fd, 0, fd, 0, 100, 0)).toBe(-EINVAL)
})

test('a full pipe blocks sendfile without losing data', () => {
  const fd = openFile(k)
  const data = new Uint8Array(70_000).fill(1)
  k.sys.write(fd, data, data.length)
  k.sys.lseek(fd, 0, 0)
  const [r, w] = pipe()
  expect(k.sys.sendfile(w, fd, 0, 70_000)).toBe(65536)
  expect(k.sys.sendfile(w, fd, 0, 70_000)).toBe(-EBLOCKED)
  const other = k.fork()
  expect(other.sys.read(r, other.room(65536), 65536)).toBe(65536)
  expect(k.woken).toBe(true)
  expect(k.rerun()).toBe(70_000 - 65536)
})

test('bad descriptors', () => {
  const ro = k.sys.open('/', O_RDONLY, 0)
  expect(k.sys.read(ro, k.room(1), 1)).toBe(-21)
  expect(k.sys.write(ro, k.room(1), 1)).toBe(-EBADF)
  expect(k.sys.read(99, k.room(1), 1)).toBe(-EBADF)
  const wo = k.sys.open('/w', O_CREAT | O_WRONLY, 0o600)
  expect(k.sys.read(wo, k.room(1), 1)).toBe(-EBADF)
  expect(k.sys.read(-1, 0, 1)).toBe(-EBADF)
})
