// Random calls that mean something (test/fuzz/fuzz.c), from programs that are root in a sandbox: whatever becomes of them, the
// sandbox goes on and serves others.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { header } from './fuzz/calls.ts'
import { cache, compile, heavy, PLATFORMS, platformWorks, root, run, runsc } from './run.ts'

const ROUNDS = heavy ? 1000 : 12
/** Each round is killed after three seconds; a machine that is busy otherwise takes its time for the rest. */
const secondsFor = (rounds: number): number => 60 + 10 * rounds
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

  /** Runs rounds from `seed` on, and expects that they end well. */
  function fuzz(flags: readonly string[], seed: number, rounds: number): void {
    const args = [...flags, '--network=none', 'do', '--', program, String(seed), String(rounds)]
    const { status, stdout, stderr } = run(runsc, args, { seconds: secondsFor(rounds) })
    expect(stderr).toBe('')
    expect(stdout.split('\n').filter(line => line.startsWith('seed'))).toEqual([])
    expect(status).toBe(0)
    // Most calls would fail at once if the arguments meant nothing.
    const [, fine, kinds] = /over: \d+ calls, (\d+) succeeded; (\d+) of/.exec(stdout) ?? []
    expect(Number(fine)).toBeGreaterThan(50 * rounds)
    expect(Number(kinds)).toBeGreaterThan(80)
  }

  for (const platform of PLATFORMS) {
    const name = `do not end a sandbox under ${platform}`
    const timeout = secondsFor(ROUNDS) * 1000 + 20_000
    it.skipIf(!platforms.includes(platform))(name, { timeout }, () => {
      fuzz([`--platform=${platform}`], platform === 'systrap' ? 1 : 100_001, ROUNDS)
    })
  }

  it('are decoded whatever they are', { timeout: secondsFor(ROUNDS / 4) * 1000 + 20_000 }, () => {
    fuzz(['--strace', '--debug-log=/dev/null'], 200_001, ROUNDS / 4)
  })
})
