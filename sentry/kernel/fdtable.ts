// File descriptor tables: struct files_struct. Shared by CLONE_FILES, copied by fork.

import { EBADF, EMFILE, ENFILE } from '../../syscall-table/errno.ts'
import { O_PATH } from '../../syscall-table/flags.ts'
import type { File } from '../vfs/file.ts'
import { FILE_WEIGHT, kernelMemory } from './memory.ts'

/** Linux's default of fs.nr_open: no descriptor is ever above it, whatever RLIMIT_NOFILE says. */
export const NR_OPEN = 1 << 20

export class FdTable {
  #files: (File | undefined)[] = []
  #cloexec: boolean[] = []
  /** No free descriptor below this one. */
  #lowestFree = 0
  #refs = 1

  get(fd: number): File | undefined {
    return this.#files[fd]
  }

  /** As `get`, for uses that a descriptor opened with O_PATH is not good for: fdget. */
  getReal(fd: number): File | undefined {
    const file = this.#files[fd]
    return file !== undefined && (file.flags & O_PATH) !== 0 ? undefined : file
  }

  /** Put `file` at the lowest free descriptor >= `from` and below `limit`; takes over the caller's reference. */
  install(file: File, cloexec: boolean, limit: number, from = 0): number {
    let fd = Math.max(from, this.#lowestFree)
    while (this.#files[fd] !== undefined) fd++
    if (fd >= limit || fd >= NR_OPEN) return -EMFILE
    if (!kernelMemory.take(FILE_WEIGHT)) return -ENFILE
    if (from <= this.#lowestFree) this.#lowestFree = fd + 1
    this.#put(fd, file, cloexec)
    return fd
  }

  /** Put `file` at exactly `fd`; returns the file that was there, for the caller to close. */
  replace(fd: number, file: File, cloexec: boolean): File | undefined {
    const old = this.#files[fd]
    this.#put(fd, file, cloexec)
    return old
  }

  /** Take the file out of the table; the caller owns its reference. */
  remove(fd: number): File | undefined {
    const file = this.#files[fd]
    if (file === undefined) return undefined
    this.#files[fd] = undefined
    if (fd < this.#lowestFree) this.#lowestFree = fd
    return file
  }

  cloexec(fd: number): boolean {
    return this.#cloexec[fd] === true
  }

  setCloexec(fd: number, cloexec: boolean): number {
    if (this.#files[fd] === undefined) return -EBADF
    this.#cloexec[fd] = cloexec
    return 0
  }

  /** One more than the highest descriptor ever used. */
  get size(): number {
    return this.#files.length
  }

  /** Open descriptors in ascending order. */
  fds(): number[] {
    const fds: number[] = []
    for (let fd = 0; fd < this.#files.length; fd++) if (this.#files[fd] !== undefined) fds.push(fd)
    return fds
  }

  copy(): FdTable {
    const table = new FdTable()
    table.#files = this.#files.slice()
    table.#cloexec = this.#cloexec.slice()
    table.#lowestFree = this.#lowestFree
    for (const file of table.#files) file?.ref()
    return table
  }

  ref(): this {
    this.#refs++
    return this
  }

  get shared(): boolean {
    return this.#refs > 1
  }

  /** Drop a reference; true when it was the last, and the caller must close what `fds` lists. */
  unref(): boolean {
    return --this.#refs === 0
  }

  #put(fd: number, file: File, cloexec: boolean): void {
    // Grow one by one: a hole in the array would make V8 use a dictionary.
    while (this.#files.length <= fd) {
      this.#files.push(undefined)
      this.#cloexec.push(false)
    }
    this.#files[fd] = file
    this.#cloexec[fd] = cloexec
  }
}
