// The gofer's wire protocol: numbers, bounds and codec. PROTOCOL.md explains each message.

import {
  latin1,
  STAT_ATIME,
  STAT_ATIME_NSEC,
  STAT_BLKSIZE,
  STAT_BLOCKS,
  STAT_BTIME,
  STAT_BTIME_NSEC,
  STAT_CTIME,
  STAT_CTIME_NSEC,
  STAT_DEV_MAJOR,
  STAT_DEV_MINOR,
  STAT_GID,
  STAT_INO,
  STAT_MODE,
  STAT_MTIME,
  STAT_MTIME_NSEC,
  STAT_NLINK,
  STAT_RDEV_MAJOR,
  STAT_RDEV_MINOR,
  STAT_RECORD_SIZE,
  STAT_SIZE,
  STAT_TARGET_LENGTH,
  STAT_UID,
  TARGET_NOT_INLINE,
} from '../native/index.ts'
import { EINVAL, ENAMETOOLONG } from '../syscall-table/errno.ts'

/** Bytes of the largest message, in both directions. */
export const MESSAGE_MAX = 256 * 1024
/** Both headers: request {u32 tag, u16 op, u16 flags}, response {u32 tag, i32 result}. */
export const HEADER_SIZE = 8
export const NAME_MAX = 255
export const PATH_MAX = 4096
/** Components of one walk. Each may bring a symlink's target, and all must fit into one message. */
export const WALK_MAX = 128
export const CLOSE_MAX = 1024
/** Names of one OP_LIST_TREE, and of one OP_OPEN_FILES: a descriptor may come with each. */
export const TREE_NAMES_MAX = 128
export const OPEN_FILES_MAX = 64
/** Watched directories. */
export const WATCHES_MAX = 1024
export const XATTR_VALUE_MAX = 65536

export const OP_ATTACH = 1
export const OP_WALK = 2
export const OP_CLOSE = 3
export const OP_GETATTR = 4
export const OP_SETATTR = 5
export const OP_OPEN = 6
export const OP_CREATE = 7
export const OP_MKDIR = 8
export const OP_MKNOD = 9
export const OP_SYMLINK = 10
export const OP_LINK = 11
export const OP_UNLINK = 12
export const OP_RENAME = 13
export const OP_READLINK = 14
export const OP_READDIR = 15
export const OP_STATFS = 16
export const OP_FSYNC = 17
export const OP_FALLOCATE = 18
export const OP_GETXATTR = 19
export const OP_SETXATTR = 20
export const OP_LISTXATTR = 21
export const OP_REMOVEXATTR = 22
export const OP_CONNECT = 23
export const OP_SCANXATTR = 24
export const OP_REOPEN = 25
export const OP_LIST_TREE = 26
export const OP_OPEN_FILES = 27
/** An unnamed file of the attach point's directory. */
export const OP_TMPFILE = 28
/** A directory whose changes are told by an inotify(7) instance, and the end of that. */
export const OP_WATCH = 29
export const OP_UNWATCH = 30
/** A socket's name. */
export const OP_BIND = 31
/** listen(2) on a socket of OP_BIND, which comes with the request. */
export const OP_LISTEN = 32
/** The CPU to run on. */
export const OP_FOLLOW = 33
export const OP_COUNT = 34

/** A CPU of OP_FOLLOW that means any. */
export const ANY_CPU = 0xffffffff

/** Request flag of any operation: guards precede its payload. */
export const REQUEST_GUARDED = 0x8000

/** Request flags of OP_WALK: a handle for every component, not only for the last. */
export const WALK_HANDLES = 1
/** The last component's descriptor for reading, if it is a regular file. */
export const WALK_OPEN = 2
/** The last component's first page of entries, if it is a directory. */
export const WALK_LIST = 4
/** Request flag of OP_UNLINK: the attributes of the file as it was come with the reply. */
export const UNLINK_TELL = 1
/** Request flag of OP_LIST_TREE: tell which entries have no extended attributes. */
export const LIST_XATTRS = 1
/** Request flag of OP_WATCH: the instance's descriptor comes with the reply. */
export const WATCH_START = 1
/** Request flag of OP_FSYNC: fdatasync(2). */
export const FSYNC_DATA_ONLY = 1

