// Writes that may have to wait in the middle: a blocking write(2) of a program goes on where it stopped when
// its handler is run again.

import { EAGAIN } from '../../syscall-table/errno.ts'
import type { Task } from '../kernel/task.ts'
import type { Io } from '../mm/io.ts'
import type { File } from '../vfs/file.ts'

const resumable = (task: Task, file: File, io: Io): boolean => io === task.io && !file.nonblocking

/** Skip what earlier passes of this call have written. */
export function resumePieces(task: Task, file: File, io: Io): void {
  if (task.restart.done > 0 && resumable(task, file, io)) io.skip(task.restart.done)
}

/** The result of a pass that ended with `error`, 0 for none. */
export function finishPieces(task: Task, file: File, io: Io, error: number): number {
  if (error === -EAGAIN && resumable(task, file, io)) {
    task.restart.done = io.done
    return -EAGAIN
  }
  return io.finish(error)
}
