// Somebody of a container is killed at any moment of its life (crash-driver.ts): the other commands cope with what is
// there then, and delete --force leaves nothing: no process, state, cgroup, mount or file. PORTCULLIS_SEED chooses the moments.

import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { heavy, root, run, runsc } from '../run.ts'
import { Workshop } from './both.ts'

const ROUNDS = heavy ? 1200 : 12
const POD_ROUNDS = heavy ? 600 : 10
const seed = process.env.PORTCULLIS_SEED ?? '7'

let shop: Workshop
beforeEach(() => {
  shop = new Workshop()
})
afterEach(() => shop.clean())

/** Run a driver in namespaces of its own: it says nothing but how many it has killed. */
function drive(name: string, rounds: number): void {
  const driver = [process.execPath, join(root, 'test/oci', name), runsc]
  const args = [shop.path, `crash-${process.pid}`, `${rounds}`, seed]
  const namespaces = ['--pid', '--mount', '--fork', '--mount-proc', '--kill-child']
  const { stdout, stderr } = run('unshare', [...namespaces, ...driver, ...args], {
    seconds: rounds * 60,
  })
  expect(stdout + stderr).toMatch(new RegExp(`^over: ${rounds} rounds, \\d+ killed\n$`))
  // Not in every step is there somebody to kill.
  expect(Number(/(\d+) killed/.exec(stdout)![1])).toBeGreaterThan(rounds / 10)
}

it(
  `whoever is killed, nothing is left (PORTCULLIS_SEED=${seed})`,
  () => {
    shop.bundle(['sleep', '1000'])
    drive('crash-driver.ts', ROUNDS)
  },
  ROUNDS * 65_000,
)

it(
  `whoever of a pod is killed, it goes on where it can (PORTCULLIS_SEED=${seed})`,
  () => {
    const bundle = (type: string) =>
      shop.bundle(['sleep', '1000'], config => {
        config.annotations = {
          'io.kubernetes.cri.container-type': type,
          'io.kubernetes.cri.sandbox-id': 'pod',
        }
        config.linux.cgroupsPath = `/crash-${process.pid}-${bundles++}`
      })
    let bundles = 0
    for (const type of ['sandbox', 'container', 'container']) bundle(type)
    drive('pod-crash-driver.ts', POD_ROUNDS)
  },
  POD_ROUNDS * 65_000,
)
