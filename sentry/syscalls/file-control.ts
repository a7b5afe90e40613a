// fcntl(2).

import { EAGAIN, EBADF, EFAULT, EINVAL, EOVERFLOW, EPERM } from '../../syscall-table/errno.ts'
import {
  DN_MULTISHOT,
  F_ADD_SEALS,
  F_CREATED_QUERY,
  F_DUPFD,
  F_DUPFD_CLOEXEC,
  F_DUPFD_QUERY,
  F_GET_RW_HINT,
  F_GET_SEALS,
  F_GETFD,
  F_GETFL,
  F_GETLEASE,
  F_GETLK,
  F_GETOWN,
  F_GETOWN_EX,
  F_GETPIPE_SZ,
  F_GETSIG,
  F_NOTIFY,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_OWNER_PGRP,
  F_OWNER_PID,
  F_OWNER_TID,
  F_RDLCK,
  F_SET_RW_HINT,
  F_SETFD,
  F_SETFL,
  F_SETLEASE,
  F_SETLK,
  F_SETLKW,
  F_SETOWN,
  F_SETOWN_EX,
  F_SETPIPE_SZ,
  F_SETSIG,
  F_UNLCK,
  F_WRLCK,
  FASYNC,
  FD_CLOEXEC,
  FS_APPEND_FL,
  O_APPEND,
  O_DIRECT,
  O_NOATIME,
  O_NONBLOCK,
  O_PATH,
  PROT_WRITE,
  RLIMIT_NOFILE,
  RWH_WRITE_LIFE_EXTREME,
  S_IFIFO,
  S_IFMT,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
} from '../../syscall-table/flags.ts'
import { newFlock, readFlock, SIZEOF_FLOCK, writeFlock } from '../../syscall-table/structs.gen.ts'
import { pipeLimit, pipeOf } from '../fs/pipe.ts'
import { MemoryFile } from '../fs/tmpfs/regular.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from '../vfs/file.ts'
import { assignOwner, ownerNumber, setOwner } from '../vfs/file-owner.ts'
import { setAsync, watchDirectory } from '../vfs/file-signal.ts'
import type { Inode } from '../vfs/inode.ts'
import { leaseType, setLease } from '../vfs/leases.ts'
import {
  conflictingLock,
  isLockType,
  ownLock,
  type RecordLock,
  setRecordLock,
  stopWaitingForLock,
  waitForRecordLock,
} from '../vfs/locks.ts'
import { hasDirectIo } from '../vfs/open.ts'
import { mountWritable, ownerOrCapable } from '../vfs/permission.ts'
import { installDup } from './file-table.ts'

/** What F_SETFL may change. */
const SETTABLE = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC
const SIGNAL_MAX = 64

export function sys_fcntl(task: Task, fd: number, cmd: number, arg: number): number {
  const { files } = task
  const file = files.get(fd)
  if (file === undefined) return -EBADF
  switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      if (arg < 0 || arg >= task.group.rlimits[RLIMIT_NOFILE]!.cur) return -EINVAL
      return installDup(task, file, cmd === F_DUPFD_CLOEXEC, arg)
    case F_DUPFD_QUERY:
      return files.get(arg | 0) === undefined ? -EBADF : files.get(arg | 0) === file ? 1 : 0
    case F_CREATED_QUERY:
      return file.created ? 1 : 0
    case F_GETFD:
      return files.cloexec(fd) ? FD_CLOEXEC : 0
    case F_SETFD:
      return files.setCloexec(fd, (arg & FD_CLOEXEC) !== 0)
    case F_GETFL:
      return file.flags
  }
  if ((file.flags & O_PATH) !== 0) return -EBADF
  switch (cmd) {
    case F_SETFL:
      return setFlags(task, file, fd, arg | 0)
    case F_GETLK:
    case F_OFD_GETLK:
      return getLock(task, file, cmd === F_OFD_GETLK, arg)
    case F_SETLK:
    case F_SETLKW:
      return setLock(task, file, false, cmd === F_SETLKW, arg)
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return setLock(task, file, true, cmd === F_OFD_SETLKW, arg)
    case F_GETOWN:
      return file.ownerType === F_OWNER_PGRP ? -ownerNumber(task, file) : ownerNumber(task, file)
    case F_SETOWN:
      return setOwner(task, file, arg | 0)
    case F_GETOWN_EX:
      return getOwnerEx(task, file, arg)
    case F_SETOWN_EX:
      return setOwnerEx(task, file, arg)
    case F_GETSIG:
      return file.signal
    case F_SETSIG:
      if (arg < 0 || arg > SIGNAL_MAX) return -EINVAL
      file.signal = arg
      return 0
    case F_GETPIPE_SZ:
      return pipeOf(file)?.capacity ?? -EBADF
    case F_SETPIPE_SZ:
      return pipeOf(file)?.resize(arg >>> 0, pipeLimit(task)) ?? -EBADF
    case F_GETLEASE:
      return leaseType(file)
    case F_SETLEASE:
      return setLease(task, file, fd, arg | 0)
    case F_NOTIFY:
      // Nothing to watch for, whatever the file is.
      if (arg >>> 0 === 0 && !file.inode.isDir) return 0
      return notifyOwner(task, file, fd, arg >>> 0)
    case F_GET_RW_HINT:
      return copyOutWords(task, arg, file.inode.writeLifetime, 0, 8)
    case F_SET_RW_HINT:
      return setWriteHint(task, file, arg)
    case F_ADD_SEALS:
      return addSeals(task, file, arg)
    case F_GET_SEALS:
      return file.inode instanceof MemoryFile ? file.inode.seals : -EINVAL
    default:
      return -EINVAL
  }
}

