// Inodes: struct inode and inode_operations. A file system derives its inode classes from Inode and
// overrides what it supports; the defaults give the errors Linux gives for an absent operation.

import type { HostFd } from '../../native/index.ts'
import {
  ECONNREFUSED,
  EINVAL,
  EISDIR,
  ENODATA,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ENOTTY,
  EOPNOTSUPP,
  EPERM,
} from '../../syscall-table/errno.ts'
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../syscall-table/flags.ts'
import type { Creds } from '../kernel/creds.ts'
import type { Task } from '../kernel/task.ts'
import { INITIAL_USER_NAMESPACE, type UserNamespace } from '../kernel/user-namespace.ts'
import type { Acl } from './acl.ts'
import type { Dentry } from './dentry.ts'
import type { File, FileOps } from './file.ts'
import type { InodeLocks } from './locks.ts'
import type { Mount } from './mount.ts'
import type { Watch } from './notify.ts'

/** Attribute changes of one chmod, chown, utimensat or truncate: fields that are undefined stay. struct iattr. */
export interface SetAttr {
  mode?: number
  uid?: number
  gid?: number
  size?: number
  atimeSec?: number
  atimeNsec?: number
  mtimeSec?: number
  mtimeNsec?: number
}

/** What statfs(2) reports, in the units of struct statfs. */
export interface StatFs {
  type: number
  bsize: number
  blocks: number
  bfree: number
  bavail: number
  files: number
  ffree: number
  namelen: number
  frsize: number
}

/** A mounted file system instance: struct super_block. */
export abstract class SuperBlock {
  /** Name as in /proc/filesystems. */
  abstract readonly type: string
  /** st_dev, as Linux encodes it. */
  abstract readonly dev: number
  abstract readonly root: Inode
  readonly: boolean = false
  /** MS_SYNCHRONOUS, MS_DIRSYNC, MS_MANDLOCK, MS_LAZYTIME: they are told, and change nothing for files in memory. */
  flags = 0
  /** Names may be cached as negative dentries, and positive ones need no revalidation. */
  readonly cacheable: boolean = true
  /** Where they are cached: the moment (moment.ts) from which on that holds. What was told before is asked for again. */
  toldSince = 0
  /** Mounts that show this file system or parts of it. */
  readonly mounts = new Set<Mount>()
  /** Capabilities of this user namespace count for the file system as a whole; devices and set-id bits need the first. */
  userNs: UserNamespace = INITIAL_USER_NAMESPACE
  /** Its devices are none but its own, so they may be opened whoever has mounted it. */
  readonly ownDevices: boolean = false
  /** Where file handles are given out: a dentry of each inode that has got one, by number. */
  handles: Map<number, Dentry> | null = null
  /** The dentry of `root`, made by the first mount. */
  rootDentry: Dentry | null = null
  abstract statfs(into: StatFs): number
  /** Options after the generic ones, as /proc/mounts shows them. */
  options(): string {
    return ''
  }
  sync(): number {
    return 0
  }
  /**
   * Mount options of a remount: 0 or -errno. Where there are none that could change, whatever was given for the first mount may
   * be given again.
   */
  reconfigure(_data: string): number {
    return 0
  }
  /** Whether the file system can become read-only by itself; else only its mounts can. */
  get ownReadonly(): boolean {
    return false
  }
  /** RENAME_WHITEOUT: a renamed file may leave a mark where it was. */
  get makesWhiteouts(): boolean {
    return false
  }
  /** An engine may have changed files behind the sandbox's back. */
  doubt(): void {}
  /** No mount shows this file system any more; files of it may still be open. */
  unmounted(): void {}
}

/** Receives directory entries. Returns false when full: the entry is then offered again by the next call. */
export interface DirSink {
  /** `next` is the position after this entry (d_off). `name` is in latin1 (one char per byte). */
  entry(name: string, ino: number, type: number, next: number): boolean
  /**
   * Takes entries of a page (native/host-file.ts) from `at` to `end`, the first of which is at `position`: how many, and
   * `packedEnd` is where the next one begins.
   */
  packed?(bytes: Uint8Array, at: number, end: number, position: number): number
  packedEnd?: number
}

/** Intent of a lookup: the file at the end of the path is going to be opened for reading. */
export const LOOKUP_OPEN = 1
/** Intent of a lookup: the last name is going to be made, if it does not exist. */
export const LOOKUP_CREATE = 2