/** Bits of OP_SETATTR's mask. The *_NOW bits need the plain bit as well. */
export const SET_MODE = 1
export const SET_UID = 2
export const SET_GID = 4
export const SET_SIZE = 8
export const SET_ATIME = 16
export const SET_MTIME = 32
export const SET_ATIME_NOW = 64
export const SET_MTIME_NOW = 128
export const SET_ALL = 255

/** What an attach point permits (its configuration, set by runsc). */
export const ATTACH_READ_ONLY = 1
/** mknod of devices, and opening them. */
export const ATTACH_DEVICES = 2
/** Connecting to the host's AF_UNIX sockets. */
export const ATTACH_HOST_UDS = 4
/** Opening the host's FIFOs. */
export const ATTACH_HOST_FIFO = 8
/** Writing security.* attributes; reading them is always possible. */
export const ATTACH_XATTR_SECURITY = 16

/** Making unnamed files, also where it is read-only otherwise: the sentry keeps an overlay's contents in them. */
export const ATTACH_STORE = 32
/** Names of sockets are of sockets of the host, to which others there may connect. */
export const ATTACH_HOST_UDS_CREATE = 64

/** A uid or gid that leaves the owner as it is, as in chown(2). */
export const ID_KEEP = 0xffffffff

const TWO_32 = 2 ** 32

/** A file's attributes, as statx(2) has them. */
export class FileAttr {
  /** Exact below 2^53 only; `inoLow` and `inoHigh` always are. */
  ino = 0
  inoLow = 0
  inoHigh = 0
  devMajor = 0
  devMinor = 0
  mode = 0
  nlink = 0
  uid = 0
  gid = 0
  rdevMajor = 0
  rdevMinor = 0
  size = 0
  blksize = 0
  blocks = 0
  atimeSec = 0
  atimeNsec = 0
  mtimeSec = 0
  mtimeNsec = 0
  ctimeSec = 0
  ctimeNsec = 0
  btimeSec = 0
  btimeNsec = 0
  /** A symlink's target; '' for others, and when it was too long to come along (ask readlink). */
  target = ''
}

/**
 * 0 if the name can be one component of a path, else -errno. Separators and dots are what would lead out
 * of a directory.
 */
export function checkName(name: string): number {
  if (name.length > NAME_MAX) return -ENAMETOOLONG
  if (name === '' || name === '.' || name === '..') return -EINVAL
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i)
    if (c === 0 || c === 0x2f || c > 0xff) return -EINVAL
  }
  return 0
}

/** Builds one message in a buffer that is used again and again. */
export class MessageWriter {
  readonly bytes = new Uint8Array(MESSAGE_MAX)
  readonly view = new DataView(this.bytes.buffer)
  at = 0
  /** The message would be larger than MESSAGE_MAX: it must not be sent. */
  overflow = false

  request(tag: number, op: number, flags: number): void {
    this.view.setUint32(0, tag, true)
    this.view.setUint16(4, op, true)
    this.view.setUint16(6, flags, true)
    this.at = HEADER_SIZE
    this.overflow = false
  }

  response(tag: number, result: number): void {
    this.view.setUint32(0, tag, true)
    this.view.setInt32(4, result, true)
  }

  room(length: number): boolean {
    if (length <= MESSAGE_MAX - this.at) return true
    this.overflow = true
    return false
  }

  u8(value: number): void {
    if (this.room(1)) this.bytes[this.at++] = value
  }

  u16(value: number): void {
    if (!this.room(2)) return
    this.view.setUint16(this.at, value, true)
    this.at += 2
  }

  u32(value: number): void {
    if (!this.room(4)) return
    this.view.setUint32(this.at, value, true)
    this.at += 4
  }

  /** A 64-bit integer, signed or not, exact below 2^53. */
  i64(value: number): void {
    const high = Math.floor(value / TWO_32)
    this.u32(value - high * TWO_32)
    this.u32(high)
  }

  f64(value: number): void {
    if (!this.room(8)) return
    this.view.setFloat64(this.at, value, true)
    this.at += 8
  }

  /** u16 length and the bytes of a string with one character per byte. */
  string(value: string): void {
    if (value.length > 0xffff) this.overflow = true
    if (this.overflow || !this.room(2 + value.length)) return
    this.u16(value.length)
    for (let i = 0; i < value.length; i++) this.bytes[this.at++] = value.charCodeAt(i)
  }

  /** u16 count and strings. */
  names(values: readonly string[]): void {
    this.u16(values.length)
    for (const value of values) this.string(value)
  }

