// memfd_create(2), fallocate(2), and advice about files.

import {
  EBADF,
  EFAULT,
  EFBIG,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENODEV,
  EOPNOTSUPP,
  EPERM,
  ESPIPE,
} from '../../syscall-table/errno.ts'
import {
  F_SEAL_EXEC,
  F_SEAL_SEAL,
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_UNSHARE_RANGE,
  FALLOC_FL_ZERO_RANGE,
  IN_MODIFY,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  MFD_NOEXEC_SEAL,
  O_CLOEXEC,
  O_LARGEFILE,
  O_PATH,
  O_RDWR,
  PAGE_SIZE,
  POSIX_FADV_NOREUSE,
  RLIMIT_FSIZE,
  S_IFIFO,
  S_IFMT,
} from '../../syscall-table/flags.ts'
import {
  newCachestat,
  newCachestatRange,
  readCachestatRange,
  SIZEOF_CACHESTAT,
  SIZEOF_CACHESTAT_RANGE,
  writeCachestat,
} from '../../syscall-table/structs.gen.ts'
import { unnamedFile } from '../fs/tmpfs/mount.ts'
import type { Task } from '../kernel/task.ts'
import { removePrivileges } from '../vfs/attributes.ts'
import { Dentry } from '../vfs/dentry.ts'
import { File } from '../vfs/file.ts'
import { notifyChanged } from '../vfs/notify.ts'
import { isImmutable, isLocked } from '../vfs/permission.ts'
import { fileTooBig } from './file-io.ts'
import { installFile } from './path-open.ts'

/** Longest name, without the `memfd:` that Linux puts before it. */
const MEMFD_NAME_MAX = 249

/** memfd_create(2). Huge pages are not there, as without CONFIG_HUGETLBFS. */
export function sys_memfd_create(task: Task, nameAddr: number, flags: number): number {
  if ((flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)) !== 0)
    return -EINVAL
  if ((flags & MFD_EXEC) !== 0 && (flags & MFD_NOEXEC_SEAL) !== 0) return -EINVAL
  const name = task.mm.readString(task, nameAddr, MEMFD_NAME_MAX + 1)
  if (typeof name === 'number') return name === -ENAMETOOLONG ? -EINVAL : name
  const noexec = (flags & MFD_NOEXEC_SEAL) !== 0
  const { inode, mount } = unnamedFile(task.kernel, noexec ? 0o666 : 0o777, task.creds)
  if (noexec) inode.seals = F_SEAL_EXEC
  else inode.seals = (flags & MFD_ALLOW_SEALING) !== 0 ? 0 : F_SEAL_SEAL
  const dentry = new Dentry(`memfd:${name}`, mount.root, inode)
  dentry.deleted = true
  const file = new File(inode.ops, inode, dentry, mount, O_RDWR | O_LARGEFILE)
  return installFile(task, file, (flags & MFD_CLOEXEC) !== 0 ? O_CLOEXEC : 0)
}

const FALLOC_KNOWN =
  FALLOC_FL_KEEP_SIZE |
  FALLOC_FL_PUNCH_HOLE |
  FALLOC_FL_COLLAPSE_RANGE |
  FALLOC_FL_ZERO_RANGE |
  FALLOC_FL_INSERT_RANGE |
  FALLOC_FL_UNSHARE_RANGE

export function sys_fallocate(
  task: Task,
  fd: number,
  mode: number,
  offset: number,
  len: number,
): number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  if (offset < 0 || len <= 0) return -EINVAL
  if ((mode & ~FALLOC_KNOWN) !== 0) return -EOPNOTSUPP
  const punching = (mode & FALLOC_FL_PUNCH_HOLE) !== 0
  if (punching && mode !== (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) return -EOPNOTSUPP
  if (!file.writable) return -EBADF
  const { inode } = file
  // What there is may not be changed, or not at all.
  const locked = (mode & ~FALLOC_FL_KEEP_SIZE) !== 0 ? isLocked(inode) : isImmutable(inode)
  if (locked) return -EPERM
  if ((inode.mode & S_IFMT) === S_IFIFO) return -ESPIPE
  if (inode.isDir) return -EISDIR
  if (!inode.isRegular) return -ENODEV
  if (offset + len > Number.MAX_SAFE_INTEGER) return -EFBIG
  const grows = (mode & FALLOC_FL_KEEP_SIZE) === 0 && offset + len > inode.size
  if (grows && offset + len > task.group.rlimits[RLIMIT_FSIZE]!.cur) return fileTooBig(task)
  const error = removePrivileges(task, inode)
  if (error < 0) return error
  const n = file.ops.fallocate(file, mode, offset, len, task)
  return notifyChanged(file.dentry, IN_MODIFY, n)
}

/** posix_fadvise(2): the host's page cache decides by itself; the arguments are checked. */
export function sys_fadvise64(
  task: Task,
  fd: number,
  _offset: number,
  len: number,
  advice: number,
): number {
  const file = task.files.get(fd)
  if (file === undefined || (file.flags & O_PATH) !== 0) return -EBADF
  if ((file.inode.mode & S_IFMT) === S_IFIFO) return -ESPIPE
  return advice < 0 || advice > POSIX_FADV_NOREUSE || len < 0 ? -EINVAL : 0
}

/** readahead(2): as fadvise64. */
export function sys_readahead(task: Task, fd: number, _offset: number, _count: number): number {
  const file = task.files.get(fd)
  if (file === undefined || !file.readable) return -EBADF
  return file.inode.isRegular ? 0 : -EINVAL
}

const range = newCachestatRange()
const stat = newCachestat()

/** cachestat(2): which pages are in memory is the host's to know. */
export function sys_cachestat(
  task: Task,
  fd: number,
  rangeAddr: number,
  addr: number,
  flags: number,
): number {
  const file = task.files.get(fd)
  if (file === undefined || (file.flags & O_PATH) !== 0) return -EBADF
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, rangeAddr, scratch, 0, SIZEOF_CACHESTAT_RANGE) < 0) return -EFAULT
  if (flags !== 0) return -EINVAL
  readCachestatRange(scratchView, 0, range)
  const pages = Math.ceil(file.inode.size / PAGE_SIZE)
  const first = Math.floor(range.off / PAGE_SIZE)
  const last = range.len === 0 ? pages : Math.ceil((range.off + range.len) / PAGE_SIZE)
  const backed = file.inode.isRegular
  stat.cache = backed ? Math.max(0, Math.min(pages, last) - first) : 0
  writeCachestat(scratchView, 0, stat)
  return task.mm.copyResult(task, addr, scratch, 0, SIZEOF_CACHESTAT)
}
