// Docker with live-restore, over a sandbox of which, or of Docker itself, somebody is killed at any moment (crash-driver.ts):
// a container outlives its engine, and nothing is left when it has been removed: no process, cgroup, state, bundle or mount.
// Long: PORTCULLIS_HEAVY=1. PORTCULLIS_SEED chooses the moments.

import { join } from 'node:path'
import { expect, it } from 'vitest'
import { heavy, root, run, runsc } from '../run.ts'

const ROUNDS = 200
const seed = process.env.PORTCULLIS_SEED ?? '5'

it.runIf(heavy)(
  `whoever is killed, nothing is left (PORTCULLIS_SEED=${seed})`,
  () => {
    const driver = [process.execPath, join(root, 'test/engines/crash-driver.ts')]
    // A dead containerd that nobody reaps would count as one that runs.
    const init = ['sh', '-c', '"$@"; exit $?', 'init']
    const namespaces = ['--pid', '--mount', '--net', '--fork', '--mount-proc', '--kill-child']
    const { stdout, stderr } = run(
      'unshare',
      [...namespaces, ...init, ...driver, runsc, `${ROUNDS}`, seed],
      {
        seconds: ROUNDS * 120,
      },
    )
    expect(stdout + stderr).toBe(`over: ${ROUNDS} rounds\n`)
  },
  ROUNDS * 125_000,
)