  /** u32 length and bytes. */
  blob(value: Uint8Array): void {
    if (!this.room(4 + value.length)) return
    this.u32(value.length)
    this.bytes.set(value, this.at)
    this.at += value.length
  }
}

/**
 * Takes one received message apart. A read past the end yields zeros and sets `bad`, so that a parser
 * reads all of its fields first and then asks once.
 */
export class MessageReader {
  readonly bytes: Uint8Array
  readonly view: DataView
  at = 0
  end = 0
  bad = false

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Start with a message of `length` bytes whose header has been looked at. */
  start(length: number): void {
    this.at = HEADER_SIZE
    this.end = length
    this.bad = false
  }

  /** Everything has been read, and nothing is left over. */
  done(): boolean {
    return !this.bad && this.at === this.end
  }

  take(length: number): number {
    if (this.bad || length > this.end - this.at) {
      this.bad = true
      return -1
    }
    const at = this.at
    this.at += length
    return at
  }

  u8(): number {
    const at = this.take(1)
    return at < 0 ? 0 : this.bytes[at]!
  }

  u16(): number {
    const at = this.take(2)
    return at < 0 ? 0 : this.view.getUint16(at, true)
  }

  u32(): number {
    const at = this.take(4)
    return at < 0 ? 0 : this.view.getUint32(at, true)
  }

  i32(): number {
    return this.u32() | 0
  }

  /** A signed 64-bit integer; beyond 2^53 only roughly. */
  i64(): number {
    const at = this.take(8)
    return at < 0 ? 0 : getI64(this.view, at)
  }

  f64(): number {
    const at = this.take(8)
    return at < 0 ? 0 : this.view.getFloat64(at, true)
  }

  string(): string {
    const length = this.u16()
    const at = this.take(length)
    return at < 0 ? '' : latin1(this.bytes, at, length)
  }

  /** A view of the message's own bytes, valid until the next message. */
  blob(): Uint8Array {
    const length = this.u32()
    const at = this.take(length)
    return at < 0 ? this.bytes.subarray(0, 0) : this.bytes.subarray(at, at + length)
  }

  /** A stat record and, for a symlink, its target. */
  attr(to: FileAttr): void {
    const at = this.take(STAT_RECORD_SIZE)
    if (at < 0) return
    readStat(this.view, at, to)
    const length = this.view.getUint16(at + STAT_TARGET_LENGTH, true)
    to.target = this.target(length)
  }

  target(length: number): string {
    if (length === 0 || length === TARGET_NOT_INLINE) return ''
    const at = this.take(length)
    return at < 0 ? '' : latin1(this.bytes, at, length)
  }
}

function getI64(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * TWO_32 + view.getUint32(at, true)
}

function getU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true)
}

/** Decodes a stat record, without a target. */
export function readStat(view: DataView, at: number, to: FileAttr): void {
  to.ino = getU64(view, at + STAT_INO)
  to.inoLow = view.getUint32(at + STAT_INO, true)
  to.inoHigh = view.getUint32(at + STAT_INO + 4, true)
  to.size = getU64(view, at + STAT_SIZE)
  to.blocks = getU64(view, at + STAT_BLOCKS)
  to.atimeSec = getI64(view, at + STAT_ATIME)
  to.mtimeSec = getI64(view, at + STAT_MTIME)
  to.ctimeSec = getI64(view, at + STAT_CTIME)
  to.btimeSec = getI64(view, at + STAT_BTIME)
  to.atimeNsec = view.getUint32(at + STAT_ATIME_NSEC, true)
  to.mtimeNsec = view.getUint32(at + STAT_MTIME_NSEC, true)
  to.ctimeNsec = view.getUint32(at + STAT_CTIME_NSEC, true)
  to.btimeNsec = view.getUint32(at + STAT_BTIME_NSEC, true)
  to.mode = view.getUint32(at + STAT_MODE, true)
  to.nlink = view.getUint32(at + STAT_NLINK, true)
  to.uid = view.getUint32(at + STAT_UID, true)
  to.gid = view.getUint32(at + STAT_GID, true)
  to.blksize = view.getUint32(at + STAT_BLKSIZE, true)
  to.devMajor = view.getUint32(at + STAT_DEV_MAJOR, true)
  to.devMinor = view.getUint32(at + STAT_DEV_MINOR, true)
  to.rdevMajor = view.getUint32(at + STAT_RDEV_MAJOR, true)
  to.rdevMinor = view.getUint32(at + STAT_RDEV_MINOR, true)
}
