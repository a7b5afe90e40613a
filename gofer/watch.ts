// Operations by which the sentry is told of changes that others make to directories: inotify(7), whose instance it reads
// itself.

import {
  dup,
  fstatfs,
  STATFS_COUNT,
  STATFS_TYPE,
  watchDirectory,
  watchEnd,
  watchStart,
} from '../native/index.ts'
import { EBADF, EINVAL, ENOSPC, ENOTDIR, EOPNOTSUPP } from '../syscall-table/errno.ts'
import {
  IN_ATTRIB,
  IN_CREATE,
  IN_DELETE,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  S_IFDIR,
} from '../syscall-table/flags.ts'
import { WATCH_START, WATCHES_MAX } from './protocol.ts'
import type { GoferServer } from './server.ts'

/** What changes where a path leads, or who may go there. */
const EVENTS = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB

/**
 * File systems that only this machine changes, and only by calls that are told about: ext4, XFS, Btrfs, tmpfs. On
 * others, changes may come from a server, or from below.
 */
const TELLING = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994])

const statfsNumbers = new Float64Array(STATFS_COUNT)

/** OP_WATCH: the number by which events of the directory will name it. */
export function watch(server: GoferServer): number {
  const number = server.request.u32()
  if (!server.request.done() || (server.flags & ~WATCH_START) !== 0) return -EINVAL
  const handle = server.handles.get(number)
  if (handle === undefined) return -EBADF
  if (handle.type !== S_IFDIR) return -ENOTDIR
  const r = fstatfs(handle.fd, statfsNumbers)
  if (r < 0) return r
  if (!TELLING.has(statfsNumbers[STATFS_TYPE]!)) return -EOPNOTSUPP
  if (server.watches.size >= WATCHES_MAX) return -ENOSPC
  if (server.watchInstance < 0) {
    const instance = watchStart()
    if (instance < 0) return instance
    server.watchInstance = instance
  }
  if ((server.flags & WATCH_START) !== 0) {
    const fd = dup(server.watchInstance, 0)
    if (fd < 0) return fd
    server.donate(fd)
  }
  const n = watchDirectory(server.watchInstance, handle.fd, EVENTS)
  if (n >= 0) server.watches.add(n)
  return n
}

/** OP_UNWATCH: the watch ends, if it has not ended together with its directory. */
export function unwatch(server: GoferServer): number {
  const number = server.request.u32()
  if (!server.request.done()) return -EINVAL
  if (!server.watches.delete(number)) return -EINVAL
  watchEnd(server.watchInstance, number)
  return 0
}
