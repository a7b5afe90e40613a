import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { temporary } from '../../test/run.ts'
import { ContainerCgroup } from './container-cgroup.ts'
import { removeDirectory } from './files.ts'
import { containerPaths, readHierarchy } from './hierarchy.ts'
import { oomScores } from './oom-score.ts'
import { decimal, hasLimits, mergeResources, parseResources } from './resources.ts'
import { parseUnit, slicePath } from './systemd.ts'
import { setV1 } from './v1.ts'
import { ioWeight, setV2, swapAlone, weightOfShares } from './v2.ts'

const box = temporary('cgroup')
afterAll(() => box.clean())

const V1_MOUNTS = `30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 /docker/abc /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,memory
`
const V1_OWN = `4:memory:/docker/abc/inner
3:cpu,cpuacct:/user
2:name=systemd:/init.scope
0::/init.scope
`
const V2_MOUNTS = '30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n'

describe('the host layout', () => {
  it('is read from the mounts: version 1, with controllers mounted together and one inside a container', () => {
    const hierarchy = readHierarchy(V1_MOUNTS, V1_OWN)!
    expect(hierarchy.version).toBe(1)
    expect(hierarchy.roots).toEqual({
      unified: '/sys/fs/cgroup/unified',
      systemd: '/sys/fs/cgroup/systemd',
      cpu: '/sys/fs/cgroup/cpu,cpuacct',
      cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
      memory: '/sys/fs/cgroup/a b',
    })
    expect(hierarchy.own.memory).toBe('/inner')
    expect(containerPaths(hierarchy, '/docker/x', 'x').memory).toBe('/sys/fs/cgroup/a b/docker/x')
    expect(containerPaths(hierarchy, 'docker/x', 'x').cpu).toBe(
      '/sys/fs/cgroup/cpu,cpuacct/user/docker/x',
    )
    expect(containerPaths(hierarchy, '', 'x').memory).toBe('/sys/fs/cgroup/a b/inner/x')
  })

  it('is version 2 without controllers of version 1, and nothing without any', () => {
    const hierarchy = readHierarchy(V2_MOUNTS, '0::/user.slice/session.scope\n')!
    expect(hierarchy.version).toBe(2)
    expect(containerPaths(hierarchy, '/k8s/pod/c', 'c')).toEqual({ '': '/sys/fs/cgroup/k8s/pod/c' })
    expect(containerPaths(hierarchy, 'c', 'c')).toEqual({ '': '/sys/fs/cgroup/user.slice/c' })
    expect(readHierarchy('30 24 0:26 / / rw - ext4 /dev/vda rw\n', '')).toBeNull()
  })

  it('keeps paths below the hierarchy', () => {
    const hierarchy = readHierarchy(V2_MOUNTS, '0::/\n')!
    expect(containerPaths(hierarchy, '../../../etc', 'x')).toEqual({ '': '/sys/fs/cgroup/etc' })
    expect(containerPaths(hierarchy, '/a/../../b', 'x')).toEqual({ '': '/sys/fs/cgroup/b' })
    for (const path of ['/', '..', '/..', 'a/..', 'a\nb', `/${'x'.repeat(5000)}`])
      expect(() => containerPaths(hierarchy, path, 'x'), path).toThrow('linux.cgroupsPath')
  })
})

