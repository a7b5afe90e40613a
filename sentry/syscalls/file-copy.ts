// Copying between files inside the kernel: sendfile, splice, tee, copy_file_range. Data is read at a
// position or peeked from a pipe, and taken only when it has been written: a call that blocks can be run
// again from its start.

import {
  EAGAIN,
  EBADF,
  EFAULT,
  EINVAL,
  EISDIR,
  EOVERFLOW,
  EPERM,
  EPIPE,
  ESPIPE,
  EXDEV,
} from '../../syscall-table/errno.ts'
import {
  IN_ACCESS,
  IN_MODIFY,
  O_APPEND,
  POLLIN,
  POLLOUT,
  SIGPIPE,
  SPLICE_F_GIFT,
  SPLICE_F_MORE,
  SPLICE_F_MOVE,
  SPLICE_F_NONBLOCK,
} from '../../syscall-table/flags.ts'
import { type Pipe, pipeOf } from '../fs/pipe.ts'
import { sendSignal } from '../kernel/signal-send.ts'
import type { Task } from '../kernel/task.ts'
import { KernelIo } from '../mm/io.ts'
import { fileAccessed } from '../vfs/attributes.ts'
import type { File } from '../vfs/file.ts'
import { notifyMoved } from '../vfs/notify.ts'
import { isImmutable } from '../vfs/permission.ts'
import { writeFile, writeUnwatched } from './file-io.ts'

/** Bytes moved at once. The kernel's bounce buffer is busy below, in the file systems. */
const buffer = new Uint8Array(1 << 16)
const source = new KernelIo(buffer)
const target = new KernelIo(buffer)
/** One call moves no more, so that it cannot hold the kernel for long; the count tells the caller. */
const MOVE_MAX = 8 << 20

/** A position in program memory: -1 when `addr` is null (the file's own is used), else >= 0 or -errno. */
function readOffset(task: Task, addr: number): number {
  if (addr === 0) return -1
  const { scratch, scratchView } = task.kernel
  const error = task.mm.copyIn(task, addr, scratch, 0, 8)
  if (error < 0) return error
  const offset = scratchView.getInt32(4, true) * 2 ** 32 + scratchView.getUint32(0, true)
  return offset < 0 ? -EINVAL : offset
}

/** Store where a call has arrived: in program memory, or as the file's position. */
function storeOffset(task: Task, file: File, addr: number, offset: number): number {
  if (addr === 0) {
    file.pos = offset
    return 0
  }
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, offset >>> 0, true)
  scratchView.setUint32(4, Math.floor(offset / 2 ** 32), true)
  return task.mm.copyResult(task, addr, scratch, 0, 8)
}

export function sys_sendfile(
  task: Task,
  outFd: number,
  inFd: number,
  offset: number,
  count: number,
): number {
  const start = readOffset(task, offset)
  if (start === -EFAULT) return start
  const input = task.files.get(inFd)
  if (input === undefined || !input.readable) return -EBADF
  if (start !== -1 && !input.ops.seekable) return -ESPIPE
  if (start < -1) return start
  const output = task.files.get(outFd)
  if (output === undefined || !output.writable) return -EBADF
  // What cannot be read again after a wait must not be read before: Linux has such sources only for splice.
  if (!input.ops.seekable || !input.ops.spliceSource || input.inode.isDir) return -EINVAL
  if (output.append) return -EINVAL
  const from = start < 0 ? input.pos : start
  const to = output.ops.seekable ? output.pos : -1
  const n = copyRange(task, input, from, output, to, count)
  if (n <= 0) return n
  if (to >= 0) output.pos = to + n
  const error = storeOffset(task, input, offset, from + n)
  return error < 0 ? error : n
}

