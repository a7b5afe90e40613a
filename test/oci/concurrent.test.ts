// Commands on one container at the same time: each does its work or says in one line why not, one wins where only one can,
// and the container is none the worse for it.

import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { heavy, runsc } from '../run.ts'
import { Workshop } from './both.ts'

const ROUNDS = heavy ? 20 : 2

let shop: Workshop
let state: string
beforeAll(() => {
  shop = new Workshop()
  state = join(shop.path, 'state')
})
afterAll(() => shop.clean())

interface Ended {
  status: number | null
  output: string
}

let outputs = 0
/** What it leaves running keeps its output: a file. */
function start(...args: string[]): Promise<Ended> {
  const file = join(shop.path, `output${outputs++}`)
  const fd = openSync(file, 'w')
  const child = spawn(runsc, ['--root', state, ...args], { stdio: ['ignore', fd, fd] })
  closeSync(fd)
  return new Promise(done =>
    child.on('exit', status => done({ status, output: readFileSync(file, 'utf8') })),
  )
}

const together = (commands: string[][]): Promise<Ended[]> =>
  Promise.all(commands.map(args => start(...args)))

const many = (count: number, ...args: string[]): string[][] =>
  Array.from({ length: count }, () => args)

/** Those that failed said why, in one line of runsc's. */
function expectLines(results: Ended[]): void {
  for (const { status, output } of results) {
    if (status === 0) continue
    expect(output.trimEnd().split('\n')).toHaveLength(1)
    expect(output).not.toMatch(/\bat .*\.(m?js|ts):|^runsc: E[A-Z]+: /)
  }
}

const succeeded = (results: Ended[]): number => results.filter(({ status }) => status === 0).length

it(
  'one wins where only one can',
  async () => {
    const bundle = shop.bundle(['sleep', '100000'])
    for (let round = 0; round < ROUNDS; round++) {
      const id = `one-${process.pid}-${round}`
      const created = await together(many(4, 'create', '-b', bundle, id))
      expectLines(created)
      expect(succeeded(created)).toBe(1)
      const started = await together(many(4, 'start', id))
      expectLines(started)
      expect(succeeded(started)).toBeGreaterThanOrEqual(1)
      expect(JSON.parse((await start('state', id)).output).status).toBe('running')
      const deleted = await together(many(4, 'delete', '--force', id))
      expectLines(deleted)
      expect(succeeded(deleted)).toBeGreaterThanOrEqual(1)
      expect((await start('state', id)).output).toContain('does not exist')
      expect(readdirSync(state)).toEqual([])
    }
  },
  ROUNDS * 60_000,
)

it(
  'all kinds of commands',
  async () => {
    const bundle = shop.bundle(['sleep', '100000'])
    for (let round = 0; round < ROUNDS; round++) {
      const id = `all-${process.pid}-${round}`
      expect((await start('run', '-d', '-b', bundle, id)).status).toBe(0)
      const results = await together([
        ...many(3, 'exec', id, 'echo', 'said'),
        ...many(2, 'exec', '-d', id, 'sleep', '100000'),
        ...many(2, 'state', id),
        ...many(2, 'list'),
        ...many(2, 'ps', id),
        ['events', '--stats', id],
        ['kill', id, 'WINCH'],
      ])
      expect(results.filter(({ status }) => status !== 0)).toEqual([])
      expect(results.filter(({ output }) => output === 'said\n')).toHaveLength(3)
      const mixed = await together([
        ...many(3, 'pause', id),
        ...many(3, 'resume', id),
        ...many(2, 'state', id),
      ])
      expectLines(mixed)
      await start('resume', id)
      expect(await start('exec', id, 'echo', 'lives')).toEqual({ status: 0, output: 'lives\n' })
      const last = await together([
        ...many(2, 'exec', id, 'echo', 'said'),
        ...many(2, 'kill', id, 'KILL'),
        ...many(2, 'delete', '--force', id),
        ...many(2, 'state', id),
        ...many(2, 'start', id),
      ])
      for (const { status, output } of last)
        if (status !== 0 && status !== 137) expectLines([{ status, output }])
      expect((await start('delete', '--force', id)).status).toBe(0)
      expect(existsSync(state) ? readdirSync(state) : []).toEqual([])
    }
  },
  ROUNDS * 120_000,
)
