// Opening files of the lower layer: like any open file they need a mount and a dentry, though no path leads
// to them.

import { Dentry } from '../../vfs/dentry.ts'
import { File, type FileOps } from '../../vfs/file.ts'
import type { Inode, SuperBlock } from '../../vfs/inode.ts'
import { Mount } from '../../vfs/mount.ts'

const mounts = new WeakMap<SuperBlock, Mount>()

function lowerMount(sb: SuperBlock): Mount {
  let mount = mounts.get(sb)
  if (mount === undefined) {
    mount = new Mount(sb, new Dentry('/', null, sb.root), 0, 'overlay')
    mounts.set(sb, mount)
  }
  return mount
}

/** An open file of `lower` with the operations `ops`. The caller owns its one reference. */
export function lowerFile(ops: FileOps, lower: Inode, flags: number): File {
  // Without the inode: what a listing learns belongs to the overlay's dentries, not to this one.
  const dentry = new Dentry('overlay', null, null)
  dentry.detached = true
  return new File(ops, lower, dentry, lowerMount(lower.sb), flags)
}