describe('linux.resources', () => {
  const wrong: [string, unknown, string][] = [
    ['memory.limit', { memory: { limit: '64m' } }, 'expected a number'],
    ['memory.limit', { memory: { limit: -2 } }, 'expected -1 (no limit)'],
    ['memory.limit', { memory: { limit: 1.5 } }, 'whole'],
    ['memory.limit', { memory: { limit: 2 ** 63 } }, '2^63'],
    ['memory.swap', { memory: { limit: 100, swap: 50 } }, 'less than memory.limit'],
    ['memory.swap', { memory: { limit: -1, swap: 50 } }, 'needs a memory.limit'],
    ['memory.reservation', { memory: { limit: 100, reservation: 200 } }, 'more than memory.limit'],
    ['memory.swappiness', { memory: { swappiness: 101 } }, '0 to 100'],
    ['cpu.shares', { cpu: { shares: 1 } }, 'expected 0 or a number from 2 to 262144'],
    ['cpu.period', { cpu: { period: 999 } }, '1000 to 1000000'],
    ['cpu.quota', { cpu: { quota: 1 } }, 'at least 1000'],
    ['cpu.burst', { cpu: { quota: 5000, burst: 6000 } }, 'more than cpu.quota'],
    ['cpu.cpus', { cpu: { cpus: 'all' } }, '0-2,7'],
    ['cpu.idle', { cpu: { idle: 2 } }, '0 to 1'],
    ['blockIO.weight', { blockIO: { weight: 5 } }, '10 to 1000'],
    [
      'blockIO.throttleReadBpsDevice.0.rate',
      { blockIO: { throttleReadBpsDevice: [{ major: 8, minor: 0, rate: -1 }] } },
      '2^64',
    ],
    ['hugepageLimits.0.pageSize', { hugepageLimits: [{ pageSize: '2 MB', limit: 1 }] }, '2MB'],
    ['devices.0.access', { devices: [{ allow: true, access: 'rx' }] }, 'rwm'],
    ['pids.limit', { pids: { limit: -5 } }, '-1'],
    ['unified', { unified: { '../../x': '1' } }, 'name of a cgroup v2 file'],
    ['unified', { unified: { 'memory.max': 7 } }, 'string'],
  ]
  it.each(wrong)('names a wrong %s', (field, value, expected) => {
    expect(() => parseResources(value, 'config.json: linux.resources')).toThrow(
      new RegExp(
        `linux\\.resources\\.${field.replaceAll('.', '\\.')}.*${expected.replace(/[()^$]/g, '\\$&')}`,
      ),
    )
  })

  it('takes null for what is not set, and unknown fields', () => {
    const resources = parseResources(
      { memory: { limit: null, swappiness: null }, cpu: null, other: 1, devices: null },
      'x',
    )
    expect(hasLimits(resources)).toBe(false)
    expect(hasLimits(parseResources({ pids: { limit: 5 } }, 'x'))).toBe(true)
    expect(hasLimits(parseResources({ pids: { limit: 0 }, cpu: { cpus: '' } }, 'x'))).toBe(false)
  })

  it('prints large numbers exactly', () => {
    expect(decimal(2 ** 63 - 4096)).toBe('9223372036854771712')
    expect(decimal(-1)).toBe('-1')
  })

  it('merges an update over what was set', () => {
    const base = parseResources({ memory: { limit: 100, swap: 200 }, cpu: { shares: 10 } }, 'x')
    const change = parseResources({ memory: { limit: 150, swap: 0 }, cpu: { quota: -1 } }, 'x')
    expect(mergeResources(base, change)).toMatchObject({
      memory: { limit: 150, swap: 200 },
      cpu: { shares: 10, quota: -1 },
    })
  })
})

/** A directory that takes what is written, as a cgroup's. */
function fakeCgroup(name: string, files: Record<string, string>): string {
  const path = join(box.path, name)
  mkdirSync(path)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text)
  return path
}
const hostPids = (n: number) => `${n}`

describe('version 2', () => {
  it('converts what the configuration says in the terms of version 1', () => {
    expect([2, 1024, 262144].map(weightOfShares)).toEqual([1, 39, 10000])
    expect([10, 500, 1000].map(ioWeight)).toEqual([1, 4950, 10000])
    expect(swapAlone(100, 150)).toBe(50)
    expect(swapAlone(100, -1)).toBe(-1)
    expect(() => swapAlone(0, 10)).toThrow('memory.swap')
  })

  it('writes each limit to its file', () => {
    const names =
      'memory.max memory.swap.max memory.low cpu.weight cpu.max cpu.max.burst cpu.idle cpuset.cpus pids.max io.max io.weight memory.high'
    const path = fakeCgroup('v2', Object.fromEntries(names.split(' ').map(name => [name, ''])))
    const resources = parseResources(
      {
        memory: { limit: 1000, swap: 1500, reservation: 500 },
        cpu: { shares: 1024, quota: 20000, period: 50000, burst: 1000, cpus: '0-1' },
        pids: { limit: -1 },
        blockIO: { weight: 500, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1024 }] },
        unified: { 'memory.high': '900' },
      },
      'x',
    )
    setV2(path, resources, resources, n => (n === -1 ? 'max' : `${n}`))
    const value = (name: string) => readFileSync(join(path, name), 'latin1')
    expect(Object.fromEntries(names.split(' ').map(name => [name, value(name)]))).toEqual({
      'memory.max': '1000',
      'memory.swap.max': '500',
      'memory.low': '500',
      'cpu.weight': '39',
      'cpu.max': '20000 50000',
      'cpu.max.burst': '1000',
      'cpu.idle': '',
      'cpuset.cpus': '0-1',
      'pids.max': 'max',
      'io.max': '8:0 rbps=1024',
      'io.weight': 'default 4950',
      'memory.high': '900',
    })
  })

  it('says which limit the kernel has no controller for', () => {
    const path = fakeCgroup('v2-bare', {})
    const resources = parseResources({ hugepageLimits: [{ pageSize: '2MB', limit: 0 }] }, 'x')
    expect(() => setV2(path, resources, resources, hostPids)).toThrow(
      'linux.resources.hugepageLimits: ',
    )
  })
})

