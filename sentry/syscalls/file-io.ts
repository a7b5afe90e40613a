// read(2), write(2) and their relatives with positions and vectors: fs/read_write.c.

import {
  EBADF,
  EFAULT,
  EFBIG,
  EINVAL,
  EISDIR,
  EOPNOTSUPP,
  ESPIPE,
} from '../../syscall-table/errno.ts'
import {
  IN_ACCESS,
  IN_MODIFY,
  O_DSYNC,
  POLLIN,
  POLLOUT,
  RLIMIT_FSIZE,
  RWF_APPEND,
  RWF_DSYNC,
  RWF_HIPRI,
  RWF_NOAPPEND,
  RWF_NOWAIT,
  RWF_SYNC,
  SIGXFSZ,
} from '../../syscall-table/flags.ts'
import { sendSignal } from '../kernel/signal-send.ts'
import { orBlock, type Task } from '../kernel/task.ts'
import type { Io } from '../mm/io.ts'
import { TASK_SIZE } from '../mm/mm.ts'
import { fileAccessed, removePrivileges } from '../vfs/attributes.ts'
import type { File } from '../vfs/file.ts'
import { notifyMoved } from '../vfs/notify.ts'

/** read(2). A directory is -EISDIR even for count 0. */
export function sys_read(task: Task, fd: number, buf: number, count: number): number {
  const file = task.files.get(fd)
  if (file === undefined || !file.readable) return -EBADF
  if (buf + count > TASK_SIZE) return -EFAULT
  return readAtPosition(task, file, task.io.single(buf, count))
}

/** write(2). */
export function sys_write(task: Task, fd: number, buf: number, count: number): number {
  const file = task.files.get(fd)
  if (file === undefined || !file.writable) return -EBADF
  if (buf + count > TASK_SIZE) return -EFAULT
  return writeAtPosition(task, file, task.io.single(buf, count))
}

export function sys_pread64(
  task: Task,
  fd: number,
  buf: number,
  count: number,
  offset: number,
): number {
  if (offset < 0) return -EINVAL
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  if (!file.ops.seekable) return -ESPIPE
  if (!file.readable) return -EBADF
  if (buf + count > TASK_SIZE) return -EFAULT
  if (offset + count >= 2 ** 63) return -EINVAL
  return readFile(task, file, task.io.single(buf, count), offset)
}

/** pwrite64(2). With O_APPEND Linux appends, whatever the offset says. */
export function sys_pwrite64(
  task: Task,
  fd: number,
  buf: number,
  count: number,
  offset: number,
): number {
  if (offset < 0) return -EINVAL
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  if (!file.ops.seekable) return -ESPIPE
  if (!file.writable) return -EBADF
  if (buf + count > TASK_SIZE) return -EFAULT
  if (offset + count >= 2 ** 63) return -EINVAL
  return writeFile(task, file, task.io.single(buf, count), file.append ? endOfFile(file) : offset)
}

export function sys_readv(task: Task, fd: number, iov: number, iovcnt: number): number {
  const file = task.files.get(fd)
  if (file === undefined || !file.readable) return -EBADF
  const n = task.io.vector(iov, iovcnt)
  return n < 0 ? n : readAtPosition(task, file, task.io)
}

export function sys_writev(task: Task, fd: number, iov: number, iovcnt: number): number {
  const file = task.files.get(fd)
  if (file === undefined || !file.writable) return -EBADF
  const n = task.io.vector(iov, iovcnt)
  return n < 0 ? n : writeAtPosition(task, file, task.io)
}

/** preadv(2). The high half of the offset is ignored where a long has 64 bits. */
export function sys_preadv(
  task: Task,
  fd: number,
  iov: number,
  iovcnt: number,
  offset: number,
  _high: number,
): number {
  return offset < 0 ? -EINVAL : vectorRead(task, fd, iov, iovcnt, offset, 0)
}

export function sys_pwritev(
  task: Task,
  fd: number,
  iov: number,
  iovcnt: number,
  offset: number,
  _high: number,
): number {
  return offset < 0 ? -EINVAL : vectorWrite(task, fd, iov, iovcnt, offset, 0)
}

/** preadv2(2): offset -1 means the file's own position. */
export function sys_preadv2(
  task: Task,
  fd: number,
  iov: number,
  iovcnt: number,
  offset: number,
  _high: number,
  flags: number,
): number {
  return offset < -1 ? -EINVAL : vectorRead(task, fd, iov, iovcnt, offset, flags)
}

export function sys_pwritev2(
  task: Task,
  fd: number,
  iov: number,
  iovcnt: number,
  offset: number,
  _high: number,
  flags: number,
): number {
  return offset < -1 ? -EINVAL : vectorWrite(task, fd, iov, iovcnt, offset, flags)
}

