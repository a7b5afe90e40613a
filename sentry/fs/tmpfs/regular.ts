// Regular files in memory. A small file is an array in the kernel: creating and writing it costs no host
// call. It moves to a memfd when it grows or is mapped, and stays there.

import {
  close,
  fallocate,
  ftruncate,
  lseek,
  pread,
  pwrite,
  STAT_BLOCKS,
  STAT_RECORD_SIZE,
  statFd,
} from '../../../native/index.ts'
import {
  EBUSY,
  EFBIG,
  EINVAL,
  EIO,
  ENOMEM,
  ENOSPC,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
} from '../../../syscall-table/errno.ts'
import {
  F_SEAL_EXEC,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  O_ACCMODE,
  O_RDONLY,
  PAGE_SIZE,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  SEEK_SET,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import type { Io } from '../../mm/io.ts'
import { type File, FileOps, type MapSource } from '../../vfs/file.ts'
import type { SetAttr } from '../../vfs/inode.ts'
import { touchModified } from '../../vfs/super.ts'
import { MemoryInode, type MemorySuperBlock } from './tmpfs.ts'

/** A file above this size lives in a memfd. */
export const SMALL_FILE_MAX = 64 * 1024
/** Bytes that fallocate(2) makes before others have their turn. */
const ALLOCATED_AT_ONCE = 16 << 20
/** Largest file: offsets are exact doubles. */
export const MAX_FILE_SIZE = Number.MAX_SAFE_INTEGER
const WRITE_SEALS = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE
const KNOWN_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | WRITE_SEALS | F_SEAL_EXEC
const EXEC_BITS = 0o111

const EMPTY = new Uint8Array(0)
const statRecord = new Uint8Array(STAT_RECORD_SIZE)
const statView = new DataView(statRecord.buffer)

export class MemoryFile extends MemoryInode {
  /** Contents of a small file, with zeroes behind `size`. Unused once `hostFd` is there. */
  data: Uint8Array = EMPTY
  /** The memfd, or -1. */
  hostFd = -1
  /** Pages that the superblock has accounted for this file: at least those that exist. */
  charged = 0
  /** F_SEAL_* */
  seals = F_SEAL_SEAL
  /** Has been mapped shared and writable. */
  readonly ops: MemoryFileOps
  /** The memfd once more, opened for reading only; made when it is first mapped so. */
  #readOnlyFd = -1
  readonly #mapSource: MapSource = { hostFd: -1, offset: 0 }

  constructor(sb: MemorySuperBlock, ino: number, mode: number) {
    super(sb, ino, mode)
    this.ops = this.makeOps()
  }

  makeOps(): MemoryFileOps {
    return new MemoryFileOps(this)
  }

  override open(_task: Task, _flags: number): FileOps | number {
    return this.ops
  }

  override refresh(): number {
    if (this.hostFd >= 0 && statFd(this.hostFd, statRecord, 0) === 0) {
      this.blocks =
        statView.getUint32(STAT_BLOCKS, true) + statView.getUint32(STAT_BLOCKS + 4, true) * 2 ** 32
      this.#recharge(Math.ceil(this.blocks / 8))
    } else this.blocks = this.charged * 8
    return 0
  }

  override resize(size: number): number {
    if (size > MAX_FILE_SIZE) return -EFBIG
    if (size < this.size && (this.seals & F_SEAL_SHRINK) !== 0) return -EPERM
    if (size > this.size && (this.seals & F_SEAL_GROW) !== 0) return -EPERM
    if (size === this.size) {
      touchModified(this.sb.kernel, this)
      return 0
    }
    const error =
      this.hostFd < 0 && size <= SMALL_FILE_MAX ? this.#resizeSmall(size) : this.#resizeHost(size)
    if (error < 0) return error
    if (size < this.size) this.#recharge(Math.min(this.charged, Math.ceil(size / PAGE_SIZE)))
    this.size = size
    touchModified(this.sb.kernel, this)
    return 0
  }

  #resizeSmall(size: number): number {
    if (size < this.size) {
      if (size === 0) this.data = EMPTY
      else this.data.fill(0, size, Math.min(this.size, this.data.length))
      return 0
    }
    const error = this.chargeFor(0, size)
    if (error < 0) return error
    this.reserve(size)
    return 0
  }

  #resizeHost(size: number): number {
    const error = this.spill()
    return error < 0 ? error : ftruncate(this.hostFd, size)
  }

  /** Make room for `size` bytes in the array. */
  reserve(size: number): void {
    if (size <= this.data.length) return
    const grown = new Uint8Array(
      Math.min(SMALL_FILE_MAX, Math.max(size, 2 * this.data.length, 256)),
    )
    grown.set(this.data)
    this.data = grown
  }

  /** Move the contents to a memfd. Returns 0 or -errno. */
  spill(): number {
    if (this.hostFd >= 0) return 0
    const fd = this.sb.newStore()
    if (fd < 0) return -ENOSPC
    const used = Math.min(this.size, this.data.length)
    if (used > 0 && pwrite(fd, this.data, 0, used, 0) !== used) {
      close(fd)
      return -ENOSPC
    }
    if (used < this.size) ftruncate(fd, this.size)
    this.hostFd = fd
    this.data = EMPTY
    return 0
  }

  /**
   * Account for pages that a write to [pos, end) may bring into existence. Rewritten pages may be counted
   * twice, but never more pages than the file has; before a write is refused, the count is made exact.
   *
   * DIFFERS: pages that a mapping brings into existence are counted when the file is next looked at, so that a mapping
   * may go beyond `size`, where Linux sends SIGBUS.
   */
  chargeFor(pos: number, end: number): number {
    const touched = Math.ceil(end / PAGE_SIZE) - Math.floor(pos / PAGE_SIZE)
    const most = Math.ceil(Math.max(end, this.size) / PAGE_SIZE)
    let more = Math.min(touched, most - this.charged)
    if (more <= 0) return 0
    if (this.sb.charge(more) < 0) {
      this.refresh()
      more = Math.max(0, Math.min(touched, most - this.charged))
      if (this.sb.charge(more) < 0) return -ENOSPC
    }
    this.charged += more
    return 0
  }

  /** Where a write from `pos` on must end for want of pages, if the file has no holes. */
  roomEnd(pos: number): number {
    const free = Math.max(0, this.sb.pageLimit - this.sb.pagesUsed)
    const first = Math.max(Math.ceil(this.size / PAGE_SIZE), Math.floor(pos / PAGE_SIZE))
    return (first + free) * PAGE_SIZE
  }

  #recharge(pages: number): void {
    this.sb.charge(Math.min(0, pages - this.charged))
    if (pages > this.charged) this.sb.pagesUsed += pages - this.charged
    this.charged = pages
  }

  override free(): void {
    if (this.hostFd >= 0) close(this.hostFd)
    if (this.#readOnlyFd >= 0) close(this.#readOnlyFd)
    this.hostFd = this.#readOnlyFd = -1
    this.data = EMPTY
    this.#recharge(0)
    super.free()
  }

  /**
   * What is handed to the platform for a mapping. The program's own process holds that descriptor for a moment, so
   * it must not be able to write by it what the program may not write.
   */
  mapSource(writesThrough: boolean): MapSource | number {
    const source = this.#mapSource
    source.hostFd = this.hostFd
    const { reopenReadOnly } = this.sb.kernel
    if (writesThrough || reopenReadOnly === null) return source
    if (this.#readOnlyFd < 0) this.#readOnlyFd = reopenReadOnly(this.hostFd)
    if (this.#readOnlyFd < 0) return -ENOMEM
    source.hostFd = this.#readOnlyFd
    return source
  }

  override get writeSealed(): boolean {
    return (this.seals & WRITE_SEALS) !== 0
  }

  override setattr(attr: SetAttr): number {
    const { mode } = attr
    if (mode !== undefined && (this.seals & F_SEAL_EXEC) !== 0) {
      if (((mode ^ this.mode) & EXEC_BITS) !== 0) return -EPERM
    }
    return super.setattr(attr)
  }

  /** fcntl(F_ADD_SEALS): memfd_add_seals. `mapped`: somebody could write through a shared mapping. */
  addSeals(wanted: number, mapped: () => boolean): number {
    if ((wanted & ~KNOWN_SEALS) !== 0) return -EINVAL
    if ((this.seals & F_SEAL_SEAL) !== 0) return -EPERM
    if ((wanted & ~this.seals & F_SEAL_WRITE) !== 0 && mapped()) return -EBUSY
    let seals = wanted
    // A program that can be executed must not change either.
    if ((seals & F_SEAL_EXEC) !== 0 && (this.mode & EXEC_BITS) !== 0)
      seals |= F_SEAL_SHRINK | F_SEAL_GROW | WRITE_SEALS
    this.seals |= seals
    return 0
  }
}

/** Operations of an open MemoryFile; one object per inode, since positions are in the File. */
export class MemoryFileOps extends FileOps {
  override seekable = true
  readonly inode: MemoryFile

  constructor(inode: MemoryFile) {
    super()
    this.inode = inode
  }

  override read(_file: File, io: Io, pos: number, task: Task): number {
    const { inode } = this
    const left = inode.size - pos
    if (left <= 0) return 0
    if (inode.hostFd < 0) return io.put(inode.data, pos, Math.min(left, io.remaining))
    return readHost(inode.hostFd, io, pos, Math.min(left, io.remaining), task.kernel.bounce)
  }

  override write(_file: File, io: Io, pos: number, task: Task): number {
    const { inode } = this
    let length = Math.min(io.remaining, MAX_FILE_SIZE - pos)
    if (length <= 0) return io.remaining === 0 ? 0 : -EFBIG
    let end = pos + length
    if (inode.seals > F_SEAL_SEAL) {
      if ((inode.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) return -EPERM
      if (end > inode.size && (inode.seals & F_SEAL_GROW) !== 0) return -EPERM
    }
    if (inode.chargeFor(pos, end) < 0) {
      // As much as there is room for.
      end = Math.min(end, inode.roomEnd(pos))
      length = end - pos
      if (length <= 0 || inode.chargeFor(pos, end) < 0) return -ENOSPC
    }
    const n = this.#store(io, pos, length, task)
    if (n <= 0) return n
    if (pos + n > inode.size) inode.size = pos + n
    touchModified(task.kernel, inode)
    return n
  }

  #store(io: Io, pos: number, length: number, task: Task): number {
    const { inode } = this
    if (inode.hostFd < 0 && pos + length <= SMALL_FILE_MAX) {
      inode.reserve(pos + length)
      const n = io.take(inode.data, pos, length)
      // A fault in the middle may have left bytes behind the end.
      if (n < length) inode.data.fill(0, Math.max(inode.size, pos + Math.max(n, 0)), pos + length)
      return n
    }
    const error = inode.spill()
    return error < 0 ? error : writeHost(inode.hostFd, io, pos, length, task.kernel.bounce)
  }

  override seek(file: File, offset: number, whence: number): number {
    const { inode } = this
    if ((whence === SEEK_DATA || whence === SEEK_HOLE) && inode.hostFd >= 0) {
      if (offset < 0 || offset >= inode.size) return -ENXIO
      const pos = lseek(inode.hostFd, offset, whence)
      if (pos >= 0) file.pos = pos
      return pos
    }
    return seekRegular(file, offset, whence, inode.size)
  }

  override map(
    _file: File,
    _offset: number,
    _length: number,
    shared: boolean,
    writable: boolean,
  ): MapSource | number {
    const { inode } = this
    if (shared && writable && (inode.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0)
      return -EPERM
    const error = inode.spill()
    if (error < 0) return -ENOMEM
    return inode.mapSource(shared && writable)
  }

  override fsync(): number {
    return 0
  }

  override fallocate(
    _file: File,
    mode: number,
    offset: number,
    length: number,
    task: Task,
  ): number {
    const { inode } = this
    const known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
    if ((mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_ZERO_RANGE)) !== 0)
      return -EOPNOTSUPP
    if ((mode & ~known) !== 0) return -EOPNOTSUPP
    const end = offset + length
    const punching = (mode & FALLOC_FL_PUNCH_HOLE) !== 0
    if (punching && (inode.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) return -EPERM
    if (!punching && end > inode.size && (inode.seals & F_SEAL_GROW) !== 0) return -EPERM
    if (end > MAX_FILE_SIZE) return -EFBIG
    const { done } = task.restart
    const error = punching || done > 0 ? 0 : inode.chargeFor(offset, end)
    if (error < 0) return error
    if (inode.spill() < 0) return -ENOSPC
    // The host clears each page.
    const piece = punching ? length : Math.min(length - done, ALLOCATED_AT_ONCE)
    const n = fallocate(inode.hostFd, mode, offset + done, piece)
    if (n < 0) return n
    if (done + piece < length) {
      task.restart.done = done + piece
      return task.giveTurn()
    }
    if ((mode & FALLOC_FL_KEEP_SIZE) === 0 && end > inode.size) inode.size = end
    touchModified(inode.sb.kernel, inode)
    return 0
  }

  get canSeal(): boolean {
    return true
  }
}

/** lseek(2) on a file whose data is without holes. */
export function seekRegular(file: File, offset: number, whence: number, size: number): number {
  let pos: number
  if (whence === SEEK_SET) pos = offset
  else if (whence === SEEK_CUR) pos = file.pos + offset
  else if (whence === SEEK_END) pos = size + offset
  else if (whence === SEEK_DATA || whence === SEEK_HOLE) {
    if (offset < 0 || offset >= size) return -ENXIO
    pos = whence === SEEK_DATA ? offset : size
  } else return -EINVAL
  if (pos < 0 || pos > MAX_FILE_SIZE) return -EINVAL
  file.pos = pos
  return pos
}

/** Read `length` bytes of a host file at `pos` through the kernel's buffer. */
export function readHost(
  fd: number,
  io: Io,
  pos: number,
  length: number,
  bounce: Uint8Array,
): number {
  let done = 0
  while (done < length) {
    const want = Math.min(length - done, bounce.length)
    const n = pread(fd, bounce, 0, want, pos + done)
    if (n <= 0) return done > 0 ? done : n
    const put = io.put(bounce, 0, n)
    if (put < 0) return done > 0 ? done : put
    done += put
    if (put < want) break
  }
  return done
}

/** Write `length` bytes to a host file at `pos` through the kernel's buffer. */
export function writeHost(
  fd: number,
  io: Io,
  pos: number,
  length: number,
  bounce: Uint8Array,
): number {
  let done = 0
  while (done < length) {
    const taken = io.take(bounce, 0, Math.min(length - done, bounce.length))
    if (taken <= 0) return done > 0 ? done : taken
    const n = pwrite(fd, bounce, 0, taken, pos + done)
    if (n < 0) return done > 0 ? done : n
    if (n === 0) return done > 0 ? done : -EIO
    done += n
    if (n < taken || taken < Math.min(length - done + taken, bounce.length)) break
  }
  return done
}

/** Whether a file was opened for reading only. */
export function readOnly(flags: number): boolean {
  return (flags & O_ACCMODE) === O_RDONLY
}
