// Directories in memory, and the inodes that need no contents: symlinks, FIFOs, sockets, device nodes.

import {
  EINVAL,
  ELOOP,
  EMLINK,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
} from '../../../syscall-table/errno.ts'
import {
  RENAME_EXCHANGE,
  RENAME_WHITEOUT,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../../syscall-table/flags.ts'
import type { Creds } from '../../kernel/creds.ts'
import type { Task } from '../../kernel/task.ts'
import type { Dentry } from '../../vfs/dentry.ts'
import { DirectoryOps, type File, type FileOps } from '../../vfs/file.ts'
import type { DirSink, Inode } from '../../vfs/inode.ts'
import { initOwner } from '../../vfs/permission.ts'
import { touchChanged, touchCreated, touchModified } from '../../vfs/super.ts'
import { openSpecial } from '../special.ts'
import { MemoryFile } from './regular.ts'
import { MemoryInode, type MemorySuperBlock } from './tmpfs.ts'

/** Positions of "." and ".." in a listing; the first entry's cookie. */
const POS_DOT = 0
const POS_DOTDOT = 1
export const FIRST_COOKIE = 2
/** What Linux's tmpfs shows as the size of a directory is this times its entries. */
const BOGO_DIRENT_SIZE = 20
/** Names of one inode: as ext4, far below where the count would be inexact. */
const LINK_MAX = 65000

const directoryOps = new DirectoryOps()

/** A name in a directory; cookies rise in the order of the map, so a listing can go on after changes. */
export class MemoryEntry {
  readonly inode: MemoryInode
  readonly cookie: number

  constructor(inode: MemoryInode, cookie: number) {
    this.inode = inode
    this.cookie = cookie
  }
}

/** Where an open directory's listing stands, so that the next getdents need not search. */
interface Cursor {
  iterator: Iterator<[string, MemoryEntry]>
  pending: [string, MemoryEntry] | undefined
  pos: number
  /** The cookie that the next entry was to get when the iterator came to its end, where it stays; -1 before. */
  endedAt: number
}

export class MemoryDir extends MemoryInode {
  readonly entries = new Map<string, MemoryEntry>()
  #nextCookie = FIRST_COOKIE
  /** Removed: nothing can be made in it any more. */
  dead = false

  constructor(sb: MemorySuperBlock, ino: number, mode: number) {
    super(sb, ino, mode)
    this.nlink = 2
    this.size = 2 * BOGO_DIRENT_SIZE
  }

  override lookup(name: string, _task: Task | null): Inode | number {
    return this.entries.get(name)?.inode ?? -ENOENT
  }

  override mknod(name: string, mode: number, rdev: number, creds: Creds): Inode | number {
    if ((mode & S_IFMT) === S_IFREG) return this.#create(name, this.makeFile(mode), creds)
    const inode = new MemorySpecial(this.sb, this.sb.nextIno(), mode)
    inode.rdev = rdev
    return this.#create(name, inode, creds)
  }

  override mkdir(name: string, mode: number, creds: Creds): Inode | number {
    if (this.nlink >= LINK_MAX) return -EMLINK
    const made = this.#create(name, this.makeDir(S_IFDIR | mode), creds)
    if (typeof made !== 'number') this.nlink++
    return made
  }

  override symlink(name: string, target: string, creds: Creds): Inode | number {
    return this.#create(name, new MemorySymlink(this.sb, this.sb.nextIno(), target), creds)
  }

  override tmpfile(mode: number, creds: Creds): Inode | number {
    const inode = this.makeFile(mode)
    const error = this.#charge(inode, creds)
    if (error < 0) return error
    inode.nlink = 0
    return inode
  }

  /** The kinds of inode of this file system: overlay has its own. */
  makeFile(mode: number): MemoryFile {
    return new MemoryFile(this.sb, this.sb.nextIno(), mode)
  }
  makeDir(mode: number): MemoryDir {
    return new MemoryDir(this.sb, this.sb.nextIno(), mode)
  }

  #create(name: string, inode: MemoryInode, creds: Creds): Inode | number {
    if (this.dead) return -ENOENT
    const error = this.#charge(inode, creds)
    if (error < 0) return error
    this.addEntry(name, inode)
    return inode
  }

  #charge(inode: MemoryInode, creds: Creds): number {
    if (this.sb.chargeInode() < 0) return -ENOSPC
    initOwner(inode, this, creds)
    touchCreated(this.sb.kernel, inode)
    const error = inode.inherit(this)
    if (error < 0) inode.free()
    return error
  }

  /** Put a name in; the directory's link count is the caller's business. */
  addEntry(name: string, inode: MemoryInode): void {
    this.entries.set(name, new MemoryEntry(inode, this.#nextCookie++))
    this.size += BOGO_DIRENT_SIZE
    touchModified(this.sb.kernel, this)
  }

  removeEntry(name: string): void {
    if (!this.entries.delete(name)) return
    this.size -= BOGO_DIRENT_SIZE
    touchModified(this.sb.kernel, this)
  }

  override link(name: string, target: Inode): number {
    if (!(target instanceof MemoryInode) || this.dead) return -ENOENT
    if (target.nlink >= LINK_MAX) return -EMLINK
    // The first name of an O_TMPFILE has been paid for with the inode.
    if (target.nlink > 0 && this.sb.chargeLink() < 0) return -ENOSPC
    target.nlink++
    touchChanged(this.sb.kernel, target)
    this.addEntry(name, target)
    return 0
  }

  override unlink(name: string, victim: Inode): number {
    this.removeEntry(name)
    if (victim.nlink > 1) this.sb.linkGone()
    victim.nlink--
    touchChanged(this.sb.kernel, victim)
    return 0
  }

  override rmdir(name: string, victim: Inode): number {
    if (!(victim instanceof MemoryDir)) return -ENOTDIR
    if (!victim.empty) return -ENOTEMPTY
    victim.dead = true
    victim.nlink = 0
    this.removeEntry(name)
    this.nlink--
    touchChanged(this.sb.kernel, victim)
    return 0
  }

  override childInodes(): MemoryInode[] {
    const inodes: MemoryInode[] = []
    for (const { inode } of this.entries.values()) if (inode.nlink > 0) inodes.push(inode)
    return inodes
  }

  get empty(): boolean {
    return this.entries.size === 0
  }

  override rename(
    name: string,
    newDir: Inode,
    newName: string,
    flags: number,
    _inode: Inode,
    _replaced: Inode | null,
    creds: Creds,
  ): number {
    const inode = this.entries.get(name)?.inode
    if (inode === undefined) return -ENOENT
    if (!(newDir instanceof MemoryDir)) return -EINVAL
    if (newDir.dead) return -ENOENT
    const old = newDir.entries.get(newName)?.inode
    if ((flags & RENAME_EXCHANGE) !== 0) {
      if (old === undefined) return -ENOENT
      this.#exchange(name, inode, newDir, newName, old)
      return 0
    }
    const mark = (flags & RENAME_WHITEOUT) !== 0 ? this.#whiteout(creds) : null
    if (typeof mark === 'number') return mark
    if (old !== undefined) {
      const error = old.isDir ? newDir.rmdir(newName, old) : newDir.unlink(newName, old)
      if (error < 0) {
        mark?.free()
        return error
      }
    }
    this.removeEntry(name)
    newDir.addEntry(newName, inode)
    if (mark !== null) this.addEntry(name, mark)
    if (inode.isDir) {
      this.nlink--
      newDir.nlink++
    }
    touchChanged(this.sb.kernel, inode)
    return 0
  }

  /** What tells overlayfs that there is no such name: a device with number 0. */
  #whiteout(creds: Creds): MemoryInode | number {
    const inode = new MemorySpecial(this.sb, this.sb.nextIno(), S_IFCHR)
    const error = this.#charge(inode, creds)
    return error < 0 ? error : inode
  }

  #exchange(
    name: string,
    inode: MemoryInode,
    newDir: MemoryDir,
    newName: string,
    old: MemoryInode,
  ): void {
    this.removeEntry(name)
    newDir.removeEntry(newName)
    this.addEntry(name, old)
    newDir.addEntry(newName, inode)
    if (inode.isDir !== old.isDir) {
      const way = inode.isDir ? 1 : -1
      this.nlink -= way
      newDir.nlink += way
    }
    touchChanged(this.sb.kernel, inode)
    touchChanged(this.sb.kernel, old)
  }

  override open(_task: Task, _flags: number): FileOps | number {
    return directoryOps
  }

  override readdir(file: File, pos: number, sink: DirSink, dentry: Dentry): number {
    if (!listDots(this, pos, sink, dentry)) return 0
    this.listEntries(file, pos, sink)
    return 0
  }

  /** Offer the entries from cookie `pos` on. Returns false when the sink is full. */
  listEntries(file: File, pos: number, sink: DirSink): boolean {
    const cursor = this.#cursor(file, Math.max(pos, FIRST_COOKIE))
    for (;;) {
      const item = cursor.pending ?? nextItem(cursor)
      if (item === undefined) {
        cursor.endedAt = this.#nextCookie
        return true
      }
      const { inode, cookie } = item[1]
      cursor.pending = item
      if (!sink.entry(item[0], inode.ino, inode.mode >> 12, cookie + 1)) return false
      cursor.pending = undefined
      cursor.pos = cookie + 1
    }
  }

  #cursor(file: File, pos: number): Cursor {
    const known = file.data as Cursor | null
    const goesOn = known?.endedAt === -1 || known?.endedAt === this.#nextCookie
    if (known !== null && goesOn && known.pos === pos && pendingValid(known, this)) return known
    const cursor = {
      iterator: this.entries.entries(),
      pending: undefined,
      pos,
      endedAt: -1,
    } as Cursor
    file.data = cursor
    if (pos > FIRST_COOKIE) {
      do cursor.pending = nextItem(cursor)
      while (cursor.pending !== undefined && cursor.pending[1].cookie < pos)
    }
    return cursor
  }

  override free(): void {
    this.entries.clear()
    super.free()
  }
}

