// Descriptors: close, dup, lseek, getdents, flock and fsync.

import { putDirents } from '../../native/index.ts'
import { EAGAIN, EBADF, EINVAL, ENOENT, ENOTDIR, ESPIPE } from '../../syscall-table/errno.ts'
import {
  CLOSE_RANGE_CLOEXEC,
  CLOSE_RANGE_UNSHARE,
  IN_ACCESS,
  LOCK_EX,
  LOCK_MAND,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
  O_CLOEXEC,
  O_PATH,
  RLIMIT_NOFILE,
  SEEK_HOLE,
  SYNC_FILE_RANGE_WAIT_AFTER,
  SYNC_FILE_RANGE_WAIT_BEFORE,
  SYNC_FILE_RANGE_WRITE,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { fileAccessed } from '../vfs/attributes.ts'
import { closeFile } from '../vfs/close.ts'
import type { File } from '../vfs/file.ts'
import type { DirSink } from '../vfs/inode.ts'
import { locksOf, setFlock } from '../vfs/locks.ts'
import { notifyFile } from '../vfs/notify.ts'

export function sys_close(task: Task, fd: number): number {
  const file = task.files.remove(fd)
  return file === undefined ? -EBADF : closeFile(task, task.files, file)
}

export function sys_close_range(task: Task, first: number, last: number, flags: number): number {
  if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) !== 0 || first > last) return -EINVAL
  if ((flags & CLOSE_RANGE_UNSHARE) !== 0 && task.files.shared) {
    const own = task.files.copy()
    task.files.unref()
    task.files = own
  }
  const { files } = task
  const end = Math.min(last, files.size - 1)
  for (let fd = first; fd <= end; fd++) {
    if ((flags & CLOSE_RANGE_CLOEXEC) !== 0) files.setCloexec(fd, true)
    else {
      const file = files.remove(fd)
      if (file !== undefined) closeFile(task, files, file)
    }
  }
  return 0
}

export function sys_dup(task: Task, oldfd: number): number {
  const file = task.files.get(oldfd)
  return file === undefined ? -EBADF : installDup(task, file, false, 0)
}

/** A further descriptor of `file`, the lowest free one from `from` on. */
export function installDup(task: Task, file: File, cloexec: boolean, from: number): number {
  const fd = task.files.install(file.ref(), cloexec, task.group.rlimits[RLIMIT_NOFILE]!.cur, from)
  if (fd < 0) file.unref()
  return fd
}

/** dup2(2): of a descriptor to itself it does nothing. */
export function sys_dup2(task: Task, oldfd: number, newfd: number): number {
  if (oldfd === newfd) return task.files.get(oldfd) === undefined ? -EBADF : newfd
  return dupTo(task, oldfd, newfd, false)
}

export function sys_dup3(task: Task, oldfd: number, newfd: number, flags: number): number {
  if ((flags & ~O_CLOEXEC) !== 0 || oldfd === newfd) return -EINVAL
  return dupTo(task, oldfd, newfd, (flags & O_CLOEXEC) !== 0)
}

function dupTo(task: Task, oldfd: number, newfd: number, cloexec: boolean): number {
  const { files } = task
  if (newfd < 0 || newfd >= task.group.rlimits[RLIMIT_NOFILE]!.cur) return -EBADF
  const file = files.get(oldfd)
  if (file === undefined) return -EBADF
  const old = files.replace(newfd, file.ref(), cloexec)
  // The result of closing what was there is lost, as close(2) cannot be retried anyway.
  if (old !== undefined) closeFile(task, files, old)
  return newfd
}

export function sys_lseek(task: Task, fd: number, offset: number, whence: number): number {
  const file = task.files.get(fd)
  if (file === undefined || (file.flags & O_PATH) !== 0) return -EBADF
  if (whence < 0 || whence > SEEK_HOLE) return -EINVAL
  return file.ops.seek(file, offset, whence)
}

/** Collects directory entries in the layout of getdents64(2) or of getdents(2). */
class DirentWriter implements DirSink {
  buffer!: Uint8Array
  view!: DataView
  capacity = 0
  length = 0
  /** Where the next call goes on. */
  next = 0
  old = false
  /** An entry did not fit. */
  full = false
  packedEnd = 0

