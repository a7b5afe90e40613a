// Host calls on files, directories and message sockets: the types of native/addon/host-*.cc. All return
// >= 0 or -errno. Names are strings with one character per byte (Linux names are bytes, not text).

import type { HostFd } from './index.ts'
import { addon } from './load.ts'

interface HostFile {
  openat2(dirFd: HostFd, path: string, flags: number, mode: number, resolve: number): number
  openat(dirFd: HostFd, path: string, flags: number, mode: number): number
  openTree(dirFd: HostFd, path: string, flags: number): number
  mountOverlay(options: string, fds: Int32Array): number
  mountSetattr(fd: HostFd, flags: number, set: number, clear: number, userns?: number): number
  pread(fd: HostFd, to: Uint8Array, at: number, length: number, position: number): number
  pwrite(fd: HostFd, from: Uint8Array, at: number, length: number, position: number): number
  preadv(fd: HostFd, to: Uint8Array, windows: Uint32Array, n: number, position: number): number
  pwritev(fd: HostFd, from: Uint8Array, windows: Uint32Array, n: number, position: number): number
  lseek(fd: HostFd, offset: number, whence: number): number
  ftruncate(fd: HostFd, size: number): number
  fallocate(fd: HostFd, mode: number, offset: number, length: number): number
  fsync(fd: HostFd): number
  fdatasync(fd: HostFd): number
  dup(fd: HostFd, lowest: number): number
  close(fd: HostFd): number
  memfdCreate(name: string, flags: number): number
  setDescriptorCeiling(ceiling: number): number
  belowCeiling(fd: HostFd): number
  umask(mask: number): number
  exitNow(status: number): never
  listDirectory(
    fd: HostFd,
    to: Uint8Array,
    at: number,
    cookieLow: number,
    high: number,
    xattrs: number,
  ): number
  checkPage(bytes: Uint8Array, at: number, end: number, found: Uint32Array): number
  findEntry(bytes: Uint8Array, first: number, end: number, hint: number, name: string): number
  putDirents(
    bytes: Uint8Array,
    at: number,
    end: number,
    position: number,
    out: Uint8Array,
    from: number,
    capacity: number,
    old: number,
    left: Uint32Array,
  ): number
  getdents64(fd: HostFd, to: Uint8Array, at: number, length: number): number
  attributedEntries(fd: HostFd, to: Uint8Array, at: number): number
  mkdirat(dirFd: HostFd, name: string, mode: number): number
  mknodat(dirFd: HostFd, name: string, mode: number, major: number, minor: number): number
  symlinkat(target: string, dirFd: HostFd, name: string): number
  linkat(from: HostFd, fromPath: string, to: HostFd, toName: string, flags: number): number
  unlinkat(dirFd: HostFd, name: string, flags: number): number
  renameat2(from: HostFd, fromName: string, to: HostFd, toName: string, flags: number): number
  statx(dirFd: HostFd, path: string, flags: number, to: Uint8Array, at: number): number
  statFd(fd: HostFd, to: Uint8Array, at: number): number
  readlinkat(dirFd: HostFd, path: string, to: Uint8Array, at: number, length: number): number
  fchmodat2(dirFd: HostFd, path: string, mode: number, flags: number): number
  fchmodat(dirFd: HostFd, path: string, mode: number): number
  fchownat(dirFd: HostFd, path: string, uid: number, gid: number, flags: number): number
  utimensat(dirFd: HostFd, path: string, times: Float64Array, flags: number): number
  fstatfs(fd: HostFd, to: Float64Array): number
  getxattr(
    dirFd: HostFd,
    path: string,
    name: string,
    to: Uint8Array,
    at: number,
    length: number,
  ): number
  setxattr(dirFd: HostFd, path: string, name: string, value: Uint8Array, flags: number): number
  listxattr(dirFd: HostFd, path: string, to: Uint8Array, at: number, length: number): number
  attributesSize(fd: HostFd): number
  removexattr(dirFd: HostFd, path: string, name: string): number
  socketpair(type: number, fds: Int32Array): number
  setSendBuffer(fd: HostFd, bytes: number): number
  sendMessage(
    fd: HostFd,
    from: Uint8Array,
    at: number,
    length: number,
    fds: Int32Array,
    fdCount: number,
  ): number
  recvMessage(fd: HostFd, to: Uint8Array, fds: Int32Array): number
  beforeMessage(): number
  runOn(cpu: number): number
  connectUnix(dirFd: HostFd, name: string, type: number): number
  watchStart(): number
  watchDirectory(instance: HostFd, dirFd: HostFd, events: number): number
  watchEnd(instance: HostFd, watch: number): number
  bindUnix(dirFd: HostFd, name: string, type: number): number
  latin1(bytes: Uint8Array, at: number, length: number): string
}