/** The result of an operation on a name that a lookup must precede. */
export const LOOK_FIRST = 1

/** A socket of the host with a name there. */
export interface BoundOutside {
  readonly fd: HostFd
  /** listen(2). */
  listen(backlog: number): number
}

export abstract class Inode {
  readonly sb: SuperBlock
  ino: number
  /** Type and permission bits. */
  mode: number
  uid = 0
  gid = 0
  nlink = 1
  rdev = 0
  size = 0
  blksize = 4096
  /** 512-byte units. */
  blocks = 0
  atimeSec = 0
  atimeNsec = 0
  mtimeSec = 0
  mtimeNsec = 0
  ctimeSec = 0
  ctimeNsec = 0
  btimeSec = 0
  btimeNsec = 0
  /** Bumped by every change of contents or names, for caches. */
  version = 0
  /** flock, POSIX and OFD locks; made by vfs/locks.ts on first use. */
  locks: InodeLocks | null = null
  /** Cached dentries plus open files that refer to this inode; at zero `evict` is called. */
  pins = 0
  /** Who wants to know what happens to the file: vfs/notify.ts. */
  watches: Watch | null = null
  /** Open files that may write to this regular file, and programs that are being executed from it: ETXTBSY. */
  writers = 0
  /** Sealed against writing: a shared mapping can never become writable. */
  get writeSealed(): boolean {
    return false
  }
  /** Open files that may only read. */
  readers = 0
  executions = 0
  /** The access list, when it says more than the mode; and, of a directory, what new files in it get. */
  acl: Acl | null = null
  defaultAcl: Acl | null = null
  /** FS_*_FL: immutable, append-only and such. */
  attributes = 0
  /** F_SET_RW_HINT: RWH_WRITE_LIFE_*. */
  writeLifetime = 0
  /** The bound AF_UNIX socket of a socket inode, the pipe of a FIFO; made on first use by their owners. */
  endpoint: unknown = null

  constructor(sb: SuperBlock, ino: number, mode: number) {
    this.sb = sb
    this.ino = ino
    this.mode = mode
  }

  /** A host descriptor of a socket that is connected to the one outside behind this inode; -errno. */
  connectOutside(_type: number): number {
    return -ECONNREFUSED
  }

  /** The name of an AF_UNIX socket of this type. A file system of the host may bind it there, too. */
  bindSocket(name: string, _type: number, mode: number, creds: Creds): Inode | number {
    return this.mknod(name, mode, 0, creds)
  }

  /** The socket of the host that is bound to this new name: to be taken once. */
  takeBound(): BoundOutside | null {
    return null
  }

