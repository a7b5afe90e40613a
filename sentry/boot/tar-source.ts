// `runsc tar rootfs-upper`: what a container has changed in its root, as an archive. Whiteouts are character devices
// 0:0, and directories that hide one of the lower layer have the attribute trusted.overlay.opaque, as overlayfs has it.

import { O_RDONLY, S_IFLNK, S_IFMT, S_IFREG } from '../../syscall-table/flags.ts'
import { devMajor, devMinor } from '../fs/dev/registry.ts'
import type { OverlaySuperBlock } from '../fs/overlay/overlay.ts'
import { type UpperEntry, UpperWalk, WHITEOUT_MODE } from '../fs/overlay/upper.ts'
import type { MemoryInode } from '../fs/tmpfs/tmpfs.ts'
import type { Task } from '../kernel/task.ts'
import { Dentry } from '../vfs/dentry.ts'
import { File } from '../vfs/file.ts'
import { FileSource } from './file-source.ts'
import type { Source } from './outlet.ts'
import { canBeMember, endOfArchive, type Member, memberHeader, padding } from './tar-format.ts'

const NOTHING: Uint8Array = new Uint8Array(0)
const ZEROES = new Uint8Array(64 * 1024)
const OPAQUE = ['trusted.overlay.opaque', Buffer.from('y')] as const

export class UpperTar implements Source {
  readonly #task: Task
  readonly #walk: UpperWalk
  /** Where each file with several names has been put. */
  readonly #paths = new Map<MemoryInode, string>()
  /** The contents of the member that is being written, and how much of them is still to come. */
  #contents: FileSource | null = null
  #left = 0
  #padding = NOTHING
  #ended = false

  /** `task` reads, as the container's first process. */
  constructor(task: Task, sb: OverlaySuperBlock) {
    this.#task = task
    this.#walk = new UpperWalk(sb)
  }

  next(): Uint8Array | number {
    if (this.#left > 0) return this.#nextContents()
    if (this.#padding.length > 0) return this.#takePadding()
    for (;;) {
      const entry = this.#walk.next()
      if (typeof entry === 'number') return entry
      if (entry === null) return this.#end()
      const bytes = this.#member(entry)
      if (typeof bytes === 'number' || bytes.length > 0) return bytes
    }
  }

  close(): void {
    this.#contents?.close()
    this.#contents = null
    this.#walk.close()
  }

  #end(): Uint8Array {
    if (this.#ended) return NOTHING
    this.#ended = true
    return endOfArchive()
  }

  #takePadding(): Uint8Array {
    const bytes = this.#padding
    this.#padding = NOTHING
    return bytes
  }

  /** As many bytes as the header has promised, whatever has become of the file since. */
  #nextContents(): Uint8Array | number {
    const read = this.#contents!.next()
    if (typeof read === 'number') return read
    const bytes = read.length > 0 ? read : ZEROES.subarray(0, Math.min(ZEROES.length, this.#left))
    this.#left -= bytes.length
    if (this.#left === 0) {
      this.#contents!.close()
      this.#contents = null
    }
    return bytes
  }

  /** The header of an entry; nothing for what an archive cannot hold. */
  #member({ path, inode, opaque }: UpperEntry): Uint8Array | number {
    if (inode === null) return memberHeader({ ...EMPTY, path, mode: WHITEOUT_MODE })
    if (!canBeMember(inode.mode)) return NOTHING
    const error = inode.refresh()
    if (error < 0) return error
    const isFile = (inode.mode & S_IFMT) === S_IFREG
    const earlier = this.#earlier(inode, path)
    const link = earlier ?? this.#target(inode)
    if (typeof link === 'number') return link
    const size = isFile && earlier === undefined ? inode.size : 0
    if (size > 0) {
      const contents = this.#open(inode, size)
      if (typeof contents === 'number') return contents
      this.#contents = contents
      this.#left = size
      this.#padding = padding(size)
    }
    return memberHeader({
      path: inode.isDir ? `${path === '' ? '.' : path}/` : path,
      mode: inode.mode,
      uid: inode.uid,
      gid: inode.gid,
      size,
      mtimeSec: inode.mtimeSec,
      major: devMajor(inode.rdev),
      minor: devMinor(inode.rdev),
      link,
      hard: earlier !== undefined,
      xattrs: attributes(inode, opaque),
    })
  }

  /** The path of the same file's first name, if this is a further one. */
  #earlier(inode: MemoryInode, path: string): string | undefined {
    if (inode.isDir || inode.nlink < 2) return undefined
    const earlier = this.#paths.get(inode)
    if (earlier === undefined) this.#paths.set(inode, path)
    return earlier
  }

  #target(inode: MemoryInode): string | number {
    return (inode.mode & S_IFMT) === S_IFLNK ? inode.readlink(this.#task) : ''
  }

  #open(inode: MemoryInode, size: number): FileSource | number {
    const ops = inode.open(this.#task, O_RDONLY)
    if (typeof ops === 'number') return ops
    const { mount } = this.#task.fs.root
    const file = new File(ops, inode, new Dentry('', null, inode), mount, O_RDONLY)
    return new FileSource(this.#task, file, 0, size)
  }
}

function attributes(inode: MemoryInode, opaque: boolean): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>()
  const names = inode.listxattr()
  for (const name of names) {
    const value = inode.getxattr(name)
    if (typeof value !== 'number') found.set(name, value)
  }
  if (opaque) found.set(...OPAQUE)
  return found
}

const EMPTY: Member = {
  path: '',
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeSec: 0,
  major: 0,
  minor: 0,
  link: '',
  hard: false,
  xattrs: new Map(),
}
