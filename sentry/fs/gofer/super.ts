// A file system served by the gofer: one attach point. When it belongs to the sandbox alone ("exclusive"), what
// the sentry has once learnt stays true; when others may change it ("shared"), names and attributes are asked
// for again.

import { FileAttr } from '../../../gofer/protocol.ts'
import {
  STATFS_BAVAIL,
  STATFS_BFREE,
  STATFS_BLOCKS,
  STATFS_BSIZE,
  STATFS_COUNT,
  STATFS_FFREE,
  STATFS_FILES,
  STATFS_FRSIZE,
  STATFS_NAMELEN,
  STATFS_TYPE,
} from '../../../native/index.ts'
import { S_IFDIR, S_IFMT, S_IFREG } from '../../../syscall-table/flags.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { type StatFs, SuperBlock } from '../../vfs/inode.ts'
import { currentMoment, nextMoment } from '../../vfs/moment.ts'
import { walksChanged } from '../../vfs/path-cache.ts'
import { anonymousDev, makeDev } from '../dev/registry.ts'
import type { GoferConnection } from './connection.ts'
import { GoferDir } from './directory.ts'
import { GoferInode } from './inode.ts'
import { GoferFile } from './regular.ts'

const attr = new FileAttr()
const numbers = new Float64Array(STATFS_COUNT)

const OUTGROWN_MAX = 65536

/** Our numbers for the host's. */
const devices = new Map<number, number>()

/** Programs tell by it and by the inode's number whether two names are of one file, under two mounts as well (`cp`). */
function deviceOf({ devMajor, devMinor }: FileAttr): number {
  const host = makeDev(devMajor, devMinor)
  const dev = devices.get(host) ?? anonymousDev()
  devices.set(host, dev)
  return dev
}

/** How an attach point is used. */
export interface GoferOptions {
  /** Others may change the files as well. */
  shared: boolean
  readonly: boolean
}

export class GoferSuperBlock extends SuperBlock {
  override readonly type = '9p'
  override dev = 0
  override readonly readonly: boolean
  override readonly cacheable: boolean
  override root!: GoferInode
  readonly kernel: Kernel
  readonly connection: GoferConnection
  /** Inodes in use, so that hard links are one inode. By number, or by text where that is not enough. */
  readonly #inodes = new Map<number | string, GoferInode>()
  /** Inodes that were in use: what a listing says of them may be from before the sandbox changed them. */
  readonly #outgrown = new Set<number | string>()
  /** Listings of an older generation say nothing of attributes. */
  listingGeneration = 0
  /** The device of the root, and of nearly all files. */
  devMajor = 0
  devMinor = 0

  constructor(kernel: Kernel, connection: GoferConnection, options: GoferOptions) {
    super()
    this.kernel = kernel
    this.connection = connection
    this.readonly = options.readonly
    this.cacheable = !options.shared
  }

  /** Take possession of attach point `index`: 0 or -errno. */
  attach(index: number): number {
    const handle = this.connection.client.attach(index, attr)
    if (handle < 0) return handle
    this.devMajor = attr.devMajor
    this.devMinor = attr.devMinor
    this.dev = deviceOf(attr)
    this.root = this.inodeFor(attr, 0, null, '')
    // Never given back: everything else is found from here.
    this.root.handle = handle
    this.root.pins++
    return 0
  }

  /**
   * The inode that `attr` describes, found as `name` in `dir`. `handle` (0 for none) belongs to the inode
   * from now on.
   */
  inodeFor(attr: FileAttr, handle: number, dir: GoferDir | null, name: string): GoferInode {
    const key = this.#key(attr)
    const known = this.#inodes.get(key)
    if (known !== undefined && ((known.mode ^ attr.mode) & S_IFMT) === 0) {
      if (!this.cacheable || known.validAt < this.toldSince) known.update(attr)
      known.found(handle, dir, name)
      return known
    }
    return this.#add(key, attr, handle, dir, name)
  }

