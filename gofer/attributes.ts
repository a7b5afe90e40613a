// Operations that change attributes, and the extended attributes.

import {
  attributedEntries,
  fchownat,
  getxattr as hostGetxattr,
  listxattr as hostListxattr,
  removexattr as hostRemovexattr,
  setxattr as hostSetxattr,
  latin1,
  openat2,
  utimensat,
} from '../native/index.ts'
import {
  E2BIG,
  EBADF,
  EFBIG,
  EINVAL,
  ENODATA,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
  EROFS,
} from '../syscall-table/errno.ts'
import {
  AT_EMPTY_PATH,
  O_DIRECTORY,
  O_RDONLY,
  S_IFDIR,
  XATTR_CREATE,
  XATTR_REPLACE,
} from '../syscall-table/flags.ts'
import type { Handle } from './handles.ts'
import { closeWith, RESOLVE, replyAttr } from './lookup.ts'
import { chmod } from './modify.ts'
import { truncate } from './open.ts'
import {
  ATTACH_READ_ONLY,
  ATTACH_XATTR_SECURITY,
  ID_KEEP,
  NAME_MAX,
  SET_ALL,
  SET_ATIME,
  SET_ATIME_NOW,
  SET_GID,
  SET_MODE,
  SET_MTIME,
  SET_MTIME_NOW,
  SET_SIZE,
  SET_UID,
  XATTR_VALUE_MAX,
} from './protocol.ts'
import type { GoferServer } from './server.ts'

const UTIME_NOW = (1 << 30) - 1
const UTIME_OMIT = (1 << 30) - 2

const times = new Float64Array(4)

/**
 * OP_SETATTR: size, owner, mode and times, in this order, because a change of size sets times and a change
 * of owner clears mode bits. After an error the steps before it stay done.
 */
export function setattr(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const mask = request.u32()
  const mode = request.u32()
  const uid = request.u32()
  const gid = request.u32()
  const size = request.i64()
  times[0] = request.i64()
  times[1] = request.u32()
  times[2] = request.i64()
  times[3] = request.u32()
  if (!request.done() || (mask & ~SET_ALL) !== 0 || (mode & ~0o7777) !== 0) return -EINVAL
  if (!chooseTimes(mask)) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  if ((handle.attach.flags & ATTACH_READ_ONLY) !== 0) return -EROFS
  let r = 0
  if ((mask & SET_SIZE) !== 0) {
    if (size < 0) return -EINVAL
    r = Number.isSafeInteger(size) ? truncate(server, handle, size) : -EFBIG
  }
  if (r >= 0 && (mask & (SET_UID | SET_GID)) !== 0) {
    const owner = (mask & SET_UID) !== 0 ? uid : ID_KEEP
    const group = (mask & SET_GID) !== 0 ? gid : ID_KEEP
    r = fchownat(handle.fd, '', owner, group, AT_EMPTY_PATH)
  }
  if (r >= 0 && (mask & SET_MODE) !== 0) r = chmod(server, handle.fd, mode)
  if (r >= 0 && (mask & (SET_ATIME | SET_MTIME)) !== 0) {
    r = utimensat(handle.fd, '', times, AT_EMPTY_PATH)
  }
  return r < 0 ? r : Math.min(replyAttr(server, handle.fd), 0)
}

/** Puts what the mask says about `times` into them; false for nanoseconds that are none. */
function chooseTimes(mask: number): boolean {
  return (
    chooseTime(1, mask & SET_ATIME, mask & SET_ATIME_NOW) &&
    chooseTime(3, mask & SET_MTIME, mask & SET_MTIME_NOW)
  )
}

function chooseTime(index: number, set: number, now: number): boolean {
  if (set === 0) {
    times[index] = UTIME_OMIT
    return now === 0
  }
  if (now !== 0) times[index] = UTIME_NOW
  return now !== 0 || times[index]! < 1e9
}

/** May this attribute be seen, or with `write` changed? 0 or -errno. */
function mayXattr(handle: Handle, name: string, write: boolean): number {
  if (name === '' || name.length > NAME_MAX) return -ERANGE
  const { flags } = handle.attach
  if (write && (flags & ATTACH_READ_ONLY) !== 0) return -EROFS
  if (name.startsWith('user.')) return 0
  // Who may is the sentry's to judge, as with the mode.
  if (name === 'system.posix_acl_access' || name === 'system.posix_acl_default') return 0
  if (name.startsWith('security.')) {
    return !write || (flags & ATTACH_XATTR_SECURITY) !== 0 ? 0 : -EPERM
  }
  // As the kernel answers those without CAP_SYS_ADMIN, which the gofer never has.
  if (name.startsWith('trusted.')) return write ? -EPERM : -ENODATA
  return -EOPNOTSUPP
}

/** OP_GETXATTR: the whole value. */
export function getxattr(server: GoferServer): number {
  const { request, reply } = server
  const number = request.u32()
  const name = request.string()
  if (!request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  const refused = mayXattr(handle, name, false)
  if (refused < 0) return refused
  const { descriptors } = server
  const path = String(handle.fd)
  const n = hostGetxattr(descriptors, path, name, reply.bytes, reply.at, XATTR_VALUE_MAX)
  if (n > 0) reply.at += n
  return n
}

/** OP_SETXATTR */
export function setxattr(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const flags = request.u32()
  const name = request.string()
  const value = request.blob()
  if (!request.done() || (flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) return -EINVAL
  if (value.length > XATTR_VALUE_MAX) return -E2BIG
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  const refused = mayXattr(handle, name, true)
  if (refused < 0) return refused
  return hostSetxattr(server.descriptors, String(handle.fd), name, value, flags)
}

/** OP_LISTXATTR: the names that the sandbox may see, each with a NUL at its end. */
export function listxattr(server: GoferServer): number {
  const { request, reply } = server
  const number = request.u32()
  if (!request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  const { bytes } = reply
  const start = reply.at
  const path = String(handle.fd)
  const n = hostListxattr(server.descriptors, path, bytes, start, XATTR_VALUE_MAX)
  if (n < 0) return n
  for (let at = start; at < start + n; ) {
    const end = bytes.indexOf(0, at) + 1
    if (end === 0 || end > start + n) break
    const name = latin1(bytes, at, end - 1 - at)
    if (mayXattr(handle, name, false) === 0) {
      bytes.copyWithin(reply.at, at, end)
      reply.at += end - at
    }
    at = end
  }
  return reply.at - start
}

/** OP_SCANXATTR: the names of a directory's entries that have attributes, each with a NUL at its end. */
export function scanxattr(server: GoferServer): number {
  const { request, reply } = server
  const number = request.u32()
  if (!request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  if (handle.type !== S_IFDIR) return -ENOTDIR
  const fd = openat2(handle.fd, '.', O_RDONLY | O_DIRECTORY, 0, RESOLVE)
  if (fd < 0) return fd
  const n = attributedEntries(fd, reply.bytes, reply.at)
  if (n > 0) reply.at += n
  return closeWith(fd, n)
}

/** OP_REMOVEXATTR */
export function removexattr(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const name = request.string()
  if (!request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  const refused = mayXattr(handle, name, true)
  if (refused < 0) return refused
  return hostRemovexattr(server.descriptors, String(handle.fd), name)
}
