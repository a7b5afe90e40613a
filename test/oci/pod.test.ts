// Pods: several containers in one sandbox, as containerd's and CRI-O's annotations ask for them.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Config, type Result, run, runsc } from '../run.ts'
import { Workshop } from './both.ts'

const POD = 'pod-sandbox'
let shop: Workshop
const root = () => join(shop.path, 'state-pod')
const command = (...args: string[]): Result => run(runsc, ['--root', root(), ...args])

/** A command whose container lives on: it must not hold our pipes. */
function detached(...args: string[]): void {
  const { status } = spawnSync(runsc, ['--root', root(), ...args], { stdio: 'ignore' })
  expect(status, args.join(' ')).toBe(0)
}

function bundle(
  script: string,
  sharesPids: 'shares pids' | 'has its own pids',
  change: (config: Config) => void = () => {},
): string {
  return shop.bundle(['sh', '-c', script], (config: Config) => {
    config.annotations = {
      'io.kubernetes.cri.container-type': 'container',
      'io.kubernetes.cri.sandbox-id': POD,
    }
    delete config.hostname
    const entry = (type: string) => ({ type, path: `/proc/1/ns/${type}` })
    config.linux.namespaces = [
      { type: 'mount' },
      sharesPids === 'shares pids' ? entry('pid') : { type: 'pid' },
      ...['ipc', 'uts'].map(entry),
      { type: 'network', path: '/proc/1/ns/net' },
    ]
    change(config)
  })
}

const status = (id: string): string => JSON.parse(command('state', id).stdout).status

beforeAll(() => {
  shop = new Workshop()
  const pause = shop.bundle(['sleep', '600'], config => {
    config.hostname = 'the-pod'
    config.annotations = {
      'io.kubernetes.cri.container-type': 'sandbox',
      'io.kubernetes.cri.sandbox-id': POD,
    }
  })
  detached('create', '--bundle', pause, POD)
  detached('start', POD)
}, 120_000)

afterAll(() => {
  for (const id of ['one', 'two', 'first', 'last', POD]) command('delete', '--force', id)
  shop?.clean()
})

it('has containers with mounts and processes of their own, and one name', () => {
  const script = 'hostname; echo $$; ls /tmp; touch /tmp/mine; ls /tmp; exit 7'
  for (const id of ['one', 'two']) {
    const { status, stdout } = command(
      'run',
      '--bundle',
      bundle(script, 'has its own pids'),
      `${id}-run`,
    )
    expect({ status, stdout }).toEqual({ status: 7, stdout: 'the-pod\n1\nmine\n' })
  }
})

it('lets a container see the processes of the pod when it shares them', () => {
  const script = 'cat /proc/1/cmdline | tr "\\0" " "; test $$ -gt 1'
  const { status, stdout } = command('run', '--bundle', bundle(script, 'shares pids'), 'shared')
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'sleep 600 ' })
})

it('gives each container what its own configuration says', () => {
  const change = (names: string[]) => (config: Config) => {
    config.linux.seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names, action: 'SCMP_ACT_ERRNO' }],
    }
    config.linux.maskedPaths = ['/proc/meminfo']
    const args = ['sh', '-c', 'echo hook >/from-hook']
    config.hooks = { startContainer: [{ path: '/bin/sh', args }] }
  }
  const script = 'mkdir /d || cat /from-hook; wc -c </proc/meminfo'
  const mine = command(
    'run',
    '--bundle',
    bundle(script, 'has its own pids', change(['mkdir'])),
    'm',
  )
  expect(mine).toEqual({ status: 0, stdout: 'hook\n0\n', stderr: expect.anything() })
  // What the host answers by itself can no profile of a later container restrict.
  const other = bundle(script, 'has its own pids', change(['sched_yield']))
  const { status, stderr } = command('run', '--bundle', other, 'n')
  expect(status).not.toBe(0)
  expect(stderr).toContain('system call 24')
  expect(stderr.trim().split('\n')).toHaveLength(1)
})

it('starts, signals and removes one container while the others live', () => {
  for (const id of ['one', 'two']) {
    detached('create', '--bundle', bundle('sleep 600', 'has its own pids'), id)
    expect(status(id)).toBe('created')
    detached('start', id)
  }
  expect(command('kill', 'one', 'KILL').status).toBe(0)
  const deadline = Date.now() + 20_000
  while (status('one') !== 'stopped' && Date.now() < deadline) spawnSync('sleep', ['0.05'])
  expect([status('one'), status('two'), status(POD)]).toEqual(['stopped', 'running', 'running'])
  expect(command('delete', 'one').status).toBe(0)
  // Its id is free again.
  const again = command('run', '--bundle', bundle('echo again', 'has its own pids'), 'one')
  expect(again.stdout).toBe('again\n')
})

it('ends with its sandbox', () => {
  expect(status('two')).toBe('running')
  expect(command('kill', POD, 'KILL').status).toBe(0)
  const deadline = Date.now() + 20_000
  while (status('two') !== 'stopped' && Date.now() < deadline) spawnSync('sleep', ['0.05'])
  expect([status('two'), status(POD)]).toEqual(['stopped', 'stopped'])
  const late = command('run', '--bundle', bundle('echo late', 'has its own pids'), 'late')
  expect(late.stderr).toContain(`the sandbox "${POD}" of its pod has stopped`)
})

it('shares no processes outside of a pod', () => {
  const path = shop.bundle(['true'], config => {
    const { namespaces } = config.linux
    namespaces.find(({ type }: { type: string }) => type === 'pid').path = '/proc/1/ns/pid'
  })
  const { status, stderr } = command('run', '--bundle', path, 'alone')
  expect(status).toBe(128)
  expect(stderr).toContain('put both into one pod')
})

it('takes a container into the sandbox of one whose pids and network it names', async () => {
  const first = shop.bundle(['sh', '-c', 'sleep 601; exit 3'])
  detached('run', '--detach', '--bundle', first, 'first')
  const { pid } = JSON.parse(command('state', 'first').stdout)
  const shares = (types: string[]) => (config: Config) => {
    config.linux.namespaces = ['mount', 'pid', 'ipc', 'uts', 'network'].map(type =>
      types.includes(type)
        ? { type, path: `/proc/${pid}/ns/${type === 'network' ? 'net' : type}` }
        : { type },
    )
  }
  const script = 'cat /proc/[0-9]*/cmdline | tr "\\0" " "'
  const beside = shop.bundle(['sh', '-c', script], shares(['pid', 'network']))
  const seen = command('run', '--bundle', beside, 'beside')
  expect(seen).toMatchObject({ status: 0, stderr: '' })
  expect(seen.stdout).toContain('sleep 601')
  const elsewhere = shop.bundle(['sh', '-c', script], shares(['pid']))
  expect(command('run', '--bundle', elsewhere, 'elsewhere').stderr).toContain('network as well')
  const apart = shop.bundle(['sh', '-c', script], shares(['network']))
  expect(command('run', '--bundle', apart, 'apart').stdout).not.toContain('sleep 601')
  const last = shop.bundle(['sleep', '602'], shares(['pid', 'network']))
  detached('run', '--detach', '--bundle', last, 'last')
  expect(status('last')).toBe('running')
  expect(command('delete', '--force', 'first').status).toBe(0)
  // With its first process, the pid namespace ends.
  await expect.poll(() => status('last'), { timeout: 20_000 }).toBe('stopped')
  command('delete', '--force', 'last')
})
