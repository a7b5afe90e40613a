// Places in the container's tree that the configuration names, made when they are missing, as container
// runtimes do.

import { ENOENT } from '../../syscall-table/errno.ts'
import { AT_FDCWD, S_IFREG } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { instantiate } from '../vfs/dcache.ts'
import type { Dentry } from '../vfs/dentry.ts'
import type { Path } from '../vfs/mount.ts'
import { WALK_CREATE, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'

/** What to make. */
export type PlaceKind = 'file' | 'directory'

/** The place that `path` leads to; links are followed, inside the container's root. */
export function findPlace(task: Task, path: string): Path | number {
  const n = walkPath(task, AT_FDCWD, path, WALK_FOLLOW)
  return n < 0 ? n : { mount: walk.mount, dentry: walk.dentry }
}

/** The same, made with all that leads there when it is missing. */
export function makePlace(
  task: Task,
  path: string,
  kind: PlaceKind,
): (Path & { fresh: boolean }) | number {
  const parts = path.split('/').filter(part => part !== '')
  let prefix = ''
  let fresh = false
  for (let i = 0; i < parts.length; i++) {
    prefix += `/${parts[i]!}`
    const n = walkPath(task, AT_FDCWD, prefix, WALK_FOLLOW | WALK_CREATE)
    if (n < 0) return n
    if (walk.dentry.inode !== null) continue
    fresh = true
    const made = makeMissing(task, walk.dentry, i < parts.length - 1 ? 'directory' : kind)
    if (made < 0) return made
  }
  const at = findPlace(task, path === '' ? '/' : path)
  return typeof at === 'number' ? at : { ...at, fresh }
}

function makeMissing(task: Task, dentry: Dentry, kind: PlaceKind): number {
  const parent = dentry.parent?.inode
  if (!parent) return -ENOENT
  const inode =
    kind === 'file'
      ? parent.mknod(dentry.name, S_IFREG | 0o644, 0, task.creds)
      : parent.mkdir(dentry.name, 0o755, task.creds)
  if (typeof inode === 'number') return inode
  instantiate(dentry, inode)
  return 0
}
