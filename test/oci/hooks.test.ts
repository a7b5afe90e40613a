// Hooks: which run when and where, what they are told, and what their failures do, beside runc.

import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Config, type Result, run, runsc } from '../run.ts'
import { until } from '../until.ts'
import { Workshop } from './both.ts'

const KINDS = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
}, 120_000)
afterAll(() => shop?.clean())

/** Appends a line for each run: its kind, arguments, environment, directory and state. */
const hookScript = (log: string): string => `#!/bin/sh
state=$(cat)
echo "$1|$*|$A|\${PWD##*/}|$state" >>${log}
[ "$2" = fail ] && { echo said >&2; exit 3; }
exit 0
`

interface Heard {
  result: Result
  /** Kind, arguments, environment, directory; the state without what the runtimes number themselves. */
  lines: string[]
  states: Record<string, unknown>[]
}

function hear(runtime: 'runc' | 'ours', failing: string | null): Heard {
  const log = join(shop.path, `log-${runtime}`)
  rmSync(log, { force: true })
  const bundle = shop.bundle(['sh', '-c', 'cat /inner.log; echo program'], (c, path) => {
    const outer = join(path, 'hook')
    writeFileSync(outer, hookScript(log))
    chmodSync(outer, 0o755)
    writeFileSync(join(path, 'rootfs/bin/hook'), hookScript('/inner.log'))
    chmodSync(join(path, 'rootfs/bin/hook'), 0o755)
    c.annotations = { some: 'thing' }
    c.hooks = Object.fromEntries(
      KINDS.map(kind => [
        kind,
        [1, 2].map(n => ({
          path: kind === 'startContainer' ? '/bin/hook' : outer,
          args: ['zero', kind, kind === failing && n === 1 ? 'fail' : `${n}`],
          env: ['A=from env', 'PATH=/bin:/usr/bin'],
        })),
      ]),
    )
  })
  const result =
    runtime === 'ours'
      ? shop.ours(bundle)
      : run('runc', ['--root', join(shop.path, 'state-runc'), 'run', '-b', bundle, 'hooked'])
  const text = (existsSync(log) ? readFileSync(log, 'utf8') : '') + result.stdout
  const lines = text.split('\n').filter(line => line.includes('|'))
  const fields = lines.map(line => line.split('|'))
  return {
    result,
    lines: fields.map(([kind, args, env, directory]) => {
      const where = directory!.startsWith('bundle') ? 'bundle' : directory
      return [kind, args, env, where].join('|')
    }),
    states: fields.map(f => JSON.parse(f[4]!) as Record<string, unknown>),
  }
}

const simplified = (states: Record<string, unknown>[]) =>
  states.map(({ status, annotations, pid, ...rest }) => ({
    status,
    annotations,
    hasPid: typeof pid === 'number',
    keys: Object.keys(rest).sort(),
  }))

describe('hooks', () => {
  it('run in order, each in its place, with the state', () => {
    const runc = hear('runc', null)
    const ours = hear('ours', null)
    expect(ours.lines).toEqual(runc.lines)
    expect(ours.lines).toHaveLength(12)
    // runc calls the container created still when poststart hooks run.
    const late = simplified(ours.states).map(s =>
      s.status === 'running' ? { ...s, status: 'created' } : s,
    )
    expect(late).toEqual(simplified(runc.states))
    expect(ours.result.status).toBe(0)
    expect(ours.result.stdout).toMatch(/program\n$/)
  })

  it.each(KINDS)('that fail (%s) end what they end under runc', kind => {
    const runc = hear('runc', kind)
    const ours = hear('ours', kind)
    // runc 1.1 runs poststart hooks before the program; ours may see its output.
    const outside = (lines: string[]) => lines.filter(line => !line.startsWith('startContainer'))
    if (kind === 'startContainer') {
      expect(ours.lines.at(-1)).toMatch(/^poststop/)
      expect(ours.lines.some(line => line.startsWith('poststart'))).toBe(false)
    } else if (kind === 'poststop') {
      // The specification wants the others to run all the same; runc leaves them out.
      expect(outside(ours.lines).slice(0, -1)).toEqual(outside(runc.lines))
    } else expect(outside(ours.lines)).toEqual(outside(runc.lines))
    expect(ours.result.status === 0).toBe(runc.result.status === 0)
    expect(ours.result.stderr).toContain(`error running ${kind} hook #0: `)
    expect(ours.result.stderr).toContain('exit status 3')
    expect(ours.result.stderr).toContain('said')
    expect(shop.left()).toEqual([])
  })
})

const withHook = (kind: string, hook: Config): Result =>
  shop.ours(
    shop.bundle(['echo', 'program'], c => {
      c.hooks = { [kind]: [hook] }
    }),
  )

