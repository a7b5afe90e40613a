// "tmpcopyup": a new tmpfs starts with a copy of the directory that it is going to cover.

import { ENOTDIR } from '../../syscall-table/errno.ts'
import { O_DIRECTORY, O_RDONLY, O_WRONLY, S_IFMT, S_IFREG } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { KernelIo } from '../mm/io.ts'
import { Dentry } from '../vfs/dentry.ts'
import { File } from '../vfs/file.ts'
import type { Inode } from '../vfs/inode.ts'
import type { Mount, Path } from '../vfs/mount.ts'

/** Deeper trees are refused: the copy recurses. */
const DEPTH_MAX = 100

/** Copy what is in the directory `from` into the root of the file system of `to`. 0 or -errno. */
export function copyUp(task: Task, from: Path, to: Mount): number {
  const copy = new Copy(task, from.mount, to)
  return copy.directory(from.dentry.inode!, to.root.inode!, 0)
}

class Copy {
  readonly #task: Task
  readonly #from: Mount
  readonly #to: Mount
  readonly #io = new KernelIo(new Uint8Array(0))

  constructor(task: Task, from: Mount, to: Mount) {
    this.#task = task
    this.#from = from
    this.#to = to
  }

  directory(from: Inode, to: Inode, depth: number): number {
    if (depth > DEPTH_MAX) return -ENOTDIR
    const names = this.#list(from)
    if (typeof names === 'number') return names
    for (const name of names) {
      const source = from.lookup(name, this.#task)
      if (typeof source === 'number') return source
      // Nothing else holds it while we look at it.
      source.pins++
      const n = this.#entry(source, to, name, depth)
      if (--source.pins === 0) source.evict()
      if (n < 0) return n
    }
    return this.#attributes(from, to)
  }

  #list(directory: Inode): string[] | number {
    const file = this.#open(directory, this.#from, O_RDONLY | O_DIRECTORY)
    if (typeof file === 'number') return file
    const names: string[] = []
    let pos = 0
    for (;;) {
      const before = pos
      const n = directory.readdir(
        file,
        pos,
        {
          entry(name, _ino, _type, next) {
            pos = next
            if (name !== '.' && name !== '..') names.push(name)
            return true
          },
        },
        file.dentry,
      )
      if (n < 0 || pos === before) {
        file.unref()
        return n < 0 ? n : names
      }
    }
  }

  #entry(source: Inode, to: Inode, name: string, depth: number): number {
    const { creds } = this.#task
    const error = source.refresh()
    if (error < 0) return error
    if (source.isDir) {
      const made = to.mkdir(name, source.mode & 0o7777, creds)
      return typeof made === 'number' ? made : this.directory(source, made, depth + 1)
    }
    if (source.isSymlink) {
      const target = source.readlink(this.#task)
      if (typeof target === 'number') return target
      const made = to.symlink(name, target, creds)
      return typeof made === 'number' ? made : 0
    }
    const made = to.mknod(name, source.mode, source.rdev, creds)
    if (typeof made === 'number') return made
    const n = (source.mode & S_IFMT) === S_IFREG ? this.#contents(source, made) : 0
    return n < 0 ? n : this.#attributes(source, made)
  }

  #contents(source: Inode, made: Inode): number {
    const from = this.#open(source, this.#from, O_RDONLY)
    if (typeof from === 'number') return from
    const to = this.#open(made, this.#to, O_WRONLY)
    if (typeof to === 'number') {
      from.unref()
      return to
    }
    const n = this.#transfer(from, to)
    from.unref()
    to.unref()
    return n
  }

  #transfer(from: File, to: File): number {
    const { bounce } = this.#task.kernel
    const io = this.#io
    for (let at = 0; ; ) {
      const n = from.ops.read(from, io.reset(bounce, 0, bounce.length), at, this.#task)
      if (n <= 0) return n
      for (let done = 0; done < n; ) {
        const w = to.ops.write(to, io.reset(bounce, done, n - done), at + done, this.#task)
        if (w <= 0) return w
        done += w
      }
      at += n
    }
  }

  #attributes(from: Inode, to: Inode): number {
    const owner = to.setattr({ uid: from.uid, gid: from.gid })
    if (owner < 0) return owner
    return to.setattr({
      mode: from.mode & 0o7777,
      mtimeSec: from.mtimeSec,
      mtimeNsec: from.mtimeNsec,
      atimeSec: from.atimeSec,
      atimeNsec: from.atimeNsec,
    })
  }

  #open(inode: Inode, mount: Mount, flags: number): File | number {
    const ops = inode.open(this.#task, flags)
    if (typeof ops === 'number') return ops
    return new File(ops, inode, new Dentry('', null, inode), mount, flags)
  }
}
