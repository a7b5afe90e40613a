// The sentry's end of the gofer protocol (gofer/PROTOCOL.md): one synchronous method per operation, whose errors are
// -errno. Names are strings with one character per byte.

import {
  checkName,
  FileAttr,
  FSYNC_DATA_ONLY,
  type MessageReader,
  OP_ATTACH,
  OP_BIND,
  OP_CONNECT,
  OP_CREATE,
  OP_FALLOCATE,
  OP_FSYNC,
  OP_GETATTR,
  OP_GETXATTR,
  OP_LINK,
  OP_LIST_TREE,
  OP_LISTEN,
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
  OP_UNWATCH,
  OP_WALK,
  OP_WATCH,
  PATH_MAX,
  SET_ALL,
  UNLINK_TELL,
  WALK_HANDLES,
  WALK_LIST,
  WALK_MAX,
  WALK_OPEN,
  WATCH_START,
} from '../../../gofer/protocol.ts'
import { type HostFd, latin1, STATFS_COUNT } from '../../../native/index.ts'
import { EIO } from '../../../syscall-table/errno.ts'
import type { PageReader, TreePage } from './dir-page.ts'
import { type AttrChange, isSane, type NewFile, type WalkResult } from './results.ts'
import { GoferTransport } from './transport.ts'

export class GoferClient extends GoferTransport {
  /** The root of attach point `index`: its handle. */
  attach(index: number, attr: FileAttr): number {
    this.begin(OP_ATTACH, 0).u32(index)
    const r = this.call(this.in, 0)
    if (r < 0) return r
    this.in.attr(attr)
    return this.handleWith(r, attr)
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
    return sound ? r : this.fail()
  }

