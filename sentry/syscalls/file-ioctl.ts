// ioctl(2): what concerns every file first (fs/ioctl.c); the rest is the file's own.

import {
  EBADF,
  EFAULT,
  EINVAL,
  EISDIR,
  ENOMEM,
  ENOTTY,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
} from '../../syscall-table/errno.ts'
import {
  CAP_SYS_ADMIN,
  CAP_SYS_RAWIO,
  FASYNC,
  FIBMAP,
  FICLONE,
  FICLONERANGE,
  FIDEDUPERANGE,
  FIFREEZE,
  FIGETBSZ,
  FIOASYNC,
  FIOCLEX,
  FIONBIO,
  FIONCLEX,
  FIONREAD,
  FIOQSIZE,
  FITHAW,
  FS_IOC_FIEMAP,
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
  FS_IOC_GETFLAGS,
  FS_IOC_SETFLAGS,
  IN_ATTRIB,
  O_NONBLOCK,
  PAGE_SIZE,
} from '../../syscall-table/flags.ts'
import {
  newFileCloneRange,
  newFileDedupeRange,
  newFsxattr,
  readFileCloneRange,
  readFileDedupeRange,
  readFsxattr,
  SIZEOF_FILE_CLONE_RANGE,
  SIZEOF_FILE_DEDUPE_RANGE,
  SIZEOF_FSXATTR,
  writeFsxattr,
} from '../../syscall-table/structs.gen.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from '../vfs/file.ts'
import { attributesOf, changeAttributes, xflagsOf } from '../vfs/file-attributes.ts'
import { notifyChanged } from '../vfs/notify.ts'
import { changeFlags, copyOutWords } from './file-control.ts'

export function sys_ioctl(task: Task, fd: number, request: number, arg: number): number {
  const { files } = task
  const file = files.getReal(fd)
  if (file === undefined) return -EBADF
  switch (request) {
    case FIOCLEX:
      return files.setCloexec(fd, true)
    case FIONCLEX:
      return files.setCloexec(fd, false)
    case FIONBIO:
      return setFlagFromUser(task, file, fd, arg, O_NONBLOCK)
    case FIOASYNC:
      return setFlagFromUser(task, file, fd, arg, FASYNC)
    case FIOQSIZE: {
      const { inode } = file
      if (!inode.isRegular && !inode.isDir && !inode.isSymlink) return -ENOTTY
      return copyOutWords(task, arg, inode.size >>> 0, Math.floor(inode.size / 2 ** 32), 8)
    }
    case FIGETBSZ:
      return copyOutWords(task, arg, file.inode.blksize, 0, 4)
    case FIONREAD: {
      if (!file.inode.isRegular) break
      const left = Math.max(0, file.inode.size - file.pos)
      return copyOutWords(task, arg, left > 0x7fffffff ? left >>> 0 : left, 0, 4)
    }
    case FIBMAP:
      if (!file.inode.isRegular) break
      // What blocks there are below is the host's.
      return task.creds.capable(CAP_SYS_RAWIO) ? -EINVAL : -EPERM
    case FS_IOC_FIEMAP:
      return -EOPNOTSUPP
    case FIFREEZE:
    case FITHAW:
      if (!task.creds.capableIn(file.inode.sb.userNs, CAP_SYS_ADMIN)) return -EPERM
      return request === FIFREEZE ? -EOPNOTSUPP : -EINVAL
    case FICLONE:
      return cloneFrom(task, file, arg | 0)
    case FICLONERANGE:
      return cloneRange(task, file, arg)
    case FIDEDUPERANGE:
      return dedupe(task, file, arg)
    case FS_IOC_GETFLAGS:
      if (file.inode.knownAttributes === 0) break
      return copyOutWords(task, arg, file.inode.attributes, 0, 4)
    case FS_IOC_SETFLAGS:
      if (file.inode.knownAttributes === 0) break
      return setFlags(task, file, arg)
    case FS_IOC_FSGETXATTR:
      if (file.inode.knownAttributes === 0) break
      return getXflags(task, file, arg)
    case FS_IOC_FSSETXATTR:
      if (file.inode.knownAttributes === 0) break
      return setXflags(task, file, arg)
  }
  return file.ops.ioctl(file, task, request, arg)
}

