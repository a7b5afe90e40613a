// overlay: a writable layer in memory over a file system that is never written. The upper layer is a tmpfs whose
// inodes may have a lower counterpart. Attributes are copied when an inode is first looked up, contents when they
// are first written; names of the lower layer are hidden by whiteouts.
//
// An inode that differs from its lower counterpart is kept in `changed`, under that counterpart: whatever name
// leads there, it is found again. So hard links stay one file, and a renamed directory takes what is below along.

import type { HostFd } from '../../../native/index.ts'
import {
  OVERLAYFS_SUPER_MAGIC,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../../syscall-table/flags.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { type Acl, adoptAcls, isAclName } from '../../vfs/acl.ts'
import type { Inode, SetAttr, StatFs, SuperBlock } from '../../vfs/inode.ts'
import { MemorySpecial, MemorySymlink } from '../tmpfs/directory.ts'
import { type MemoryInode, MemorySuperBlock } from '../tmpfs/tmpfs.ts'
import { OverlayDir } from './directory.ts'
import { OverlayFile } from './regular.ts'

export interface OverlayOptions {
  /** Bytes that the upper layer may take, 0 for no limit. */
  size: number
  /** Makes host files for contents; without it they are in memory. */
  newStore?: () => HostFd
}

/** Upper inodes: each costs the kernel memory. */
const INODES_MAX = 1 << 20
/** Numbers of new files: above those that lower file systems commonly use. */
const FIRST_UPPER_INO = 2 ** 40

export class OverlaySuperBlock extends MemorySuperBlock {
  override readonly type = 'overlay'
  override root!: OverlayDir
  readonly lower: SuperBlock
  readonly #options: OverlayOptions
  /** Inodes that differ from the lower layer, by lower inode. */
  readonly changed = new Map<Inode, MemoryInode>()
  /** Those in the dentry cache only, by lower inode: hard links. */
  readonly cachedInodes = new Map<Inode, MemoryInode>()

  constructor(kernel: Kernel, lower: SuperBlock, options: OverlayOptions) {
    super(kernel, Math.ceil(options.size / 4096), INODES_MAX)
    this.lower = lower
    this.#options = options
  }

  override newStore(): HostFd {
    return this.#options.newStore?.() ?? super.newStore()
  }

  override nextIno(): number {
    return FIRST_UPPER_INO + super.nextIno()
  }

  /** Lower files have names that nobody has counted. */
  override chargeLink(): number {
    return 0
  }

  override linkGone(): void {}

  /** The inode that stands for a lower one. */
  inodeOver(lower: Inode): MemoryInode {
    const known = this.changed.get(lower) ?? this.cachedInodes.get(lower)
    if (known !== undefined) return known
    const inode = this.#make(lower)
    copyAttributes(lower, inode)
    // Held as long as this inode is: its identity is the key.
    lower.pins++
    this.cachedInodes.set(lower, inode)
    return inode
  }

  #make(lower: Inode): MemoryInode {
    switch (lower.mode & S_IFMT) {
      case S_IFDIR:
        return new OverlayDir(this, lower.ino, lower.mode, lower)
      case S_IFREG:
        return new OverlayFile(this, lower.ino, lower.mode, lower)
      case S_IFLNK:
        return new OverlaySymlink(this, lower)
      default:
        return new OverlaySpecial(this, lower)
    }
  }

  /** `inode` is about to differ from its lower counterpart: keep it. Returns 0 or -ENOSPC. */
  keep(inode: MemoryInode, lower: Inode): number {
    if (this.changed.has(lower)) return 0
    const error = this.chargeInode()
    if (error < 0) return error
    this.changed.set(lower, inode)
    this.cachedInodes.delete(lower)
    // Attributes that the lower layer stores apart come along now.
    copyXattrs(lower, inode)
    adoptAcls(lower, inode)
    inode.chargeAcls()
    return 0
  }

  /** No cached dentry and no open file refers to an inode over `lower` any more. */
  evicted(inode: MemoryInode, lower: Inode): void {
    if (this.changed.get(lower) === inode) {
      // Changes stay as long as the file has a name.
      if (inode.nlink > 0) return
      this.changed.delete(lower)
      inode.free()
    } else if (this.cachedInodes.get(lower) === inode) {
      this.cachedInodes.delete(lower)
      // When it is looked up again it is another inode.
      this.handles.delete(inode.ino)
    } else return
    if (--lower.pins === 0) lower.evict()
  }

  /** The lower counterpart of `inode` while nothing of it has been changed, else null. */
  unchangedLower(inode: MemoryInode, lower: Inode): Inode | null {
    return this.changed.get(lower) === inode ? null : lower
  }

  /** Nothing can reach the files any more: give their memory back, now or when they are closed. */
  override unmounted(): void {
    const found = new Set<MemoryInode>(this.changed.values())
    for (const inode of found) {
      if (!(inode instanceof OverlayDir)) continue
      for (const { inode: child } of inode.entries.values()) found.add(child)
    }
    for (const inode of found) {
      inode.nlink = 0
      if (inode.pins === 0) inode.evict()
    }
    this.lower.unmounted()
  }

  override statfs(into: StatFs): number {
    const n = this.pageLimit > 0 ? super.statfs(into) : this.lower.statfs(into)
    into.type = OVERLAYFS_SUPER_MAGIC
    return n
  }
}

