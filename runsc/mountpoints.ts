// Makes the places in the root file system that will be mounted on, as runc does; a read-only root could not
// be given them later. Symlinks are followed inside the root only.

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

/** Make `path` (and what leads there) below the directory `root`, unless it exists. */
export function makeMountpoint(root: string, path: string, directory: boolean): void {
  const rootFd = openTree(AT_FDCWD, root, 0)
  if (rootFd < 0) throw new CliError(`cannot open ${root}: ${errnoMessage(-rootFd)}`)
  try {
    const n = makeBelow(
      rootFd,
      path.split('/').filter(part => part !== '' && part !== '.'),
      directory,
    )
    if (n < 0)
      throw new CliError(`cannot make the mountpoint ${path} in ${root}: ${errnoMessage(-n)}`)
  } finally {
    close(rootFd)
  }
}

function makeBelow(root: number, parts: string[], directory: boolean): number {
  for (let i = 0; i < parts.length; i++) {
    const at = openat2(root, parts.slice(0, i + 1).join('/'), O_PATH, 0, RESOLVE)
    if (at >= 0) close(at)
    else if (at !== -ENOENT) return at
    else {
      const made = makeLast(
        root,
        parts.slice(0, i).join('/'),
        parts[i]!,
        directory || i < parts.length - 1,
      )
      if (made < 0 && made !== -EEXIST) return made
    }
  }
  return 0
}

function makeLast(root: number, parent: string, name: string, directory: boolean): number {
  const fd = openat2(root, parent === '' ? '.' : parent, O_PATH | O_DIRECTORY, 0, RESOLVE)
  if (fd < 0) return fd
  const n = directory ? mkdirat(fd, name, 0o755) : mknodat(fd, name, S_IFREG | 0o644, 0, 0)
  close(fd)
  return n
}
