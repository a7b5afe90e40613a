// Reading program files for exec.

import { EIO } from '../../syscall-table/errno.ts'
import { IN_ACCESS } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { KernelIo } from '../mm/io.ts'
import type { File } from '../vfs/file.ts'
import { notifyMoved } from '../vfs/notify.ts'

const io = new KernelIo(new Uint8Array(0))

/** Read up to `length` bytes at `pos` into `into`. Returns the count, less only at the end of the file, or -errno. */
export function readPart(
  task: Task,
  file: File,
  into: Uint8Array,
  pos: number,
  length: number,
): number {
  let done = 0
  while (done < length) {
    const n = file.ops.read(file, io.reset(into, done, length - done), pos + done, task)
    notifyMoved(file, IN_ACCESS, n)
    if (n < 0) return done > 0 ? done : n
    if (n === 0) return done
    done += n
  }
  return done
}

/** Read exactly `length` bytes; -EIO when the file is shorter. */
export function readExactly(
  task: Task,
  file: File,
  into: Uint8Array,
  pos: number,
  length: number,
): number {
  const n = readPart(task, file, into, pos, length)
  if (n < 0) return n
  return n === length ? 0 : -EIO
}
