// pipe(2), pipe2(2) and vmsplice(2).

import { EAGAIN, EBADF, EBLOCKED, EINVAL } from '../../syscall-table/errno.ts'
import {
  O_CLOEXEC,
  O_DIRECT,
  O_NONBLOCK,
  RLIMIT_NOFILE,
  SPLICE_F_GIFT,
  SPLICE_F_MORE,
  SPLICE_F_MOVE,
  SPLICE_F_NONBLOCK,
} from '../../syscall-table/flags.ts'
import { createPipe, pipeLimit, pipeOf } from '../fs/pipe.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from '../vfs/file.ts'
import { sys_readv, sys_writev } from './file-io.ts'

const SPLICE_FLAGS = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT

/** pipe(2). */
export function sys_pipe(task: Task, fds: number): number {
  return sys_pipe2(task, fds, 0)
}

/** pipe2(2). */
export function sys_pipe2(task: Task, fds: number, flags: number): number {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) !== 0) return -EINVAL
  const [reader, writer] = createPipe(task.kernel, flags, pipeLimit(task))
  return installPair(task, reader, writer, (flags & O_CLOEXEC) !== 0, fds)
}

/**
 * vmsplice(2). DIFFERS: the pages are copied, so that later changes of them do not show in the pipe; Linux
 * leaves open which of the two happens.
 */
export function sys_vmsplice(
  task: Task,
  fd: number,
  iov: number,
  count: number,
  flags: number,
): number {
  if ((flags & ~SPLICE_FLAGS) !== 0) return -EINVAL
  const file = task.files.get(fd)
  if (file === undefined || pipeOf(file) === null) return -EBADF
  const n = file.writable ? sys_writev(task, fd, iov, count) : sys_readv(task, fd, iov, count)
  if (n !== -EBLOCKED || (flags & SPLICE_F_NONBLOCK) === 0) return n
  task.stopWaiting()
  return task.restart.done > 0 ? task.restart.done : -EAGAIN
}

/**
 * Give the program two new descriptors and tell it their numbers at `addr`; takes over both references.
 * Nothing stays when that fails.
 */
export function installPair(
  task: Task,
  first: File,
  second: File,
  cloexec: boolean,
  addr: number,
): number {
  const limit = task.group.rlimits[RLIMIT_NOFILE]!.cur
  const a = task.files.install(first, cloexec, limit)
  if (a < 0) {
    first.unref()
    second.unref()
    return a
  }
  const b = task.files.install(second, cloexec, limit)
  let error = b
  if (b >= 0) {
    const { scratch, scratchView } = task.kernel
    scratchView.setInt32(0, a, true)
    scratchView.setInt32(4, b, true)
    error = task.mm.copyResult(task, addr, scratch, 0, 8)
    if (error === 0) return 0
    task.files.remove(b)
  }
  task.files.remove(a)
  first.unref()
  second.unref()
  return error
}
