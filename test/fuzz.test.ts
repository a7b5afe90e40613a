// Random calls that mean something (test/fuzz/fuzz.c), from programs that are root in a sandbox: whatever becomes of them, the
// sandbox goes on and serves others.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { header } from './fuzz/calls.ts'
import { cache, compile, heavy, PLATFORMS, platformWorks, root, run, runsc } from './run.ts'

const ROUNDS = heavy ? 1000 : 12
/** Each round is killed after three seconds; a machine that is busy otherwise takes its time for the rest. */
const SECONDS = 60 + 10 * ROUNDS
const platforms = PLATFORMS.filter(platformWorks)

describe('random calls', () => {
  let program: string
  beforeAll(() => {
    const folder = join(cache, 'fuzz')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'calls.h'), header())
    program = compile(join(root, 'test/fuzz/fuzz.c'), join(folder, 'fuzz'), [
      '-O1',
      '-g',
      '-w',
      '-pthread',
      `-I${folder}`,
    ])
  })

  for (const platform of PLATFORMS) {
    const name = `do not end a sandbox under ${platform}`
    it.skipIf(!platforms.includes(platform))(name, { timeout: SECONDS * 1000 + 20_000 }, () => {
      const first = platform === 'systrap' ? '1' : '100001'
      const flags = [`--platform=${platform}`, '--network=none']
      const { status, stdout, stderr } = run(
        runsc,
        [...flags, 'do', '--', program, first, String(ROUNDS)],
        { seconds: SECONDS },
      )
      expect(stderr).toBe('')
      expect(stdout.split('\n').filter(line => line.startsWith('seed'))).toEqual([])
      const [, fine, kinds] = /over: \d+ calls, (\d+) succeeded; (\d+) of/.exec(stdout) ?? []
      expect(status).toBe(0)
      // Most calls would fail at once if the arguments meant nothing.
      expect(Number(fine)).toBeGreaterThan(500)
      expect(Number(kinds)).toBeGreaterThan(100)
    })
  }
})