/** Whether O_DIRECT means something: of a pipe, that its writes stay apart. */
function mayBeDirect(inode: Inode): boolean {
  return hasDirectIo(inode) || (inode.mode & S_IFMT) === S_IFIFO
}

function setFlags(task: Task, file: File, fd: number, flags: number): number {
  let wanted = (file.flags & ~SETTABLE) | (flags & SETTABLE)
  // Files that are always ready have no signal to give.
  if (file.inode.isRegular || file.inode.isDir) wanted &= ~FASYNC
  if ((wanted & O_DIRECT & ~file.flags) !== 0 && !mayBeDirect(file.inode)) return -EINVAL
  // What may only grow cannot be written elsewhere.
  const appends = (file.inode.attributes & FS_APPEND_FL) === 0 || (wanted & O_APPEND) !== 0
  if (!appends && file.append) return -EPERM
  if ((wanted & O_NOATIME & ~file.flags) !== 0 && !ownerOrCapable(task.creds, file.inode))
    return -EPERM
  return changeFlags(file, fd, wanted)
}

/** Take over flags that the caller has checked. */
export function changeFlags(file: File, fd: number, wanted: number): number {
  const error = file.ops.setFlags(file, wanted)
  if (error < 0) return error
  if (((file.flags ^ wanted) & FASYNC) !== 0) setAsync(file, fd, (wanted & FASYNC) !== 0)
  file.flags = wanted
  return 0
}

/** F_NOTIFY: who asks becomes the owner. */
function notifyOwner(task: Task, file: File, fd: number, mask: number): number {
  const n = watchDirectory(file, fd, mask)
  if (n < 0 || (mask & ~DN_MULTISHOT) === 0) return n
  file.ownerType = F_OWNER_PID
  file.owner = task.group.pid
  file.ownerCreds = task.creds
  return 0
}

/** How long data of a file is expected to live: only who may change the file may say so. */
function setWriteHint(task: Task, file: File, addr: number): number {
  if (!ownerOrCapable(task.creds, file.inode)) return -EPERM
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 8) < 0) return -EFAULT
  const hint = scratchView.getUint32(0, true)
  if (scratchView.getUint32(4, true) !== 0 || hint > RWH_WRITE_LIFE_EXTREME) return -EINVAL
  file.inode.writeLifetime = hint
  return 0
}

function addSeals(task: Task, file: File, seals: number): number {
  const { inode } = file
  if (!(inode instanceof MemoryFile)) return -EINVAL
  return file.writable ? inode.addSeals(seals, () => isMappedWritable(task.kernel, inode)) : -EPERM
}

