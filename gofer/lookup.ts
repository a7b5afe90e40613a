// Operations that find files and tell about them.

import {
  close,
  dup,
  fstatfs,
  type HostFd,
  INLINE_TARGET_MAX,
  listDirectory,
  openat2,
  readlinkat,
  STAT_DEV_MAJOR,
  STAT_DEV_MINOR,
  STAT_GID,
  STAT_INO,
  STAT_MODE,
  STAT_RECORD_SIZE,
  STAT_TARGET_LENGTH,
  STAT_UID,
  STATFS_COUNT,
  statFd,
  statx,
  TARGET_NOT_INLINE,
} from '../native/index.ts'
import { EBADF, EINVAL, EMSGSIZE, ENOTDIR, ESTALE } from '../syscall-table/errno.ts'
import {
  AT_SYMLINK_NOFOLLOW,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../syscall-table/flags.ts'
import type { Handle } from './handles.ts'
import { reopen } from './open.ts'
import {
  CLOSE_MAX,
  checkName,
  HEADER_SIZE,
  PATH_MAX,
  WALK_HANDLES,
  WALK_LIST,
  WALK_MAX,
  WALK_OPEN,
} from './protocol.ts'
import type { GoferServer } from './server.ts'

/** How every lookup resolves: inside of the directory, and through no link of any kind. */
export const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS

/** An O_PATH descriptor of one entry of a directory, or -errno. `name` has been checked. */
export function lookup(dirFd: HostFd, name: string): number {
  return openat2(dirFd, name, O_PATH | O_NOFOLLOW, 0, RESOLVE)
}

/**
 * Appends the attributes of `fd` to the reply, with the target of a symlink. Returns the mode, or -errno
 * with nothing appended.
 */
export function replyAttr(server: GoferServer, fd: HostFd): number {
  const { reply } = server
  const at = reply.at
  if (!reply.room(STAT_RECORD_SIZE + INLINE_TARGET_MAX + 1)) return -EMSGSIZE
  const r = statFd(fd, reply.bytes, at)
  if (r < 0) return r
  reply.at += STAT_RECORD_SIZE
  const mode = reply.view.getUint32(at + STAT_MODE, true)
  if ((mode & S_IFMT) === S_IFLNK) {
    // One byte more than is sent inline tells a longer target from one that just fits.
    const n = readlinkat(fd, '', reply.bytes, reply.at, INLINE_TARGET_MAX + 1)
    const inline = n > 0 && n <= INLINE_TARGET_MAX
    reply.view.setUint16(at + STAT_TARGET_LENGTH, inline ? n : TARGET_NOT_INLINE, true)
    if (inline) reply.at += n
  }
  return mode
}

/** OP_ATTACH: the root of an attach point. */
export function attach(server: GoferServer): number {
  const index = server.request.u32()
  if (!server.request.done()) return -EINVAL
  const point = server.attachPoints[index]
  if (point === undefined) return -EINVAL
  const fd = dup(point.fd, 0)
  if (fd < 0) return fd
  const mode = replyAttr(server, fd)
  return mode < 0 ? closeWith(fd, mode) : server.handles.add(fd, point, mode & S_IFMT)
}

/** Closes `fd` on the way out with `result`. */
export function closeWith(fd: HostFd, result: number): number {
  close(fd)
  return result
}

const WALK_FLAGS = WALK_HANDLES | WALK_OPEN | WALK_LIST

/** OP_WALK: resolves components until one is missing or is a symlink. */
export function walk(server: GoferServer): number {
  const { request, reply, flags } = server
  const number = request.u32()
  const count = request.u16()
  if (count === 0 || count > WALK_MAX || (flags & ~WALK_FLAGS) !== 0) return -EINVAL
  const names: string[] = []
  for (let i = 0; i < count; i++) {
    const name = request.string()
    // A component that is too long ends the walk like a missing one; the others mean a broken sentry.
    if (checkName(name) === -EINVAL) return -EINVAL
    names.push(name)
  }
  if (!request.done()) return -EINVAL
  const start = server.handles.get(number)
  if (start === undefined) return -EBADF
  reply.u32(0)
  return walkFrom(server, start, names)
}

/** Returns how many components were resolved; why the next one was not stands at the reply's head. */
function walkFrom(server: GoferServer, start: Handle, names: readonly string[]): number {
  const { reply } = server
  const each = (server.flags & WALK_HANDLES) !== 0
  let dirFd = start.fd
  // The component resolved last, while its descriptor has no handle: where its record is, and its type.
  let pendingAt = -1
  let type = S_IFDIR
  let resolved = 0
  let stop = 0
  while (resolved < names.length && type !== S_IFLNK) {
    const at = reply.at
    const fd = enter(server, dirFd, names[resolved]!)
    if (fd < 0) {
      stop = fd
      break
    }
    if (pendingAt >= 0) close(dirFd)
    type = reply.view.getUint32(at + 4 + STAT_MODE, true) & S_IFMT
    dirFd = fd
    pendingAt = at
    resolved++
    if (each) {
      stop = name(server, start, dirFd, type, at)
      pendingAt = -1
      if (stop < 0) break
    }
  }
  if (pendingAt >= 0) {
    const r = name(server, start, dirFd, type, pendingAt)
    if (r < 0) stop = r
  }
  reply.view.setInt32(HEADER_SIZE, stop, true)
  if (stop === 0 && resolved === names.length) bringAlong(server, dirFd, type)
  return resolved
}

/** What the walk's flags ask for on top; if it cannot be had, the sentry's own request for it will tell why. */
function bringAlong(server: GoferServer, fd: HostFd, type: number): void {
  if ((server.flags & WALK_OPEN) !== 0 && type === S_IFREG) {
    const opened = reopen(server, fd, O_RDONLY)
    if (opened >= 0) server.donate(opened)
  }
  if ((server.flags & WALK_LIST) !== 0 && type === S_IFDIR) {
    const { reply } = server
    // Entries are padded to multiples of 8 within the message.
    while ((reply.at & 7) !== 0) reply.u8(0)
    appendPage(server, fd, 0, 0)
  }
}

/** Looks one component up and appends its record, still without a handle. Returns a descriptor or -errno. */
function enter(server: GoferServer, dirFd: HostFd, component: string): number {
  const { reply } = server
  const bad = checkName(component)
  if (bad < 0) return bad
  const fd = lookup(dirFd, component)
  if (fd < 0) return fd
  const at = reply.at
  reply.u32(0)
  const mode = replyAttr(server, fd)
  if (mode >= 0) return fd
  reply.at = at
  return closeWith(fd, mode)
}

/** Gives `fd` a handle and writes its number into the record at `at`; returns 0 or -errno. */
function name(server: GoferServer, start: Handle, fd: HostFd, type: number, at: number): number {
  const number = server.handles.add(fd, start.attach, type)
  if (number < 0) return number
  server.reply.view.setUint32(at, number, true)
  return 0
}

// Where in a stat record the words of a guard are.
const GUARDED_FIELDS = [
  STAT_INO,
  STAT_INO + 4,
  STAT_DEV_MAJOR,
  STAT_DEV_MINOR,
  STAT_MODE,
  STAT_UID,
  STAT_GID,
]
const guard = new Uint32Array(GUARDED_FIELDS.length)
const record = new Uint8Array(STAT_RECORD_SIZE)
const recordView = new DataView(record.buffer)

/**
 * REQUEST_GUARDED: 0 when each of the names still is of the file that the sentry has in mind, with the owner and mode by
 * which it has decided; else -ESTALE.
 */
export function checkGuards(server: GoferServer): number {
  const { request } = server
  const count = request.u16()
  if (count === 0 || count > WALK_MAX) return -EINVAL
  let result = 0
  for (let i = 0; i < count; i++) {
    const number = request.u32()
    for (let j = 0; j < guard.length; j++) guard[j] = request.u32()
    const name = request.string()
    if (request.bad || checkName(name) < 0) return -EINVAL
    const dir = server.handles.get(number)
    if (dir === undefined) return -EBADF
    if (result === 0 && !guardHolds(dir.fd, name)) result = -ESTALE
  }
  return result
}

function guardHolds(dirFd: HostFd, name: string): boolean {
  if (statx(dirFd, name, AT_SYMLINK_NOFOLLOW, record, 0) < 0) return false
  return GUARDED_FIELDS.every((at, i) => recordView.getUint32(at, true) === guard[i])
}

/** OP_CLOSE: gives handles back. It has no reply, so numbers that are none are passed over. */
export function closeHandles(server: GoferServer): number {
  const { request } = server
  for (let i = 0; i < CLOSE_MAX && !request.done(); i++) {
    const number = request.u32()
    if (request.bad) break
    server.handles.remove(number)
  }
  return 0
}

/** OP_GETATTR */
export function getattr(server: GoferServer): number {
  const number = server.request.u32()
  if (!server.request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  const mode = replyAttr(server, handle.fd)
  return Math.min(mode, 0)
}

/** OP_READLINK: the whole target, however long. */
export function readlink(server: GoferServer): number {
  const { request, reply } = server
  const number = request.u32()
  if (!request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  if (handle.type !== S_IFLNK) return -EINVAL
  const n = readlinkat(handle.fd, '', reply.bytes, reply.at, PATH_MAX)
  if (n > 0) reply.at += n
  return n
}

/** OP_READDIR: a page of entries with attributes, from a cookie on. */
export function readdir(server: GoferServer): number {
  const { request } = server
  const number = request.u32()
  const low = request.u32()
  const high = request.u32()
  if (!request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  if (handle.type !== S_IFDIR) return -ENOTDIR
  return appendPage(server, handle.fd, low, high)
}

/** Appends a page of the directory's entries. Returns 0, or -errno with nothing appended. */
function appendPage(server: GoferServer, dirFd: HostFd, low: number, high: number): number {
  const { reply } = server
  const fd = openat2(dirFd, '.', O_RDONLY | O_DIRECTORY, 0, RESOLVE)
  if (fd < 0) return fd
  const n = listDirectory(fd, reply.bytes, reply.at, low, high, 0)
  if (n > 0) reply.at += n
  return closeWith(fd, Math.min(n, 0))
}

const statfsNumbers = new Float64Array(STATFS_COUNT)

/** OP_STATFS */
export function statfs(server: GoferServer): number {
  const number = server.request.u32()
  if (!server.request.done()) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  const r = fstatfs(handle.fd, statfsNumbers)
  if (r < 0) return r
  for (let i = 0; i < STATFS_COUNT; i++) server.reply.f64(statfsNumbers[i]!)
  return 0
}
