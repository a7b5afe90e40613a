// The real Docker engine over runsc: each feature that people use, and what must be left behind afterwards: nothing.
// PORTCULLIS_HEAVY=1 tests all of them; `npm run features` compares runtimes.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { heavy } from '../run.ts'
import { debianTree } from '../setup.ts'
import { DEBIAN, Docker, Engine } from './engine.ts'
import { failure, OURS, ROWS } from './features.ts'

const engine = new Engine()
const docker = new Docker(engine, OURS.name)
let reason = ''

beforeAll(async () => {
  try {
    await engine.start([OURS])
  } catch (error) {
    reason = (error as Error).message
    console.warn(`skipped: Docker: ${reason}`)
    return
  }
  if (!engine.network)
    console.warn('skipped: networks of Docker: this machine cannot make a bridge')
  if (heavy) engine.importTree(debianTree(), DEBIAN)
}, 600_000)

afterAll(() => engine.stop(), 60_000)

describe('docker', () => {
  for (const row of ROWS.filter(({ quick }) => heavy || quick))
    it(row.name, async context => {
      if (reason !== '') return context.skip(reason)
      if (row.needs?.includes('network') && !engine.network) return context.skip('no bridge')
      expect(await failure(row, docker)).toBe(null)
    }, 120_000)

  it('leaves nothing behind', async context => {
    if (reason !== '') return context.skip(reason)
    docker.clean()
    await docker.until('all ends', () => engine.remains().length === 0).catch(() => {})
    expect(engine.remains()).toEqual([])
  })
})
