// Regular files of an overlay: read from the lower layer until the first write, which copies the whole file up.

import { close, ftruncate, pwrite } from '../../../native/index.ts'
import { EFBIG, EIO, ENXIO } from '../../../syscall-table/errno.ts'
import { O_ACCMODE, O_LARGEFILE, O_RDONLY, SEEK_DATA } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { type Io, KernelIo } from '../../mm/io.ts'
import { type Acl, adoptAcls } from '../../vfs/acl.ts'
import type { File, FileOps, MapSource } from '../../vfs/file.ts'
import type { Inode, SetAttr } from '../../vfs/inode.ts'
import { MemoryFile, MemoryFileOps, SMALL_FILE_MAX, seekRegular } from '../tmpfs/regular.ts'
import { lowerFile } from './lower-file.ts'
import type { OverlaySuperBlock } from './overlay.ts'

const copyBuffer = new Uint8Array(1 << 16)
const copyIo = new KernelIo(copyBuffer)

export class OverlayFile extends MemoryFile {
  /** Where this file came from; its key as long as it exists. */
  readonly lower: Inode
  /** The lower file's contents are still this file's. */
  below = true
  /** The lower file while it is open here, with one reference for all. */
  lowerFile: File | null = null
  /** Open files; while there are any, `lowerFile` stays open for those that mapped it. */
  users = 0

  constructor(sb: OverlaySuperBlock, ino: number, mode: number, lower: Inode) {
    super(sb, ino, mode)
    this.lower = lower
  }

  override makeOps(): MemoryFileOps {
    return new OverlayFileOps(this)
  }

  override open(task: Task, flags: number): FileOps | number {
    const n = (flags & O_ACCMODE) === O_RDONLY ? this.needLower(task) : this.#keep()
    if (n < 0) return n
    this.users++
    return this.ops
  }

  #keep(): number {
    return (this.sb as OverlaySuperBlock).keep(this, this.lower)
  }

  /** Have the lower file open, if its contents are what is to be read. */
  needLower(task: Task): number {
    if (!this.below || this.lowerFile !== null) return 0
    const ops = this.lower.open(task, O_RDONLY)
    if (typeof ops === 'number') return ops
    this.lowerFile = lowerFile(ops, this.lower, O_RDONLY | O_LARGEFILE)
    return 0
  }

  /** Copy the first `length` bytes of the contents up; the rest is dropped. Returns 0 or -errno. */
  copyUp(task: Task, length: number): number {
    if (!this.below) return 0
    const wanted = Math.min(length, this.size)
    const error = this.#keep() || (wanted > 0 ? this.needLower(task) : 0)
    if (error < 0) return error
    const n =
      wanted <= SMALL_FILE_MAX ? this.#copySmall(task, wanted) : this.#copyLarge(task, wanted)
    if (n < 0) {
      this.#dropCopy()
      return n
    }
    this.below = false
    // Less than expected when someone has shortened the lower file behind our back.
    this.size = n
    return 0
  }

  #copySmall(task: Task, length: number): number {
    const error = this.chargeFor(0, length)
    if (error < 0) return error
    this.reserve(length)
    let done = 0
    while (done < length) {
      const n = this.#readLower(task, done, Math.min(length - done, copyBuffer.length))
      if (n < 0) return n
      if (n === 0) break
      this.data.set(copyBuffer.subarray(0, n), done)
      done += n
    }
    return done
  }

  /** Holes are left out: they cost memory neither below nor here. */
  #copyLarge(task: Task, length: number): number {
    const error = this.#emptyMemfd()
    if (error < 0) return error
    let done = 0
    while (done < length) {
      const data = this.#nextData(done)
      if (data === -ENXIO || data >= length) {
        done = length
        break
      }
      if (data < 0) return data
      const n = this.#readLower(task, data, Math.min(length - data, copyBuffer.length))
      if (n < 0) return n
      if (n === 0) break
      const charged = this.chargeFor(data, data + n)
      if (charged < 0) return charged
      const put = pwrite(this.hostFd, copyBuffer, 0, n, data)
      if (put < n) return put < 0 ? put : -EIO
      done = data + n
    }
    const cut = ftruncate(this.hostFd, done)
    return cut < 0 ? cut : done
  }

  #emptyMemfd(): number {
    const { size } = this
    this.size = 0
    const error = this.spill()
    this.size = size
    return error
  }

  /** Where data of the lower file starts, from `pos` on; -ENXIO when only a hole follows. */
  #nextData(pos: number): number {
    const file = this.lowerFile!
    const data = file.ops.seek(file, pos, SEEK_DATA)
    // Not every file system can tell.
    return data >= pos || data === -ENXIO ? data : pos
  }

  /** A copy that failed half way must not shine through later. */
  #dropCopy(): void {
    if (this.hostFd >= 0) close(this.hostFd)
    this.hostFd = -1
    this.data = new Uint8Array(0)
    this.sb.charge(-this.charged)
    this.charged = 0
  }

  #readLower(task: Task, pos: number, length: number): number {
    return this.lowerFile!.ops.read(this.lowerFile!, copyIo.reset(copyBuffer, 0, length), pos, task)
  }

  fileClosed(): void {
    if (--this.users > 0 || this.lowerFile === null) return
    this.lowerFile.unref()
    this.lowerFile = null
  }

  override refresh(): number {
    return this.below ? 0 : super.refresh()
  }

  /** O_TRUNC and truncate need only what stays of the contents. */
  override setattr(attr: SetAttr): number {
    const error = this.#keep()
    if (error < 0) return error
    if (attr.size !== undefined && this.below) {
      const n = this.copyUp(this.sb.kernel.init.leader, attr.size)
      if (this.users === 0) this.#dropLower()
      if (n < 0) return n
    }
    return super.setattr(attr)
  }

  override getxattr(name: string): Uint8Array | number {
    return this.#isChanged ? super.getxattr(name) : this.lower.getxattr(name)
  }

  override listxattr(): string[] {
    if (this.#isChanged) return super.listxattr()
    const names = this.lower.listxattr()
    return typeof names === 'number' ? [] : names
  }

  override get remoteAcls(): boolean {
    return !this.#isChanged && this.lower.remoteAcls
  }

  override refreshAcls(): number {
    return this.#isChanged ? 0 : adoptAcls(this.lower, this)
  }

  override setAcl(isDefault: boolean, acl: Acl | null, mode: number): number {
    return this.#keep() || super.setAcl(isDefault, acl, mode)
  }

  override setAttributes(attributes: number): number {
    return this.#keep() || super.setAttributes(attributes)
  }

  override setxattr(name: string, value: Uint8Array, flags: number): number {
    return this.#keep() || super.setxattr(name, value, flags)
  }

  override removexattr(name: string): number {
    return this.#keep() || super.removexattr(name)
  }

  get #isChanged(): boolean {
    return (this.sb as OverlaySuperBlock).changed.get(this.lower) === this
  }

  #dropLower(): void {
    this.lowerFile?.unref()
    this.lowerFile = null
  }

  override evict(): void {
    this.#dropLower()
    ;(this.sb as OverlaySuperBlock).evicted(this, this.lower)
  }
}

