// `runsc read`: the contents of a file of the container.

import { EINVAL, EISDIR } from '../../syscall-table/errno.ts'
import { AT_FDCWD, O_NONBLOCK, O_RDONLY } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { readPart } from '../loader/read-file.ts'
import type { File } from '../vfs/file.ts'
import { openPath } from '../vfs/open.ts'
import type { Source } from './outlet.ts'

const CHUNK = 64 * 1024

/** A part of a regular file, read piece by piece as it is then. */
export class FileSource implements Source {
  readonly #task: Task
  readonly #file: File
  readonly #buffer = new Uint8Array(CHUNK)
  #pos: number
  #left: number

  constructor(task: Task, file: File, offset: number, size: number) {
    this.#task = task
    this.#file = file
    this.#pos = offset
    this.#left = size
  }

  next(): Uint8Array | number {
    const length = Math.min(this.#left, CHUNK)
    const n = readPart(this.#task, this.#file, this.#buffer, this.#pos, length)
    if (n < 0) return n
    this.#pos += n
    this.#left -= n
    return this.#buffer.subarray(0, n)
  }

  close(): void {
    this.#file.unref()
  }
}

/**
 * From `offset` on at most `size` bytes of the file at `path` (latin1), as the container's first process sees it, or
 * -errno. Only regular files: reading others waits for somebody, or takes away what a program would read.
 */
export function openSource(
  task: Task,
  path: string,
  offset: number,
  size: number,
): FileSource | number {
  const file = openPath(task, AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, 0)
  if (typeof file === 'number') return file
  if (file.inode.isRegular) return new FileSource(task, file, offset, size)
  const { isDir } = file.inode
  file.unref()
  return isDir ? -EISDIR : -EINVAL
}