const host = addon as unknown as HostFile

/** openat2(2) and openat(2); O_CLOEXEC is always added. */
export const openat2 = host.openat2
export const openat = host.openat
/** open_tree(2); OPEN_TREE_CLOEXEC is always added. */
export const openTree = host.openTree
/** Mount an overlayfs with these options of mount(2), in no tree: one or two descriptors of it. */
export const mountOverlay = host.mountOverlay
/** mount_setattr(2) of an open tree: flags are AT_RECURSIVE or 0, `set` and `clear` MOUNT_ATTR_*. */
export const mountSetattr = host.mountSetattr
/** pread(2) and pwrite(2) on a window of an array; a negative position means the file's own. */
export const pread = host.pread
export const pwrite = host.pwrite
/** preadv(2) and pwritev(2): `windows` holds `n` pairs (offset, length) into the one array. */
export const preadv = host.preadv
export const pwritev = host.pwritev
export const lseek = host.lseek
export const ftruncate = host.ftruncate
export const fallocate = host.fallocate
export const fsync = host.fsync
export const fdatasync = host.fdatasync
/** A copy of the descriptor with the first free number >= `lowest`, close-on-exec. */
export const dup = host.dup
export const close = host.close
export const memfdCreate = host.memfdCreate
/** What a program makes this process open gets numbers below the ceiling, or -ENFILE. */
export const setDescriptorCeiling = host.setDescriptorCeiling
/** The descriptor, or -ENFILE when it was above the ceiling and is closed now. */
export const belowCeiling = host.belowCeiling
export const umask = host.umask
/** _exit(2): ends a confined process, whose filter forbids what Node does at its end. */
export const exitNow: (status: number) => never = host.exitNow
/**
 * A page of a directory's entries with their attributes, from a position on; see PAGE_* and ENTRY_*. With `xattrs` 1 it also
 * tells which have no extended attributes, where the host is not older than Linux 6.13.
 */
export const listDirectory = host.listDirectory
/**
 * Whether `bytes[at…end)` starts with a page whose every name and attribute is possible: the number of its entries, with
 * [its end, the offset of its last entry] in `found`; or -EIO.
 */
export const checkPage = host.checkPage
/** The offset of the entry `name` among those from `first` to `end`, searched from `hint` on, or -ENOENT. */
export const findEntry = host.findEntry
/**
 * Entries of a checked page as the records of getdents64(2), or of getdents(2) when `old` is 1, between `from` and
 * `capacity` of `out`; d_off counts on from `position`. Returns how many were taken, with [the end of the records, the
 * offset of the next entry] in `left`.
 */
export const putDirents = host.putDirents
export const getdents64 = host.getdents64
/** The names of a directory's entries that have extended attributes, each with a NUL at its end. */
export const attributedEntries = host.attributedEntries
export const mkdirat = host.mkdirat
export const mknodat = host.mknodat
export const symlinkat = host.symlinkat
export const linkat = host.linkat
export const unlinkat = host.unlinkat
export const renameat2 = host.renameat2
/** statx(2) into a stat record (STAT_*) at an offset of an array. */
export const statx = host.statx
/** The stat record of a descriptor, O_PATH ones included. */
export const statFd = host.statFd
export const readlinkat = host.readlinkat
export const fchmodat2 = host.fchmodat2
/** fchmodat(2) without flags: follows links. */
export const fchmodat = host.fchmodat
export const fchownat = host.fchownat
/** utimensat(2): `times` is [atime seconds, nanoseconds, mtime seconds, nanoseconds]. */
export const utimensat = host.utimensat
/** fstatfs(2) into 12 doubles: STATFS_*. */
export const fstatfs = host.fstatfs
/** Extended attributes of the file that `path` leads to. The last link is followed. */
export const getxattr = host.getxattr
export const setxattr = host.setxattr
export const listxattr = host.listxattr
/** Bytes of the names of all extended attributes of an open file: 0 when it has none. */
export const attributesSize = host.attributesSize
export const removexattr = host.removexattr
/** An AF_UNIX socket pair into fds[0] and fds[1]. */
export const socketpair = host.socketpair
/** SO_SNDBUF, which bounds the size of one message. */
export const setSendBuffer = host.setSendBuffer
export const sendMessage = host.sendMessage
/**
 * Receives one message: its length, 0 when the peer is gone, -EMSGSIZE when it did not fit. fds[0] becomes
 * the number of descriptors that came along and follow it. An array of one element accepts none.
 */
