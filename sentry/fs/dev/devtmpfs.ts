// devtmpfs: a tmpfs that holds the device nodes, and the links and directories that programs expect in /dev
// (the OCI runtime specification lists them under "default devices" and "dev symbolic links").

import { S_IFCHR } from '../../../syscall-table/flags.ts'
import { Creds } from '../../kernel/creds.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Task } from '../../kernel/task.ts'
import type { Inode, SuperBlock } from '../../vfs/inode.ts'
import { registerFileSystem } from '../../vfs/super.ts'
import { mountMemoryRoot } from '../tmpfs/mount.ts'
import { registerMemoryDevices } from './memory.ts'
import { makeDev } from './registry.ts'
import { registerTerminalDevices } from './terminals.ts'

const WORLD = 0o666

/** Name, major, minor, permissions. */
export const DEVICE_NODES: readonly (readonly [string, number, number, number])[] = [
  ['null', 1, 3, WORLD],
  ['zero', 1, 5, WORLD],
  ['full', 1, 7, WORLD],
  ['random', 1, 8, WORLD],
  ['urandom', 1, 9, WORLD],
  ['tty', 5, 0, WORLD],
]

/** "dev symbolic links" of the specification, and where a devpts has its ptmx. */
export const DEVICE_LINKS: readonly (readonly [string, string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
  ['ptmx', 'pts/ptmx'],
]

/** Mountpoints: name and permissions. */
const DIRECTORIES: readonly (readonly [string, number])[] = [
  ['pts', 0o755],
  ['shm', 0o1777],
  ['mqueue', 0o1777],
]

/** Make every device driver known; once per process. */
export function registerDevices(): void {
  registerMemoryDevices()
  registerTerminalDevices()
}

/**
 * Put the default nodes, links and directories into the root of a file system that will be mounted on /dev.
 * Names that exist already stay as they are.
 */
export function populateDev(root: Inode): void {
  const creds = new Creds()
  for (const [name, major, minor, mode] of DEVICE_NODES) {
    const node = root.mknod(name, S_IFCHR | mode, makeDev(major, minor), creds)
    // Modes given to mknod pass no umask here, but file systems may clear bits of their own.
    if (typeof node !== 'number') node.setattr({ mode })
  }
  for (const [name, target] of DEVICE_LINKS) root.symlink(name, target, creds)
  for (const [name, mode] of DIRECTORIES) {
    const directory = root.mkdir(name, mode, creds)
    if (typeof directory !== 'number') directory.setattr({ mode })
  }
}

/** A /dev with everything in it. */
export function mountDevtmpfs(
  kernel: Kernel,
  _task: Task | null,
  _source: string,
  _data: string,
): SuperBlock {
  const sb = mountMemoryRoot(kernel, 'devtmpfs', 0o755)
  populateDev(sb.root)
  return sb
}

registerDevices()
registerFileSystem('devtmpfs', mountDevtmpfs)