function setFlagFromUser(task: Task, file: File, fd: number, addr: number, flag: number): number {
  const { scratch, scratchView } = task.kernel
  const error = task.mm.copyIn(task, addr, scratch, 0, 4)
  if (error < 0) return error
  const wanted = scratchView.getInt32(0, true) !== 0 ? file.flags | flag : file.flags & ~flag
  return changeFlags(file, fd, wanted)
}

/** vfs_clone_file_range, of file systems without shared extents: which error it is tells programs how to go on. */
function cloneFrom(task: Task, target: File, fd: number): number {
  const source = task.files.getReal(fd)
  if (source === undefined) return -EBADF
  if (source.inode.sb !== target.inode.sb) return -EXDEV
  if (source.inode.isDir || target.inode.isDir) return -EISDIR
  if (!source.inode.isRegular || !target.inode.isRegular) return -EINVAL
  if (!source.readable || !target.writable || target.append) return -EBADF
  return -EOPNOTSUPP
}

const range = newFileCloneRange()

function cloneRange(task: Task, target: File, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, SIZEOF_FILE_CLONE_RANGE) < 0) return -EFAULT
  readFileCloneRange(scratchView, 0, range)
  return cloneFrom(task, target, range.srcFd | 0)
}

/** Of each of the ranges that follow. */
const SIZEOF_DEDUPE_INFO = 32
const duplicates = newFileDedupeRange()

/** vfs_dedupe_file_range. */
function dedupe(task: Task, source: File, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, SIZEOF_FILE_DEDUPE_RANGE) < 0) return -EFAULT
  readFileDedupeRange(scratchView, 0, duplicates)
  const size = SIZEOF_FILE_DEDUPE_RANGE + duplicates.destCount * SIZEOF_DEDUPE_INFO
  if (size > PAGE_SIZE) return -ENOMEM
  if (task.mm.copyIn(task, addr, scratch, 0, size) < 0) return -EFAULT
  const { reserved1, reserved2, srcOffset } = duplicates
  if (!source.readable || reserved1 !== 0 || reserved2 !== 0 || srcOffset >= 2 ** 63) return -EINVAL
  if (source.inode.isDir) return -EISDIR
  return source.inode.isRegular ? -EOPNOTSUPP : -EINVAL
}

function setFlags(task: Task, file: File, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 4) < 0) return -EFAULT
  return change(task, file, scratchView.getInt32(0, true))
}

function change(task: Task, file: File, attributes: number): number {
  const n = changeAttributes(task, file.mount, file.inode, attributes)
  return notifyChanged(file.dentry, IN_ATTRIB, n)
}

const fsxattr = newFsxattr()

function getXflags(task: Task, file: File, addr: number): number {
  const { scratch, scratchView } = task.kernel
  fsxattr.xflags = xflagsOf(file.inode.attributes)
  fsxattr.extsize = fsxattr.nextents = fsxattr.projid = fsxattr.cowextsize = 0
  writeFsxattr(scratchView, 0, fsxattr)
  return task.mm.copyResult(task, addr, scratch, 0, SIZEOF_FSXATTR)
}

function setXflags(task: Task, file: File, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, SIZEOF_FSXATTR) < 0) return -EFAULT
  readFsxattr(scratchView, 0, fsxattr)
  const attributes = attributesOf(fsxattr.xflags)
  const others = fsxattr.extsize !== 0 || fsxattr.projid !== 0 || fsxattr.cowextsize !== 0
  return attributes < 0 || others ? -EOPNOTSUPP : change(task, file, attributes)
}
