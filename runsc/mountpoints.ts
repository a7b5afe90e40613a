// Makes the places in the root file system that will be mounted on, as runc does; a read-only root could
// not be given them later. Symlinks are followed inside the root only. Places that lie below another mount are
// left to the sentry, which sees that mount.

import { fstatSync } from 'node:fs'
import { close, mkdirat, mknodat, openat2, readlinkat } from '../native/host.ts'
import { EEXIST, ELOOP, ENOENT, ENOTDIR, errnoMessage } from '../syscall-table/errno.ts'
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFREG,
} from '../syscall-table/flags.ts'
import { CliError } from './errors.ts'

/** As many as the kernel follows in one path. */
const LINKS_MAX = 40
const buffer = Buffer.alloc(4096)
const RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS

/** What is to be at a mountpoint. */
export type MountpointKind = 'file' | 'directory'

export interface Mountpoint {
  /** The path inside the root, links resolved as far as the root has them. */
  path: string
  /** It did not exist in the root. */
  fresh: boolean
  /** It lies below an earlier mount, where only the sentry can look. */
  covered: boolean
}

/** The root directory of a container while its mountpoints are made. Paths are latin1. */
export class RootDirectory {
  readonly #fd: number
  readonly #root: string
  /** Resolved paths of the directories mounted on so far. */
  readonly #mounted = new Set<string>()

  /** `fd` is an open tree, `root` what messages call it. */
  constructor(fd: number, root: string) {
    this.#root = root
    this.#fd = fd
  }

  /** Make `path` (and what leads there) unless it exists or lies below a mount made before. */
  makeMountpoint(path: string, kind: MountpointKind): Mountpoint {
    const at = this.make(path, kind)
    if (kind === 'directory') this.#mounted.add(at.path)
    return at
  }

  /** Whether the last part of the path is there and no directory: a link is none, wherever it leads. */
  isOther(path: string): boolean {
    const fd = openat2(this.#fd, split(path).join('/') || '.', O_PATH | O_NOFOLLOW, 0, RESOLVE)
    if (fd < 0) return false
    const directory = fstatSync(fd).isDirectory()
    close(fd)
    return !directory
  }

  /** The same for a directory that nothing will be mounted on. */
  make(path: string, kind: MountpointKind): Mountpoint {
    const found = this.#resolve(path)
    const n =
      typeof found === 'number'
        ? found
        : found.fresh && !found.covered
          ? this.#makeBelow(split(found.path), kind)
          : 0
    if (typeof found === 'number' || n < 0)
      throw new CliError(`cannot make the mountpoint ${path} in ${this.#root}: ${errnoMessage(-n)}`)
    return found
  }

  /**
   * Follow the path inside the root. What does not exist is taken as text, links that lead there included: so
   * it is found again when it has been made.
   */
  #resolve(path: string): Mountpoint | number {
    const todo = split(path).reverse()
    const done: string[] = []
    let links = 0
    let fresh = false
    while (todo.length > 0) {
      if (this.#mounted.has(`/${done.join('/')}`)) {
        const rest = split(normal(todo.reverse().join('/')))
        return { path: `/${[...done, ...rest].join('/')}`, fresh: false, covered: true }
      }
      const part = todo.pop()!
      if (part === '..') {
        done.pop()
        continue
      }
      done.push(part)
      const target = this.#linkTarget(done.join('/'))
      if (target === -ENOENT || target === -ENOTDIR) fresh = true
      else if (typeof target === 'number') return target
      else if (target !== null) {
        if (++links > LINKS_MAX) return -ELOOP
        done.pop()
        if (target.startsWith('/')) done.length = 0
        todo.push(...split(target).reverse())
      }
    }
    return { path: `/${done.join('/')}`, fresh, covered: false }
  }

  /** Where the link leads; null for anything else that exists, or -errno. */
  #linkTarget(path: string): string | null | number {
    const fd = openat2(this.#fd, path, O_PATH | O_NOFOLLOW, 0, RESOLVE)
    if (fd < 0) return fd
    const n = readlinkat(fd, '', buffer, 0, buffer.length)
    close(fd)
    // Anything but a link: EINVAL or ENOENT.
    return n < 0 ? null : buffer.toString('latin1', 0, n)
  }

  #makeBelow(parts: string[], kind: MountpointKind): number {
    for (let i = 0; i < parts.length; i++) {
      const at = openat2(this.#fd, parts.slice(0, i + 1).join('/'), O_PATH, 0, RESOLVE)
      if (at >= 0) close(at)
      else if (at !== -ENOENT) return at
      else {
        const last = i === parts.length - 1
        const made = this.#makeLast(parts.slice(0, i), parts[i]!, last ? kind : 'directory')
        if (made < 0 && made !== -EEXIST) return made
      }
    }
    return 0
  }

  #makeLast(parent: string[], name: string, kind: MountpointKind): number {
    const fd = openat2(this.#fd, parent.join('/') || '.', O_PATH | O_DIRECTORY, 0, RESOLVE)
    if (fd < 0) return fd
    const n =
      kind === 'directory' ? mkdirat(fd, name, 0o755) : mknodat(fd, name, S_IFREG | 0o644, 0, 0)
    close(fd)
    return n
  }
}

const split = (path: string): string[] =>
  path.split('/').filter(part => part !== '' && part !== '.')

/** Strictly below: the mount itself is there already. */
export function isBelow(path: string, directory: string): boolean {
  return directory === '/' ? path !== '/' : path.startsWith(`${directory}/`)
}

/** Dots and empty parts taken out, without leaving "/". */
function normal(path: string): string {
  const kept: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') kept.pop()
    else if (part !== '' && part !== '.') kept.push(part)
  }
  return `/${kept.join('/')}`
}