/** Whether a process maps the file so that it can write to it, or could make it so: mapping_deny_writable. */
function isMappedWritable(kernel: Kernel, inode: Inode): boolean {
  for (const { mm } of kernel.tasks)
    if (
      mm.vmas.some(
        vma => vma.shared && vma.file?.inode === inode && (vma.maxProt & PROT_WRITE) !== 0,
      )
    )
      return true
  return false
}

function getOwnerEx(task: Task, file: File, addr: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setInt32(0, file.ownerType, true)
  scratchView.setInt32(4, ownerNumber(task, file), true)
  return task.mm.copyResult(task, addr, scratch, 0, 8)
}

function setOwnerEx(task: Task, file: File, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 8) < 0) return -EFAULT
  const type = scratchView.getInt32(0, true)
  if (type !== F_OWNER_TID && type !== F_OWNER_PID && type !== F_OWNER_PGRP) return -EINVAL
  return assignOwner(task, file, type, scratchView.getInt32(4, true))
}

const flock = newFlock()

/** Read struct flock and make a lock of it. */
function readLock(task: Task, file: File, ofd: boolean, addr: number): RecordLock | number {
  const error = task.mm.copyIn(task, addr, task.kernel.scratch, 0, SIZEOF_FLOCK)
  if (error < 0) return error
  readFlock(task.kernel.scratchView, 0, flock)
  const { whence, len } = flock
  if (!isLockType(flock.type)) return -EINVAL
  let start = flock.start
  if (whence === SEEK_CUR) start += file.pos
  else if (whence === SEEK_END) start += file.inode.size
  else if (whence !== SEEK_SET) return -EINVAL
  // A negative length means the bytes before the start.
  let end = len === 0 ? Number.POSITIVE_INFINITY : start + len
  if (len < 0) {
    end = start
    start += len
  }
  if (start < 0) return -EINVAL
  if (len > 0 && end - 1 >= 2 ** 63) return -EOVERFLOW
  return {
    type: flock.type,
    start,
    end,
    owner: ofd ? file : task.files,
    pid: ofd ? null : task.group.pid,
  }
}

/** F_GETLK: the lock in the way, or F_UNLCK. */
function getLock(task: Task, file: File, ofd: boolean, addr: number): number {
  const wanted = readLock(task, file, ofd, addr)
  if (typeof wanted === 'number') return wanted
  if (ofd && flock.pid !== 0) return -EINVAL
  // F_UNLCK asks for the open file's own locks.
  if (wanted.type === F_UNLCK && !ofd) return -EINVAL
  const held =
    wanted.type === F_UNLCK
      ? ownLock(file.inode.locks, wanted)
      : conflictingLock(file.inode.locks, wanted)
  if (held === null) flock.type = F_UNLCK
  else {
    flock.type = held.type
    flock.whence = SEEK_SET
    flock.start = held.start
    flock.len = held.end === Number.POSITIVE_INFINITY ? 0 : held.end - held.start
    flock.pid = held.pid === null ? -1 : held.pid.numberIn(task.pidNs)
  }
  writeFlock(task.kernel.scratchView, 0, flock)
  return task.mm.copyResult(task, addr, task.kernel.scratch, 0, SIZEOF_FLOCK)
}

function setLock(task: Task, file: File, ofd: boolean, waits: boolean, addr: number): number {
  stopWaitingForLock(task)
  const wanted = readLock(task, file, ofd, addr)
  if (typeof wanted === 'number') return wanted
  if (wanted.type === F_RDLCK && !file.readable) return -EBADF
  if (wanted.type === F_WRLCK && !file.writable) return -EBADF
  if (ofd && flock.pid !== 0) return -EINVAL
  const n = setRecordLock(file.inode, wanted)
  return n === -EAGAIN && waits ? waitForRecordLock(task, file.inode, wanted) : n
}

/** Give the program one or two words. */
export function copyOutWords(
  task: Task,
  addr: number,
  low: number,
  high: number,
  bytes: number,
): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, low, true)
  scratchView.setUint32(4, high, true)
  return task.mm.copyResult(task, addr, scratch, 0, bytes)
}

/** The mount that a descriptor's file may be changed through: 0, -EBADF or -EROFS. */
export function writableMountOf(file: File | undefined): number {
  return file === undefined || (file.flags & O_PATH) !== 0 ? -EBADF : mountWritable(file.mount)
}
