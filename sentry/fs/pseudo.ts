// Building blocks of synthetic file systems (proc, sysfs, devpts): directories that are tables or
// generated on the fly, files whose bytes are computed when they are read, links. The role of Linux's
// libfs, seq_file and kernfs.

import { EACCES, EINVAL, EIO, ENOENT, EPERM } from '../../syscall-table/errno.ts'
import {
  POLLERR,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDNORM,
  POLLWRNORM,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../syscall-table/flags.ts'
import { Changes } from '../kernel/changes.ts'
import type { Creds } from '../kernel/creds.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import type { Io } from '../mm/io.ts'
import type { Dentry } from '../vfs/dentry.ts'
import { DirectoryOps, type File, FileOps } from '../vfs/file.ts'
import { type DirSink, Inode, type SetAttr, type StatFs, SuperBlock } from '../vfs/inode.ts'
import type { Path } from '../vfs/mount.ts'
import { touchCreated } from '../vfs/super.ts'
import { anonymousDev } from './dev/registry.ts'

/** Most bytes that one write to a synthetic file may carry: a page, as Linux's sysctl and kernfs. */
const WRITE_MAX = 4096

/** A mounted synthetic file system. */
export class PseudoFs extends SuperBlock {
  override readonly type: string
  override readonly dev = anonymousDev()
  override readonly cacheable: boolean
  override root!: Inode
  readonly kernel: Kernel
  readonly #magic: number
  #nextIno = 1

  constructor(kernel: Kernel, type: string, magic: number, cacheable: boolean) {
    super()
    this.kernel = kernel
    this.type = type
    this.cacheable = cacheable
    this.#magic = magic
  }

  allocIno(): number {
    return this.#nextIno++
  }

  override statfs(into: StatFs): number {
    into.type = this.#magic
    into.bsize = into.frsize = 4096
    into.blocks = into.bfree = into.bavail = into.files = into.ffree = 0
    into.namelen = 255
    return 0
  }
}

/** An inode of a synthetic file system. Its attributes do not change from outside. */
export abstract class PseudoInode extends Inode {
  override readonly sb: PseudoFs

  constructor(sb: PseudoFs, mode: number) {
    super(sb, sb.allocIno(), mode)
    this.sb = sb
    this.blksize = 1024
    touchCreated(sb.kernel, this)
  }

  /** Truncation is accepted, because O_TRUNC is how shells open any file for writing. */
  override setattr(attr: SetAttr): number {
    if (attr.mode !== undefined || attr.uid !== undefined || attr.gid !== undefined) return -EPERM
    return 0
  }
}

const directoryOps = new DirectoryOps()

/** A directory; subclasses say what is in it. */
export abstract class PseudoDirectory extends PseudoInode {
  constructor(sb: PseudoFs, permissions = 0o555) {
    super(sb, S_IFDIR | permissions)
    this.nlink = 2
  }

  override open(_task: Task, _flags: number): FileOps | number {
    return directoryOps
  }

  /**
   * Names cannot be made. What Linux says follows from its lookups: procfs answers ENOENT for any unknown
   * name, the others get as far as the missing operation.
   */
  override mknod(_name: string, mode: number, _rdev: number, _creds: Creds): Inode | number {
    if (this.sb.type === 'proc') return -ENOENT
    return (mode & S_IFMT) === S_IFREG ? -EACCES : -EPERM
  }
  override mkdir(_name: string, _mode: number, _creds: Creds): Inode | number {
    return this.sb.type === 'proc' ? -ENOENT : -EPERM
  }
  override symlink(_name: string, _target: string, _creds: Creds): Inode | number {
    return this.sb.type === 'proc' ? -ENOENT : -EPERM
  }

  /** Offer "." and ".." and then, from position 2 on, what `list` offers. */
  override readdir(_file: File, pos: number, sink: DirSink, dentry: Dentry): number {
    if (pos < 1 && !sink.entry('.', this.ino, DT_DIR, 1)) return 0
    const parent = dentry.parent?.inode ?? this
    if (pos < 2 && !sink.entry('..', parent.ino, DT_DIR, 2)) return 0
    return this.list(Math.max(pos, 2), sink)
  }

  /** Offer the entries from position `pos` (>= 2) on. Returns 0 or -errno. */
  protected abstract list(pos: number, sink: DirSink): number
}

const DT_DIR = 4

/** d_type of an inode's mode. */
export function direntType(mode: number): number {
  return (mode & S_IFMT) >>> 12
}

/** A directory whose entries are set up once. */
export class StaticDirectory extends PseudoDirectory {
  readonly entries = new Map<string, Inode>()
  /** The same in order: the position of entry i is i + 2. */
  readonly #names: string[] = []

  add(name: string, inode: Inode): this {
    if (!this.entries.has(name)) this.#names.push(name)
    this.entries.set(name, inode)
    if (inode.isDir) this.nlink++
    return this
  }

  /** The subdirectory `name`, made when it is not there. */
  directory(name: string): StaticDirectory {
    const existing = this.entries.get(name)
    if (existing instanceof StaticDirectory) return existing
    const made = new StaticDirectory(this.sb)
    this.add(name, made)
    return made
  }

  override lookup(name: string, _task: Task | null): Inode | number {
    return this.entries.get(name) ?? -ENOENT
  }

  protected override list(pos: number, sink: DirSink): number {
    for (let i = pos - 2; i < this.#names.length; i++) {
      const name = this.#names[i]!
      const inode = this.entries.get(name)!
      if (!sink.entry(name, inode.ino, direntType(inode.mode), i + 3)) return 0
    }
    return 0
  }
}

/** What a generated file holds: text (one char per byte), bytes, or -errno; or its parts, one at each call, null at the end. */
export type Content = string | Uint8Array | number | (() => string | null)

const EMPTY = new Uint8Array(0)

/** Takes what one write(2) brought; `opener` are the credentials with which the file was opened. */
export type Store = (text: string, task: Task, opener: Creds) => number

/** What poll(2) tells of a generated file: `ready` when there is no news, `news` after a change. */
export interface Polled {
  readonly changes: Changes
  readonly ready: number
  readonly news: number
  /** A change is news until the file is read, and so is the first state: kernfs. Otherwise it is told once. */
  readonly untilRead: boolean
}

const READABLE = POLLIN | POLLRDNORM
const ALWAYS = READABLE | POLLOUT | POLLWRNORM
const NO_CHANGES = new Changes()
/** Files that can be polled, but for nothing: proc_reg_poll. */
const UNCHANGING: Polled = {
  changes: NO_CHANGES,
  ready: ALWAYS,
  news: 0,
  untilRead: false,
}
/** The same in sysfs: kernfs_generic_poll. */
export const KERNFS_POLLED: Polled = {
  changes: NO_CHANGES,
  ready: ALWAYS,
  news: ALWAYS | POLLERR | POLLPRI,
  untilRead: true,
}

/** A list that can be read, with news of changes: mounts_poll. */
export const listPolled = (changes: Changes): Polled => ({
  changes,
  ready: READABLE,
  news: READABLE | POLLERR | POLLPRI,
  untilRead: false,
})

/** A value that can be read and written, with news of changes: proc_sys_poll. */
export const valuePolled = (changes: Changes): Polled => ({
  changes,
  ready: ALWAYS,
  news: READABLE | POLLERR | POLLPRI,
  untilRead: false,
})

/** A regular file whose contents `generate` computes for the task that reads. */
export class GeneratedFile extends PseudoInode {
  readonly #generate: (task: Task) => Content
  readonly #store: Store | null

  constructor(
    sb: PseudoFs,
    permissions: number,
    generate: (task: Task) => Content,
    store: Store | null = null,
  ) {
    super(sb, S_IFREG | permissions)
    this.#generate = generate
    this.#store = store
  }

  override open(task: Task, _flags: number): FileOps | number {
    return new GeneratedFileOps(this, task.creds, this.polled(task))
  }

  /** For who opens it; null when it cannot be polled, as regular files. */
  protected polled(_task: Task): Polled | null {
    return UNCHANGING
  }

  content(task: Task): Content {
    return this.#generate(task)
  }

  /** Take what one write(2) brought. Returns 0 or -errno. */
  store(text: string, task: Task, opener: Creds): number {
    return this.#store === null ? -EIO : this.#store(text, task, opener)
  }
}

/** lseek(2) on a file without an end: SEEK_SET and SEEK_CUR, as seq_lseek. */
export function seekWithoutEnd(file: File, offset: number, whence: number): number {
  if (whence !== 0 && whence !== 1) return -EINVAL
  const target = whence === 1 ? file.pos + offset : offset
  if (target < 0) return -EINVAL
  file.pos = target
  return target
}

/** An open generated file: one snapshot per pass over it, taken afresh when it is read from its start. */
class GeneratedFileOps extends FileOps {
  override seekable = true
  readonly #inode: GeneratedFile
  readonly #opener: Creds
  /** All of it, or the part that begins at `#start`. */
  #bytes: Uint8Array | null = null
  #start = 0
  /** The parts that come after it. */
  #more: (() => string | null) | null = null
  readonly #polled: Polled | null
  /** The changes that were there when they were last told. */
  #seen: number

  constructor(inode: GeneratedFile, opener: Creds, polled: Polled | null) {
    super()
    this.#inode = inode
    this.#opener = opener
    this.#polled = polled
    this.queue = polled?.changes.queue ?? null
    this.#seen = polled === null || polled.untilRead ? -1 : polled.changes.count
  }

  override poll(file: File): number {
    if (this.#polled === null) return super.poll(file)
    const { changes, ready, news, untilRead } = this.#polled
    if (changes.count === this.#seen) return ready
    if (!untilRead) this.#seen = changes.count
    return news
  }

  override read(_file: File, io: Io, pos: number, task: Task): number {
    if (pos === 0 || pos < this.#start || this.#bytes === null) {
      const error = this.#generate(task)
      if (error < 0) return error
    }
    this.#advance(pos)
    const bytes = this.#bytes!
    const at = pos - this.#start
    return at >= bytes.length ? 0 : io.put(bytes, at, bytes.length - at)
  }

  #generate(task: Task): number {
    if (this.#polled?.untilRead) this.#seen = this.#polled.changes.count
    const content = this.#inode.content(task)
    if (typeof content === 'number') return content
    this.#more = typeof content === 'function' ? content : null
    this.#start = 0
    if (typeof content === 'string') this.#bytes = Buffer.from(content, 'latin1')
    else this.#bytes = typeof content === 'function' ? EMPTY : content
    return 0
  }

  /** Go on to the part that holds `pos`. */
  #advance(pos: number): void {
    while (this.#more !== null && pos >= this.#start + this.#bytes!.length) {
      const text = this.#more()
      if (text === null) return
      this.#start += this.#bytes!.length
      this.#bytes = Buffer.from(text, 'latin1')
    }
  }

  override write(_file: File, io: Io, _pos: number, task: Task): number {
    const length = Math.min(io.remaining, WRITE_MAX)
    const { scratch } = task.kernel
    const n = io.take(scratch, 0, length)
    if (n < 0) return n
    const text = Buffer.from(scratch.buffer, scratch.byteOffset, n).toString('latin1')
    const error = this.#inode.store(text, task, this.#opener)
    return error < 0 ? error : n
  }

  override seek(file: File, offset: number, whence: number): number {
    return seekWithoutEnd(file, offset, whence)
  }
}

/** A symlink whose target `target` computes. */
export class PseudoLink extends PseudoInode {
  readonly #target: (task: Task | null) => string | number

  constructor(sb: PseudoFs, target: (task: Task | null) => string | number) {
    super(sb, S_IFLNK | 0o777)
    this.#target = target
  }

  override readlink(task: Task | null): string | number {
    return this.#target(task)
  }
}

/** A link that leads to an object, not to a name: /proc/PID/fd/N, exe, cwd, root. */
export abstract class PseudoMagicLink extends PseudoInode {
  constructor(sb: PseudoFs, permissions = 0o777) {
    super(sb, S_IFLNK | permissions)
    this.size = 64
  }

  abstract override magicLink(task: Task): Path | number

  abstract override readlink(task: Task | null): string | number
}
