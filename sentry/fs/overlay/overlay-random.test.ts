// The overlay does what a plain tmpfs does, and its lower layer stays as it was: random walks over a tmpfs, and
// over a real gofer, whose inodes and handles come and go.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { close } from '../../../native/index.ts'
import { AT_FDCWD } from '../../../syscall-table/flags.ts'
import { mountOn } from '../../../test/files.ts'
import { boot, type TestTask } from '../../../test/kernel.ts'
import type { SuperBlock } from '../../vfs/inode.ts'
import { mountOn as mountAt } from '../../vfs/mounting.ts'
import { WALK_FOLLOW, walk, walkPath } from '../../vfs/path-walk.ts'
import { GoferConnection } from '../gofer/connection.ts'
import { mountGofer } from '../gofer/super.ts'
import { spawnGofer } from '../gofer/test/spawn.ts'
import { dump, fill, randomWalk } from './test/random-walk.ts'
import { mountOver } from './test/setup.ts'

/** Longer walks: OVERLAY_WALKS=50 OVERLAY_STEPS=1000. */
const STEPS = Number(process.env.OVERLAY_STEPS ?? 120)
const WALKS = Number(process.env.OVERLAY_WALKS ?? 3)
const seeds = Array.from({ length: WALKS }, (_, i) => i + 1)

test.each(seeds)('random walk %i over a tmpfs', seed => {
  const k = boot()
  mountOn(k, 'tmpfs', '/lower', 'mode=755')
  mountOn(k, 'tmpfs', '/plain', 'mode=755')
  for (const top of ['/lower', '/plain']) fill(k, top)
  const over = mountOver(k, '/lower', '/over')
  const before = dump(k, '/lower', true)
  expect(dump(k, '/over', true)).toBe(dump(k, '/plain', true))
  randomWalk(k, over, seed, STEPS, true)
  expect(dump(k, '/lower', true)).toBe(before)
})

/** Attach the gofer's tree once more, with inodes of its own, at `path`. */
function attach(k: TestTask, connection: GoferConnection, path: string): void {
  k.sys.mkdir(path, 0o755)
  const sb = mountGofer(k.kernel, connection, 0, { shared: false, readonly: false }) as SuperBlock
  if (walkPath(k.task, AT_FDCWD, path, WALK_FOLLOW) < 0) throw new Error(`no ${path}`)
  mountAt({ mount: walk.mount, dentry: walk.dentry }, sb, 0, 'gofer')
}

test.each(seeds)('random walk %i over a gofer', seed => {
  const tree = mkdtempSync(join(tmpdir(), 'overlay-random-'))
  // The attach point may be written, so that a write that got through would be seen.
  const { client } = spawnGofer(`0:${tree}`)
  const connection = new GoferConnection(client)
  const k = boot()
  mountOn(k, 'tmpfs', '/plain', 'mode=700')
  attach(k, connection, '/made')
  for (const top of ['/made', '/plain']) fill(k, top)
  attach(k, connection, '/lower')
  attach(k, connection, '/seen')
  const over = mountOver(k, '/lower', '/over')
  const before = dump(k, '/seen', true)
  expect(dump(k, '/over', false)).toBe(dump(k, '/plain', false))
  randomWalk(k, over, seed, STEPS, false)
  attach(k, connection, '/after')
  expect(dump(k, '/after', true)).toBe(before)
  close(client.socket)
  rmSync(tree, { recursive: true })
})
