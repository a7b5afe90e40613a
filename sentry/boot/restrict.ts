// maskedPaths and readonlyPaths: parts of the tree that the program may not see, or may not change.

import { ENOENT, ENOTDIR, errnoMessage } from '../../syscall-table/errno.ts'
import { MS_RDONLY, MS_REC, S_IFCHR } from '../../syscall-table/flags.ts'
import type { ContainerConfig } from '../config.ts'
import { mountTmpfs } from '../fs/tmpfs/mount.ts'
import type { Task } from '../kernel/task.ts'
import type { Mount, Path } from '../vfs/mount.ts'
import { copyForBind, graft, mountOn } from '../vfs/mounting.ts'
import { walksChanged } from '../vfs/path-cache.ts'
import { looseNode } from './devices.ts'
import { findPlace } from './places.ts'

const NULL_DEVICE = { mode: S_IFCHR | 0o666, major: 1, minor: 3, uid: 0, gid: 0 }

/** Read-only first, then masked, as runc does. Paths that do not exist need no protection. */
export function restrictPaths(task: Task, config: ContainerConfig): void {
  each(task, config.readonlyPaths, 'readonlyPaths', makeReadonly)
  each(task, config.maskedPaths, 'maskedPaths', masker())
  walksChanged()
}

function each(
  task: Task,
  paths: readonly string[],
  field: string,
  restrict: (task: Task, at: Path) => number,
): void {
  for (const path of paths) {
    const at = findPlace(task, path)
    if (at === -ENOENT || at === -ENOTDIR) continue
    const n = typeof at === 'number' ? at : restrict(task, at)
    if (n < 0) throw new Error(`linux.${field}: ${path}: ${errnoMessage(-n)}`)
  }
}

/** The same tree once more over itself, all of it read-only. */
function makeReadonly(task: Task, at: Path): number {
  const copy = copyForBind(task, at, MS_REC)
  if (typeof copy === 'number') return copy
  for (const mount of copy.tree()) mount.flags |= MS_RDONLY
  return graft(copy, at)
}

/** A directory is covered by an empty one that stays so, the same for all of them; anything else by the null device. */
function masker(): (task: Task, at: Path) => number {
  let empty: Mount | null = null
  return (task, at) => {
    if (!at.dentry.inode!.isDir) {
      const node = looseNode(task, { path: '', ...NULL_DEVICE })
      return typeof node === 'number' ? node : graft(node, at)
    }
    if (empty !== null) {
      const copy = copyForBind(task, { mount: empty, dentry: empty.root }, 0)
      if (typeof copy === 'number') return copy
      copy.flags |= MS_RDONLY
      return graft(copy, at)
    }
    const sb = mountTmpfs(task.kernel, 'size=4k,nr_inodes=2')
    if (typeof sb === 'number') return sb
    const mount = mountOn(at, sb, MS_RDONLY, 'tmpfs')
    if (typeof mount === 'number') return mount
    empty = mount
    return 0
  }
}
