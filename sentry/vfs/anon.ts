// Files without a place in the tree: anon_inodefs (eventfd, epoll, signalfd …), pipefs and sockfs. Each has
// a mount of its own that no path leads to, so that an open file always has an inode, a dentry and a mount.

import { EINVAL, EOPNOTSUPP } from '../../syscall-table/errno.ts'
import {
  ANON_INODE_FS_MAGIC,
  PIPEFS_MAGIC,
  S_IFMT,
  SOCKFS_MAGIC,
} from '../../syscall-table/flags.ts'
import { openSpecial } from '../fs/special.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { Dentry } from './dentry.ts'
import { File, type FileOps } from './file.ts'
import { Inode, type SetAttr, type StatFs, SuperBlock } from './inode.ts'
import { Mount } from './mount.ts'

/** Permission bits and types of what Linux puts into the three file systems. */
const ANON_MODE = 0o600
const PIPE_MODE = 0o010600
const SOCKET_MODE = 0o140777

/** An inode that exists only for its open files. */
class PseudoInode extends Inode {
  /** Through /proc/PID/fd: a pipe can be opened again, the others are -ENXIO. */
  override open(task: Task, flags: number): FileOps | number {
    return openSpecial(this, task, flags)
  }
  override setattr(attr: SetAttr): number {
    if (attr.size !== undefined) return -EINVAL
    // The inode of the anonymous files is everybody's.
    if (this === anonInode) return -EOPNOTSUPP
    if (attr.mode !== undefined) this.mode = (this.mode & S_IFMT) | attr.mode
    if (attr.uid !== undefined) this.uid = attr.uid
    if (attr.gid !== undefined) this.gid = attr.gid
    return 0
  }
}

/** A file system whose files have no names: d_path shows `prefix:[inode]` or `anon_inode:name`. */
class PseudoSuperBlock extends SuperBlock {
  override readonly type: string
  override readonly dev: number
  override readonly root: Inode
  readonly #magic: number
  readonly mount: Mount
  #lastIno = 1

  constructor(type: string, minor: number, magic: number, rootMode: number) {
    super()
    this.type = type
    this.dev = minor
    this.#magic = magic
    this.root = new PseudoInode(this, 1, rootMode)
    this.mount = new Mount(this, new Dentry('/', null, this.root), 0, type)
    this.mount.root.detached = true
    this.root.pins = 1
  }

  nextIno(): number {
    return ++this.#lastIno
  }

  override statfs(into: StatFs): number {
    into.type = this.#magic
    into.bsize = into.frsize = 4096
    into.namelen = 255
    into.blocks = into.bfree = into.bavail = into.files = into.ffree = 0
    return 0
  }
}

// Minor device numbers below 0x20 are kept for the kernel's own file systems; mounts get those above.
const anonFs = new PseudoSuperBlock('anon_inodefs', 0x0e, ANON_INODE_FS_MAGIC, ANON_MODE)
const pipeFs = new PseudoSuperBlock('pipefs', 0x0d, PIPEFS_MAGIC, PIPE_MODE)
const sockFs = new PseudoSuperBlock('sockfs', 0x08, SOCKFS_MAGIC, SOCKET_MODE)

/** All anonymous files share one inode on Linux, and so they do here. */
const anonInode = anonFs.root

/**
 * An open file of a kernel object, such as `anonFile(kernel, ops, '[eventfd]', O_RDWR)`; /proc/PID/fd shows
 * it as `anon_inode:[eventfd]`. The caller owns the one reference.
 */
export function anonFile(_kernel: Kernel, ops: FileOps, name: string, flags: number): File {
  return pseudoFile(anonInode, `anon_inode:${name}`, ops, flags)
}

/** A new inode for the two ends of a pipe. */
export function pipeInode(kernel: Kernel): Inode {
  return pseudoInode(kernel, pipeFs, PIPE_MODE)
}

/** A new inode for a socket of the protocol `name`. */
export function socketInode(kernel: Kernel, name: string): Inode {
  const inode = pseudoInode(kernel, sockFs, SOCKET_MODE)
  protocolNames.set(inode, name)
  return inode
}

const protocolNames = new WeakMap<Inode, string>()

/** system.sockprotoname: null of what is no socket. */
export function protocolName(inode: Inode): string | null {
  return inode.sb === sockFs ? (protocolNames.get(inode) ?? null) : null
}

/** An open file of an inode from `pipeInode` or `socketInode`; shown as `pipe:[INO]` or `socket:[INO]`. */
export function inodeFile(inode: Inode, ops: FileOps, flags: number): File {
  return pseudoFile(inode, `${inode.sb === sockFs ? 'socket' : 'pipe'}:[${inode.ino}]`, ops, flags)
}

function pseudoInode(kernel: Kernel, sb: PseudoSuperBlock, mode: number): Inode {
  const inode = new PseudoInode(sb, sb.nextIno(), mode)
  kernel.clock.realtime(now)
  inode.atimeSec = inode.mtimeSec = inode.ctimeSec = now.sec
  inode.atimeNsec = inode.mtimeNsec = inode.ctimeNsec = now.nsec
  return inode
}

const now = { sec: 0, nsec: 0 }

function pseudoFile(inode: Inode, name: string, ops: FileOps, flags: number): File {
  const dentry = new Dentry(name, null, inode)
  dentry.detached = true
  const sb = inode.sb as PseudoSuperBlock
  return new File(ops, inode, dentry, sb.mount, flags)
}
