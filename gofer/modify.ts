// Operations that change directories. Each new file gets the owner that the sentry names, a handle, and its
// attributes into the reply.

import {
  bindUnix,
  fchmodat,
  fchmodat2,
  fchownat,
  type HostFd,
  linkat,
  mkdirat,
  mknodat,
  renameat2,
  STAT_GID,
  STAT_NLINK,
  STAT_RECORD_SIZE,
  STAT_UID,
  socketListen,
  statx,
  symlinkat,
  unlinkat,
} from '../native/index.ts'
import {
  EADDRINUSE,
  EBADF,
  EEXIST,
  EINVAL,
  ENAMETOOLONG,
  ENOENT,
  ENOSYS,
  EPERM,
  EROFS,
  ESTALE,
  EXDEV,
} from '../syscall-table/errno.ts'
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
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
import { closeWith, lookup, replyAttr } from './lookup.ts'
import {
  ATTACH_DEVICES,
  ATTACH_HOST_UDS_CREATE,
  ATTACH_READ_ONLY,
  checkName,
  ID_KEEP,
  PATH_MAX,
  UNLINK_TELL,
} from './protocol.ts'
import type { GoferServer } from './server.ts'

/** A byte of sun_path is for the NUL. */
const SUN_PATH_MAX = 107

/**
 * The last step of all that make a file: gives the file behind `fd` (which is consumed) its owner and mode,
 * and makes it a handle. A file that cannot be completed is removed again. Returns the handle or -errno.
 */
export function adopt(
  server: GoferServer,
  dir: Handle,
  name: string,
  fd: HostFd,
  type: number,
  mode: number,
  uid: number,
  gid: number,
): number {
  const r = complete(server, fd, type, mode, uid, gid)
  const number = r < 0 ? closeWith(fd, r) : server.handles.add(fd, dir.attach, type)
  // Where others write too, the name may by now be somebody else's: that one stays.
  if (number < 0 && number !== -ESTALE) {
    unlinkat(dir.fd, name, type === S_IFDIR ? AT_REMOVEDIR : 0)
  }
  return number
}

function complete(
  server: GoferServer,
  fd: HostFd,
  type: number,
  mode: number,
  uid: number,
  gid: number,
): number {
  const { reply } = server
  const at = reply.at
  const actual = replyAttr(server, fd)
  if (actual < 0) return actual
  // Another host process may have put its own file, or a hard link to somebody's, under the name: its
  // owner must not be changed.
  if ((actual & S_IFMT) !== type) return -ESTALE
  if (type !== S_IFDIR && reply.view.getUint32(at + STAT_NLINK, true) !== 1) return -ESTALE
  const owned =
    isOrKept(uid, reply.view.getUint32(at + STAT_UID, true)) &&
    isOrKept(gid, reply.view.getUint32(at + STAT_GID, true))
  if (!owned) {
    const r = fchownat(fd, '', uid, gid, AT_EMPTY_PATH)
    if (r < 0) return r
  }
  // Set-id bits are lost in a change of owner, and set-group-id of a directory is inherited.
  const exact = type === S_IFLNK || (actual & 0o7777) === mode
  if (!exact || (!owned && (mode & 0o6000) !== 0)) {
    const r = chmod(server, fd, mode)
    if (r < 0) return r
  } else if (owned) {
    return 0
  }
  reply.at = at
  return Math.min(replyAttr(server, fd), 0)
}

const isOrKept = (wanted: number, actual: number) => wanted === ID_KEEP || wanted === actual

/** Changes the mode of the file behind an O_PATH descriptor. */
export function chmod(server: GoferServer, fd: HostFd, mode: number): number {
  const r = fchmodat2(fd, '', mode, AT_EMPTY_PATH)
  return r === -ENOSYS ? fchmodat(server.descriptors, String(fd), mode) : r
}

/** The directory handle `number`, in which `name` may be changed; or -errno. */
function writableDir(server: GoferServer, number: number, name: string): Handle | number {
  const bad = checkName(name)
  if (bad < 0) return bad
  const dir = server.handles.get(number)
  if (dir === undefined) return -EBADF
  return (dir.attach.flags & ATTACH_READ_ONLY) !== 0 ? -EROFS : dir
}

/** Completes the file that was made under `name` by a call that yields no descriptor. */
function adoptNamed(
  server: GoferServer,
  dir: Handle,
  name: string,
  type: number,
  mode: number,
  uid: number,
  gid: number,
): number {
  const fd = lookup(dir.fd, name)
  return fd < 0 ? fd : adopt(server, dir, name, fd, type, mode, uid, gid)
}

/** OP_MKDIR */
export function mkdir(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const mode = request.u32()
  const uid = request.u32()
  const gid = request.u32()
  const name = request.string()
  if (!request.done() || (mode & ~0o7777) !== 0) return -EINVAL
  const dir = writableDir(server, number, name)
  if (typeof dir === 'number') return dir
  const r = mkdirat(dir.fd, name, mode & 0o1777)
  return r < 0 ? r : adoptNamed(server, dir, name, S_IFDIR, mode, uid, gid)
}