export const recvMessage = host.recvMessage
/** A message is about to be sent whose answer this thread waits for: the CPU on which to work for it, or -1 for any. */
export const beforeMessage = host.beforeMessage
/** This thread runs on the CPU from now on, or with -1 on those where it could when this was called first. */
export const runOn = host.runOn
/** A non-blocking socket of `type`, connected to the AF_UNIX address `name` in a directory. */
export const connectUnix = host.connectUnix
/** An inotify(7) instance, non-blocking. */
export const watchStart = host.watchStart
/** Watch a directory for the events IN_*: the watch's number, which is the same one for the same directory. */
export const watchDirectory = host.watchDirectory
export const watchEnd = host.watchEnd
/** A non-blocking AF_UNIX socket that is bound to a new name in a directory. */
export const bindUnix = host.bindUnix
/** Bytes as a string with one character per byte. */
export const latin1 = host.latin1

/** Offsets in the stat record that statx, statFd and listDirectory write; all integers little-endian. */
export const STAT_INO = 0
export const STAT_SIZE = 8
export const STAT_BLOCKS = 16
export const STAT_ATIME = 24
export const STAT_MTIME = 32
export const STAT_CTIME = 40
export const STAT_BTIME = 48
export const STAT_ATIME_NSEC = 56
export const STAT_MTIME_NSEC = 60
export const STAT_CTIME_NSEC = 64
export const STAT_BTIME_NSEC = 68
export const STAT_MODE = 72
export const STAT_NLINK = 76
export const STAT_UID = 80
export const STAT_GID = 84
export const STAT_BLKSIZE = 88
export const STAT_DEV_MAJOR = 92
export const STAT_DEV_MINOR = 96
export const STAT_RDEV_MAJOR = 100
export const STAT_RDEV_MINOR = 104
/** u16: the length of a symlink's target that follows, or TARGET_NOT_INLINE. */
export const STAT_TARGET_LENGTH = 108
export const STAT_RECORD_SIZE = 112
/** A symlink's target that is longer than INLINE_TARGET_MAX or cannot be read. */
export const TARGET_NOT_INLINE = 0xffff
export const INLINE_TARGET_MAX = 1024

/** A page of listDirectory: u32 number of entries, u32 1 when the directory ends here, entries. */
export const PAGE_ENTRIES = 0
export const PAGE_COMPLETE = 4
export const PAGE_HEADER_SIZE = 8
/** An entry: u64 cookie of the next one, stat record, u16 name length, u16 flags, name, target; padded to 8. */
export const ENTRY_NEXT = 0
export const ENTRY_STAT = 8
export const ENTRY_NAME_LENGTH = 120
export const ENTRY_FLAGS = 122
export const ENTRY_HEADER_SIZE = 124
/** Flag of an entry: it has no extended attributes of any kind. */
export const ENTRY_BARE = 1

/** Indices into the array of fstatfs. */
export const STATFS_TYPE = 0
export const STATFS_BSIZE = 1
export const STATFS_BLOCKS = 2
export const STATFS_BFREE = 3
export const STATFS_BAVAIL = 4
export const STATFS_FILES = 5
export const STATFS_FFREE = 6
export const STATFS_FSID_LOW = 7
export const STATFS_FSID_HIGH = 8
export const STATFS_NAMELEN = 9
export const STATFS_FRSIZE = 10
export const STATFS_FLAGS = 11
export const STATFS_COUNT = 12
