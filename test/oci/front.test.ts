// The program in front of Node.js does what engines wait for and leaves all else to it: what both do comes out the same, and where
// anything is unusual the front has touched nothing.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Result, root, run, runsc } from '../run.ts'
import { until } from '../until.ts'
import { type Oracle, oracle } from './bundles.ts'
import { frontAlone, LEFT_TO_NODE, PINNED } from './front-alone.ts'

/** A number of mutations of a state file, the same each time. */
const MUTATIONS = 400

let box: Oracle
let bundle: string
let state: string
let alone: string
beforeAll(() => {
  box = oracle('front')
  state = join(box.path, 'state-ours')
  bundle = box.bundle(['sleep', '1000'], config => {
    config.annotations = { plain: 'yes', 'with "quotes"': 'ü\n\\\u0001', '': '' }
  })
  alone = frontAlone(box.path)
})
afterAll(() => box.clean())

const flags = () => [`--root=${state}`]
const byFront = (...args: string[]): Result => run(alone, [...flags(), ...args])
const byNode = (...args: string[]): Result =>
  run(join(root, PINNED), [join(root, 'build/load.cjs'), 'runsc', ...flags(), ...args])
const byBoth = (...args: string[]): Result => box.ours.run(...args)

const QUIET = { status: 0, stdout: '', stderr: '' }
const LEFT = { status: LEFT_TO_NODE, stdout: '', stderr: '' }
const statusOf = (id: string): string => JSON.parse(byFront('state', id).stdout).status
const pidOf = (id: string): number => JSON.parse(byNode('state', id).stdout).pid

function created(id: string, from = bundle): string {
  expect(box.ours.detached('create', '-b', from, id)).toMatchObject({ status: 0, stderr: '' })
  return id
}

const gone = (id: string) => expect(byBoth('delete', '--force', id)).toEqual(QUIET)

const cgroupsOf = (id: string): string[] =>
  ['', ...readdirSync('/sys/fs/cgroup')]
    .map(name => join('/sys/fs/cgroup', name, id))
    .filter(existsSync)

/** What is in a container's directory, as far as commands change it. */
const kept = (id: string) => [
  readdirSync(join(state, id)).sort(),
  readFileSync(join(state, id, 'state.json'), 'latin1'),
]

it('prints the state as Node does', async () => {
  const id = created('shown')
  const same = (status: string) => {
    const shown = byFront('state', id)
    expect(shown).toEqual(byNode('state', id))
    expect(JSON.parse(shown.stdout)).toMatchObject({ id, status })
  }
  same('created')
  expect(byFront('start', id)).toEqual(QUIET)
  same('running')
  expect(byNode('pause', id)).toEqual(QUIET)
  same('paused')
  expect(byNode('resume', id)).toEqual(QUIET)
  same('running')
  expect(byFront('kill', id, 'KILL')).toEqual(QUIET)
  await until('it stops', () => statusOf(id) === 'stopped')
  same('stopped')
  expect(byFront('delete', id)).toEqual(QUIET)
})

describe.each([
  ['delete', 'TERM', ['delete']],
  ['delete --force', '9', ['delete', '--force']],
  ['delete -f', 'SIGKILL', ['delete', '-f']],
])('alone, it lets a container live, up to %s', (_, signal, words) => {
  it('which leaves nothing', async () => {
    const id = created(`life-${signal}`)
    expect(cgroupsOf(id)).not.toEqual([])
    const engine = ['--log', join(box.path, 'log'), '--log-format', 'json', '--platform=systrap']
    expect(byFront(...engine, 'kill', id, '0')).toEqual(QUIET)
    expect(byFront(...engine, 'start', id)).toEqual(QUIET)
    expect(statusOf(id)).toBe('running')
    // That leaves a directory in the container's.
    expect(byNode('exec', '--detach', id, 'true').status).toBe(0)
    expect(byFront('kill', '--all', id, 'WINCH')).toEqual(QUIET)
    expect(byFront('kill', '-a', id, '9')).toEqual(QUIET)
    await until('it stops', () => statusOf(id) === 'stopped')
    expect(byFront(...engine, ...words, id)).toEqual(QUIET)
    expect(existsSync(join(state, id))).toBe(false)
    expect(cgroupsOf(id)).toEqual([])
    expect(byFront('delete', '--force', id)).toEqual(QUIET)
  })
})

it('alone, it ends what runs and what is paused, and deletes what waits for start', async () => {
  for (const words of [['delete'], ['delete', '--force']]) {
    expect(byFront(...words, created('waits'))).toEqual(QUIET)
    expect(existsSync(join(state, 'waits'))).toBe(false)
  }
  created('runs')
  byFront('start', 'runs')
  expect(byFront('delete', '--force', 'runs')).toEqual(QUIET)
  created('sleeps')
  byFront('start', 'sleeps')
  byNode('pause', 'sleeps')
  expect(byFront('delete', '--force', 'sleeps')).toEqual(QUIET)
  created('killed')
  byFront('start', 'killed')
  byNode('pause', 'killed')
  expect(byFront('kill', 'killed', 'KILL')).toEqual(QUIET)
  await until('it stops', () => statusOf('killed') === 'stopped')
  expect(byFront('delete', 'killed')).toEqual(QUIET)
  expect(['waits', 'runs', 'sleeps', 'killed'].flatMap(cgroupsOf)).toEqual([])
})

