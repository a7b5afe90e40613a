// Regular files behind the gofer. The gofer donates host descriptors, one for reading and one for both, that all
// open files of the inode share; reads, writes and mappings never pass the gofer.

import { FileAttr, readStat } from '../../../gofer/protocol.ts'
import {
  fallocate,
  fdatasync,
  fsync,
  ftruncate,
  type HostFd,
  lseek,
  STAT_BLOCKS,
  STAT_CTIME,
  STAT_CTIME_NSEC,
  STAT_MTIME,
  STAT_MTIME_NSEC,
  STAT_RECORD_SIZE,
  STAT_SIZE,
  statFd,
} from '../../../native/index.ts'
import { EFBIG, EINVAL, ENFILE, ENXIO } from '../../../syscall-table/errno.ts'
import { O_ACCMODE, O_RDONLY, O_RDWR, SEEK_DATA, SEEK_HOLE } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import type { Io } from '../../mm/io.ts'
import { type File, FileOps, type MapSource } from '../../vfs/file.ts'
import type { SetAttr } from '../../vfs/inode.ts'
import { MAX_FILE_SIZE, readHost, seekRegular, writeHost } from '../tmpfs/regular.ts'
import { closeFd } from './connection.ts'
import { BRING_FD, GoferInode } from './inode.ts'

const attr = new FileAttr()
const record = new Uint8Array(STAT_RECORD_SIZE)
const view = new DataView(record.buffer)
const u64 = (at: number): number =>
  view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
const i64 = (at: number): number => view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)

export class GoferFile extends GoferInode {
  readFd: HostFd = -1
  /** For reading and writing. */
  writeFd: HostFd = -1
  /** Open files. */
  users = 0
  /** Written since the attributes were last asked for; the host knows size and times. */
  dirty = false
  /** Mapped shared and writable: contents and times change without a call. */
  mapped = false
  readonly #ops = new GoferFileOps(this)

  override open(_task: Task, flags: number): FileOps | number {
    const mode = flags & O_ACCMODE
    const fd = mode === O_RDONLY ? this.readableFd() : this.writableFd()
    if (fd < 0) return fd
    if (this.users++ === 0) this.sb.connection.fdsBusy(this)
    return this.#ops
  }

  /** Any descriptor that can be read from. */
  readableFd(): HostFd {
    if (this.readFd >= 0) return this.readFd
    return this.writeFd >= 0 ? this.writeFd : this.readOnlyFd()
  }

  /** A descriptor that can only be read from: for mappings, which hand it to the program. */
  readOnlyFd(): HostFd {
    if (this.readFd < 0) {
      const fd = this.#open(O_RDONLY)
      if (fd < 0) return fd
      this.readFd = fd
    }
    return this.readFd
  }

  writableFd(): HostFd {
    if (this.writeFd < 0) {
      const fd = this.#open(O_RDWR)
      if (fd < 0) return fd
      this.writeFd = fd
    }
    return this.writeFd
  }