describe.each(['prestart', 'createContainer', 'startContainer'])('a %s hook', kind => {
  it('may run only for its time', () => {
    const { status, stdout, stderr } = withHook(kind, {
      path: '/bin/sleep',
      args: ['sleep', '60'],
      timeout: 1,
    })
    expect(stdout).toBe('')
    expect(status).toBe(128)
    expect(stderr).toContain('timeout of 1 s')
  })

  it('that is not there is told', () => {
    const { status, stderr } = withHook(kind, { path: '/no/such' })
    expect(status).not.toBe(0)
    expect(stderr).toContain(`error running ${kind} hook #0: /no/such: `)
    expect(stderr).toMatch(/[Nn]o such file or directory/)
    expect(shop.left()).toEqual([])
  })

  it('may leave its input, and speak without end', () => {
    const { status, stdout } = withHook(kind, {
      path: '/bin/sh',
      args: [
        'sh',
        '-c',
        'exec 0<&-; i=0; while [ $i -lt 2000 ]; do echo $i$i$i$i$i$i$i$i; i=$((i+1)); done',
      ],
    })
    expect(stdout).toBe('program\n')
    expect(status).toBe(0)
  })
})

it('createContainer hooks are in the network of the container', () => {
  const bundle = shop.bundle(['true'], (c, path) => {
    const args = [
      'sh',
      '-c',
      `readlink /proc/self/ns/net >${path}/net; readlink /proc/self/ns/mnt >${path}/mnt`,
    ]
    c.hooks = { createContainer: [{ path: '/bin/sh', args }] }
  })
  const { status } = run(runsc, [
    '--root',
    join(shop.path, 'state'),
    'run',
    '-b',
    bundle,
    'net-hook',
  ])
  expect(status).toBe(0)
  const own = (name: string) => run('readlink', [`/proc/self/ns/${name}`]).stdout
  for (const name of ['net', 'mnt'])
    expect(readFileSync(join(bundle, name), 'utf8')).not.toBe(own(name))
})

it('startContainer hooks come with start, and fail it', () => {
  const root = join(shop.path, 'state-start')
  const bundle = shop.bundle(['sleep', '60'], c => {
    c.hooks = { startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'exit 9'] }] }
  })
  const id = `start-hook-${process.pid}`
  // The container keeps what it was given as its output.
  const create = [runsc, '--root', root, 'create', '-b', bundle, id].join(' ')
  expect(run('sh', ['-c', `${create} </dev/null >/dev/null 2>&1`]).status).toBe(0)
  const { status, stderr } = run(runsc, ['--root', root, 'start', id])
  expect(status).not.toBe(0)
  expect(stderr).toContain('exit status 9')
  expect(run(runsc, ['--root', root, 'delete', '--force', id]).status).toBe(0)
})

/** The pid that a hook has written, on the host unless it is the container's own. */
const written = (file: string): number => Number(existsSync(file) ? readFileSync(file, 'utf8') : 0)

const cgroupsOf = (id: string): string[] =>
  ['', ...readdirSync('/sys/fs/cgroup')]
    .map(name => join('/sys/fs/cgroup', name, id))
    .filter(path => existsSync(path))

describe.each(KINDS)('a %s hook that hangs', kind => {
  it.each([
    'its command is killed',
    'its command goes on',
  ] as const)('keeps nobody from deleting the container: %s', async what => {
    const root = join(shop.path, 'state-hang')
    const id = `hang-${process.pid}`
    let file = ''
    const bundle = shop.bundle(['sleep', '1000'], (c, path) => {
      file = join(path, 'rootfs/hook-pid')
      const seen = kind === 'startContainer' ? '/hook-pid' : file
      const args = ['sh', '-c', `echo $$ >${seen}; exec sleep 1000`]
      c.hooks = { [kind]: [{ path: '/bin/sh', args }] }
      c.linux.cgroupsPath = `/${id}`
    })
    // Neither may hold our pipes.
    const start = (...args: string[]) =>
      spawn(runsc, ['--root', root, ...args], { stdio: 'ignore' })
    const over = (child: ChildProcess) => new Promise(done => child.on('exit', done))
    let command = start('run', '--detach', '--bundle', bundle, id)
    let ended = over(command)
    if (kind === 'poststop') {
      await ended
      command = start('delete', '--force', id)
      ended = over(command)
    }
    await until('the hook runs', () => written(file) > 0)
    if (what === 'its command is killed') {
      command.kill('SIGKILL')
      await ended
    }
    const { status, stderr } = runNow(root, 'delete', '--force', id)
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(runNow(root, 'state', id).stderr).toContain('does not exist')
    // Hooks of the host are others' business: one that hangs is left alone, as by runc.
    if (kind !== 'startContainer') process.kill(written(file), 'SIGKILL')
    if (what === 'its command goes on') await ended
    expect(readdirSync(root)).toEqual([])
    expect(cgroupsOf(id)).toEqual([])
  })
})

const runNow = (root: string, ...args: string[]): Result => run(runsc, ['--root', root, ...args])
