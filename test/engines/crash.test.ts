// Docker with live-restore, over a sandbox of which, or of Docker itself, somebody is killed at any moment (crash-driver.ts): a
// container outlives its engine, and nothing is left when it has been removed: no process, cgroup, state, bundle or mount. An
// engine that was killed itself may have forgotten a container, as it does with runc; then it is there as a whole, and can be
// removed as a whole. PORTCULLIS_HEAVY=1 does it many more times; PORTCULLIS_SEED chooses the moments.

import { join } from 'node:path'
import { expect, it } from 'vitest'
import { heavy, root, run, runsc } from '../run.ts'

const ROUNDS = heavy ? 200 : 3
const seed = process.env.PORTCULLIS_SEED ?? '5'

it(
  `whoever is killed, nothing is left (PORTCULLIS_SEED=${seed})`,
  () => {
    const driver = [process.execPath, join(root, 'test/engines/crash-driver.ts')]
    // A dead containerd that nobody reaps would count as one that runs.
    const init = ['sh', '-c', '"$@"; exit $?', 'init']
    const namespaces = ['--pid', '--mount', '--net', '--fork', '--mount-proc', '--kill-child']
    const { status, stdout, stderr } = run(
      'unshare',
      [...namespaces, ...init, ...driver, runsc, `${ROUNDS}`, seed],
      {
        seconds: 120 + ROUNDS * 120,
      },
    )
    expect({ status, stdout }, stderr).toEqual({ status: 0, stdout: `over: ${ROUNDS} rounds\n` })
  },
  120_000 + ROUNDS * 125_000,
)
