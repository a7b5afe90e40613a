// Opening inodes that stand for something outside of their file system: FIFOs and devices.

import { ENXIO } from '../../syscall-table/errno.ts'
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { FileOps } from '../vfs/file.ts'
import type { Inode } from '../vfs/inode.ts'
import { openDevice } from './dev/registry.ts'

/** Gives the operations of a new open file, or -errno; -EBLOCKED when a FIFO has no other end yet. */
export type FifoOpener = (inode: Inode, task: Task, flags: number) => FileOps | number

let fifoOpener: FifoOpener = () => -ENXIO

/** Say how FIFOs are opened. */
export function setFifoOpener(opener: FifoOpener): void {
  fifoOpener = opener
}

/** Open a FIFO or a device node. Sockets cannot be opened: -ENXIO. */
export function openSpecial(inode: Inode, task: Task, flags: number): FileOps | number {
  const type = inode.mode & S_IFMT
  if (type === S_IFIFO) return fifoOpener(inode, task, flags)
  return type === S_IFCHR || type === S_IFBLK ? openDevice(inode, task, flags) : -ENXIO
}
