// Character devices by number: what opening a device node gives, on whatever file system the node lies.

import { ENXIO } from '../../../syscall-table/errno.ts'
import { S_IFCHR, S_IFMT } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import type { FileOps } from '../../vfs/file.ts'
import type { Inode } from '../../vfs/inode.ts'

/** Makes the operations of a newly opened device file, or gives -errno. */
export type DeviceOpener = (task: Task, inode: Inode, flags: number) => FileOps | number

const openers = new Map<number, DeviceOpener>()

/** A device number as st_rdev and mknod(2) carry it: new_encode_dev. */
export function makeDev(major: number, minor: number): number {
  return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)
}

export function devMajor(dev: number): number {
  return (dev >>> 8) & 0xfff
}

export function devMinor(dev: number): number {
  return (dev & 0xff) | ((dev >>> 12) & 0xfff00)
}

/** Minor numbers of file systems without a device; those below are taken by the kernel's own (vfs/anon.ts). */
let lastAnonymous = 0x1f

/** st_dev of a new file system that lies on no device: get_anon_bdev. */
export function anonymousDev(): number {
  return makeDev(0, ++lastAnonymous)
}

/** Say what opening character device (`major`, `minor`) does. */
export function registerDevice(major: number, minor: number, opener: DeviceOpener): void {
  openers.set(makeDev(major, minor), opener)
}

/** Open the device node `inode`. -ENXIO when there is no such device; block devices do not exist. */
export function openDevice(inode: Inode, task: Task, flags: number): FileOps | number {
  if ((inode.mode & S_IFMT) !== S_IFCHR) return -ENXIO
  const opener = openers.get(inode.rdev)
  return opener === undefined ? -ENXIO : opener(task, inode, flags)
}
