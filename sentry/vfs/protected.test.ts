// fs.protected_*: what strangers may do with files in sticky directories, and with files of others.

import { beforeEach, expect, it } from 'vitest'
import { EACCES, EPERM } from '../../syscall-table/errno.ts'
import { O_CREAT, O_RDONLY, O_WRONLY, S_IFIFO } from '../../syscall-table/flags.ts'
import { boot, type TestTask, userCreds } from '../../test/kernel.ts'

let k: TestTask
let other: TestTask
beforeEach(() => {
  k = boot()
  expect(k.sys.mkdir('/sticky', 0o777)).toBe(0)
  expect(k.sys.chmod('/sticky', 0o1777)).toBe(0)
  k.task.creds = userCreds(1000)
  for (const name of ['/sticky/file', '/sticky/secret']) {
    const fd = k.sys.open(name, O_CREAT | O_WRONLY, name.endsWith('file') ? 0o666 : 0o600)
    expect(k.sys.close(fd)).toBe(0)
  }
  expect(k.sys.chmod('/sticky/file', 0o666)).toBe(0)
  expect(k.sys.symlink('file', '/sticky/link')).toBe(0)
  expect(k.sys.mknod('/sticky/fifo', S_IFIFO | 0o666, 0)).toBe(0)
  expect(k.sys.chmod('/sticky/fifo', 0o666)).toBe(0)
  other = k.fork()
  other.task.creds = userCreds(2000)
})

it('hard links of files that one may not write', () => {
  const { tunables } = k.kernel
  expect(other.sys.link('/sticky/secret', '/sticky/mine')).toBe(-EPERM)
  expect(other.sys.link('/sticky/file', '/sticky/allowed')).toBe(0)
  tunables.protectedHardlinks = 0
  expect(other.sys.link('/sticky/secret', '/sticky/mine')).toBe(0)
})

it('symbolic links of strangers', () => {
  const { tunables } = k.kernel
  expect(other.sys.open('/sticky/link', O_RDONLY, 0)).toBe(-EACCES)
  expect(k.sys.open('/sticky/link', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
  tunables.protectedSymlinks = 0
  expect(other.sys.open('/sticky/link', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
})

it('files and FIFOs that were to be created', () => {
  const { tunables } = k.kernel
  expect(other.sys.open('/sticky/file', O_CREAT | O_WRONLY, 0)).toBeGreaterThanOrEqual(0)
  tunables.protectedRegular = 1
  expect(other.sys.open('/sticky/file', O_CREAT | O_WRONLY, 0)).toBe(-EACCES)
  expect(other.sys.open('/sticky/file', O_WRONLY, 0)).toBeGreaterThanOrEqual(0)
  expect(k.sys.open('/sticky/file', O_CREAT | O_WRONLY, 0)).toBeGreaterThanOrEqual(0)
  tunables.protectedFifos = 1
  expect(other.sys.open('/sticky/fifo', O_CREAT | O_WRONLY, 0)).toBe(-EACCES)
  // A group that may write matters from level 2 on.
  other.task.creds = userCreds(0)
  expect(other.sys.chmod('/sticky', 0o1775)).toBe(0)
  expect(other.sys.open('/sticky/file', O_CREAT | O_WRONLY, 0)).toBeGreaterThanOrEqual(0)
  tunables.protectedRegular = 2
  expect(other.sys.open('/sticky/file', O_CREAT | O_WRONLY, 0)).toBe(-EACCES)
})
