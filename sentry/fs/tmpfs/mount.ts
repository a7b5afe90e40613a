// Making tmpfs instances: mount options, and the kernel's own mount for memfd_create(2).

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
import { MemoryFile } from './regular.ts'
import { defaultSize, type TmpfsOptions, TmpfsSuperBlock } from './tmpfs.ts'

const UNITS: Record<string, number> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }

/** A new tmpfs instance. Options as in tmpfs(5); -EINVAL for those that are unknown. */
export function mountTmpfs(kernel: Kernel, data: string): SuperBlock | number {
  const options: TmpfsOptions = {
    size: defaultSize(kernel),
    inodes: 0,
    mode: 0o1777,
    uid: 0,
    gid: 0,
  }
  for (const option of data.split(',')) {
    if (option !== '' && !parseOption(kernel, option, options)) return -EINVAL
  }
  return makeInstance(kernel, 'tmpfs', options)
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

function parseOption(kernel: Kernel, option: string, into: TmpfsOptions): boolean {
  const equals = option.indexOf('=')
  const key = equals < 0 ? option : option.slice(0, equals)
  const value = equals < 0 ? '' : option.slice(equals + 1)
  switch (key) {
    case 'size':
      into.size = value.endsWith('%') ? percent(kernel, value) : parseAmount(value)
      return into.size >= 0
    case 'nr_blocks':
      into.size = parseAmount(value) * 4096
      return into.size >= 0
    case 'nr_inodes':
      into.inodes = parseAmount(value)
      return into.inodes >= 0
    case 'mode':
      if (!/^[0-7]{1,6}$/.test(value)) return false
      into.mode = Number.parseInt(value, 8) & 0o7777
      return true
    case 'uid':
      return setId(value, id => {
        into.uid = id
      })
    case 'gid':
      return setId(value, id => {
        into.gid = id
      })
    // Where pages come from and how they are grouped is the host's business.
    case 'huge':
    case 'mpol':
    case 'inode32':
    case 'inode64':
    case 'noswap':
      return true
    default:
      return false
  }
}

function setId(value: string, set: (id: number) => void): boolean {
  if (!/^[0-9]{1,10}$/.test(value) || Number(value) >= 2 ** 32 - 1) return false
  set(Number(value))
  return true
}

function percent(kernel: Kernel, value: string): number {
  const part = value.slice(0, -1)
  return /^[0-9]{1,3}$/.test(part) ? Math.floor((kernel.memoryBytes * Number(part)) / 100) : -1
}

/** A number with a unit, as the kernel's memparse reads it; -1 when it is none. */
function parseAmount(value: string): number {
  const match = /^([0-9]{1,15})([kmgt]?)$/i.exec(value)
  if (match === null) return -1
  const amount = Number(match[1]) * (UNITS[match[2]!.toLowerCase()] ?? 1)
  return amount <= 2 ** 52 ? amount : -1
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

registerFileSystem('tmpfs', (kernel: Kernel, _task: Task | null, _source: string, data: string) =>
  mountTmpfs(kernel, data),
)