function copyAttributes(from: Inode, to: Inode): void {
  to.acl = from.acl
  to.defaultAcl = from.defaultAcl
  to.uid = from.uid
  to.gid = from.gid
  to.nlink = from.nlink
  to.rdev = from.rdev
  to.size = from.size
  to.blksize = from.blksize
  to.blocks = from.blocks
  to.atimeSec = from.atimeSec
  to.atimeNsec = from.atimeNsec
  to.mtimeSec = from.mtimeSec
  to.mtimeNsec = from.mtimeNsec
  to.ctimeSec = from.ctimeSec
  to.ctimeNsec = from.ctimeNsec
  to.btimeSec = from.btimeSec
  to.btimeNsec = from.btimeNsec
}

function copyXattrs(from: Inode, to: MemoryInode): void {
  const names = from.listxattr()
  if (typeof names === 'number' || names.length === 0) return
  for (const name of names) {
    const value = from.getxattr(name)
    if (typeof value !== 'number' && !isAclName(name)) to.adoptXattr(name, value)
  }
}

class OverlaySymlink extends MemorySymlink {
  declare readonly sb: OverlaySuperBlock
  readonly lower: Inode
  constructor(sb: OverlaySuperBlock, lower: Inode) {
    super(sb, lower.ino, '')
    this.lower = lower
  }
  override readlink(): string | number {
    return this.lower.readlink(null)
  }
  override setattr(attr: SetAttr): number {
    return this.sb.keep(this, this.lower) || super.setattr(attr)
  }
  override getxattr(name: string): Uint8Array | number {
    return this.sb.unchangedLower(this, this.lower)?.getxattr(name) ?? super.getxattr(name)
  }
  override listxattr(): string[] {
    return lowerXattrs(this.sb.unchangedLower(this, this.lower)) ?? super.listxattr()
  }
  override setxattr(name: string, value: Uint8Array, flags: number): number {
    return this.sb.keep(this, this.lower) || super.setxattr(name, value, flags)
  }
  override removexattr(name: string): number {
    return this.sb.keep(this, this.lower) || super.removexattr(name)
  }
  override evict(): void {
    this.sb.evicted(this, this.lower)
  }
}

/** A FIFO, socket or device node of the lower layer: only the node is there, its meaning is the sandbox's. */
class OverlaySpecial extends MemorySpecial {
  declare readonly sb: OverlaySuperBlock
  readonly lower: Inode
  constructor(sb: OverlaySuperBlock, lower: Inode) {
    super(sb, lower.ino, lower.mode)
    this.lower = lower
  }
  override setattr(attr: SetAttr): number {
    return this.sb.keep(this, this.lower) || super.setattr(attr)
  }
  override get remoteAcls(): boolean {
    return this.sb.unchangedLower(this, this.lower)?.remoteAcls === true
  }
  override refreshAcls(): number {
    const lower = this.sb.unchangedLower(this, this.lower)
    return lower === null ? 0 : adoptAcls(lower, this)
  }
  override setAcl(isDefault: boolean, acl: Acl | null, mode: number): number {
    return this.sb.keep(this, this.lower) || super.setAcl(isDefault, acl, mode)
  }
  override getxattr(name: string): Uint8Array | number {
    return this.sb.unchangedLower(this, this.lower)?.getxattr(name) ?? super.getxattr(name)
  }
  override listxattr(): string[] {
    return lowerXattrs(this.sb.unchangedLower(this, this.lower)) ?? super.listxattr()
  }
  override setxattr(name: string, value: Uint8Array, flags: number): number {
    return this.sb.keep(this, this.lower) || super.setxattr(name, value, flags)
  }
  override removexattr(name: string): number {
    return this.sb.keep(this, this.lower) || super.removexattr(name)
  }
  override evict(): void {
    this.sb.evicted(this, this.lower)
  }
}

/** Names of the extended attributes of a lower file; null without one. */
function lowerXattrs(lower: Inode | null): string[] | null {
  if (lower === null) return null
  const names = lower.listxattr()
  return typeof names === 'number' ? [] : names
}
