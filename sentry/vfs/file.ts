// Open files: struct file and file_operations. File systems, pipes, sockets and the anonymous files derive
// from FileOps; the defaults give Linux's errors for an absent operation.

import type { HostFd } from '../../native/index.ts'
import {
  EBADF,
  EINVAL,
  EISDIR,
  ENODEV,
  ENOTTY,
  ESPIPE,
  ETXTBSY,
} from '../../syscall-table/errno.ts'
import {
  O_ACCMODE,
  O_APPEND,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
} from '../../syscall-table/flags.ts'
import type { Creds } from '../kernel/creds.ts'
import type { Pid } from '../kernel/pid-namespace.ts'
import type { Task } from '../kernel/task.ts'
import type { WaitQueue } from '../kernel/wait-queue.ts'
import type { Io } from '../mm/io.ts'
import type { Dentry } from './dentry.ts'
import type { Inode } from './inode.ts'
import type { Mount } from './mount.ts'
import { releaseMount } from './mount-copy.ts'
import { notifyClosed, notifyUnused } from './notify.ts'

/** Where a mapping of a file gets its pages: a host file that the platform maps into the program. */
export interface MapSource {
  /** Lent by the file: valid as long as the file is open. */
  hostFd: HostFd
  /** Added to the program's file offset. */
  offset: number
}

/**
 * What an open file can do. Positions are bytes; results are counts or -errno. -EAGAIN means "would block":
 * the caller (`orBlock`) turns it into waiting on `queue`.
 */
export abstract class FileOps {
  /** Waited on by read, write, poll and epoll. Files that never block share none: poll says always ready. */
  queue: WaitQueue | null = null
  /** read(2) and write(2) use and advance `file.pos` by themselves; false for pipes and sockets. */
  seekable = false
  /** Has splice_read and splice_write. */
  spliceable = true
  /** Has splice_read: splice(2) and sendfile(2) may take from it. */
  spliceSource = true

  /** Read at `pos` (ignored when not seekable). */
  read(_file: File, _io: Io, _pos: number, _task: Task): number {
    return -EINVAL
  }
  /** Write at `pos`. O_APPEND is resolved by the caller (`appendPosition`). */
  write(_file: File, _io: Io, _pos: number, _task: Task): number {
    return -EINVAL
  }
  /** lseek(2); returns the new position. */
  seek(_file: File, _offset: number, _whence: number): number {
    return -ESPIPE
  }
  /** Ready events out of POLL*; POLLERR and POLLHUP are always reported. */
  poll(_file: File): number {
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM
  }
  /** `arg` is the raw third argument. */
  ioctl(_file: File, _task: Task, _request: number, _arg: number): number {
    return -ENOTTY
  }
  /** A source for mmap(2), or -ENODEV. `shared` with `writable` needs a source that takes writes. */
  map(
    _file: File,
    _offset: number,
    _length: number,
    _shared: boolean,
    _writable: boolean,
  ): MapSource | number {
    return -ENODEV
  }
  fsync(_file: File, _dataOnly: boolean): number {
    return -EINVAL
  }
  fallocate(_file: File, _mode: number, _offset: number, _length: number, _task: Task): number {
    return -ENODEV
  }
  /** O_APPEND/O_NONBLOCK/O_DIRECT changed through F_SETFL; may refuse. */
  setFlags(_file: File, _flags: number): number {
    return 0
  }
  /** Each close(2) of a descriptor of this file. */
  flush(_file: File, _task: Task): number {
    return 0
  }
  /** The last reference is gone. */
  release(_file: File): void {}
  /** Lines for /proc/PID/fdinfo/N after pos, flags and mnt_id. */
  fdinfo(_file: File, _reader: Task): string {
    return ''
  }
}

