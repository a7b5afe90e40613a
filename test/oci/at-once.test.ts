// Many commands on one container at once: each does what it is for or says in one line why not, and nothing is left.

import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { heavy, runsc } from '../run.ts'
import { type Oracle, oracle } from './bundles.ts'

const ROUNDS = heavy ? 100 : 8
/** As long as a create takes, so that commands come before, within and after it. */
const SPREAD_MS = 800

let box: Oracle
let bundle: string
beforeAll(() => {
  box = oracle('concurrent')
  bundle = box.bundle(['sleep', '1000'])
})
afterAll(() => box.clean())

interface Ended {
  args: string[]
  status: number | null
  stderr: string
}

/** Runs a command in the background; its processes keep our pipe no longer than it lives itself. */
function command(...args: string[]): Promise<Ended> {
  const state = `--root=${join(box.path, 'state-ours')}`
  const child = spawn(runsc, [state, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', chunk => (stderr += String(chunk)))
  return new Promise(done =>
    child.on('exit', async status => {
      // What it wrote last is on its way.
      await sleep(20)
      child.stderr.destroy()
      done({ args, status, stderr })
    }),
  )
}

const OPERATIONS: string[][] = [
  ['state', 'ID'],
  ['start', 'ID'],
  ['start', 'ID'],
  ['exec', 'ID', 'true'],
  ['kill', 'ID', 'TERM'],
  ['kill', 'ID', 'KILL'],
  ['delete', 'ID'],
  ['delete', '--force', 'ID'],
  ['pause', 'ID'],
  ['resume', 'ID'],
  ['ps', 'ID'],
  ['events', '--stats', 'ID'],
  ['update', '--pids-limit', '50', 'ID'],
  ['list'],
]

/** Numbers from 0 to 1, the same each time. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

it(
  'neither crash nor leave anything behind',
  async () => {
    const random = numbers(11)
    for (let round = 0; round < ROUNDS; round++) {
      const id = `concurrent-${process.pid}-${round}`
      const create = command(random() < 0.7 ? 'create' : 'run', '-b', bundle, id)
      const others = Array.from({ length: 9 }, async () => {
        const operation = OPERATIONS[Math.floor(random() * OPERATIONS.length)]!
        await sleep(random() * SPREAD_MS)
        return command(...operation.map(word => (word === 'ID' ? id : word)))
      })
      await sleep(2 * SPREAD_MS)
      expect((await command('delete', '--force', id)).stderr).toBe('')
      const ended = await Promise.all(others)
      // A create may have been late: then what it has made is there now.
      for (let over = false; !over; ) {
        expect((await command('delete', '--force', id)).stderr).toBe('')
        over = await Promise.race([create.then(() => true), sleep(500, false)])
      }
      expect((await command('delete', '--force', id)).stderr).toBe('')
      const all = [await create, ...ended]
      for (const { args, status, stderr } of all) {
        if (status === 0) continue
        expect(stderr.trim().split('\n'), `${args.join(' ')}: ${stderr}`).toHaveLength(1)
        // A foreground `run` or `exec` ends as its program does, killed without a word.
        const killed = /^(run|exec)$/.test(args[0]!) && (status ?? 0) > 128
        if (!killed)
          expect({ args, status, stderr }).toEqual({
            args,
            status,
            stderr: expect.stringMatching(/^runsc: /),
          })
        expect(stderr).not.toMatch(/at .*\.(ts|cjs):\d|ENOENT|ESRCH|undefined/)
      }
      expect(readdirSync(join(box.path, 'state-ours'))).toEqual([])
      expect(cgroupsOf(id)).toEqual([])
    }
  },
  ROUNDS * 30_000,
)

const cgroupsOf = (id: string): string[] =>
  ['', ...readdirSync('/sys/fs/cgroup')]
    .map(name => join('/sys/fs/cgroup', name, id))
    .filter(existsSync)

it('starts a container once, however many ask for it', async () => {
  const id = `once-${process.pid}`
  await command('create', '-b', bundle, id)
  const all = await Promise.all(Array.from({ length: 5 }, () => command('start', id)))
  expect(all.filter(({ status }) => status === 0)).toHaveLength(1)
  for (const { status, stderr } of all)
    if (status !== 0) expect(stderr).toMatch(/already running|is running/)
  expect(JSON.parse(box.ours.run('state', id).stdout).status).toBe('running')
  const deleted = await Promise.all(
    Array.from({ length: 4 }, () => command('delete', '--force', id)),
  )
  expect(deleted.map(({ status, stderr }) => [status, stderr])).toEqual(
    Array.from({ length: 4 }, () => [0, '']),
  )
})
