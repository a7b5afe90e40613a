// Somebody of a container is killed at any moment of its life (crash-driver.ts): the other commands cope with what is
// there then, and delete --force leaves nothing: no process, state, cgroup or mount. PORTCULLIS_SEED chooses the moments.

import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { heavy, root, run, runsc } from '../run.ts'
import { Workshop } from './both.ts'

const ROUNDS = heavy ? 200 : 10
const seed = process.env.PORTCULLIS_SEED ?? '7'

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
})
afterAll(() => shop.clean())

it(
  `whoever is killed, nothing is left (PORTCULLIS_SEED=${seed})`,
  () => {
    const bundle = shop.bundle(['sleep', '1000'])
    const driver = [process.execPath, join(root, 'test/oci/crash-driver.ts'), runsc]
    const args = [join(shop.path, 'crash'), bundle, `crash-${process.pid}`, `${ROUNDS}`, seed]
    const namespace = ['--pid', '--fork', '--mount-proc', '--kill-child']
    const { stdout, stderr } = run('unshare', [...namespace, ...driver, ...args], {
      seconds: ROUNDS * 60,
    })
    expect(stdout + stderr).toBe(`over: ${ROUNDS} rounds\n`)
  },
  ROUNDS * 65_000,
)
