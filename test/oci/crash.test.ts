// runsc is killed at any moment: the other commands cope with what it leaves, and delete --force leaves nothing.

import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { heavy, run, runsc } from '../run.ts'
import { Workshop } from './both.ts'

const ROUNDS = heavy ? 200 : 12
/** Longer than a create takes on a quiet machine. */
const LONGEST_MS = 500

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
})
afterAll(() => shop.clean())

/** Numbers from 0 to 1, the same each time. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** Host processes with this word in their arguments. */
const processesWith = (word: string): string[] =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      } catch {
        return ''
      }
    })
    .filter(line => line.includes(word))

it(
  'a killed create leaves what delete --force removes',
  async () => {
    const root = join(shop.path, 'crash-state')
    const word = `crash-${process.pid}`
    const bundle = shop.bundle(['sleep', `1000`, word])
    const random = numbers(7)
    for (let i = 0; i < ROUNDS; i++) {
      const id = `${word}-${i}`
      const child = spawn(runsc, ['--root', root, 'create', '-b', bundle, id], { stdio: 'ignore' })
      const ended = new Promise(done => child.on('exit', done))
      await sleep(random() * LONGEST_MS)
      child.kill('SIGKILL')
      await ended
      const { stderr } = run(runsc, ['--root', root, 'state', id])
      expect(stderr === '' || stderr.includes('does not exist')).toBe(true)
      expect(run(runsc, ['--root', root, 'delete', '--force', id])).toMatchObject({
        status: 0,
        stderr: '',
      })
    }
    for (let i = 0; i < 100 && processesWith(word).length > 0; i++) await sleep(100)
    expect(processesWith(word)).toEqual([])
    expect(existsSync(root) ? readdirSync(root) : []).toEqual([])
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(root)
    const cgroups = readdirSync('/sys/fs/cgroup').flatMap(name =>
      existsSync(`/sys/fs/cgroup/${name}/cgroup.procs`)
        ? readdirSync(`/sys/fs/cgroup/${name}`)
        : [],
    )
    expect(cgroups.filter(name => name.startsWith(word))).toEqual([])
  },
  ROUNDS * 20_000,
)