/** OP_MKNOD */
export function mknod(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const mode = request.u32()
  const uid = request.u32()
  const gid = request.u32()
  const major = request.u32()
  const minor = request.u32()
  const name = request.string()
  const type = mode & S_IFMT
  if (!request.done() || (mode & ~(S_IFMT | 0o7777)) !== 0) return -EINVAL
  const dir = writableDir(server, number, name)
  if (typeof dir === 'number') return dir
  const refused = mayMake(dir, type, major, minor)
  if (refused < 0) return refused
  const r = mknodat(dir.fd, name, type | (mode & 0o1777), major, minor)
  return r < 0 ? r : adoptNamed(server, dir, name, type, mode & 0o7777, uid, gid)
}

/**
 * OP_BIND: the name of an AF_UNIX socket. Where it may be one of the host, that comes with the answer, bound; without
 * it, nobody can connect from outside.
 */
export function bindSocket(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const type = request.u32()
  const mode = request.u32()
  const uid = request.u32()
  const gid = request.u32()
  const name = request.string()
  if (!request.done() || (mode & ~0o7777) !== 0) return -EINVAL
  if (type !== SOCK_STREAM && type !== SOCK_DGRAM && type !== SOCK_SEQPACKET) return -EINVAL
  const dir = writableDir(server, number, name)
  if (typeof dir === 'number') return dir
  // No name of a socket can be as long as one of a file.
  if ((dir.attach.flags & ATTACH_HOST_UDS_CREATE) === 0 || name.length > SUN_PATH_MAX) {
    const r = mknodat(dir.fd, name, S_IFSOCK | (mode & 0o1777), 0, 0)
    return r < 0 ? r : adoptNamed(server, dir, name, S_IFSOCK, mode, uid, gid)
  }
  const fd = bindUnix(dir.fd, name, type)
  if (fd < 0) return fd === -EADDRINUSE ? -EEXIST : fd
  server.donate(fd)
  return adoptNamed(server, dir, name, S_IFSOCK, mode, uid, gid)
}

/** OP_LISTEN: what the sentry cannot do itself with a socket that it was given. */
export function listenOn(server: GoferServer): number {
  const { received } = server
  const backlog = server.request.u32()
  if (!server.request.done() || received < 0) return -EINVAL
  return socketListen(received, backlog | 0)
}

function mayMake(dir: Handle, type: number, major: number, minor: number): number {
  switch (type) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
      return 0
    case S_IFCHR:
      // Device 0:0 is no device: it is how overlay file systems record a deletion.
      if (major === 0 && minor === 0) return 0
      return (dir.attach.flags & ATTACH_DEVICES) !== 0 ? 0 : -EPERM
    case S_IFBLK:
      return (dir.attach.flags & ATTACH_DEVICES) !== 0 ? 0 : -EPERM
    default:
      return -EINVAL
  }
}

/** OP_SYMLINK: the target is only stored, so it may say anything. */
export function symlink(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const uid = request.u32()
  const gid = request.u32()
  const name = request.string()
  const target = request.string()
  if (!request.done()) return -EINVAL
  if (target === '') return -ENOENT
  if (target.length >= PATH_MAX) return -ENAMETOOLONG
  const dir = writableDir(server, number, name)
  if (typeof dir === 'number') return dir
  const r = symlinkat(target, dir.fd, name)
  return r < 0 ? r : adoptNamed(server, dir, name, S_IFLNK, 0o777, uid, gid)
}

/** OP_LINK: a new name for the handle's file; its attributes into the reply. */
export function link(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const dirNumber = request.u32()
  const name = request.string()
  if (!request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  const dir = writableDir(server, dirNumber, name)
  if (typeof dir === 'number') return dir
  // A file of a read-only attach point must not become reachable through a writable one.
  if (handle.attach !== dir.attach) return -EXDEV
  if (handle.type === S_IFDIR) return -EPERM
  const r = linkat(server.descriptors, String(handle.fd), dir.fd, name, AT_SYMLINK_FOLLOW)
  return r < 0 ? r : Math.min(replyAttr(server, handle.fd), 0)
}

/** OP_UNLINK: unlink(2), or rmdir(2) with AT_REMOVEDIR. */
export function unlink(server: GoferServer): number {
  const { request, reply } = server
  const number = request.u32()
  const flags = request.u32()
  const name = request.string()
  if (!request.done() || (flags & ~AT_REMOVEDIR) !== 0) return -EINVAL
  if ((server.flags & ~UNLINK_TELL) !== 0) return -EINVAL
  const dir = writableDir(server, number, name)
  if (typeof dir === 'number') return dir
  if ((server.flags & UNLINK_TELL) !== 0) {
    const r = statx(dir.fd, name, AT_SYMLINK_NOFOLLOW, reply.bytes, reply.at)
    if (r < 0) return r
    // Nobody will ask where a link that is gone has led to.
    reply.at += STAT_RECORD_SIZE
  }
  return unlinkat(dir.fd, name, flags)
}

/** OP_RENAME */
export function rename(server: GoferServer): number {
  const { request } = server
  const fromNumber = request.u32()
  const toNumber = request.u32()
  const flags = request.u32()
  const fromName = request.string()
  const toName = request.string()
  if (!request.done() || (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) return -EINVAL
  const from = writableDir(server, fromNumber, fromName)
  if (typeof from === 'number') return from
  const to = writableDir(server, toNumber, toName)
  if (typeof to === 'number') return to
  if (from.attach !== to.attach) return -EXDEV
  return renameat2(from.fd, fromName, to.fd, toName, flags)
}
