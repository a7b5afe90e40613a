// pipe(2) and pipe2(2).

import { EINVAL } from '../../syscall-table/errno.ts'
import { O_CLOEXEC, O_DIRECT, O_NONBLOCK, RLIMIT_NOFILE } from '../../syscall-table/flags.ts'
import { createPipe } from '../fs/pipe.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from '../vfs/file.ts'

/** pipe(2). */
export function sys_pipe(task: Task, fds: number): number {
  return sys_pipe2(task, fds, 0)
}

/** pipe2(2). */
export function sys_pipe2(task: Task, fds: number, flags: number): number {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) !== 0) return -EINVAL
  const [reader, writer] = createPipe(task.kernel, flags)
  return installPair(task, reader, writer, (flags & O_CLOEXEC) !== 0, fds)
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
    error = task.mm.copyOut(task, addr, scratch, 0, 8)
    if (error === 0) return 0
    task.files.remove(b)
  }
  task.files.remove(a)
  first.unref()
  second.unref()
  return error
}
