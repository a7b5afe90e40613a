// Making tmpfs instances, and the kernel's own mount for memfd_create(2).

import { EINVAL } from '../../../syscall-table/errno.ts'
import { S_IFDIR, S_IFREG } from '../../../syscall-table/flags.ts'
import type { Creds } from '../../kernel/creds.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Task } from '../../kernel/task.ts'
import { Dentry } from '../../vfs/dentry.ts'
import type { SuperBlock } from '../../vfs/inode.ts'
import { Mount } from '../../vfs/mount.ts'
import { registerFileSystem, touchCreated } from '../../vfs/super.ts'
import { MemoryDir } from './directory.ts'
import { defaultSize, knowsOption, parseOptions, type TmpfsOptions } from './options.ts'
import { MemoryFile } from './regular.ts'
import { TmpfsSuperBlock } from './tmpfs.ts'

/** A new tmpfs instance. Options as in tmpfs(5); -EINVAL for those that are unknown. */
export function mountTmpfs(kernel: Kernel, data: string): SuperBlock | number {
  const options: TmpfsOptions = {
    size: defaultSize(kernel),
    inodes: 0,
    mode: 0o1777,
    uid: 0,
    gid: 0,
  }
  const error = parseOptions(kernel, data, options)
  return error < 0 ? error : makeInstance(kernel, 'tmpfs', options)
}

/** devtmpfs is a tmpfs of its own kind: the nodes in it are put there by the device code. */
export function mountMemoryRoot(kernel: Kernel, type: string, mode: number): SuperBlock {
  return makeInstance(kernel, type, { size: 0, inodes: 0, mode, uid: 0, gid: 0 })
}

function makeInstance(kernel: Kernel, type: string, options: TmpfsOptions): SuperBlock {
  const sb = new TmpfsSuperBlock(kernel, type, options)
  const root = new MemoryDir(sb, sb.nextIno(), S_IFDIR | options.mode)
  root.uid = options.uid
  root.gid = options.gid
  sb.chargeInode()
  touchCreated(kernel, root)
  sb.root = root
  return sb
}

let unnamed: { kernel: Kernel; mount: Mount } | null = null

/** An inode that only its open file names, on the kernel's own tmpfs: memfd_create(2), shared memory. */
export function unnamedFile(
  kernel: Kernel,
  mode: number,
  creds: Creds,
): { inode: MemoryFile; mount: Mount } {
  if (unnamed === null || unnamed.kernel !== kernel) {
    const sb = mountMemoryRoot(kernel, 'tmpfs', 0o1777)
    const root = new Dentry('/', null, sb.root)
    root.detached = true
    unnamed = { kernel, mount: new Mount(sb, root, 0, 'tmpfs') }
  }
  const { mount } = unnamed
  const sb = mount.sb as TmpfsSuperBlock
  const inode = new MemoryFile(sb, sb.nextIno(), S_IFREG | mode)
  sb.inodesUsed++
  inode.nlink = 0
  inode.uid = creds.fsuid
  inode.gid = creds.fsgid
  touchCreated(kernel, inode)
  return { inode, mount }
}

registerFileSystem(
  'tmpfs',
  (kernel: Kernel, _task: Task | null, _source: string, data: string) => mountTmpfs(kernel, data),
  knowsOption,
)

/** ramfs: tmpfs without limits, of which `mode` is the only option and all others are ignored. */
registerFileSystem('ramfs', (kernel: Kernel, _task: Task | null, _source: string, data: string) => {
  const options: TmpfsOptions = { size: 0, inodes: 0, mode: 0o755, uid: 0, gid: 0 }
  for (const option of data.split(','))
    if (option.startsWith('mode=') && parseOptions(kernel, option, options) < 0) return -EINVAL
  return makeInstance(kernel, 'ramfs', options)
})
