// Operations that answer more than was asked: what a program that goes through a tree is going to ask for next.

import {
  close,
  ENTRY_HEADER_SIZE,
  ENTRY_NAME_LENGTH,
  ENTRY_STAT,
  type HostFd,
  latin1,
  listDirectory,
  openat2,
  PAGE_COMPLETE,
  PAGE_ENTRIES,
  PAGE_HEADER_SIZE,
  STAT_MODE,
  STAT_RECORD_SIZE,
  STAT_TARGET_LENGTH,
  statFd,
  TARGET_NOT_INLINE,
} from '../native/index.ts'
import { EBADF, EINVAL, ENOTDIR } from '../syscall-table/errno.ts'
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_NO_XDEV,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
} from '../syscall-table/flags.ts'
import type { Handle } from './handles.ts'
import { lookup, RESOLVE } from './lookup.ts'
import { reopen } from './open.ts'
import {
  checkName,
  LIST_XATTRS,
  MESSAGE_MAX,
  OPEN_FILES_MAX,
  TREE_NAMES_MAX,
  WALK_MAX,
} from './protocol.ts'
import type { GoferServer } from './server.ts'

/** Directories of one answer, and levels of one tree: bounds on the time that it takes and on open descriptors. */
const TREE_PAGES_MAX = 512
const TREE_DEPTH_MAX = 32
/** Room that a page of one entry may need, with its head. */
const PAGE_RESERVE = 4096

const names: string[] = []

/** Reads a list of at most `most` names into `names`; false when one is none. */
function readNames(server: GoferServer, most: number): boolean {
  const { request } = server
  names.length = 0
  const count = request.u16()
  if (count > most) return false
  for (let i = 0; i < count; i++) {
    const name = request.string()
    if (checkName(name) < 0) return false
    names.push(name)
  }
  return true
}

/** Reads a way down, whose names have no separators; null when it is none. */
function readPath(server: GoferServer): string | null {
  if (!readNames(server, WALK_MAX)) return null
  return names.length === 0 ? '.' : names.join('/')
}

/** The directory that a request's head names, by a handle and names below it: a descriptor that belongs to the caller. */
function enterDirectory(start: Handle, path: string): number {
  if (start.type !== S_IFDIR) return -ENOTDIR
  return openat2(start.fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE)
}

/** OP_LIST_TREE: directories of one directory, each with all that lies below it, until the answer is long enough. */
export function listTree(server: GoferServer): number {
  const { request } = server
  if ((server.flags & ~LIST_XATTRS) !== 0) return -EINVAL
  const number = request.u32()
  const budget = request.u32()
  const path = readPath(server)
  if (path === null) return -EINVAL
  if (!readNames(server, TREE_NAMES_MAX) || names.length === 0 || !request.done()) return -EINVAL
  const start = server.handles.get(number)
  if (start === undefined) return -EBADF
  const base = enterDirectory(start, path)
  if (base < 0) return base
  const tree = new Tree(server, Math.min(budget, MESSAGE_MAX - PAGE_RESERVE))
  // The first one has been asked for: what keeps it from being listed is the answer.
  const n = tree.list(base, names[0]!, 0, RESOLVE, TREE_DEPTH_MAX)
  for (let i = 1; i < names.length && n >= 0 && tree.hasRoom(); i++)
    tree.list(base, names[i]!, 0, WITHIN, TREE_DEPTH_MAX)
  close(base)
  return n < 0 ? n : tree.pages
}

/** What nobody has asked for is not worth to wait for another file system. */
const WITHIN = RESOLVE | RESOLVE_NO_XDEV

class Tree {
  readonly server: GoferServer
  readonly budget: number
  /** What the directories after the first one may fill: a large one is not worth to be read for nothing. */
  readonly #room: Uint8Array
  pages = 0

  constructor(server: GoferServer, budget: number) {
    this.server = server
    this.budget = budget
    this.#room = server.reply.bytes.subarray(0, budget + PAGE_RESERVE)
  }