describe('version 1', () => {
  it('raises memory and swap before memory, and lowers it after', () => {
    const path = fakeCgroup('v1', {
      'memory.limit_in_bytes': '',
      'memory.memsw.limit_in_bytes': '',
    })
    setV1({ memory: path }, parseResources({ memory: { limit: -1 } }, 'x'), hostPids)
    expect(readFileSync(join(path, 'memory.memsw.limit_in_bytes'), 'latin1')).toBe('-1')
  })

  it('says which controller is not mounted', () => {
    const set = (resources: unknown) => () => setV1({}, parseResources(resources, 'x'), hostPids)
    expect(set({ pids: { limit: 5 } })).toThrow('linux.resources.pids: ')
    expect(set({ cpu: { cpus: '0' } })).toThrow('"cpuset"')
    expect(set({ unified: { 'memory.max': '5' } })).toThrow('version 1')
    expect(set({ memory: { swappiness: -1 }, pids: { limit: 0 } })).not.toThrow()
  })
})

describe('systemd names', () => {
  it('are slice:prefix:name', () => {
    expect(parseUnit('system.slice:docker:abc', 'abc')).toEqual({
      slice: 'system.slice',
      unit: 'docker-abc.scope',
      path: '/system.slice/docker-abc.scope',
    })
    expect(parseUnit('kubepods-burstable-pod7.slice:cri-containerd:x', 'x').path).toBe(
      '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod7.slice/cri-containerd-x.scope',
    )
    expect(parseUnit('', 'id').path).toBe('/system.slice/runsc-id.scope')
    expect(parseUnit(':p:my.slice', 'id').unit).toBe('my.slice')
    expect(slicePath('-.slice')).toBe('/')
    for (const bad of [
      '/docker/x',
      'a:b',
      'x:y:',
      'nope:p:n',
      'a--b.slice:p:n',
      '-a.slice:p:n',
      'a.slice:p:n/m',
    ])
      expect(() => parseUnit(bad, 'id'), bad).toThrow('linux.cgroupsPath')
  })
})

describe('removal', () => {
  it('warns of the dead, and fails for the living', async () => {
    if (process.getuid?.() !== 0) return console.warn('skipped: mounting needs root')
    // A mountpoint is as busy as a cgroup with tasks. The shell does not wait for its child.
    const script = 'sleep 0 & exec sleep 60'
    const shell = spawn('sh', ['-c', script], { stdio: 'ignore' })
    const path = fakeCgroup('busy', {})
    execFileSync('mount', ['-t', 'tmpfs', 'busy', path])
    try {
      const child = () => readFileSync(`/proc/${shell.pid}/task/${shell.pid}/children`, 'latin1')
      while (child() === '') execFileSync('sleep', ['0.05'])
      const zombie = child().trim()
      const isDead = () => readFileSync(`/proc/${zombie}/stat`, 'latin1').includes(') Z')
      while (!isDead()) execFileSync('sleep', ['0.05'])
      writeFileSync(join(path, 'cgroup.procs'), `${zombie}\n`)
      expect(await removeDirectory(path, 20)).toContain(
        `only the dead are in it: the cgroup ${path}`,
      )
      writeFileSync(join(path, 'cgroup.procs'), `${zombie}\n${shell.pid}\n`)
      await expect(removeDirectory(path, 20)).rejects.toThrow(
        `processes in it: ${zombie} ${shell.pid}`,
      )
    } finally {
      shell.kill('SIGKILL')
      execFileSync('umount', [path])
    }
    expect(await removeDirectory(path, 20)).toBe(null)
  })
})

describe('OOM scores', () => {
  it('put the program before the sentry', () => {
    for (const limit of [0, 8 << 20, 512 << 20, -1]) {
      const { own, program } = oomScores(0, limit)
      const current = Number(readFileSync('/proc/self/oom_score_adj', 'latin1'))
      expect(program).toBeGreaterThan(own ?? current)
      expect(program).toBeLessThanOrEqual(1000)
    }
  })
})

describe('the record in the container directory', () => {
  it('names nothing outside of the cgroup mounts', () => {
    const path = fakeCgroup('record', {
      'cgroup.json': JSON.stringify({
        version: 1,
        paths: { memory: '/etc', cpu: '/sys/fs/cgroup/cpu/../../../../etc', '': '/sys/fs/cgroup' },
        resources: {},
      }),
    })
    expect(ContainerCgroup.load(path)!.paths).toEqual({})
    writeFileSync(join(path, 'cgroup.json'), '{"version":3}')
    expect(() => ContainerCgroup.load(path)).toThrow('is damaged')
    expect(ContainerCgroup.load(box.path)).toBeNull()
  })
})