it('leaves what is unusual to Node, and all as it was', async () => {
  const id = created('usual')
  const left = (...words: string[]) => {
    const before = kept(id)
    expect([words, byFront(...words)]).toEqual([words, LEFT])
    expect(kept(id)).toEqual(before)
  }
  for (const words of [
    ['--debug', 'state', id],
    ['--log-format=xml', 'state', id],
    ['--log', '--log-format=json', 'state', id],
    ['--root', 'state', id],
    ['--root=', 'state', id],
    ['-root=/tmp', 'state', id],
    ['--nonsense', 'state', id],
    ['--', 'state', id],
    ['state'],
    ['state', ''],
    ['state', '../front'],
    ['state', `${id}/`],
    ['state', 'a'.repeat(256)],
    ['state', id, id],
    ['state', '--', id],
    ['state', '--help', id],
    ['help', 'state'],
    ['start', '--all', id],
    ['start', 'nobody'],
    ['kill', id, 'NONSENSE'],
    ['kill', id, '65'],
    ['kill', id, '08'],
    ['kill', id, '-9'],
    ['kill', '--pid', '1', id, '9'],
    ['kill', id, '--all', '9'],
    ['delete', id, id],
    ['delete', '--all', id],
    ['delete', 'nobody'],
    ['exec', id, 'state', id],
    ['list'],
    [],
  ])
    left(...words)
  byFront('start', id)
  left('start', id)
  left('delete', id)
  byNode('pause', id)
  left('kill', id, 'TERM')
  left('delete', id)
  left('start', id)
  byNode('resume', id)
  byFront('kill', id, '9')
  await until('it stops', () => statusOf(id) === 'stopped')
  left('kill', id, '9')
  left('kill', id, 'TERM')
  expect(byFront('kill', '--all', id, '9')).toEqual(QUIET)
  expect(byNode('kill', '--all', id, '9')).toEqual(QUIET)
  left('start', id)
  gone(id)
})

it.each(['poststart', 'poststop'])('leaves %s hooks to Node', kind => {
  const hooked = box.bundle(['sleep', '1000'], config => {
    config.hooks = { [kind]: [{ path: '/bin/true' }] }
  })
  const id = created(kind, hooked)
  const word = kind === 'poststart' ? 'start' : 'delete'
  expect(byFront(word, id)).toEqual(LEFT)
  expect(statusOf(id)).toBe('created')
  expect(byBoth(word, id)).toEqual(QUIET)
  gone(id)
})

it('waits for nobody who holds the lock', async () => {
  const id = created('locked')
  const holder = spawn('flock', [join(state, id), 'sh', '-c', 'echo held; read line'])
  await once(holder.stdout, 'data')
  expect(byFront('delete', id)).toEqual(LEFT)
  // The answer to the request is Node's to read then.
  expect(byFront('start', id)).toEqual(LEFT)
  holder.stdin.end()
  await once(holder, 'exit')
  expect(byFront('delete', '--force', id)).toEqual(QUIET)
})

it('finishes by Node what it has begun', async () => {
  const id = created('finished')
  const holder = spawn('flock', [join(state, id), 'sh', '-c', 'echo held; read line'])
  await once(holder.stdout, 'data')
  const start = spawn(runsc, [...flags(), 'start', id], { stdio: 'inherit' })
  // Started by the front, and not yet kept: Node waits for the lock.
  await until('Node has taken over', () => titleOf(start.pid!).includes('load.cjs'))
  expect(statusOf(id)).toBe('created')
  holder.stdin.end()
  expect(await once(start, 'exit')).toEqual([0, null])
  expect(statusOf(id)).toBe('running')
  gone(id)
})

const titleOf = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, 'utf8')

it('tells of a failing start as Node does, and ends the container', async () => {
  const failing = box.bundle(['sleep', '1000'], config => {
    config.hooks = { startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'exit 9'] }] }
  })
  const log = join(box.path, 'failures')
  const start = (by: typeof byNode, id: string) => {
    created(id, failing)
    rmSync(log, { force: true })
    const result = by('--log', log, '--log-format=json', 'start', id)
    const { time, ...line } = JSON.parse(readFileSync(log, 'utf8'))
    expect(Date.parse(time)).toBeGreaterThan(0)
    return { result, line }
  }
  const { result, line } = start(byBoth, 'failing')
  expect(result.stderr).toContain('exit status 9')
  expect({ result, line }).toEqual(start(byNode, 'failing2'))
  await until('it has ended', () => statusOf('failing') === 'stopped')
  expect(byFront('delete', 'failing')).toEqual(QUIET)
  gone('failing2')
})