  /** As `inodeFor`, by an entry of a listing; null when that may be out of date. */
  inodeListed(attr: FileAttr, dir: GoferDir, name: string): GoferInode | null {
    const key = this.#key(attr)
    if (this.#outgrown.has(key)) return null
    const known = this.#inodes.get(key)
    if (known === undefined) return this.#add(key, attr, 0, dir, name)
    if (((known.mode ^ attr.mode) & S_IFMT) !== 0) return null
    known.found(0, dir, name)
    return known
  }

  /** `attr` describes this inode. */
  isOf(inode: GoferInode, attr: FileAttr): boolean {
    return inode.key === this.#key(attr) && ((inode.mode ^ attr.mode) & S_IFMT) === 0
  }

  /** The inode that `attr` describes, if it is in use. */
  inodeInUse(attr: FileAttr): GoferInode | null {
    return this.#inodes.get(this.#key(attr)) ?? null
  }

  /** What was listed of this inode may be out of date. */
  isOutgrown(inode: GoferInode): boolean {
    return this.#outgrown.has(inode.key)
  }

  #add(
    key: number | string,
    attr: FileAttr,
    handle: number,
    dir: GoferDir | null,
    name: string,
  ): GoferInode {
    const inode = this.#make(attr)
    inode.key = key
    inode.update(attr)
    inode.found(handle, dir, name)
    this.#inodes.set(key, inode)
    return inode
  }

  /** Most files are on one device, and their numbers are exact: then the number is the key. */
  #key(attr: FileAttr): number | string {
    if (
      attr.devMajor === this.devMajor &&
      attr.devMinor === this.devMinor &&
      attr.inoHigh < 2 ** 21
    ) {
      return attr.ino
    }
    return `${attr.devMajor}:${attr.devMinor}:${attr.inoHigh}:${attr.inoLow}`
  }

  #make(attr: FileAttr): GoferInode {
    const type = attr.mode & S_IFMT
    if (type === S_IFDIR) return new GoferDir(this, attr.ino, attr.mode)
    if (type === S_IFREG) return new GoferFile(this, attr.ino, attr.mode)
    const inode = new GoferInode(this, attr.ino, attr.mode)
    inode.rdev = makeDev(attr.rdevMajor, attr.rdevMinor)
    return inode
  }

  /** The file that `attr` describes, as it was just before, has lost this name. */
  lostName(attr: FileAttr, dir: GoferDir, name: string): void {
    const inode = this.#inodes.get(this.#key(attr))
    if (inode === undefined || ((inode.mode ^ attr.mode) & S_IFMT) !== 0) return
    inode.update(attr)
    if (inode.dir === dir && inode.name === name) {
      if (inode.handle !== 0) this.connection.forgetHandle(inode)
      inode.lostName(false)
    } else inode.lostOtherName()
  }

  /** Be told of changes in `dir`, and of those on the way to it. */
  watch(dir: GoferDir): void {
    const { watches } = this.connection
    for (let at: GoferDir | null = dir; at !== null && watches.add(at); at = at.dir);
  }

  /** The inode is not in use any more, or its number may be given to another file. */
  forget(inode: GoferInode): void {
    if (this.#inodes.get(inode.key) === inode) this.#inodes.delete(inode.key)
  }

  /** As `forget`, for an inode that still has a name. */
  evicted(inode: GoferInode): void {
    this.forget(inode)
    if (this.readonly || !this.cacheable) return
    if (this.#outgrown.size >= OUTGROWN_MAX) {
      this.#outgrown.clear()
      this.listingGeneration++
    }
    this.#outgrown.add(inode.key)
  }

  override doubt(): void {
    if (!this.cacheable) return
    nextMoment()
    this.toldSince = currentMoment()
    this.listingGeneration++
    walksChanged()
  }

  override statfs(into: StatFs): number {
    const n = this.connection.client.statfs(this.root.handle, numbers)
    if (n < 0) return n
    into.type = numbers[STATFS_TYPE]!
    into.bsize = numbers[STATFS_BSIZE]!
    into.blocks = numbers[STATFS_BLOCKS]!
    into.bfree = numbers[STATFS_BFREE]!
    into.bavail = numbers[STATFS_BAVAIL]!
    into.files = numbers[STATFS_FILES]!
    into.ffree = numbers[STATFS_FFREE]!
    into.namelen = numbers[STATFS_NAMELEN]!
    into.frsize = numbers[STATFS_FRSIZE]!
    return 0
  }
}

/** Make the file system of attach point `index`. */
export function mountGofer(
  kernel: Kernel,
  connection: GoferConnection,
  index: number,
  options: GoferOptions,
): GoferSuperBlock | number {
  const sb = new GoferSuperBlock(kernel, connection, options)
  const error = sb.attach(index)
  return error < 0 ? error : sb
}