  entry(name: string, ino: number, type: number, next: number): boolean {
    const at = this.length
    const nameAt = at + (this.old ? 18 : 19)
    const size = ((this.old ? 18 : 19) + name.length + (this.old ? 2 : 1) + 7) & ~7
    if (at + size > this.capacity) {
      this.full = true
      return false
    }
    const { view, buffer } = this
    view.setUint32(at, ino >>> 0, true)
    view.setUint32(at + 4, Math.floor(ino / 2 ** 32) >>> 0, true)
    view.setUint32(at + 8, next >>> 0, true)
    view.setUint32(at + 12, Math.floor(next / 2 ** 32) >>> 0, true)
    view.setUint16(at + 16, size, true)
    if (!this.old) buffer[at + 18] = type
    for (let i = 0; i < name.length; i++) buffer[nameAt + i] = name.charCodeAt(i)
    buffer.fill(0, nameAt + name.length, at + size)
    // The old layout has the type in the last byte.
    if (this.old) buffer[at + size - 1] = type
    this.length += size
    this.next = next
    return true
  }

  packed(bytes: Uint8Array, at: number, end: number, position: number): number {
    const { buffer, length, capacity, old } = this
    const n = putDirents(
      bytes,
      at,
      end,
      position,
      buffer,
      length,
      capacity,
      old ? 1 : 0,
      packedLeft,
    )
    this.length = packedLeft[0]!
    this.packedEnd = packedLeft[1]!
    if (n > 0) this.next = position + n
    this.full = this.packedEnd < end
    return n
  }
}

const packedLeft = new Uint32Array(2)
const writer = new DirentWriter()

export function sys_getdents64(task: Task, fd: number, dirp: number, count: number): number {
  return listDirectory(task, fd, dirp, count, false)
}

export function sys_getdents(task: Task, fd: number, dirp: number, count: number): number {
  return listDirectory(task, fd, dirp, count, true)
}

function listDirectory(task: Task, fd: number, dirp: number, count: number, old: boolean): number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  const { inode } = file
  if (!inode.isDir) return -ENOTDIR
  if (file.dentry.deleted) return -ENOENT
  const { bounce } = task.kernel
  writer.buffer = bounce
  writer.view = task.kernel.bounceView
  writer.capacity = Math.min(count, 1 << 16)
  writer.length = 0
  writer.next = file.pos
  writer.old = old
  writer.full = false
  const error = inode.readdir(file, file.pos, writer, file.dentry)
  if (error < 0) return error
  const { length } = writer
  if (length === 0 && writer.full) return -EINVAL
  notifyFile(file, IN_ACCESS)
  if (length === 0) return 0
  const n = task.mm.copyResult(task, dirp, bounce, 0, length)
  if (n < 0) return n
  file.pos = writer.next
  fileAccessed(task.kernel, file)
  return length
}

export function sys_fsync(task: Task, fd: number): number {
  const file = task.files.get(fd)
  return file === undefined || (file.flags & O_PATH) !== 0 ? -EBADF : file.ops.fsync(file, false)
}

export function sys_fdatasync(task: Task, fd: number): number {
  const file = task.files.get(fd)
  return file === undefined || (file.flags & O_PATH) !== 0 ? -EBADF : file.ops.fsync(file, true)
}

export function sys_sync(task: Task): number {
  for (const mount of task.nsproxy.mnt.mounts) mount.sb.sync()
  return 0
}

export function sys_syncfs(task: Task, fd: number): number {
  const file = task.files.get(fd)
  return file === undefined || (file.flags & O_PATH) !== 0 ? -EBADF : file.inode.sb.sync()
}

/** sync_file_range(2): more is written than was asked for, which is allowed. */
export function sys_sync_file_range(
  task: Task,
  fd: number,
  offset: number,
  nbytes: number,
  flags: number,
): number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  const known = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER
  if ((flags & ~known) !== 0 || offset < 0 || nbytes < 0) return -EINVAL
  if (!file.inode.isRegular && !file.inode.isDir) return -ESPIPE
  return (flags & SYNC_FILE_RANGE_WAIT_AFTER) !== 0 ? file.ops.fsync(file, true) : 0
}

export function sys_flock(task: Task, fd: number, operation: number): number {
  const file = task.files.get(fd)
  // Mandatory locks are gone from Linux, which still says yes.
  if ((operation & LOCK_MAND) !== 0) return 0
  const kind = operation & ~LOCK_NB
  if (kind !== LOCK_SH && kind !== LOCK_EX && kind !== LOCK_UN) return -EINVAL
  if (file === undefined || (file.flags & O_PATH) !== 0) return -EBADF
  const n = setFlock(file, kind === LOCK_UN ? 0 : kind, task.group.pid)
  if (n !== -EAGAIN || (operation & LOCK_NB) !== 0) return n
  return task.block(locksOf(file.inode).queue, 0)
}
