// What the tests of the overlay share.

import type { TestTask } from '../../../../test/kernel.ts'
import { forgetDentry } from '../../../vfs/dcache.ts'
import type { Dentry } from '../../../vfs/dentry.ts'
import type { Mount } from '../../../vfs/mount.ts'
import { mountOn } from '../../../vfs/mounting.ts'
import { WALK_FOLLOW, walk, walkPath } from '../../../vfs/path-walk.ts'
import { mountOverlay } from '../mount.ts'

/** Mount an overlay over the file system at `lower` on `path`, which is made first. */
export function mountOver(k: TestTask, lower: string, path: string): Mount {
  k.sys.mkdir(path, 0o755)
  if (walkPath(k.task, -100, lower, WALK_FOLLOW) < 0) throw new Error(`no ${lower}`)
  const { sb } = walk.mount
  if (walkPath(k.task, -100, path, WALK_FOLLOW) < 0) throw new Error(`no ${path}`)
  const made = mountOn(
    { mount: walk.mount, dentry: walk.dentry },
    mountOverlay(k.kernel, sb),
    0,
    'overlay',
  )
  if (typeof made === 'number') throw new Error(`mount: ${made}`)
  return made
}

/** Drop every dentry that nothing holds, as the cache does when it is full. */
export function dropUnused(mount: Mount): void {
  const order: Dentry[] = [mount.root]
  for (let i = 0; i < order.length; i++) order.push(...order[i]!.children.values())
  for (let i = order.length - 1; i > 0; i--) {
    const dentry = order[i]!
    const held =
      dentry.opens > 0 || dentry.mounted !== null || dentry.inode?.locks || dentry.inode?.endpoint
    if (dentry.children.size === 0 && !held) forgetDentry(dentry)
  }
}
