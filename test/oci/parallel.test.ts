// Many containers at the same time: all start, take commands and go, however busy the machine is. With
// PORTCULLIS_HEAVY=1 there are 50, and what they took is printed.

import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { heavy, runsc } from '../run.ts'
import { Workshop } from './both.ts'

const COUNT = heavy ? 50 : 8

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
})
afterAll(() => shop.clean())

interface Ended {
  status: number | null
  output: string
}

/** All at once, each with a file for its output: what runs on in a container keeps it open. */
function all(name: string, commands: string[][]): Promise<Ended[]> {
  return Promise.all(
    commands.map((args, i) => {
      const file = join(shop.path, `${name}${i}`)
      const output = openSync(file, 'w')
      const child = spawn(runsc, args, { stdio: ['ignore', output, output] })
      closeSync(output)
      return new Promise<Ended>(done =>
        child.on('exit', status => done({ status, output: readFileSync(file, 'utf8') })),
      )
    }),
  )
}

/** Proportional set size of these processes and all below them, in MiB. */
function memory(pids: readonly number[]): number {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc').filter(entry => /^\d+$/.test(entry))) {
    const stat = readMaybe(`/proc/${name}/stat`)
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const pss = (pid: number): number =>
    Number(/^Pss: +(\d+)/m.exec(readMaybe(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) +
    (children.get(pid) ?? []).reduce((sum, child) => sum + pss(child), 0)
  return pids.reduce((sum, pid) => sum + pss(pid), 0) / 1024
}

function readMaybe(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

it(`${COUNT} containers at once`, async () => {
  const state = join(shop.path, 'state')
  const bundle = shop.bundle(['sh', '-c', 'echo up; exec sleep 100000'])
  const ids = Array.from({ length: COUNT }, (_, i) => `parallel-${process.pid}-${i}`)
  const each = async (name: string, command: (id: string) => string[]) => {
    const start = performance.now()
    const results = await all(
      name,
      ids.map(id => ['--root', state, ...command(id)]),
    )
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    if (heavy) console.log(`${COUNT} x ${name}: ${seconds} s`)
    return results
  }
  const expectAll = (results: Ended[], output: string) =>
    expect(results).toEqual(ids.map(() => ({ status: 0, output })))

  const started = await each('run', id => ['run', '-d', '-b', bundle, id])
  expect(started.filter(({ status }) => status !== 0)).toEqual([])
  const states = await each('state', id => ['state', id])
  const pids = states.map(({ output }) => Number(JSON.parse(output).pid))
  expect(new Set(pids).size).toBe(COUNT)
  if (heavy) console.log(`without the gofers: ${(memory(pids) / COUNT).toFixed(1)} MiB each (PSS)`)
  expectAll(await each('exec', id => ['exec', id, 'hostname']), 'box\n')
  // What the programs have said, some time after `run` was over.
  const said = () => ids.map((_, i) => readFileSync(join(shop.path, `run${i}`), 'utf8'))
  while (said().includes('')) await sleep(100)
  expect(said()).toEqual(ids.map(() => 'up\n'))
  expectAll(await each('kill', id => ['kill', id, 'KILL']), '')
  expectAll(await each('delete', id => ['delete', '--force', id]), '')
  expect(existsSync(state) ? readdirSync(state) : []).toEqual([])
  expect(
    pids.filter(
      pid => existsSync(`/proc/${pid}`) && readMaybe(`/proc/${pid}/cmdline`).startsWith('sleep'),
    ),
  ).toEqual([])
}, 1_800_000)