export function sys_copy_file_range(
  task: Task,
  inFd: number,
  offIn: number,
  outFd: number,
  offOut: number,
  len: number,
  flags: number,
): number {
  const input = task.files.getReal(inFd)
  const output = task.files.getReal(outFd)
  if (input === undefined || output === undefined) return -EBADF
  const startIn = readOffset(task, offIn)
  if (startIn < -1) return startIn
  const startOut = readOffset(task, offOut)
  if (startOut < -1) return startOut
  if (flags !== 0) return -EINVAL
  const from = startIn < 0 ? input.pos : startIn
  const to = startOut < 0 ? output.pos : startOut
  const length = copyLength(input, from, output, to, len)
  if (length <= 0) return length
  const n = copyRange(task, input, from, output, to, length)
  if (n <= 0) return n
  const error =
    storeOffset(task, input, offIn, from + n) || storeOffset(task, output, offOut, to + n)
  return error < 0 ? error : n
}

/** How much there is to copy, or why nothing may be: generic_copy_file_checks. */
function copyLength(input: File, from: number, output: File, to: number, len: number): number {
  if (input.inode.isDir || output.inode.isDir) return -EISDIR
  if (!input.inode.isRegular || !output.inode.isRegular) return -EINVAL
  if (!input.readable || !output.writable || output.append) return -EBADF
  // Linux leaves it to the program to copy from one file system to another.
  if (input.inode.sb !== output.inode.sb) return -EXDEV
  if (isImmutable(output.inode)) return -EPERM
  if ((from > 0 && from + len >= 2 ** 64) || (to > 0 && to + len >= 2 ** 64)) return -EOVERFLOW
  if (!input.inode.sb.cacheable) input.inode.refresh()
  const length = Math.min(len, Math.max(0, input.inode.size - from))
  const overlaps = input.inode === output.inode && from < to + length && to < from + length
  return overlaps ? -EINVAL : length
}

/** Copy from a position of `input` to a position of `output`, or to a stream (`to` < 0). */
function copyRange(
  task: Task,
  input: File,
  from: number,
  output: File,
  to: number,
  length: number,
): number {
  const most = Math.min(length, MOVE_MAX)
  let done = 0
  while (done < most) {
    const want = Math.min(most - done, buffer.length)
    const got = input.ops.read(input, source.reset(buffer, 0, want), from + done, task)
    if (got <= 0) return done > 0 ? copied(task, input, output, done) : got
    target.reset(buffer, 0, got)
    const put =
      to >= 0
        ? writeUnwatched(task, output, target, to + done)
        : output.ops.write(output, target, 0, task)
    if (put <= 0) {
      if (put === -EAGAIN && done === 0 && !output.nonblocking)
        return task.block(output.ops.queue, POLLOUT)
      return done > 0 ? copied(task, input, output, done) : put
    }
    done += put
    if (put < got) break
  }
  return copied(task, input, output, done)
}

function copied(task: Task, input: File, output: File, n: number): number {
  if (input.inode.isRegular) fileAccessed(task.kernel, input)
  notifyMoved(input, IN_ACCESS, n)
  return notifyMoved(output, IN_MODIFY, n)
}

const SPLICE_KNOWN = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT

export function sys_splice(
  task: Task,
  fdIn: number,
  offIn: number,
  fdOut: number,
  offOut: number,
  len: number,
  flags: number,
): number {
  if (len === 0) return 0
  if ((flags & ~SPLICE_KNOWN) !== 0) return -EINVAL
  const input = task.files.get(fdIn)
  const output = task.files.get(fdOut)
  if (input === undefined || !input.readable || output === undefined || !output.writable)
    return -EBADF
  const pipeIn = pipeOf(input)
  const pipeOut = pipeOf(output)
  if ((pipeIn !== null && offIn !== 0) || (pipeOut !== null && offOut !== 0)) return -ESPIPE
  const waits = (flags & SPLICE_F_NONBLOCK) === 0
  if (!input.ops.spliceable || !input.ops.spliceSource || !output.ops.spliceable) return -EINVAL
  if (pipeIn !== null) {
    if (pipeIn === pipeOut) return -EINVAL
    return pipeOut !== null
      ? pipeToPipe(task, input, pipeIn, output, pipeOut, len, waits, true)
      : pipeToFile(task, input, pipeIn, output, offOut, len, waits)
  }
  return pipeOut === null ? -EINVAL : fileToPipe(task, input, offIn, output, pipeOut, len, waits)
}

