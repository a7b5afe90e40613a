// What the host's tools find in the namespaces of the process that stands for a container: they enter them.

import { mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Config, run } from '../run.ts'
import { type Oracle, oracle } from './bundles.ts'

let box: Oracle
let pid: number

beforeAll(() => {
  box = oracle('view')
  const volume = join(box.path, 'volume')
  mkdirSync(volume)
  writeFileSync(join(volume, 'file'), 'of the host\n')
  // What lies below a tmpfs only the sandbox has.
  const shared = {
    destination: '/tmp/data',
    type: 'bind',
    source: volume,
    options: ['rbind', 'ro'],
  }
  const below = { ...shared, destination: '/data/volume' }
  const bundle = box.bundle(['sleep', '600'], (config: Config) => {
    config.mounts.push(shared, below)
  })
  // A program may make any link: it must lead nowhere on the host.
  symlinkSync('/proc/1/root', join(box.path, 'rootfs/root/out'))
  expect(box.ours.detached('run', '--detach', '--bundle', bundle, 'c').stderr).toBe('')
  pid = JSON.parse(box.ours.run('state', 'c').stdout).pid
}, 120_000)

afterAll(() => {
  box?.ours.run('delete', '--force', 'c')
  box?.clean()
})

const inside = (...args: string[]) => run('nsenter', ['-t', String(pid), '--mount', ...args])

it('are the files of the container', () => {
  expect(inside('cat', '/data/volume/file').stdout).toBe('of the host\n')
  expect(inside('touch', '/data/volume/new').stderr).toContain('Read-only file system')
  expect(box.ours.run('exec', 'c', 'sh', '-c', 'echo made >/root/made').status).toBe(0)
  expect(inside('cat', '/root/made').stdout).toBe('made\n')
})

it('is the process alone, and nothing else of the host', () => {
  const shown = inside('ls', '/proc').stdout.trim().split('\n')
  expect(shown).toEqual([String(pid), 'meminfo', 'stat', 'uptime'])
  expect(inside('cat', `/proc/${pid}/comm`).stdout).toBe('sleep\n')
  expect(inside('ls', '/root/out/').status).toBe(1)
  const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'latin1').trim().split('\n')
  expect(mounts.map(line => line.split(' ')[4]).sort()).toEqual([
    '/',
    '/data/volume',
    '/proc',
    `/proc/${pid}`,
    '/proc/meminfo',
    '/proc/stat',
    '/proc/uptime',
  ])
  expect(inside('sh', '-c', `echo 0 >/proc/${pid}/oom_score_adj`).stderr).toContain('Read-only')
})

it('are those of further processes, too', () => {
  const file = join(box.path, 'exec-pid')
  expect(
    box.ours.detached('exec', '--detach', '--pid-file', file, 'c', 'sleep', '601').status,
  ).toBe(0)
  const further = readFileSync(file, 'latin1').trim()
  for (const kind of ['mnt', 'net']) {
    const own = readlinkSync(`/proc/${pid}/ns/${kind}`)
    expect(readlinkSync(`/proc/${further}/ns/${kind}`)).toBe(own)
    expect(readlinkSync(`/proc/self/ns/${kind}`)).not.toBe(own)
  }
})
