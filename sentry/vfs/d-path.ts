// Paths of dentries as a task sees them: d_path, getcwd and /proc/PID/mountinfo.

import type { Dentry } from './dentry.ts'
import type { Mount, Path } from './mount.ts'

/**
 * The path from the task's root to a place, with " (deleted)" when its name is gone. A place outside of the
 * root is shown from the top of its own tree, as Linux does.
 */
export function dPath(mount: Mount, dentry: Dentry, root: Path): string {
  if (dentry.detached) return dentry.name
  const path = pathFrom(mount, dentry, root) ?? pathFrom(mount, dentry, null)!
  return dentry.deleted ? `${path} (deleted)` : path
}

/** getcwd(2): as dPath, but null when the place cannot be reached from `root`. */
export function pathBelow(mount: Mount, dentry: Dentry, root: Path): string | null {
  return pathFrom(mount, dentry, root)
}

/** The path of a dentry inside its file system, from the superblock's root on. */
export function pathInFilesystem(dentry: Dentry): string {
  let path = ''
  for (let d = dentry; d.parent !== null; d = d.parent) path = `/${d.name}${path}`
  return path === '' ? '/' : path
}

function pathFrom(mount: Mount, dentry: Dentry, root: Path | null): string | null {
  let path = ''
  for (;;) {
    if (root !== null && mount === root.mount && dentry === root.dentry)
      return path === '' ? '/' : path
    if (dentry === mount.root) {
      if (mount.parent === null) {
        if (root !== null) return null
        return path === '' ? '/' : path
      }
      dentry = mount.mountpoint!
      mount = mount.parent
    } else if (dentry.parent === null) {
      return root === null ? path || '/' : null
    } else {
      path = `/${dentry.name}${path}`
      dentry = dentry.parent
    }
  }
}