/** An entry that did not fit may have been removed since. */
function pendingValid(cursor: Cursor, dir: MemoryDir): boolean {
  const { pending } = cursor
  return pending === undefined || dir.entries.get(pending[0]) === pending[1]
}

function nextItem(cursor: Cursor): [string, MemoryEntry] | undefined {
  const next = cursor.iterator.next()
  return next.done === true ? undefined : next.value
}

/** Offer "." and ".."; false when the sink is full. */
export function listDots(dir: Inode, pos: number, sink: DirSink, dentry: Dentry): boolean {
  const type = S_IFDIR >> 12
  if (pos <= POS_DOT && !sink.entry('.', dir.ino, type, POS_DOTDOT)) return false
  const parent = dentry.parent?.inode ?? dir
  return pos > POS_DOTDOT || sink.entry('..', parent.ino, type, FIRST_COOKIE)
}

export class MemorySymlink extends MemoryInode {
  readonly target: string

  constructor(sb: MemorySuperBlock, ino: number, target: string) {
    super(sb, ino, S_IFLNK | 0o777)
    this.target = target
    this.size = target.length
  }

  override readlink(_task: Task | null): string | number {
    return this.target
  }

  override open(): number {
    return -ELOOP
  }
}

/** A FIFO, a socket or a device node. */
export class MemorySpecial extends MemoryInode {
  override open(task: Task, flags: number): FileOps | number {
    return openSpecial(this, task, flags)
  }
}