/** Reads go below until the contents have been copied up; everything else needs them here. */
class OverlayFileOps extends MemoryFileOps {
  get #file(): OverlayFile {
    return this.inode as OverlayFile
  }

  override read(file: File, io: Io, pos: number, task: Task): number {
    const inode = this.#file
    if (!inode.below) return super.read(file, io, pos, task)
    const error = inode.needLower(task)
    return error < 0 ? error : inode.lowerFile!.ops.read(inode.lowerFile!, io, pos, task)
  }

  override write(file: File, io: Io, pos: number, task: Task): number {
    const error = this.#file.copyUp(task, Number.POSITIVE_INFINITY)
    return error < 0 ? error : super.write(file, io, pos, task)
  }

  override seek(file: File, offset: number, whence: number): number {
    const inode = this.#file
    return inode.below
      ? seekRegular(file, offset, whence, inode.size)
      : super.seek(file, offset, whence)
  }

  override map(
    file: File,
    offset: number,
    length: number,
    shared: boolean,
    writable: boolean,
  ): MapSource | number {
    const inode = this.#file
    const task = inode.sb.kernel.init.leader
    if (inode.below && shared && writable) {
      const error = inode.copyUp(task, Number.POSITIVE_INFINITY)
      if (error < 0) return error
    }
    if (!inode.below) return super.map(file, offset, length, shared, writable)
    const error = inode.needLower(task)
    if (error < 0) return error
    return inode.lowerFile!.ops.map(inode.lowerFile!, offset, length, shared, writable)
  }

  override fallocate(file: File, mode: number, offset: number, length: number, task: Task): number {
    if (offset + length > Number.MAX_SAFE_INTEGER) return -EFBIG
    const inode = this.#file
    const error = inode.copyUp(inode.sb.kernel.init.leader, Number.POSITIVE_INFINITY)
    return error < 0 ? error : super.fallocate(file, mode, offset, length, task)
  }

  override release(_file: File): void {
    this.#file.fileClosed()
  }
}
