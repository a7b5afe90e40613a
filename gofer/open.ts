// Operations on open files: those that hand a descriptor to the sentry, and those that need one for a moment.

import {
  connectUnix,
  fdatasync,
  ftruncate,
  type HostFd,
  fallocate as hostFallocate,
  fsync as hostFsync,
  openat2,
  STAT_MODE,
  STAT_NLINK,
  STAT_RECORD_SIZE,
  statFd,
} from '../native/index.ts'
import {
  EACCES,
  EBADF,
  ECONNREFUSED,
  EFBIG,
  EINVAL,
  EISDIR,
  ELOOP,
  ENODEV,
  ENOTDIR,
  ENXIO,
  EROFS,
} from '../syscall-table/errno.ts'
import {
  O_ACCMODE,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from '../syscall-table/flags.ts'
import type { Handle } from './handles.ts'
import { closeWith, RESOLVE } from './lookup.ts'
import { adopt } from './modify.ts'
import {
  ATTACH_DEVICES,
  ATTACH_HOST_FIFO,
  ATTACH_HOST_UDS,
  ATTACH_READ_ONLY,
  ATTACH_STORE,
  checkName,
  FSYNC_DATA_ONLY,
} from './protocol.ts'
import type { GoferServer } from './server.ts'

const record = new Uint8Array(STAT_RECORD_SIZE)
const view = new DataView(record.buffer)

/** The file of an O_PATH descriptor, opened anew in another mode. Whatever its name is now, it is the same file. */
export function reopen(server: GoferServer, pathFd: HostFd, flags: number): number {
  // Never wait: for the other end of a FIFO, a modem, or a lease's holder.
  return openat2(server.descriptors, String(pathFd), flags | O_NONBLOCK | O_NOCTTY, 0, 0)
}

const OPEN_FLAGS = O_ACCMODE | O_TRUNC

/** OP_OPEN: a descriptor for the sentry. */
export function open(server: GoferServer): number {
  const number = server.request.u32()
  const flags = server.request.u32()
  if (!server.request.done() || (flags & ~OPEN_FLAGS) !== 0) return -EINVAL
  const access = flags & O_ACCMODE
  if (access !== O_RDONLY && access !== O_WRONLY && access !== O_RDWR) return -EINVAL
  if ((flags & O_TRUNC) !== 0 && access === O_RDONLY) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  const refused = mayDonate(handle, access)
  if (refused < 0) return refused
  const fd = reopen(server, handle.fd, flags)
  if (fd < 0) return fd
  server.donate(fd)
  return 0
}

/** Which files' descriptors may leave: 0 or -errno. */
function mayDonate(handle: Handle, access: number): number {
  const { flags } = handle.attach
  if ((flags & ATTACH_READ_ONLY) !== 0 && access !== O_RDONLY && isContent(handle.type)) {
    return -EROFS
  }
  switch (handle.type) {
    case S_IFREG:
      return 0
    case S_IFDIR:
      // With a directory of the host in its hands the sentry could walk up and out of the tree.
      return -EISDIR
    case S_IFLNK:
      return -ELOOP
    case S_IFIFO:
      return (flags & ATTACH_HOST_FIFO) !== 0 ? 0 : -EACCES
    case S_IFCHR:
    case S_IFBLK:
      return (flags & ATTACH_DEVICES) !== 0 ? 0 : -EACCES
    default:
      return -ENXIO
  }
}

/** Types whose content belongs to the file system: a read-only mount does not keep a FIFO from being written. */
const isContent = (type: number) => type === S_IFREG || type === S_IFDIR

/** OP_CREATE: a new regular file, opened. It never opens one that exists. */
export function create(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const access = request.u32()
  const mode = request.u32()
  const uid = request.u32()
  const gid = request.u32()
  const name = request.string()
  if (!request.done() || (mode & ~0o7777) !== 0) return -EINVAL
  if (access !== O_RDONLY && access !== O_WRONLY && access !== O_RDWR) return -EINVAL
  const bad = checkName(name)
  if (bad < 0) return bad
  const dir = server.handles.get(number)
  if (dir === undefined) return -EBADF
  if ((dir.attach.flags & ATTACH_READ_ONLY) !== 0) return -EROFS
  const fd = openat2(
    dir.fd,
    name,
    access | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY,
    // Without the set-id bits until the owner is right.
    mode & 0o1777,
    RESOLVE,
  )
  if (fd < 0) return fd
  server.donate(fd)
  const pathFd = openat2(server.descriptors, String(fd), O_PATH, 0, 0)
  if (pathFd < 0) return pathFd
  return adopt(server, dir, name, pathFd, S_IFREG, mode, uid, gid)
}

/** Runs `action` on a descriptor of a file or directory, opened for this only. */
function withOpened(
  server: GoferServer,
  handle: Handle,
  flags: number,
  action: (fd: HostFd) => number,
): number {
  const fd =
    handle.type === S_IFDIR
      ? openat2(handle.fd, '.', O_RDONLY | O_DIRECTORY, 0, RESOLVE)
      : reopen(server, handle.fd, flags)
  return fd < 0 ? fd : closeWith(fd, action(fd))
}

/** OP_FSYNC */
export function fsync(server: GoferServer): number {
  const number = server.request.u32()
  if (!server.request.done() || (server.flags & ~FSYNC_DATA_ONLY) !== 0) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  if (handle.type !== S_IFREG && handle.type !== S_IFDIR) return -EINVAL
  const sync = (server.flags & FSYNC_DATA_ONLY) !== 0 ? fdatasync : hostFsync
  return withOpened(server, handle, O_RDONLY, sync)
}

/** The handle is a regular file that may be written: 0 or -errno. */
export function mayWrite(handle: Handle): number {
  if (handle.type === S_IFDIR) return -EISDIR
  if (handle.type !== S_IFREG) return -EINVAL
  return (handle.attach.flags & ATTACH_READ_ONLY) !== 0 ? -EROFS : 0
}

/** OP_FALLOCATE */
export function fallocate(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const mode = request.u32()
  const offset = request.i64()
  const length = request.i64()
  if (!request.done() || offset < 0 || length <= 0) return -EINVAL
  if (!Number.isSafeInteger(offset + length)) return -EFBIG
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  const refused = handle.type === S_IFREG ? mayWrite(handle) : -ENODEV
  if (refused < 0) return refused
  return withOpened(server, handle, O_WRONLY, fd => hostFallocate(fd, mode, offset, length))
}

/** ftruncate(2) for OP_SETATTR. */
export function truncate(server: GoferServer, handle: Handle, size: number): number {
  const refused = mayWrite(handle)
  if (refused < 0) return refused
  return withOpened(server, handle, O_WRONLY, fd => ftruncate(fd, size))
}

/** OP_CONNECT: a socket connected to the host's AF_UNIX socket behind the handle. */
export function connect(server: GoferServer): number {
  const number = server.request.u32()
  const type = server.request.u32()
  if (!server.request.done()) return -EINVAL
  if (type !== SOCK_STREAM && type !== SOCK_DGRAM && type !== SOCK_SEQPACKET) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  if (handle.type !== S_IFSOCK) return -ECONNREFUSED
  if ((handle.attach.flags & ATTACH_HOST_UDS) === 0) return -ECONNREFUSED
  const fd = connectUnix(server.descriptors, String(handle.fd), type)
  if (fd < 0) return fd
  server.donate(fd)
  return 0
}

/**
 * OP_REOPEN: the sentry's own memory file, as one that cannot be written: the program's process gets it in its
 * hands while it is mapped. Any other file that the sentry may have is not opened anew, whatever its mode was.
 */
export function reopenMemory(server: GoferServer): number {
  const { received } = server
  if (!server.request.done() || received < 0) return -EINVAL
  const r = statFd(received, record, 0)
  if (r < 0) return r
  const mode = view.getUint32(STAT_MODE, true)
  const links = view.getUint32(STAT_NLINK, true)
  if ((mode & S_IFMT) !== S_IFREG || links !== 0) return -EBADF
  const fd = reopen(server, received, O_RDONLY)
  if (fd < 0) return fd
  server.donate(fd)
  return 0
}

/** OP_TMPFILE: a file without a name, which can never get one. */
export function tmpfile(server: GoferServer): number {
  const number = server.request.u32()
  if (!server.request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  if ((handle.attach.flags & ATTACH_STORE) === 0) return -EACCES
  if (handle.type !== S_IFDIR) return -ENOTDIR
  const fd = openat2(handle.fd, '.', O_TMPFILE | O_RDWR | O_EXCL, 0o600, RESOLVE)
  if (fd < 0) return fd
  server.donate(fd)
  return 0
}
