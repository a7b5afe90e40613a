// tmpfs: files in memory (mm/shmem.c, tmpfs(5)). The superblock, with its limits, and what all its inodes
// have in common.

import { type HostFd, memfdCreate } from '../../../native/index.ts'
import { EEXIST, EINVAL, ENODATA, ENOSPC, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import {
  FS_APPEND_FL,
  FS_IMMUTABLE_FL,
  FS_NOATIME_FL,
  FS_NODUMP_FL,
  PAGE_SIZE,
  RAMFS_MAGIC,
  S_IFMT,
  TMPFS_MAGIC,
  XATTR_CREATE,
  XATTR_REPLACE,
} from '../../../syscall-table/flags.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { INODE_WEIGHT, kernelMemory } from '../../kernel/memory.ts'
import { type Acl, aclMode, inherited, isPlain, withMode } from '../../vfs/acl.ts'
import type { Dentry } from '../../vfs/dentry.ts'
import { Inode, type SetAttr, type StatFs, SuperBlock } from '../../vfs/inode.ts'
import { touchChanged } from '../../vfs/super.ts'
import { anonymousDev } from '../dev/registry.ts'
import { defaultSize, parseOptions, type TmpfsOptions } from './options.ts'

const MFD_CLOEXEC = 1
/** Inodes of an instance without nr_inodes: each costs the kernel some hundred bytes. */
const DEFAULT_INODES = 1 << 20
/** Bytes of names and values of one inode's extended attributes. */
const XATTR_SPACE = 128 * 1024
/** What one attribute costs beside its bytes. */
const XATTR_OVERHEAD = 64
/** What an entry of an access control list costs. */
const ACL_ENTRY_COST = 64
/** FS_*_FL that programs may change, and those that new files take over: SHMEM_FL_USER_MODIFIABLE, SHMEM_FL_INHERITED. */
const MODIFIABLE = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL
const INHERITED = FS_NODUMP_FL | FS_NOATIME_FL
/** What of an instance's room for inodes each of them takes; attributes share it. BOGO_INODE_SIZE. */
const INODE_SPACE = 1024

export abstract class MemorySuperBlock extends SuperBlock {
  override readonly dev = anonymousDev()
  readonly kernel: Kernel
  /** Pages, 0 for no limit. */
  pageLimit: number
  inodeLimit: number
  pagesUsed = 0
  inodesUsed = 0
  /** Bytes of extended attributes. */
  xattrSpace = 0
  override handles = new Map<number, Dentry>()
  #lastIno = 0

  constructor(kernel: Kernel, pageLimit: number, inodeLimit: number) {
    super()
    this.kernel = kernel
    this.pageLimit = pageLimit
    this.inodeLimit = inodeLimit
  }

  nextIno(): number {
    return ++this.#lastIno
  }

  /** Account for `pages` more (or less). Returns 0 or -ENOSPC. */
  charge(pages: number): number {
    if (pages > 0 && this.pageLimit > 0 && this.pagesUsed + pages > this.pageLimit) return -ENOSPC
    this.pagesUsed += pages
    return 0
  }

  /** Account for a new inode: 0 or -ENOSPC. */
  chargeInode(): number {
    if (this.inodeLimit > 0 && this.inodesUsed >= this.inodeLimit) return -ENOSPC
    if (!kernelMemory.take(INODE_WEIGHT)) return -ENOSPC
    this.inodesUsed++
    return 0
  }

  /** Names beyond the first count as inodes, as in Linux: 0 or -ENOSPC. */
  chargeLink(): number {
    return this.chargeInode()
  }

  linkGone(): void {
    this.inodesUsed--
  }

  /** Account for so many bytes of extended attributes more (or less): 0 or -ENOSPC. shmem_xattr_handler_set. */
  chargeXattr(bytes: number): number {
    const room = (this.inodeLimit || DEFAULT_INODES) * INODE_SPACE
    if (bytes > 0 && this.inodesUsed * INODE_SPACE + this.xattrSpace + bytes > room) return -ENOSPC
    this.xattrSpace += bytes
    return 0
  }

  /** An empty host file for the contents of a large file: the caller's, or -errno. */
  newStore(): HostFd {
    return memfdCreate('tmpfs', MFD_CLOEXEC)
  }

  override statfs(into: StatFs): number {
    into.type = TMPFS_MAGIC
    into.bsize = into.frsize = PAGE_SIZE
    into.namelen = 255
    into.blocks = this.pageLimit
    into.bfree = into.bavail = this.pageLimit > 0 ? Math.max(0, this.pageLimit - this.pagesUsed) : 0
    into.files = this.inodeLimit
    into.ffree = this.inodeLimit > 0 ? Math.max(0, this.inodeLimit - this.inodesUsed) : 0
    return 0
  }
}

/** A tmpfs instance; its root is made by `mountTmpfs`. */
export class TmpfsSuperBlock extends MemorySuperBlock {
  override readonly type: string
  override root!: Inode
  override get makesWhiteouts(): boolean {
    return this.type === 'tmpfs'
  }
  #options: TmpfsOptions
  /** What a limit is that need not be told. */
  readonly #defaultPages: number

  constructor(kernel: Kernel, type: string, options: TmpfsOptions) {
    super(kernel, Math.ceil(options.size / PAGE_SIZE), options.inodes || DEFAULT_INODES)
    this.type = type
    this.#options = options
    this.#defaultPages = Math.ceil(defaultSize(kernel) / PAGE_SIZE)
  }

  /** Nothing can reach the files any more: give their memory back, now or when they are closed. */
  override unmounted(): void {
    const found: Inode[] = [this.root]
    for (let i = 0; i < found.length; i++) {
      const inode = found[i] as MemoryInode
      for (const child of inode.childInodes()) found.push(child)
      inode.nlink = 0
      if (inode.pins === 0) inode.free()
    }
  }

  override get ownReadonly(): boolean {
    return true
  }

  /** Of ramfs nobody knows how full it is. */
  override statfs(into: StatFs): number {
    super.statfs(into)
    if (this.type !== 'ramfs') return 0
    into.type = RAMFS_MAGIC
    into.files = into.ffree = 0
    return 0
  }

  /** The limits can change, but not to less than is used, and not from none. shmem_reconfigure. */
  override reconfigure(data: string): number {
    if (this.type === 'ramfs') return 0
    const options = { ...this.#options }
    if (parseOptions(this.kernel, data, options) < 0) return -EINVAL
    const pages = Math.ceil(options.size / PAGE_SIZE)
    const inodes = options.inodes || DEFAULT_INODES
    if (options.size !== this.#options.size) {
      if (pages > 0 && (this.pageLimit === 0 || pages < this.pagesUsed)) return -EINVAL
    }
    if (inodes < this.inodesUsed) return -EINVAL
    this.pageLimit = pages
    this.inodeLimit = inodes
    this.#options = { ...this.#options, size: options.size, inodes: options.inodes }
    return 0
  }

  override options(): string {
    if (this.type === 'ramfs')
      return this.#options.mode === 0o755 ? '' : `,mode=${this.#options.mode.toString(8)}`
    let text = ''
    if (this.pageLimit > 0 && this.pageLimit !== this.#defaultPages)
      text += `,size=${this.pageLimit * 4}k`
    if (this.inodeLimit !== DEFAULT_INODES) text += `,nr_inodes=${this.inodeLimit}`
    if (this.#options.mode !== 0o1777) text += `,mode=${this.#options.mode.toString(8)}`
    if (this.#options.uid !== 0) text += `,uid=${this.#options.uid}`
    if (this.#options.gid !== 0) text += `,gid=${this.#options.gid}`
    return text
  }
}

/** Any inode in memory: attributes and extended attributes. */
export class MemoryInode extends Inode {
  declare readonly sb: MemorySuperBlock
  xattrs: Map<string, Uint8Array> | null = null

  override setattr(attr: SetAttr): number {
    if (attr.size !== undefined) {
      const error = this.resize(attr.size)
      if (error < 0) return error
    }
    applyAttributes(this, attr)
    if (attr.mode !== undefined && this.acl !== null) this.acl = withMode(this.acl, attr.mode)
    touchChanged(this.sb.kernel, this)
    return 0
  }

  override get takesAcl(): boolean {
    return !this.isSymlink
  }

  override setAcl(isDefault: boolean, acl: Acl | null, mode: number): number {
    const error = this.#storeAcl(isDefault, acl)
    if (error < 0) return error
    this.mode = (this.mode & S_IFMT) | mode
    touchChanged(this.sb.kernel, this)
    return 0
  }

  #storeAcl(isDefault: boolean, acl: Acl | null): number {
    const before = isDefault ? this.defaultAcl : this.acl
    const error = this.sb.chargeXattr(aclCost(acl) - aclCost(before))
    if (error < 0) return error
    if (isDefault) this.defaultAcl = acl
    else this.acl = acl
    return 0
  }

  /** Account for lists that the inode has already, whether there is room or not. */
  chargeAcls(): void {
    this.sb.xattrSpace += aclCost(this.acl) + aclCost(this.defaultAcl)
  }

  /** What a new inode gets from the directory it is made in: simple_acl_create, shmem_get_inode. */
  inherit(dir: Inode): number {
    if (this.isDir || this.isRegular) this.attributes = dir.attributes & INHERITED
    const { defaultAcl } = dir
    if (defaultAcl === null || this.isSymlink) return 0
    const acl = inherited(defaultAcl, this.mode)
    this.mode = (this.mode & ~0o777) | (this.mode & aclMode(acl))
    const error = isPlain(acl) ? 0 : this.#storeAcl(false, acl)
    return error < 0 || !this.isDir ? error : this.#storeAcl(true, defaultAcl)
  }

  override get knownAttributes(): number {
    return this.isDir || this.isRegular ? MODIFIABLE : 0
  }

  override setAttributes(attributes: number): number {
    this.attributes = attributes
    touchChanged(this.sb.kernel, this)
    return 0
  }

  /** Change the size of a regular file. */
  resize(_size: number): number {
    return -EINVAL
  }

  override getxattr(name: string): Uint8Array | number {
    if (!this.xattrPermitted(name)) return -EOPNOTSUPP
    return this.xattrs?.get(name) ?? -ENODATA
  }

  override setxattr(name: string, value: Uint8Array, flags: number): number {
    if (!this.xattrPermitted(name)) return -EOPNOTSUPP
    const old = this.xattrs?.get(name)
    if (old !== undefined && (flags & XATTR_CREATE) !== 0) return -EEXIST
    if (old === undefined && (flags & XATTR_REPLACE) !== 0) return -ENODATA
    let space = xattrCost(name, value)
    if (this.xattrs !== null) {
      for (const [k, v] of this.xattrs) if (k !== name) space += xattrCost(k, v)
    }
    const before = old === undefined ? 0 : xattrCost(name, old)
    if (space > XATTR_SPACE || this.sb.chargeXattr(xattrCost(name, value) - before) < 0)
      return -ENOSPC
    this.xattrs ??= new Map()
    this.xattrs.set(name, value)
    touchChanged(this.sb.kernel, this)
    return 0
  }

  /** Take over an attribute that exists already, whether there is room or not. */
  adoptXattr(name: string, value: Uint8Array): void {
    this.xattrs ??= new Map()
    this.xattrs.set(name, value)
    this.sb.xattrSpace += xattrCost(name, value)
  }

  override removexattr(name: string): number {
    if (!this.xattrPermitted(name)) return -EOPNOTSUPP
    const value = this.xattrs?.get(name)
    if (value === undefined) return -ENODATA
    this.xattrs!.delete(name)
    this.sb.chargeXattr(-xattrCost(name, value))
    touchChanged(this.sb.kernel, this)
    return 0
  }

  override listxattr(): string[] {
    return this.xattrs === null ? [] : [...this.xattrs.keys()]
  }

  /** user.* only on regular files and directories is the VFS's rule, and so are access control lists. */
  xattrPermitted(name: string): boolean {
    return name.startsWith('user.') || name.startsWith('trusted.') || name.startsWith('security.')
  }

  /** What the names in a directory stand for. */
  childInodes(): Iterable<MemoryInode> {
    return []
  }

  override evict(): void {
    if (this.nlink === 0) this.free()
  }

  /** The inode ceases to exist. */
  free(): void {
    this.sb.inodesUsed--
    this.sb.handles.delete(this.ino)
    this.#storeAcl(false, null)
    this.#storeAcl(true, null)
    if (this.xattrs === null) return
    for (const [name, value] of this.xattrs) this.sb.chargeXattr(-xattrCost(name, value))
    this.xattrs = null
  }
}

const xattrCost = (name: string, value: Uint8Array): number =>
  name.length + value.length + XATTR_OVERHEAD

const aclCost = (acl: Acl | null): number => (acl === null ? 0 : acl.length * ACL_ENTRY_COST)

/** Copy the fields that are set into the inode; size is the file's own business. */
export function applyAttributes(inode: Inode, attr: SetAttr): void {
  if (attr.mode !== undefined) inode.mode = (inode.mode & S_IFMT) | (attr.mode & 0o7777)
  if (attr.uid !== undefined) inode.uid = attr.uid
  if (attr.gid !== undefined) inode.gid = attr.gid
  if (attr.atimeSec !== undefined) {
    inode.atimeSec = attr.atimeSec
    inode.atimeNsec = attr.atimeNsec ?? 0
  }
  if (attr.mtimeSec !== undefined) {
    inode.mtimeSec = attr.mtimeSec
    inode.mtimeNsec = attr.mtimeNsec ?? 0
  }
}
