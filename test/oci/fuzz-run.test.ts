// Wrong values in config.json, through the real commands (fuzz-driver.ts): a container is made, or one line tells why
// not, and nothing is left. fuzz.test.ts has all of them, in process. PORTCULLIS_SEED chooses other ones.

import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { heavy, root, run, runsc } from '../run.ts'
import { Workshop } from './both.ts'

const ROUNDS = heavy ? 400 : 24
const seed = process.env.PORTCULLIS_SEED ?? '3'

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
})
afterAll(() => shop.clean())

it(
  `whatever is wrong, nothing is left (PORTCULLIS_SEED=${seed})`,
  () => {
    const bundle = shop.bundle(['true'])
    mkdirSync(join(bundle, 'source'))
    mkdirSync(join(bundle, 'rootfs/link'))
    // The program is not root's.
    chmodSync(join(bundle, 'rootfs'), 0o755)
    const driver = [process.execPath, join(root, 'test/oci/fuzz-driver.ts'), runsc]
    const args = [join(shop.path, 'fuzz'), bundle, `fuzz-${process.pid}`, `${ROUNDS}`, seed]
    const namespace = ['--pid', '--fork', '--mount-proc', '--kill-child']
    const { stdout, stderr } = run('unshare', [...namespace, ...driver, ...args], {
      seconds: ROUNDS * 60,
    })
    expect(stdout + stderr).toBe(`over: ${ROUNDS} rounds\n`)
  },
  ROUNDS * 65_000,
)
