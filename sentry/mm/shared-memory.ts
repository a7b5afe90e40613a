// Anonymous memory that processes share (MAP_SHARED | MAP_ANONYMOUS): a memfd behind an unnamed file, as Linux
// has an unlinked tmpfs file there. The areas that map it hold the references; the last one closes it.

import type { HostFd } from '../../native/index.ts'
import { close, ftruncate, memfdCreate } from '../../native/index.ts'
import { ENOMEM } from '../../syscall-table/errno.ts'
import { MFD_CLOEXEC, O_RDWR } from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { anonFile } from '../vfs/anon.ts'
import { type File, FileOps, type MapSource } from '../vfs/file.ts'

class SharedMemory extends FileOps {
  readonly #source: MapSource

  constructor(hostFd: HostFd) {
    super()
    this.#source = { hostFd, offset: 0 }
  }

  override map(): MapSource {
    return this.#source
  }

  override release(): void {
    close(this.#source.hostFd)
  }
}

/** A new object of `length` zero bytes, as a file whose one reference the caller owns; or -ENOMEM. */
export function createSharedMemory(kernel: Kernel, length: number): File | number {
  const hostFd = memfdCreate('shared', MFD_CLOEXEC)
  if (hostFd < 0) return -ENOMEM
  if (ftruncate(hostFd, length) < 0) {
    close(hostFd)
    return -ENOMEM
  }
  const file = anonFile(kernel, new SharedMemory(hostFd), '', O_RDWR)
  file.dentry.name = '/dev/zero (deleted)'
  return file
}

/** Whether a file is anonymous memory: no path leads to it. */
export function isAnonymous(file: File): boolean {
  return file.ops instanceof SharedMemory || file.inode.nlink === 0
}
