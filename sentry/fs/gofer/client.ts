// The sentry's end of the gofer protocol (gofer/PROTOCOL.md): one synchronous method per operation. Nothing is
// thrown for what the gofer does: errors come back as -errno, and a connection that is broken or answers
// nonsense gives -EIO from then on. Names are strings with one character per byte.

import {
  CLOSE_MAX,
  checkName,
  FileAttr,
  FSYNC_DATA_ONLY,
  HEADER_SIZE,
  MESSAGE_MAX,
  MessageReader,
  MessageWriter,
  OP_ATTACH,
  OP_CLOSE,
  OP_CONNECT,
  OP_CREATE,
  OP_FALLOCATE,
  OP_FSYNC,
  OP_GETATTR,
  OP_GETXATTR,
  OP_LINK,
  OP_LIST_TREE,
  OP_LISTXATTR,
  OP_MKDIR,
  OP_MKNOD,
  OP_OPEN,
  OP_OPEN_FILES,
  OP_READDIR,
  OP_READLINK,
  OP_REMOVEXATTR,
  OP_RENAME,
  OP_REOPEN,
  OP_SCANXATTR,
  OP_SETATTR,
  OP_SETXATTR,
  OP_STATFS,
  OP_SYMLINK,
  OP_TMPFILE,
  OP_UNLINK,
  OP_WALK,
  OPEN_FILES_MAX,
  PATH_MAX,
  REQUEST_GUARDED,
  SET_ALL,
  UNLINK_TELL,
  WALK_HANDLES,
  WALK_LIST,
  WALK_MAX,
  WALK_OPEN,
} from '../../../gofer/protocol.ts'
import {
  belowCeiling,
  close,
  type HostFd,
  latin1,
  recvMessage,
  STATFS_COUNT,
  sendMessage,
  setSendBuffer,
} from '../../../native/index.ts'
import { EIO, ENAMETOOLONG, ERANGE } from '../../../syscall-table/errno.ts'
import type { PageReader, TreePage } from './dir-page.ts'
import { type AttrChange, type Guard, isSane, type NewFile, type WalkResult } from './results.ts'

/** Make the socket take the largest message; the sentry may not do that itself any more once it is confined. */
export function sizeGoferSocket(socket: HostFd): void {
  setSendBuffer(socket, 2 * MESSAGE_MAX)
}

const NO_GUARDS: readonly Guard[] = []

export class GoferClient {
  readonly socket: HostFd
  readonly #out = new MessageWriter()
  readonly #in = new MessageReader(new Uint8Array(MESSAGE_MAX))
  /** [number of descriptors received, the descriptors] */
  readonly #fds = new Int32Array(1 + OPEN_FILES_MAX)
  readonly #closing = new Uint32Array(CLOSE_MAX)
  #closingCount = 0
  #tag = 0
  #broken = false
  #guards: readonly Guard[] = NO_GUARDS
  /** Messages that were answered. */
  requests = 0

  /** `socket`: this end of a SOCK_SEQPACKET pair, in blocking mode, large enough for our messages. */
  /** A descriptor that goes along with the request. */
  readonly #lent = new Int32Array(1)
  #lentCount = 0

  constructor(socket: HostFd) {
    this.socket = socket
  }

  /** The root of attach point `index`: its handle. */
  attach(index: number, attr: FileAttr): number {
    this.#begin(OP_ATTACH, 0).u32(index)
    const r = this.#call(this.#in, 0)
    if (r < 0) return r
    this.#in.attr(attr)
    return this.#handleWith(r, attr)
  }

  /**
   * Resolves `names[first]`, ... `names[first + count - 1]` from a directory, until one is missing or is a
   * symlink, and at most WALK_MAX of them. Only the last component found gets a handle.
   * Returns the number of components found.
   */
  walk(
    handle: number,
    names: readonly string[],
    first: number,
    count: number,
    result: WalkResult,
  ): number {
    return this.#walk(handle, names, first, count, result, 0)
  }

  /** Like `walk`, with a handle for every component found. */
  walkHandles(
    handle: number,
    names: readonly string[],
    first: number,
    count: number,
    result: WalkResult,
  ): number {
    return this.#walk(handle, names, first, count, result, WALK_HANDLES)
  }

  /** Like `walk`; if the last component is a regular file, `result.fd` is a descriptor for reading it, or -1. */
  walkOpen(
    handle: number,
    names: readonly string[],
    first: number,
    count: number,
    result: WalkResult,
  ): number {
    return this.#walk(handle, names, first, count, result, WALK_OPEN)
  }