  #walk(
    handle: number,
    names: readonly string[],
    first: number,
    count: number,
    result: WalkResult,
    flags: number,
  ): number {
    const r = this.#askWalk(handle, names, first, count, result, flags, this.in)
    if (r < 0 || this.in.done()) return r
    this.dropFds()
    result.fd = -1
    return this.fail()
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
    const out = this.begin(OP_WALK, flags)
    out.u32(handle)
    out.u16(n)
    for (let i = 0; i < n; i++) out.string(names[first + i]!)
    result.fd = -1
    const r = this.call(input, 0, flags & WALK_OPEN ? 1 : 0)
    if (r < 0) return r
    if (r > n || this.#readWalk(r, result, input) < 0) {
      this.dropFds()
      return this.fail()
    }
    if (this.fds[0] === 1) result.fd = this.fds[1]!
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
    this.begin(OP_GETATTR, 0).u32(handle)
    return this.callForAttr(attr)
  }

  /** Changes what `change.mask` names. After an error some of it may have been done: ask getattr. */
  setattr(handle: number, change: AttrChange, attr: FileAttr): number {
    const out = this.begin(OP_SETATTR, 0)
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
    return this.callForAttr(attr)
  }

  /** A host descriptor of a regular file. `flags`: access mode and O_TRUNC. */
  open(handle: number, flags: number): number {
    const out = this.begin(OP_OPEN, 0)
    out.u32(handle)
    out.u32(flags)
    return this.callForFd()
  }

  /** A host socket connected to the AF_UNIX socket behind the handle; non-blocking. */
  connect(handle: number, type: number): number {
    const out = this.begin(OP_CONNECT, 0)
    out.u32(handle)
    out.u32(type)
    return this.callForFd()
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
    const out = this.begin(OP_CREATE, 0)
    out.u32(dir)
    out.u32(access)
    out.u32(mode)
    out.u32(uid)
    out.u32(gid)
    out.string(name)
    const r = this.callForNew(made, 1)
    if (r < 0) return r
    made.fd = this.fds[1]!
    return r
  }

  mkdir(dir: number, name: string, mode: number, uid: number, gid: number, made: NewFile): number {
    const out = this.begin(OP_MKDIR, 0)
    out.u32(dir)
    out.u32(mode)
    out.u32(uid)
    out.u32(gid)
    out.string(name)
    return this.callForNew(made, 0)
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
    const out = this.begin(OP_MKNOD, 0)
    out.u32(dir)
    out.u32(mode)
    out.u32(uid)
    out.u32(gid)
    out.u32(major)
    out.u32(minor)
    out.string(name)
    return this.callForNew(made, 0)
  }

  /** The name of a socket: made.fd is one of the host that is bound to it, or -1. */
  bind(
    dir: number,
    name: string,
    type: number,
    mode: number,
    uid: number,
    gid: number,
    made: NewFile,
  ): number {
    const out = this.begin(OP_BIND, 0)
    out.u32(dir)
    out.u32(type)
    out.u32(mode)
    out.u32(uid)
    out.u32(gid)
    out.string(name)
    const r = this.callForNew(made, 0, 1)
    if (r === 0 && this.fds[0] === 1) made.fd = this.fds[1]!
    return r
  }

  /** listen(2) on a socket of `bind`. */
  listen(socket: HostFd, backlog: number): number {
    this.begin(OP_LISTEN, 0).u32(backlog)
    this.lent[0] = socket
    this.lentCount = 1
    return this.callForResult()
  }

  symlink(
    dir: number,
    name: string,
    target: string,
    uid: number,
    gid: number,
    made: NewFile,
  ): number {
    const out = this.begin(OP_SYMLINK, 0)
    out.u32(dir)
    out.u32(uid)
    out.u32(gid)
    out.string(name)
    out.string(target)
    return this.callForNew(made, 0)
  }

  /** A new name for the handle's file, whose attributes it then tells. */
  link(handle: number, dir: number, name: string, attr: FileAttr): number {
    const out = this.begin(OP_LINK, 0)
    out.u32(handle)
    out.u32(dir)
    out.string(name)
    return this.callForAttr(attr)
  }

  /** `flags`: 0, or AT_REMOVEDIR for a directory. */
  unlink(dir: number, name: string, flags: number): number {
    const out = this.begin(OP_UNLINK, 0)
    out.u32(dir)
    out.u32(flags)
    out.string(name)
    return this.callForResult()
  }

  /** As `unlink` of a file, and tells what its attributes were. */
  unlinkTelling(dir: number, name: string, attr: FileAttr): number {
    const out = this.begin(OP_UNLINK, UNLINK_TELL)
    out.u32(dir)
    out.u32(0)
    out.string(name)
    return this.callForAttr(attr)
  }

  rename(dir: number, name: string, newDir: number, newName: string, flags: number): number {
    const out = this.begin(OP_RENAME, 0)
    out.u32(dir)
    out.u32(newDir)
    out.u32(flags)
    out.string(name)
    out.string(newName)
    return this.callForResult()
  }

  /** The target of a symlink, or -errno. */
  readlink(handle: number): string | number {
    this.begin(OP_READLINK, 0).u32(handle)
    const r = this.call(this.in, 0)
    if (r < 0) return r
    const at = this.in.take(r)
    if (r === 0 || r > PATH_MAX || at < 0 || !this.in.done()) return this.fail()
    return latin1(this.in.bytes, at, r)
  }

  /**
   * Loads a page of a directory's entries into `pages.page`, from a cookie (0, 0 for the start; then the page's own) on.
   */
  readdir(handle: number, cookieLow: number, cookieHigh: number, pages: PageReader): number {
    const out = this.begin(OP_READDIR, 0)
    out.u32(handle)
    out.u32(cookieLow)
    out.u32(cookieHigh)
    pages.reset()
    const r = this.call(pages.reader, 0)
    if (r < 0) return r
    return pages.take() && pages.reader.done() ? 0 : this.fail()
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
    const out = this.begin(OP_LIST_TREE, flags)
    out.u32(handle)
    out.u32(budget)
    out.names(path)
    out.names(names)
    pages.reset()
    tree.length = 0
    const r = this.call(pages.reader, 0)
    if (r < 0) return r
    for (let i = 0; i < r; i++) {
      const parent = pages.reader.u32()
      const name = pages.reader.string()
      // A page's parent comes before it, and only the one that was asked for may be a part of a directory.
      if (parent > i || checkName(name) < 0 || !pages.take()) return this.fail()
      const page = pages.page!
      if (i === 0 ? parent !== 0 || name !== names[0] : !page.complete) return this.fail()
      tree.push({ parent, name, page })
    }
    return r > 0 && pages.reader.done() ? r : this.fail()
  }

  /** Descriptors for reading of `names`, regular files below `path` of a directory: one each into `fds`, or -1. */
  openFiles(
    handle: number,
    path: readonly string[],
    names: readonly string[],
    fds: Int32Array,
  ): number {
    this.#beginOpenFiles(handle, path, names)
    return this.#filesOpened(this.call(this.in, 0, names.length), names.length, fds)
  }

  /** As `openFiles`, but nobody waits: `opened` gets the result when the answer is there. */
  postOpenFiles(
    handle: number,
    path: readonly string[],
    names: readonly string[],
    fds: Int32Array,
    opened: (result: number) => void,
  ): void {
    const count = names.length
    this.#beginOpenFiles(handle, path, names)
    this.post(count, r => opened(this.#filesOpened(r, count, fds)))
  }

  #beginOpenFiles(handle: number, path: readonly string[], names: readonly string[]): void {
    const out = this.begin(OP_OPEN_FILES, 0)
    out.u32(handle)
    out.names(path)
    out.names(names)
  }

  #filesOpened(r: number, count: number, fds: Int32Array): number {
    if (r < 0) return r
    let taken = 0
    for (let i = 0; i < count; i++) {
      const opened = this.in.u8() === 1 && taken < this.fds[0]!
      fds[i] = opened ? this.fds[++taken]! : -1
    }
    if (r === taken && taken === this.fds[0] && this.in.done()) return r
    this.dropFds()
    return this.fail()
  }

  /** `numbers`: STATFS_COUNT doubles, by STATFS_*. */
  statfs(handle: number, numbers: Float64Array): number {
    this.begin(OP_STATFS, 0).u32(handle)
    const r = this.call(this.in, 0)
    if (r < 0) return r
    for (let i = 0; i < STATFS_COUNT; i++) {
      const value = this.in.f64()
      numbers[i] = value >= 0 && value < 2 ** 64 ? value : 0
    }
    return this.end(0)
  }

  /** A descriptor of the memory file `fd` that cannot be written, or -errno. */
  reopenMemory(fd: HostFd): number {
    this.begin(OP_REOPEN, 0)
    this.lent[0] = fd
    this.lentCount = 1
    return this.callForFd()
  }

  /** A descriptor of a new file without a name in the directory `dir`, or -errno. */
  tmpfile(dir: number): number {
    this.begin(OP_TMPFILE, 0).u32(dir)
    return this.callForFd()
  }

  /** Be told of changes in a directory: the watch's number, or -errno. */
  watch(handle: number): number {
    this.begin(OP_WATCH, 0).u32(handle)
    const r = this.call(this.in, 0)
    return r < 0 ? r : this.end(r)
  }

  /** As `watch`, with the descriptor that tells of all watches: it is at `told.fd` and belongs to the caller. */
  watchStart(handle: number, told: { fd: HostFd }): number {
    this.begin(OP_WATCH, WATCH_START).u32(handle)
    const r = this.call(this.in, 1)
    if (r < 0) return r
    if (this.end(0) < 0) {
      this.dropFds()
      return -EIO
    }
    told.fd = this.fds[1]!
    return r
  }

  unwatch(watch: number): number {
    this.begin(OP_UNWATCH, 0).u32(watch)
    return this.callForResult()
  }

  fsync(handle: number): number {
    this.begin(OP_FSYNC, 0).u32(handle)
    return this.callForResult()
  }

  fdatasync(handle: number): number {
    this.begin(OP_FSYNC, FSYNC_DATA_ONLY).u32(handle)
    return this.callForResult()
  }

  fallocate(handle: number, mode: number, offset: number, length: number): number {
    const out = this.begin(OP_FALLOCATE, 0)
    out.u32(handle)
    out.u32(mode)
    out.i64(offset)
    out.i64(length)
    return this.callForResult()
  }

  /** The length of the value, which is put into `value`; with an empty array only the length. */
  getxattr(handle: number, name: string, value: Uint8Array): number {
    const out = this.begin(OP_GETXATTR, 0)
    out.u32(handle)
    out.string(name)
    return this.callForBytes(value)
  }

  /** The length of the list of names, each with a NUL at its end; with an empty array only the length. */
  listxattr(handle: number, list: Uint8Array): number {
    this.begin(OP_LISTXATTR, 0).u32(handle)
    return this.callForBytes(list)
  }

  /** `flags`: 0, XATTR_CREATE or XATTR_REPLACE. */
  setxattr(handle: number, name: string, value: Uint8Array, flags: number): number {
    const out = this.begin(OP_SETXATTR, 0)
    out.u32(handle)
    out.u32(flags)
    out.string(name)
    out.blob(value)
    return this.callForResult()
  }

  /** The length of the list of a directory's entries that have extended attributes, each name with a NUL at its end. */
  scanxattr(handle: number, list: Uint8Array): number {
    this.begin(OP_SCANXATTR, 0).u32(handle)
    return this.callForBytes(list)
  }

  removexattr(handle: number, name: string): number {
    const out = this.begin(OP_REMOVEXATTR, 0)
    out.u32(handle)
    out.string(name)
    return this.callForResult()
  }
}