  #open(mode: number): HostFd {
    if (this.handle === 0 && mode === O_RDONLY) {
      const ahead = this.#openedAhead()
      if (ahead >= 0) return ahead
      const n = this.walkHere(BRING_FD)
      const { fd } = this.sb.connection.walkResult
      if (n < 0 || fd >= 0) return n < 0 ? n : fd
    }
    const handle = this.needHandle()
    if (handle < 0) return handle
    const { connection } = this.sb
    const fd = connection.client.open(handle, mode)
    return fd === -ENFILE && connection.closeIdle() ? connection.client.open(handle, mode) : fd
  }

  /** A descriptor for reading that came along with those of other files, or -1. */
  #openedAhead(): HostFd {
    const fd = this.dir?.openedAhead(this.name) ?? -1
    if (fd < 0 || this.sb.cacheable) return fd
    // Others may have put another file there.
    if (statFd(fd, record, 0) < 0) return closeFd(fd)
    readStat(view, 0, attr)
    if (!this.sb.isOf(this, attr)) return closeFd(fd)
    this.update(attr)
    return fd
  }

  override confirm(): boolean {
    if (this.openFd() < 0) {
      const fd = this.#openedAhead()
      if (fd < 0) return this.isFresh()
      this.adoptReadFd(fd)
    }
    return this.refresh() === 0 && this.nlink > 0
  }

  /** A walk has brought a descriptor for reading along. */
  adoptReadFd(fd: HostFd): void {
    if (this.readFd >= 0) {
      closeFd(fd)
      return
    }
    this.readFd = fd
    if (this.users === 0) this.sb.connection.fdsIdle(this)
  }

  /** `create` has brought a descriptor along, or could not: then opening will say why. */
  adoptFd(fd: HostFd): void {
    if (fd < 0) return
    this.writeFd = fd
    this.sb.connection.fdsIdle(this)
  }

  fileClosed(): void {
    if (--this.users === 0) this.sb.connection.fdsIdle(this)
  }

  closeFds(): void {
    if (this.dirty) this.refresh()
    this.readFd = closeFd(this.readFd)
    this.writeFd = closeFd(this.writeFd)
  }

  override openFd(): HostFd {
    return this.writeFd >= 0 ? this.writeFd : this.readFd
  }

  override refreshIfCheap(): void {
    if (this.openFd() >= 0) this.refresh()
  }

  /** The host is asked where it knows better: for what was written, and for what others may write. */
  override refresh(): number {
    if (!this.dirty && !this.mapped && this.isFresh()) return 0
    const fd = this.openFd()
    if (fd < 0) return super.refresh()
    const n = statFd(fd, record, 0)
    if (n < 0) return n
    this.dirty = false
    if (!this.sb.cacheable) {
      readStat(view, 0, attr)
      this.update(attr)
      return 0
    }
    this.size = u64(STAT_SIZE)
    this.blocks = u64(STAT_BLOCKS)
    this.mtimeSec = i64(STAT_MTIME)
    this.mtimeNsec = view.getUint32(STAT_MTIME_NSEC, true)
    this.ctimeSec = i64(STAT_CTIME)
    this.ctimeNsec = view.getUint32(STAT_CTIME_NSEC, true)
    return 0
  }

  /** A plain truncation of an open file needs no message. */
  override setattr(attr: SetAttr): number {
    const { size } = attr
    if (size === undefined || this.writeFd < 0 || attr.mode !== undefined) {
      const n = super.setattr(attr)
      if (n === 0) this.dirty = false
      return n
    }
    const n = ftruncate(this.writeFd, size)
    if (n < 0) return n
    this.size = size
    this.dirty = true
    this.version++
    return 0
  }

  override evict(): void {
    this.sb.connection.fdsBusy(this)
    this.dirty = false
    this.closeFds()
    super.evict()
  }
}

/** Operations of all open files of one inode. */
class GoferFileOps extends FileOps {
  override seekable = true
  readonly inode: GoferFile
  readonly #source: MapSource = { hostFd: -1, offset: 0 }

  constructor(inode: GoferFile) {
    super()
    this.inode = inode
  }

  override read(_file: File, io: Io, pos: number, task: Task): number {
    if (pos >= MAX_FILE_SIZE) return 0
    return readHost(this.inode.readableFd(), io, pos, io.remaining, task.kernel.bounce)
  }

  override write(_file: File, io: Io, pos: number, task: Task): number {
    const { inode } = this
    const length = Math.min(io.remaining, MAX_FILE_SIZE - pos)
    if (length <= 0) return io.remaining === 0 ? 0 : -EFBIG
    const n = writeHost(inode.writeFd, io, pos, length, task.kernel.bounce)
    if (n <= 0) return n
    if (pos + n > inode.size) inode.size = pos + n
    inode.dirty = true
    inode.version++
    return n
  }

  override seek(file: File, offset: number, whence: number): number {
    const { inode } = this
    if (inode.mapped || !inode.sb.cacheable) inode.refresh()
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE)
      return seekRegular(file, offset, whence, inode.size)
    if (offset < 0) return -ENXIO
    const pos = lseek(inode.readableFd(), offset, whence)
    if (pos >= 0) file.pos = pos
    return pos
  }

  override map(
    _file: File,
    _offset: number,
    _length: number,
    shared: boolean,
    writable: boolean,
  ): MapSource | number {
    const { inode } = this
    const fd = shared && writable ? inode.writableFd() : inode.readOnlyFd()
    if (fd < 0) return fd
    if (shared && writable) inode.mapped = true
    this.#source.hostFd = fd
    return this.#source
  }

  override fsync(_file: File, dataOnly: boolean): number {
    const fd = this.inode.openFd()
    if (fd < 0) return -EINVAL
    return dataOnly ? fdatasync(fd) : fsync(fd)
  }

  override fallocate(_file: File, mode: number, offset: number, length: number): number {
    const { inode } = this
    const n = fallocate(inode.writeFd, mode, offset, length)
    inode.dirty = true
    if (n === 0) inode.refresh()
    return n
  }

  override release(_file: File): void {
    this.inode.fileClosed()
  }
}