  hasRoom(): boolean {
    return this.server.reply.at < this.budget && this.pages < TREE_PAGES_MAX
  }

  /** Append the directory `name` of `dir`, which is that of page `parent`, and what lies below it: 0 or -errno. */
  list(dir: HostFd, name: string, parent: number, resolve: number, depth: number): number {
    const fd = openat2(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, resolve)
    if (fd < 0) return fd
    const at = this.#page(fd, name, parent)
    if (at >= 0 && depth > 1) this.#below(fd, at, depth - 1)
    close(fd)
    return Math.min(at, 0)
  }

  /** Append the page of one directory: its position in the reply, or -errno with nothing appended. */
  #page(fd: HostFd, name: string, parent: number): number {
    const { reply } = this.server
    const before = reply.at
    reply.u32(parent)
    reply.string(name)
    while ((reply.at & 7) !== 0) reply.u8(0)
    const at = reply.at
    const room = this.pages === 0 ? reply.bytes : this.#room
    const n = listDirectory(fd, room, at, 0, 0, this.server.flags & LIST_XATTRS)
    // Part of a directory is only of use to who asks for its rest.
    const part = n >= 0 && reply.view.getUint32(at + PAGE_COMPLETE, true) === 0
    if (n < 0 || (part && this.pages > 0)) {
      reply.at = before
      return n < 0 ? n : -EINVAL
    }
    reply.at += n
    this.pages++
    return at
  }

  /** Append the directories among the entries of the page at `page`. */
  #below(fd: HostFd, page: number, depth: number): void {
    const { reply } = this.server
    const { view } = reply
    const parent = this.pages
    let at = page + PAGE_HEADER_SIZE
    for (let left = view.getUint32(page + PAGE_ENTRIES, true); left > 0 && this.hasRoom(); left--) {
      const target = view.getUint16(at + ENTRY_STAT + STAT_TARGET_LENGTH, true)
      const length = view.getUint16(at + ENTRY_NAME_LENGTH, true)
      const type = view.getUint32(at + ENTRY_STAT + STAT_MODE, true) & S_IFMT
      if (type === S_IFDIR) {
        const name = latin1(reply.bytes, at + ENTRY_HEADER_SIZE, length)
        this.list(fd, name, parent, WITHIN, depth)
      }
      const inlined = target === TARGET_NOT_INLINE ? 0 : target
      at += (ENTRY_HEADER_SIZE + length + inlined + 7) & ~7
    }
  }
}

const record = new Uint8Array(STAT_RECORD_SIZE)
const recordView = new DataView(record.buffer)

/** OP_OPEN_FILES: descriptors for reading of regular files of one directory. Others are passed over. */
export function openFiles(server: GoferServer): number {
  const { request, reply } = server
  const number = request.u32()
  const path = readPath(server)
  if (path === null) return -EINVAL
  if (!readNames(server, OPEN_FILES_MAX) || names.length === 0 || !request.done()) return -EINVAL
  const start = server.handles.get(number)
  if (start === undefined) return -EBADF
  const base = enterDirectory(start, path)
  if (base < 0) return base
  let opened = 0
  for (const name of names) {
    const fd = openRegular(server, base, name)
    if (fd >= 0) server.donate(fd)
    reply.u8(fd >= 0 ? 1 : 0)
    if (fd >= 0) opened++
  }
  close(base)
  return opened
}

function openRegular(server: GoferServer, dir: HostFd, name: string): number {
  const fd = lookup(dir, name)
  if (fd < 0) return fd
  let opened = statFd(fd, record, 0)
  if (opened === 0) {
    const regular = (recordView.getUint32(STAT_MODE, true) & S_IFMT) === S_IFREG
    opened = regular ? reopen(server, fd, O_RDONLY) : -EINVAL
  }
  close(fd)
  return opened
}
