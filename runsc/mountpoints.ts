// Makes the places in the root file system that will be mounted on, as runc does; a read-only root could
// not be given them later. Symlinks are followed inside the root only. Places that lie below another mount are
// left to the sentry, which sees that mount.

import { readlinkSync } from 'node:fs'
import { close, mkdirat, mknodat, openat2, openTree } from '../native/index.ts'
import { EEXIST, ENOENT, errnoMessage } from '../syscall-table/errno.ts'
import {
  O_DIRECTORY,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFREG,
} from '../syscall-table/flags.ts'
import { CliError } from './errors.ts'

const AT_FDCWD = -100
const RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS

/** What is to be at a mountpoint. */
export type MountpointKind = 'file' | 'directory'

export interface Mountpoint {
  /** The path inside the root, links resolved as far as it exists in the root. */
  path: string
  /** It had to be made, by us or (below another mount) by the sentry. */
  fresh: boolean
}

/** The root directory of a container while its mountpoints are made. Paths are latin1. */
export class RootDirectory {
  readonly #fd: number
  readonly #root: string
  readonly #hostPath: string
  /** Resolved paths of the directories mounted on so far. */
  readonly #mounted: string[] = []

  constructor(root: string) {
    this.#root = root
    this.#fd = openTree(AT_FDCWD, root, 0)
    if (this.#fd < 0) throw new CliError(`cannot open ${root}: ${errnoMessage(-this.#fd)}`)
    this.#hostPath = hostPath(this.#fd)
  }

  close(): void {
    close(this.#fd)
  }

  /** Make `path` (and what leads there) unless it exists or lies below a mount made before. */
  makeMountpoint(path: string, kind: MountpointKind): Mountpoint {
    const at = this.make(path, kind)
    if (kind === 'directory') this.#mounted.push(at.path)
    return at
  }

  /** The same for a directory that nothing will be mounted on. */
  make(path: string, kind: MountpointKind): Mountpoint {
    const parts = path.split('/').filter(part => part !== '' && part !== '.')
    const found = this.#resolve(parts)
    if (this.#mounted.some(mount => isBelow(found.path, mount))) return found
    const n = found.fresh ? this.#makeBelow(parts, kind) : 0
    if (n < 0)
      throw new CliError(`cannot make the mountpoint ${path} in ${this.#root}: ${errnoMessage(-n)}`)
    return found
  }

  /** Follow the parts as far as they exist. */
  #resolve(parts: string[]): Mountpoint {
    for (let n = parts.length; n > 0; n--) {
      const fd = openat2(this.#fd, parts.slice(0, n).join('/'), O_PATH, 0, RESOLVE)
      if (fd < 0) continue
      const inside = hostPath(fd).slice(this.#hostPath === '/' ? 0 : this.#hostPath.length)
      close(fd)
      const rest = parts.slice(n)
      // Dots behind what is missing cannot leave the root either: they are taken as text.
      return { path: normal(`${inside}/${rest.join('/')}`), fresh: rest.length > 0 }
    }
    return { path: normal(`/${parts.join('/')}`), fresh: parts.length > 0 }
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

const hostPath = (fd: number): string => readlinkSync(`/proc/self/fd/${fd}`, 'latin1')

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
