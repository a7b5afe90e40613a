// Which processes `kill`, `wait` and `list` mean, by the numbers that the sandbox has for them.

import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Config, type Result, run, runsc } from '../run.ts'
import { until } from '../until.ts'
import { Workshop } from './both.ts'

let shop: Workshop
const root = () => join(shop.path, 'state-addressees')
const command = (...args: string[]): Result => run(runsc, ['--root', root(), ...args])

/** A command whose container lives on: it must not hold our pipes. */
function detached(...args: string[]): void {
  const { status } = spawnSync(runsc, ['--root', root(), ...args], { stdio: 'ignore' })
  expect(status, args.join(' ')).toBe(0)
}

/** A program of the container, by its pid there. */
function start(script: string): number {
  const file = join(shop.path, 'pid')
  detached('exec', '--detach', '--internal-pid-file', file, 'addressed', 'sh', '-c', script)
  return Number(readFileSync(file, 'latin1'))
}

const running = (what: string) => command('ps', 'addressed').stdout.split(what).length - 1

async function ended(what: string): Promise<void> {
  await expect.poll(() => running(what), { timeout: 60_000 }).toBe(0)
}

/** Whether it has a socket beside its standard streams. */
function connected(pid: number): boolean {
  const path = `/proc/${pid}/fd`
  try {
    return readdirSync(path).some(
      fd => Number(fd) > 2 && readlinkSync(join(path, fd)).startsWith('socket:'),
    )
  } catch {
    // It has closed one while we looked.
    return false
  }
}

beforeAll(() => {
  shop = new Workshop()
  const annotations = (kind: string) => (config: Config) => {
    config.annotations = {
      'io.kubernetes.cri.container-type': kind,
      'io.kubernetes.cri.sandbox-id': 'addressed',
    }
    if (kind === 'sandbox') return
    delete config.hostname
    config.linux.namespaces = [{ type: 'mount' }, { type: 'pid', path: '/proc/1/ns/pid' }]
  }
  for (const [id, kind] of [
    ['addressed', 'sandbox'],
    ['addressed2', 'container'],
  ] as const)
    detached('run', '--detach', '--bundle', shop.bundle(['sleep', '600'], annotations(kind)), id)
}, 60_000)

afterAll(() => {
  for (const id of ['addressed2', 'addressed']) command('delete', '--force', id)
  shop.clean()
})

it('signals one process, or a process group, and no others', async () => {
  const [one, other] = [start('exec tail -f /dev/null'), start('exec tail -f /dev/null')]
  expect(command('kill', '--pid', `${one}`, 'addressed', 'KILL')).toMatchObject({ status: 0 })
  await expect.poll(() => running('tail'), { timeout: 60_000 }).toBe(1)
  // Each is the first of a session of its own, and so of a group.
  expect(command('kill', '-pgid', `${other}`, 'addressed', '9')).toMatchObject({ status: 0 })
  await ended('tail')
  const group = start('tail -f /dev/null & tail -f /dev/null & wait')
  await expect.poll(() => running('tail'), { timeout: 60_000 }).toBe(2)
  expect(command('kill', '--pgid', `${group}`, 'addressed', 'TERM')).toMatchObject({ status: 0 })
  await ended('tail')
  expect(JSON.parse(command('state', 'addressed').stdout).status).toBe('running')
})

it('tells when nobody has that number, or more than one is named', () => {
  const none = command('kill', '--pid', '4000', 'addressed')
  expect(none.status).toBe(128)
  expect(none.stderr).toContain(': process 4000: No such process\n')
  expect(command('kill', '--pgid', '4000', 'addressed').stderr).toContain(
    ': process group 4000: No',
  )
  // A process of another container is none of this one's.
  expect(command('kill', '--pid', '1', 'addressed2').stderr).toContain(
    ': process 1: No such process\n',
  )
  for (const more of [['--all'], ['--pgid', '1']]) {
    const { status, stderr } = command('kill', '--pid', '1', ...more, 'addressed', 'KILL')
    expect(status).toBe(128)
    expect(stderr).toContain('cannot be used with')
    expect(stderr.trim().split('\n')).toHaveLength(1)
  }
})

it('waits for a process by its number in either pid namespace', async () => {
  for (const flag of ['--pid', '--rootpid']) {
    const pid = start('until [ -e /go ]; do sleep 0.1; done; rm /go; exit 7')
    const waiter = spawn(runsc, ['--root', root(), 'wait', flag, `${pid}`, 'addressed'])
    let told = ''
    waiter.stdout.on('data', data => (told += String(data)))
    const over = new Promise(done => waiter.on('close', done))
    await until('it asks the sandbox', () => connected(waiter.pid!))
    expect(command('exec', 'addressed', 'touch', '/go').status).toBe(0)
    expect(await over).toBe(0)
    expect(JSON.parse(told)).toEqual({ id: 'addressed', exitStatus: 7 })
  }
  const foreign = command('wait', '--rootpid', '1', 'addressed2')
  expect(foreign.stderr).toContain(': process 1: No such process\n')
})

it('lists sandboxes apart from the containers in them', () => {
  const ids = (...flags: string[]) =>
    command('list', '-q', ...flags)
      .stdout.split('\n')
      .sort()
  expect(ids()).toEqual(['', 'addressed', 'addressed2'])
  expect(ids('--sandbox')).toEqual(['', 'addressed'])
  expect(command('list', '--format', 'table').stdout).toBe(command('list').stdout)
})

it('takes seconds for an interval, as gVisor does', async () => {
  const events = spawn(runsc, ['--root', root(), 'events', '-interval', '1', 'addressed'])
  let told = ''
  events.stdout.on('data', data => (told += String(data)))
  await expect.poll(() => told.split('\n').length, { timeout: 60_000 }).toBeGreaterThan(2)
  events.kill('SIGKILL')
  expect(JSON.parse(told.split('\n')[0]!)).toMatchObject({ type: 'stats', id: 'addressed' })
  expect(command('events', '--interval', '0', 'addressed').status).toBe(128)
})