function vectorRead(
  task: Task,
  fd: number,
  iov: number,
  iovcnt: number,
  offset: number,
  flags: number,
): number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  if (offset >= 0 && !file.ops.seekable) return -ESPIPE
  if (!file.readable) return -EBADF
  // Those of writing mean nothing, and are allowed.
  const known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND
  if ((flags & ~known) !== 0) return -EOPNOTSUPP
  const n = task.io.vector(iov, iovcnt)
  if (n < 0) return n
  if ((flags & RWF_NOWAIT) !== 0) return readNow(task, file, offset)
  return offset < 0 ? readAtPosition(task, file, task.io) : readFile(task, file, task.io, offset)
}

/** RWF_NOWAIT: the caller gets -EAGAIN instead of waiting. */
function readNow(task: Task, file: File, offset: number): number {
  const { ops } = file
  const pos = ops.seekable ? (offset < 0 ? file.pos : offset) : 0
  const n = notifyMoved(file, IN_ACCESS, ops.read(file, task.io, pos, task))
  if (n > 0 && offset < 0 && ops.seekable) file.pos += n
  return n
}

function vectorWrite(
  task: Task,
  fd: number,
  iov: number,
  iovcnt: number,
  offset: number,
  flags: number,
): number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  if (offset >= 0 && !file.ops.seekable) return -ESPIPE
  if (!file.writable) return -EBADF
  const known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND | RWF_NOAPPEND
  if ((flags & ~known) !== 0) return -EOPNOTSUPP
  if ((flags & (RWF_APPEND | RWF_NOAPPEND)) === (RWF_APPEND | RWF_NOAPPEND)) return -EINVAL
  const n = task.io.vector(iov, iovcnt)
  if (n < 0) return n
  if (!file.ops.seekable) return writeAtPosition(task, file, task.io)
  const append = (flags & RWF_APPEND) !== 0 || (file.append && (flags & RWF_NOAPPEND) === 0)
  const pos = append ? endOfFile(file) : offset < 0 ? file.pos : offset
  const written = writeFile(task, file, task.io, pos)
  if (written <= 0) return written
  if (offset < 0) file.pos = pos + written
  if ((flags & (RWF_DSYNC | RWF_SYNC)) !== 0) {
    const error = file.ops.fsync(file, (flags & RWF_SYNC) === 0)
    if (error < 0) return error
  }
  return written
}

/** Read at the file's own position, or from what has none; waits where the file may block. */
export function readAtPosition(task: Task, file: File, io: Io): number {
  const { ops } = file
  if (!ops.seekable) {
    const n = notifyMoved(file, IN_ACCESS, ops.read(file, io, 0, task))
    return orBlock(task, file, POLLIN, n)
  }
  const n = readFile(task, file, io, file.pos)
  if (n > 0) file.pos += n
  return n
}

/**
 * Write at the file's own position, at its end (O_APPEND), or to what has no position. Files that take a
 * long write in pieces keep count in `restart.done` by themselves.
 */
export function writeAtPosition(task: Task, file: File, io: Io): number {
  const { ops } = file
  if (!ops.seekable) {
    const n = notifyMoved(file, IN_MODIFY, ops.write(file, io, 0, task))
    return orBlock(task, file, POLLOUT, n)
  }
  const pos = file.append ? endOfFile(file) : file.pos
  const n = writeFile(task, file, io, pos)
  if (n > 0) file.pos = pos + n
  return n
}

/** Read at `pos`, and mark the access. */
export function readFile(task: Task, file: File, io: Io, pos: number): number {
  const n = file.ops.read(file, io, pos, task)
  if (n < 0) return orBlock(task, file, POLLIN, n)
  // Also at the end, where there was nothing to read.
  fileAccessed(task.kernel, file)
  if (n === 0) return 0
  notifyMoved(file, IN_ACCESS, n)
  return n
}

/** Write at `pos` within RLIMIT_FSIZE; clears set-id bits; O_DSYNC. */
export function writeFile(task: Task, file: File, io: Io, pos: number): number {
  return notifyMoved(file, IN_MODIFY, writeUnwatched(task, file, io, pos))
}

/** As `writeFile`, for who tells the watchers by itself. */
export function writeUnwatched(task: Task, file: File, io: Io, pos: number): number {
  const { inode } = file
  if (inode.isRegular && io.remaining > 0) {
    const limit = task.group.rlimits[RLIMIT_FSIZE]!.cur
    if (pos + io.remaining > limit) {
      if (pos >= limit) return fileTooBig(task)
      io.remaining = limit - pos
    }
    const error = removePrivileges(task, inode)
    if (error < 0) return error
  } else if (inode.isDir) return -EISDIR
  const n = orBlock(task, file, POLLOUT, file.ops.write(file, io, pos, task))
  if (n > 0 && (file.flags & O_DSYNC) !== 0) {
    const error = file.ops.fsync(file, true)
    if (error < 0) return error
  }
  return n
}

/** A write or truncation beyond RLIMIT_FSIZE. */
export function fileTooBig(task: Task): number {
  sendSignal(task, SIGXFSZ)
  return -EFBIG
}

/** Where O_APPEND writes. */
export function endOfFile(file: File): number {
  const { inode } = file
  if (!inode.sb.cacheable) inode.refresh()
  return inode.size
}