it('copes with a sandbox that was killed', async () => {
  const id = created('dead')
  process.kill(pidOf(id), 'SIGKILL')
  await until('it is gone', () => statusOf(id) === 'stopped')
  for (const words of [
    ['state', id],
    ['start', id],
    ['kill', id],
    ['kill', id, 'KILL'],
  ])
    expect([words, byBoth(...words)]).toEqual([words, byNode(...words)])
  expect(byFront('delete', id)).toEqual(QUIET)
  expect(cgroupsOf(id)).toEqual([])
})

describe('a directory that is not as it was written', () => {
  let good: string
  const file = () => join(state, 'odd/state.json')
  beforeAll(() => {
    created('good')
    good = readFileSync(join(state, 'good/state.json'), 'utf8')
    mkdirSync(join(state, 'odd'))
  })
  afterAll(() => {
    gone('good')
    rmSync(join(state, 'odd'), { recursive: true })
    rmSync(join(state, 'link'))
  })
  const own = () => good.replace('"id": "good"', '"id": "odd"')

  it.each<[string, () => void]>([
    ['nothing', () => {}],
    ['a link', () => symlinkSync('../good/state.json', file())],
    ['a link to nothing', () => symlinkSync('nothing', file())],
    ['a FIFO', () => run('mkfifo', [file()])],
    ['a device', () => run('mknod', [file(), 'c', '1', '5'])],
    ['a directory', () => mkdirSync(file())],
    ['an empty file', () => writeFileSync(file(), '')],
    ['garbage', () => writeFileSync(file(), Buffer.alloc(5000, '{"front": "1'))],
    ["another's", () => writeFileSync(file(), good)],
    ['a part', () => writeFileSync(file(), own().slice(0, -3))],
    ['more', () => writeFileSync(file(), `${own()}}`)],
    ['zeros', () => writeFileSync(file(), own().replace('plain', '\0\0\0\0\0'))],
    [
      'much',
      () => {
        writeFileSync(file(), own())
        truncateSync(file(), 64 << 20)
      },
    ],
  ])('%s is told of by Node', (_, make) => {
    rmSync(file(), { recursive: true, force: true })
    make()
    for (const words of ['state', 'start', 'kill', 'delete'].map(word => [word, 'odd'])) {
      expect([words, byFront(...words)]).toEqual([words, LEFT])
      const told = byBoth(...words)
      expect([words, told]).toEqual([words, byNode(...words)])
      if (words[0] !== 'state') continue
      // Where a line is Node's own, it takes a look all the same.
      if (told.status !== 0) expect(told.stderr).toMatch(/^runsc: .*(exist|damaged|ELOOP).*\n$/)
    }
  })

  it('a link to a container is as the container', () => {
    symlinkSync('good', join(state, 'link'))
    expect(byFront('state', 'link')).toEqual(LEFT)
    expect(byBoth('state', 'link')).toEqual(byNode('state', 'link'))
    expect(statusOf('good')).toBe('created')
  })

  it('bytes that have changed never harm', () => {
    rmSync(file(), { recursive: true, force: true })
    const ends = new Set<number>()
    let random = 7
    const next = (below: number) => {
      random = (Math.imul(random, 1664525) + 1013904223) >>> 0
      return Math.floor((random / 2 ** 32) * below)
    }
    for (let i = 0; i < MUTATIONS; i++) {
      const bytes = Buffer.from(own())
      const line = bytes.indexOf('\n  "bundle"')
      for (let n = next(4); n >= 0; n--)
        bytes[next(line + 20)] = '0 \n"9\\{:,\xff'.charCodeAt(next(10))
      writeFileSync(file(), bytes)
      const { status, stderr } = byFront('state', 'odd')
      expect([stderr, [0, LEFT_TO_NODE].includes(status)]).toEqual(['', true])
      ends.add(status)
    }
    expect(ends.has(LEFT_TO_NODE)).toBe(true)
  })
})

describe('many at once', () => {
  const command = async (...args: string[]) => {
    const child = spawn(runsc, [...flags(), ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
    let stderr = ''
    child.stderr.on('data', chunk => (stderr += String(chunk)))
    const [status] = await once(child, 'close')
    return { status, stderr }
  }
  const several = (...args: string[]) => Array.from({ length: 6 }, () => command(...args))

  it('one deletes, and the others find nothing', async () => {
    const id = created('torn')
    const all = await Promise.all(several('delete', id))
    expect(all.filter(({ status }) => status === 0)).toHaveLength(1)
    for (const { status, stderr } of all)
      if (status !== 0) expect(stderr).toContain(`container "${id}" does not exist`)
    expect(existsSync(join(state, id))).toBe(false)
    expect(cgroupsOf(id)).toEqual([])
  })

  it('all kill what is dying, or hear that it does not run', async () => {
    const id = created('dying')
    byFront('start', id)
    const all = await Promise.all([
      ...several('kill', id, 'KILL'),
      ...several('kill', '--all', id, 'KILL'),
      ...several('state', id),
    ])
    expect(all.some(({ status }) => status === 0)).toBe(true)
    for (const { status, stderr } of all)
      if (status !== 0) expect(stderr).toMatch(/^runsc: .*(not running|did not take).*\n$/)
    await until('it stops', () => statusOf(id) === 'stopped')
    expect(byFront('delete', id)).toEqual(QUIET)
  })
})