export function sys_tee(
  task: Task,
  fdIn: number,
  fdOut: number,
  len: number,
  flags: number,
): number {
  if ((flags & ~SPLICE_KNOWN) !== 0) return -EINVAL
  if (len === 0) return 0
  const input = task.files.get(fdIn)
  const output = task.files.get(fdOut)
  if (input === undefined || !input.readable || output === undefined || !output.writable)
    return -EBADF
  const pipeIn = pipeOf(input)
  const pipeOut = pipeOf(output)
  if (pipeIn === null || pipeOut === null || pipeIn === pipeOut) return -EINVAL
  return pipeToPipe(
    task,
    input,
    pipeIn,
    output,
    pipeOut,
    len,
    (flags & SPLICE_F_NONBLOCK) === 0,
    false,
  )
}

/** An empty pipe: its end, or a reason to wait. */
function waitReadable(task: Task, file: File, pipe: Pipe, waits: boolean): number {
  if (pipe.writers === 0) return 0
  return waits && !file.nonblocking ? task.block(pipe.queue, POLLIN) : -EAGAIN
}

function waitWritable(task: Task, file: File, pipe: Pipe, waits: boolean): number {
  return waits && !file.nonblocking ? task.block(pipe.queue, POLLOUT) : -EAGAIN
}

function brokenPipe(task: Task): number {
  sendSignal(task, SIGPIPE)
  return -EPIPE
}

function pipeToPipe(
  task: Task,
  input: File,
  from: Pipe,
  output: File,
  to: Pipe,
  len: number,
  waits: boolean,
  take: boolean,
): number {
  if (to.readers === 0) return brokenPipe(task)
  if (from.used === 0) return waitReadable(task, input, from, waits)
  if (to.room === 0) return waitWritable(task, output, to, waits)
  const got = from.peek(buffer, 0, Math.min(len, to.room, buffer.length))
  const put = to.put(source.reset(buffer, 0, got), false)
  if (put > 0 && take) from.consume(put)
  return put
}

function pipeToFile(
  task: Task,
  input: File,
  pipe: Pipe,
  output: File,
  offOut: number,
  len: number,
  waits: boolean,
): number {
  const start = readOffset(task, offOut)
  if (start < -1) return start
  if (start >= 0 && !output.ops.seekable) return -ESPIPE
  if ((output.flags & O_APPEND) !== 0) return -EINVAL
  if (pipe.used === 0) return waitReadable(task, input, pipe, waits)
  const got = pipe.peek(buffer, 0, Math.min(len, buffer.length))
  source.reset(buffer, 0, got)
  const { seekable } = output.ops
  const to = start < 0 ? output.pos : start
  const put = seekable
    ? writeFile(task, output, source, to)
    : output.ops.write(output, source, 0, task)
  if (put === -EAGAIN && waits && !output.nonblocking) return task.block(output.ops.queue, POLLOUT)
  if (put <= 0) return put
  pipe.consume(put)
  if (!seekable) return notifyMoved(output, IN_MODIFY, put)
  const error = storeOffset(task, output, offOut, to + put)
  return error < 0 ? error : put
}

function fileToPipe(
  task: Task,
  input: File,
  offIn: number,
  output: File,
  pipe: Pipe,
  len: number,
  waits: boolean,
): number {
  const start = readOffset(task, offIn)
  if (start < -1) return start
  const { seekable } = input.ops
  if (start >= 0 && !seekable) return -ESPIPE
  if (input.inode.isDir) return -EINVAL
  if (pipe.readers === 0) return brokenPipe(task)
  if (pipe.room === 0) return waitWritable(task, output, pipe, waits)
  const from = start < 0 ? input.pos : start
  const want = Math.min(len, pipe.room, buffer.length)
  const got = input.ops.read(input, source.reset(buffer, 0, want), from, task)
  if (got === -EAGAIN && waits && !input.nonblocking) return task.block(input.ops.queue, POLLIN)
  if (got <= 0) return got
  pipe.put(target.reset(buffer, 0, got), false)
  if (input.inode.isRegular) fileAccessed(task.kernel, input)
  notifyMoved(input, IN_ACCESS, got)
  if (!seekable) return got
  const error = storeOffset(task, input, offIn, from + got)
  return error < 0 ? error : got
}