/** Operations of an O_PATH descriptor: every use but fstat, *at and dup is EBADF. */
export class PathOnlyOps extends FileOps {
  override read(): number {
    return -EBADF
  }
  override write(): number {
    return -EBADF
  }
  override ioctl(): number {
    return -EBADF
  }
  override map(): number {
    return -EBADF
  }
  override seek(): number {
    return -EBADF
  }
}

/** Operations of an open directory. */
export class DirectoryOps extends FileOps {
  override seekable = true
  override spliceable = false
  override read(): number {
    return -EISDIR
  }
  override write(): number {
    return -EBADF
  }
  override fsync(): number {
    return 0
  }
  override seek(file: File, offset: number, whence: number): number {
    const base = whence === 1 ? file.pos : 0
    if (whence > 1 || base + offset < 0) return -EINVAL
    file.pos = base + offset
    return file.pos
  }
}

/** Told when the last reference to an open file goes: epoll forgets it then. */
export interface FileWatcher {
  onFileReleased(file: File): void
  /** The next watcher of the same file. */
  nextWatcher: FileWatcher | null
}

/** An open file description, shared by the descriptors that dup, fork and SCM_RIGHTS make. */
export class File {
  readonly ops: FileOps
  readonly inode: Inode
  readonly dentry: Dentry
  readonly mount: Mount
  /** O_* without creation flags. */
  flags: number
  pos = 0
  /** F_SETOWN, F_SETSIG. */
  owner: Pid | null = null
  /** Of who has set the owner. */
  ownerCreds: Creds | null = null
  ownerType = 0
  signal = 0
  /** This open made the file: F_CREATED_QUERY. */
  created = false
  /** Those to tell of the end of this file. */
  watchers: FileWatcher | null = null
  /** Bytes of read-ahead and such are the file system's business. */
  data: unknown = null
  #refs = 1
  #executed = false

  constructor(ops: FileOps, inode: Inode, dentry: Dentry, mount: Mount, flags: number) {
    this.ops = ops
    this.inode = inode
    this.dentry = dentry
    this.mount = mount
    this.flags = flags
    dentry.opens++
    mount.opens++
    if (inode.pins++ === 0) inode.pinned()
    if (this.writable) {
      inode.writers++
      if (inode.isRegular) mount.writers++
    } else if (this.readable) inode.readers++
  }

  /** A program runs from this file: nobody may write to it until the last reference goes. -ETXTBSY while somebody may. */
  denyWrites(): number {
    if (this.inode.writers > 0) return -ETXTBSY
    if (!this.#executed) this.inode.executions++
    this.#executed = true
    return 0
  }

  get readable(): boolean {
    const mode = this.flags & O_ACCMODE
    return (mode === O_RDONLY || mode === O_RDWR) && (this.flags & O_PATH) === 0
  }
  get writable(): boolean {
    const mode = this.flags & O_ACCMODE
    return (mode === O_WRONLY || mode === O_RDWR) && (this.flags & O_PATH) === 0
  }
  get nonblocking(): boolean {
    return (this.flags & O_NONBLOCK) !== 0
  }
  get append(): boolean {
    return (this.flags & O_APPEND) !== 0
  }

  ref(): this {
    this.#refs++
    return this
  }

  unref(): void {
    if (--this.#refs > 0) return
    for (let w = this.watchers; w !== null; w = this.watchers) {
      this.watchers = w.nextWatcher
      w.onFileReleased(this)
    }
    notifyClosed(this)
    const { inode } = this
    if (inode.locks !== null) inode.locks.releaseFile(this)
    this.ops.release(this)
    if (this.writable) {
      inode.writers--
      if (inode.isRegular) this.mount.writers--
    } else if (this.readable) inode.readers--
    if (this.#executed) inode.executions--
    this.dentry.opens--
    if (--this.mount.opens === 0 && this.mount.abandoned) releaseMount(this.mount)
    if (--inode.pins === 0) inode.evict()
    else if (inode.watches !== null) notifyUnused(inode)
  }

  get refs(): number {
    return this.#refs
  }
}
