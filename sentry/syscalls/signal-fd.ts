// signalfd(2): signals as records to read.

import { EBADF, EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import {
  O_NONBLOCK,
  O_RDWR,
  RLIMIT_NOFILE,
  SFD_CLOEXEC,
  SFD_NONBLOCK,
} from '../../syscall-table/flags.ts'
import { SignalfdOps } from '../fs/signalfd.ts'
import { UNBLOCKABLE } from '../kernel/signal-send.ts'
import type { Task } from '../kernel/task.ts'
import { anonFile } from '../vfs/anon.ts'

const SIGSET_SIZE = 8

/** signalfd(2): signalfd4 without flags. */
export function sys_signalfd(task: Task, fd: number, mask: number, size: number): number {
  return sys_signalfd4(task, fd, mask, size, 0)
}

/** signalfd4(2). With an existing descriptor its set is replaced. */
export function sys_signalfd4(
  task: Task,
  fd: number,
  maskAddr: number,
  size: number,
  flags: number,
): number {
  if ((flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)) !== 0 || size !== SIGSET_SIZE) return -EINVAL
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, maskAddr, scratch, 0, SIGSET_SIZE) < 0) return -EFAULT
  const lo = scratchView.getUint32(0, true) & ~UNBLOCKABLE
  const hi = scratchView.getUint32(4, true)
  if (fd !== -1) {
    const file = task.files.getReal(fd)
    if (file === undefined) return -EBADF
    if (!(file.ops instanceof SignalfdOps)) return -EINVAL
    file.ops.setMask(lo, hi)
    return fd
  }
  const ops = new SignalfdOps(task, lo, hi)
  const file = anonFile(
    task.kernel,
    ops,
    '[signalfd]',
    O_RDWR | ((flags & SFD_NONBLOCK) !== 0 ? O_NONBLOCK : 0),
  )
  const n = task.files.install(
    file,
    (flags & SFD_CLOEXEC) !== 0,
    task.group.rlimits[RLIMIT_NOFILE]!.cur,
  )
  if (n < 0) file.unref()
  return n
}