  /**
   * Like `walk`; if the last component is a directory, its first entries may come along in `pages.page`, which is null when
   * they do not.
   */
  walkList(
    handle: number,
    names: readonly string[],
    result: WalkResult,
    pages: PageReader,
  ): number {
    pages.reset()
    const r = this.#askWalk(handle, names, 0, names.length, result, WALK_LIST, pages.reader)
    if (r < 0 || pages.reader.done()) return r
    const sound = result.stop === 0 && pages.take() && pages.reader.done()
    return sound ? r : this.#fail()
  }

  #walk(
    handle: number,
    names: readonly string[],
    first: number,
    count: number,
    result: WalkResult,
    flags: number,
  ): number {
    const r = this.#askWalk(handle, names, first, count, result, flags, this.#in)
    if (r < 0 || this.#in.done()) return r
    this.#dropFds()
    result.fd = -1
    return this.#fail()
  }

  #askWalk(
    handle: number,
    names: readonly string[],
    first: number,
    count: number,
    result: WalkResult,
    flags: number,
    input: MessageReader,
  ): number {
    const n = Math.min(count, WALK_MAX)
    const out = this.#begin(OP_WALK, flags)
    out.u32(handle)
    out.u16(n)
    for (let i = 0; i < n; i++) out.string(names[first + i]!)
    result.fd = -1
    const r = this.#call(input, 0, flags & WALK_OPEN ? 1 : 0)
    if (r < 0) return r
    if (r > n || this.#readWalk(r, result, input) < 0) {
      this.#dropFds()
      return this.#fail()
    }
    if (this.#fds[0] === 1) result.fd = this.#fds[1]!
    return r
  }

  #readWalk(count: number, result: WalkResult, input: MessageReader): number {
    result.stop = input.i32()
    if (result.stop > 0 || result.stop < -4095) return -EIO
    for (let i = 0; i < count; i++) {
      result.handles[i] = input.u32()
      result.attrs[i] ??= new FileAttr()
      const attr = result.attrs[i]!
      input.attr(attr)
      if (!isSane(attr)) return -EIO
    }
    if (input.bad) return -EIO
    result.count = count
    return count
  }

  getattr(handle: number, attr: FileAttr): number {
    this.#begin(OP_GETATTR, 0).u32(handle)
    return this.#callForAttr(attr)
  }

  /** Changes what `change.mask` names. After an error some of it may have been done: ask getattr. */
  setattr(handle: number, change: AttrChange, attr: FileAttr): number {
    const out = this.#begin(OP_SETATTR, 0)
    out.u32(handle)
    out.u32(change.mask & SET_ALL)
    out.u32(change.mode)
    out.u32(change.uid)
    out.u32(change.gid)
    out.i64(change.size)
    out.i64(change.atimeSec)
    out.u32(change.atimeNsec)
    out.i64(change.mtimeSec)
    out.u32(change.mtimeNsec)
    return this.#callForAttr(attr)
  }

  /** A host descriptor of a regular file. `flags`: access mode and O_TRUNC. */
  open(handle: number, flags: number): number {
    const out = this.#begin(OP_OPEN, 0)
    out.u32(handle)
    out.u32(flags)
    return this.#callForFd()
  }

  /** A host socket connected to the AF_UNIX socket behind the handle; non-blocking. */
  connect(handle: number, type: number): number {
    const out = this.#begin(OP_CONNECT, 0)
    out.u32(handle)
    out.u32(type)
    return this.#callForFd()
  }

  /**
   * Makes a regular file, which must not exist, and opens it with this access mode: made.fd, or -ENFILE there when programs
   * hold too many descriptors.
   */
  create(
    dir: number,
    name: string,
    access: number,
    mode: number,
    uid: number,
    gid: number,
    made: NewFile,
  ): number {
    const out = this.#begin(OP_CREATE, 0)
    out.u32(dir)
    out.u32(access)
    out.u32(mode)
    out.u32(uid)
    out.u32(gid)
    out.string(name)
    const r = this.#callForNew(made, 1)
    if (r < 0) return r
    made.fd = this.#fds[1]!
    return r
  }

  mkdir(dir: number, name: string, mode: number, uid: number, gid: number, made: NewFile): number {
    const out = this.#begin(OP_MKDIR, 0)
    out.u32(dir)
    out.u32(mode)
    out.u32(uid)
    out.u32(gid)
    out.string(name)
    return this.#callForNew(made, 0)
  }

  /** `mode` has the type. */
  mknod(
    dir: number,
    name: string,
    mode: number,
    uid: number,
    gid: number,
    major: number,
    minor: number,
    made: NewFile,
  ): number {
    const out = this.#begin(OP_MKNOD, 0)
    out.u32(dir)
    out.u32(mode)
    out.u32(uid)
    out.u32(gid)
    out.u32(major)
    out.u32(minor)
    out.string(name)
    return this.#callForNew(made, 0)
  }

  symlink(
    dir: number,
    name: string,
    target: string,
    uid: number,
    gid: number,
    made: NewFile,
  ): number {
    const out = this.#begin(OP_SYMLINK, 0)
    out.u32(dir)
    out.u32(uid)
    out.u32(gid)
    out.string(name)
    out.string(target)
    return this.#callForNew(made, 0)
  }

  /** A new name for the handle's file, whose attributes it then tells. */
  link(handle: number, dir: number, name: string, attr: FileAttr): number {
    const out = this.#begin(OP_LINK, 0)
    out.u32(handle)
    out.u32(dir)
    out.string(name)
    return this.#callForAttr(attr)
  }

  /** `flags`: 0, or AT_REMOVEDIR for a directory. */
  unlink(dir: number, name: string, flags: number): number {
    const out = this.#begin(OP_UNLINK, 0)
    out.u32(dir)
    out.u32(flags)
    out.string(name)
    return this.#callForResult()
  }

  /** As `unlink` of a file, and tells what its attributes were. */
  unlinkTelling(dir: number, name: string, attr: FileAttr): number {
    const out = this.#begin(OP_UNLINK, UNLINK_TELL)
    out.u32(dir)
    out.u32(0)
    out.string(name)
    return this.#callForAttr(attr)
  }

  rename(dir: number, name: string, newDir: number, newName: string, flags: number): number {
    const out = this.#begin(OP_RENAME, 0)
    out.u32(dir)
    out.u32(newDir)
    out.u32(flags)
    out.string(name)
    out.string(newName)
    return this.#callForResult()
  }

  /** The target of a symlink, or -errno. */
  readlink(handle: number): string | number {
    this.#begin(OP_READLINK, 0).u32(handle)
    const r = this.#call(this.#in, 0)
    if (r < 0) return r
    const at = this.#in.take(r)
    if (r === 0 || r > PATH_MAX || at < 0 || !this.#in.done()) return this.#fail()
    return latin1(this.#in.bytes, at, r)
  }

  /**
   * Loads a page of a directory's entries into `pages.page`, from a cookie (0, 0 for the start; then the page's own) on.
   */
  readdir(handle: number, cookieLow: number, cookieHigh: number, pages: PageReader): number {
    const out = this.#begin(OP_READDIR, 0)
    out.u32(handle)
    out.u32(cookieLow)
    out.u32(cookieHigh)
    pages.reset()
    const r = this.#call(pages.reader, 0)
    if (r < 0) return r
    return pages.take() && pages.reader.done() ? 0 : this.#fail()
  }

  /**
   * Loads the listings of `names`, which are directories below `path` of a directory, and of what lies below each of them, up
   * to some `budget` of bytes, into `tree`. The first one is there, or the result is why not. `flags`: 0 or LIST_XATTRS.
   */
  listTree(
    handle: number,
    path: readonly string[],
    names: readonly string[],
    budget: number,
    flags: number,
    pages: PageReader,
    tree: TreePage[],
  ): number {
    const out = this.#begin(OP_LIST_TREE, flags)
    out.u32(handle)
    out.u32(budget)
    out.names(path)
    out.names(names)
    pages.reset()
    tree.length = 0
    const r = this.#call(pages.reader, 0)
    if (r < 0) return r
    for (let i = 0; i < r; i++) {
      const parent = pages.reader.u32()
      const name = pages.reader.string()
      // A page's parent comes before it, and only the one that was asked for may be a part of a directory.
      if (parent > i || checkName(name) < 0 || !pages.take()) return this.#fail()
      const page = pages.page!
      if (i === 0 ? parent !== 0 || name !== names[0] : !page.complete) return this.#fail()
      tree.push({ parent, name, page })
    }
    return r > 0 && pages.reader.done() ? r : this.#fail()
  }

  /** Descriptors for reading of `names`, regular files below `path` of a directory: one each into `fds`, or -1. */
  openFiles(
    handle: number,
    path: readonly string[],
    names: readonly string[],
    fds: Int32Array,
  ): number {
    const out = this.#begin(OP_OPEN_FILES, 0)
    out.u32(handle)
    out.names(path)
    out.names(names)
    const r = this.#call(this.#in, 0, names.length)
    if (r < 0) return r
    let taken = 0
    for (let i = 0; i < names.length; i++) {
      const opened = this.#in.u8() === 1 && taken < this.#fds[0]!
      fds[i] = opened ? this.#fds[++taken]! : -1
    }
    if (r === taken && taken === this.#fds[0] && this.#in.done()) return r
    this.#dropFds()
    return this.#fail()
  }

  /** `numbers`: STATFS_COUNT doubles, by STATFS_*. */
  statfs(handle: number, numbers: Float64Array): number {
    this.#begin(OP_STATFS, 0).u32(handle)
    const r = this.#call(this.#in, 0)
    if (r < 0) return r
    for (let i = 0; i < STATFS_COUNT; i++) {
      const value = this.#in.f64()
      numbers[i] = value >= 0 && value < 2 ** 64 ? value : 0
    }
    return this.#end(0)
  }

  /** A descriptor of the memory file `fd` that cannot be written, or -errno. */
  reopenMemory(fd: HostFd): number {
    this.#begin(OP_REOPEN, 0)
    this.#lent[0] = fd
    this.#lentCount = 1
    return this.#callForFd()
  }

  /** A descriptor of a new file without a name in the directory `dir`, or -errno. */
  tmpfile(dir: number): number {
    this.#begin(OP_TMPFILE, 0).u32(dir)
    return this.#callForFd()
  }

  fsync(handle: number): number {
    this.#begin(OP_FSYNC, 0).u32(handle)
    return this.#callForResult()
  }

  fdatasync(handle: number): number {
    this.#begin(OP_FSYNC, FSYNC_DATA_ONLY).u32(handle)
    return this.#callForResult()
  }

  fallocate(handle: number, mode: number, offset: number, length: number): number {
    const out = this.#begin(OP_FALLOCATE, 0)
    out.u32(handle)
    out.u32(mode)
    out.i64(offset)
    out.i64(length)
    return this.#callForResult()
  }

  /** The length of the value, which is put into `value`; with an empty array only the length. */
  getxattr(handle: number, name: string, value: Uint8Array): number {
    const out = this.#begin(OP_GETXATTR, 0)
    out.u32(handle)
    out.string(name)
    return this.#callForBytes(value)
  }

  /** The length of the list of names, each with a NUL at its end; with an empty array only the length. */
  listxattr(handle: number, list: Uint8Array): number {
    this.#begin(OP_LISTXATTR, 0).u32(handle)
    return this.#callForBytes(list)
  }

  /** `flags`: 0, XATTR_CREATE or XATTR_REPLACE. */
  setxattr(handle: number, name: string, value: Uint8Array, flags: number): number {
    const out = this.#begin(OP_SETXATTR, 0)
    out.u32(handle)
    out.u32(flags)
    out.string(name)
    out.blob(value)
    return this.#callForResult()
  }

  /** The length of the list of a directory's entries that have extended attributes, each name with a NUL at its end. */
  scanxattr(handle: number, list: Uint8Array): number {
    this.#begin(OP_SCANXATTR, 0).u32(handle)
    return this.#callForBytes(list)
  }

  removexattr(handle: number, name: string): number {
    const out = this.#begin(OP_REMOVEXATTR, 0)
    out.u32(handle)
    out.string(name)
    return this.#callForResult()
  }

  /** Gives a handle back, some time soon: they are collected and sent many at a time. */
  close(handle: number): void {
    this.#closing[this.#closingCount++] = handle
    if (this.#closingCount >= CLOSE_BATCH) this.flush()
  }

  /** Sends the collected handles now (before the table of the gofer is full: -ENFILE). */
  flush(): void {
    if (this.#closingCount === 0) return
    const out = this.#begin(OP_CLOSE, 0)
    for (let i = 0; i < this.#closingCount; i++) out.u32(this.#closing[i]!)
    this.#closingCount = 0
    if (!this.#broken && sendMessage(this.socket, out.bytes, 0, out.at, this.#fds, 0) < 0) {
      this.#fail()
    }
  }

  /** The next request is answered with -ESTALE, and does nothing, when one of the guards does not hold any more. */
  guardNext(guards: readonly Guard[]): void {
    this.#guards = guards
  }

  #begin(op: number, flags: number): MessageWriter {
    const out = this.#out
    const guards = this.#guards
    this.#tag = (this.#tag + 1) >>> 0
    out.request(this.#tag, op, guards.length > 0 ? flags | REQUEST_GUARDED : flags)
    if (guards.length > 0) this.#putGuards(guards)
    return out
  }

  #putGuards(guards: readonly Guard[]): void {
    const out = this.#out
    this.#guards = NO_GUARDS
    out.u16(guards.length)
    for (const { handle, name, ino, devMajor, devMinor, mode, uid, gid } of guards) {
      out.u32(handle)
      out.i64(ino)
      out.u32(devMajor)
      out.u32(devMinor)
      out.u32(mode)
      out.u32(uid)
      out.u32(gid)
      out.string(name)
    }
  }

  /**
   * Sends the request and waits for its answer in `input`, read up to the payload. A success must bring `fdCount`
   * descriptors, and may bring `mayFds` more. Returns the result.
   */
  #call(input: MessageReader, fdCount: number, mayFds = 0): number {
    const out = this.#out
    if (this.#broken) return -EIO
    if (out.overflow) return -ENAMETOOLONG
    const lent = this.#lentCount
    this.#lentCount = 0
    if (sendMessage(this.socket, out.bytes, 0, out.at, this.#lent, lent) < 0) return this.#fail()
    const length = recvMessage(this.socket, input.bytes, this.#fds)
    this.requests++
    const received = this.#fds[0]!
    const result = length < HEADER_SIZE ? -EIO : input.view.getInt32(4, true)
    const wanted = result < 0 ? 0 : fdCount
    const most = result < 0 ? 0 : fdCount + mayFds
    const sound =
      length >= HEADER_SIZE &&
      input.view.getUint32(0, true) === this.#tag &&
      result >= -4095 &&
      received >= wanted &&
      received <= most
    if (!sound) {
      this.#dropFds()
      return this.#fail()
    }
    for (let i = 1; i <= received; i++) this.#fds[i] = belowCeiling(this.#fds[i]!)
    input.start(length)
    // An error has no payload.
    return result < 0 ? this.#endOf(input, result) : result
  }

  #dropFds(): void {
    for (let i = 1; i <= this.#fds[0]!; i++) close(this.#fds[i]!)
    this.#fds[0] = 0
  }

  /** The connection cannot be trusted any more. */
  #fail(): number {
    this.#broken = true
    return -EIO
  }

  #endOf(input: MessageReader, result: number): number {
    return input.done() ? result : this.#fail()
  }

  #end(result: number): number {
    return this.#endOf(this.#in, result)
  }

  #callForResult(): number {
    const r = this.#call(this.#in, 0)
    return r < 0 ? r : this.#end(0)
  }

  #callForAttr(attr: FileAttr): number {
    const r = this.#call(this.#in, 0)
    if (r < 0) return r
    this.#in.attr(attr)
    return isSane(attr) ? this.#end(0) : this.#fail()
  }

  #callForFd(): number {
    const r = this.#call(this.#in, 1)
    if (r < 0) return r
    if (this.#end(0) === 0) return this.#fds[1]!
    this.#dropFds()
    return -EIO
  }

  #callForNew(made: NewFile, fdCount: number): number {
    made.fd = -1
    const r = this.#call(this.#in, fdCount)
    if (r < 0) return r
    this.#in.attr(made.attr)
    const handle = this.#handleWith(r, made.attr)
    if (handle < 0) {
      this.#dropFds()
      return handle
    }
    made.handle = handle
    return 0
  }

  #handleWith(handle: number, attr: FileAttr): number {
    if (handle === 0 || !isSane(attr)) return this.#fail()
    return this.#end(handle)
  }

  #callForBytes(into: Uint8Array): number {
    const r = this.#call(this.#in, 0)
    if (r < 0) return r
    const at = this.#in.take(r)
    if (at < 0 || !this.#in.done()) return this.#fail()
    if (into.length === 0) return r
    if (r > into.length) return -ERANGE
    into.set(this.#in.bytes.subarray(at, at + r))
    return r
  }
}

/** So many handles are worth a message. */
const CLOSE_BATCH = 64
