// fs.pipe-max-size: what it allows to the unprivileged.

import { expect, it } from 'vitest'
import { EINVAL, EPERM } from '../../syscall-table/errno.ts'
import { F_GETPIPE_SZ, F_SETPIPE_SZ, O_WRONLY } from '../../syscall-table/flags.ts'
import { mountOn } from '../../test/files.ts'
import { boot, userCreds } from '../../test/kernel.ts'
import './file-systems.ts'

it('caps pipes of those without CAP_SYS_RESOURCE, new and old', () => {
  const k = boot()
  expect(mountOn(k, 'proc', '/proc')).toBe(0)
  const fd = k.sys.open('/proc/sys/fs/pipe-max-size', O_WRONLY, 0)
  const write = (text: string): number => k.sys.write(fd, Buffer.from(text), text.length)
  expect(write('x')).toBe(-EINVAL)
  expect(write('2097152')).toBe(-EINVAL)
  expect(write('5000')).toBe(4)
  expect(k.kernel.tunables.pipeMaxSize).toBe(8192)
  const at = k.place(new Uint8Array(8))
  const ends = (): number => {
    expect(k.sys.pipe(at)).toBe(0)
    return k.view(at, 8).getInt32(0, true)
  }
  expect(k.sys.fcntl(ends(), F_GETPIPE_SZ, 0)).toBe(65536)
  const old = ends()
  k.task.creds = userCreds(1000)
  const made = ends()
  expect(k.sys.fcntl(made, F_GETPIPE_SZ, 0)).toBe(8192)
  expect(k.sys.fcntl(made, F_SETPIPE_SZ, 8193)).toBe(-EPERM)
  expect(k.sys.fcntl(made, F_SETPIPE_SZ, 4096)).toBe(4096)
  // What is larger already may shrink.
  expect(k.sys.fcntl(old, F_SETPIPE_SZ, 32768)).toBe(32768)
})