  get isDir(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR
  }
  get isSymlink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK
  }
  get isRegular(): boolean {
    return (this.mode & S_IFMT) === S_IFREG
  }

  /** Bring the attributes up to date before stat. Returns 0 or -errno. */
  refresh(): number {
    return 0
  }

  /**
   * As `refresh`, for an inode that a cached name is still of, unless that takes a request. Of directories only what decides
   * who may go where. False when the name has to be looked up again.
   */
  confirm(): boolean {
    return true
  }

  /**
   * Where others may change names: what was told of `name`, an entry of this directory, at the moment `toldAt` holds still.
   */
  keepsName(_name: string, _toldAt: number): boolean {
    return false
  }

  /** Find `name` in this directory. Returns the inode, or -ENOENT. */
  lookup(_name: string, _task: Task | null): Inode | number {
    return -ENOTDIR
  }
  /** Make a file of any type but directory and symlink; mode carries the type. S_IFREG is create. */
  mknod(_name: string, _mode: number, _rdev: number, _creds: Creds): Inode | number {
    return -EPERM
  }
  mkdir(_name: string, _mode: number, _creds: Creds): Inode | number {
    return -EPERM
  }
  symlink(_name: string, _target: string, _creds: Creds): Inode | number {
    return -EPERM
  }
  link(_name: string, _target: Inode): number {
    return -EPERM
  }
  unlink(_name: string, _victim: Inode): number {
    return -EPERM
  }
  /**
   * As `unlink`, without a lookup before it. `known` is what was last known of the name: null for none. Returns
   * LOOK_FIRST, with nothing done, when that is not possible, or no better.
   */
  unlinkUnseen(_name: string, _known: Inode | null): number {
    return LOOK_FIRST
  }
  /** Remove an empty directory; -ENOTEMPTY. */
  rmdir(_name: string, _victim: Inode): number {
    return this.isDir ? -EPERM : -ENOTEMPTY
  }
  /**
   * Rename within one file system: `inode` is what the name is of, `replaced` what the new name is of so far.
   * `flags`: RENAME_EXCHANGE, or where the file system `makesWhiteouts` RENAME_WHITEOUT, or 0.
   */
  rename(
    _name: string,
    _newDir: Inode,
    _newName: string,
    _flags: number,
    _inode: Inode,
    _replaced: Inode | null,
    _creds: Creds,
  ): number {
    return -EPERM
  }
  /** The target of a symlink, latin1. */
  readlink(_task: Task | null): string | number {
    return -EINVAL
  }
  /**
   * Magic links (/proc/PID/fd/N, /proc/PID/exe): the object itself rather than a path. Returns null for
   * ordinary symlinks.
   */
  magicLink(_task: Task): { dentry: Dentry; mount: Mount } | number | null {
    return null
  }
  /** Apply changes that the VFS has permitted; updates ctime. */
  setattr(_attr: SetAttr): number {
    return -EPERM
  }
  /** Unnamed regular file for O_TMPFILE. */
  tmpfile(_mode: number, _creds: Creds): Inode | number {
    return -EOPNOTSUPP
  }
  /** The lists are kept elsewhere, and `refreshAcls` has to be called before they count. */
  get remoteAcls(): boolean {
    return false
  }
  /** Bring `acl` and `defaultAcl` up to date. Returns 0 or -errno. */
  refreshAcls(): number {
    return 0
  }
  /** Whether the file may have access control lists. */
  get takesAcl(): boolean {
    return false
  }
  /** Set or remove an access control list that the VFS has permitted. A mode goes with an access list. */
  setAcl(_isDefault: boolean, _acl: Acl | null, _mode: number): number {
    return -EOPNOTSUPP
  }
  /** Change `attributes`, as the VFS has permitted. */
  setAttributes(_attributes: number): number {
    return -ENOTTY
  }
  /** The FS_*_FL that `setAttributes` knows; 0 where there are none. */
  get knownAttributes(): number {
    return 0
  }
  getxattr(_name: string): Uint8Array | number {
    return this.sb.type === 'proc' ? -EOPNOTSUPP : -ENODATA
  }
  setxattr(_name: string, _value: Uint8Array, _flags: number): number {
    return -EOPNOTSUPP
  }
  removexattr(_name: string): number {
    return -EOPNOTSUPP
  }
  listxattr(): string[] | number {
    return []
  }
  /** The operations of a new open file. Access has been checked. O_TRUNC is done by the VFS through setattr. */
  open(_task: Task, _flags: number): FileOps | number {
    return this.isDir ? -EISDIR : -ENOENT
  }
  /** List the directory from position `pos` (0: start; "." and ".." included). Returns 0 or -errno. */
  readdir(_file: File, _pos: number, _sink: DirSink, _dentry: Dentry): number {
    return -ENOTDIR
  }
  /**
   * A walk is about to look up the components of `path` from `at` on, below this directory. A remote file
   * system may resolve several at once: it returns the inodes of the first ones (null: there is no such
   * name; nothing follows), or null when it does not care to. `intent` is 0 or LOOKUP_OPEN.
   */
  lookupChain(_path: string, _at: number, _intent: number): readonly (Inode | null)[] | null {
    return null
  }
  /**
   * An open file or a mount refers to this inode, and nothing did before.
   */
  pinned(): void {}
  /** Making a name in this directory fails with -EEXIST when it exists, and saves a lookup before. */
  get createsUnseen(): boolean {
    return false
  }
  /**
   * The next operation on this directory is to be done only if `path`, the names that led here, still leads here, and what
   * decided on permissions is still so; else it has the result -ESTALE. False when that is not possible.
   */
  guardNext(_path: readonly Dentry[]): boolean {
    return false
  }
  /** A directory that never has entries. */
  get alwaysEmpty(): boolean {
    return false
  }
  /** Mounting this would make a mount namespace hold itself. */
  bindLoops(_task: Task): boolean {
    return false
  }
  /**
   * No cached dentry and no open file refers to this inode any more: release what only they needed. When
   * the inode still has a name (`nlink` > 0), it may be looked up again.
   */
  evict(): void {}
}
