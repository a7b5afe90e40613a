// Containers in their cgroups: places, limits, update, pause, statistics, running out of memory. runc says how.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readHierarchy } from '../../runsc/cgroup/hierarchy.ts'
import { oomScores } from '../../runsc/cgroup/oom-score.ts'
import { compile } from '../run.ts'
import { untilNow } from '../until.ts'
import { type Oracle, oracle, type Runtime } from './bundles.ts'

const hierarchy = readHierarchy()
const usable = process.getuid?.() === 0 && hierarchy?.version === 1
if (!usable)
  console.warn(
    'skipped: test/oci/cgroup.test.ts needs root and the controllers of cgroup version 1',
  )

/** A name that no other run of this test has. */
const top = `/portcullis-test-${process.pid}`
const directory = (controller: string, path: string) => join(hierarchy!.roots[controller]!, path)
const value = (controller: string, path: string, file: string): string =>
  readFileSync(join(directory(controller, path), file), 'latin1').trim()
const processes = (path: string, controller = 'memory') =>
  value(controller, path, 'cgroup.procs').split('\n').filter(Boolean)

/** Of a process that may have ended since: ''. */
function ofProcess(pid: number | string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1').trim()
  } catch {
    return ''
  }
}

const nameOf = (pid: string): string => ofProcess(pid, 'comm')

/** A process and all below it. */
function descendants(pid: number): string[] {
  const children = ofProcess(pid, `task/${pid}/children`).split(' ').filter(Boolean)
  return [String(pid), ...children.flatMap(child => descendants(Number(child)))]
}

/** Those that die of the others' death meanwhile are fine. */
function killAll(path: string): void {
  for (const pid of processes(path)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {}
  }
}

const EAT = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void eat(long mb) { while (mb-- > 0) memset(malloc(1 << 20), 1, 1 << 20); }
int main(int argc, char **argv) {
  if (argc == 2) { eat(atol(argv[1])); puts("survived"); return 0; }
  int status;
  if (fork() == 0) { eat(atol(argv[1])); puts("survived"); _exit(0); }
  wait(&status);
  printf("killed by %d\\n", WTERMSIG(status));
  return 0;
}`

describe.runIf(usable)('cgroups of version 1', () => {
  let box: Oracle
  let ours: Runtime
  let runc: Runtime
  let count = 0
  const bundle = (args: string[], cgroupsPath: string, resources: Record<string, unknown> = {}) =>
    box.bundle(args, config => {
      config.linux.cgroupsPath = cgroupsPath
      config.linux.resources = resources
    })
  const status = (id: string) => JSON.parse(ours.run('state', id).stdout).status

  /** A container that runs until it is deleted, its cgroup. */
  function sleeper(resources: Record<string, unknown>, runtime = ours, args = ['sleep', '300']) {
    const id = `c${count++}`
    const path = `${top}/${id}`
    const result = runtime.detached('run', '-d', '--bundle', bundle(args, path, resources), id)
    expect(result).toMatchObject({ status: 0, stderr: '' })
    return { id, path }
  }

  beforeAll(() => {
    box = oracle('cgroup')
    ;({ ours, runc } = box)
    const source = join(box.path, 'eat.c')
    writeFileSync(source, EAT)
    compile(source, join(box.path, 'rootfs/bin/eat'), ['-O1', '-static'])
  })
  afterAll(() => {
    for (const runtime of [ours, runc]) {
      for (let i = 0; i < count; i++) runtime.run('delete', '--force', `c${i}`)
    }
    for (const [controller, root] of Object.entries(hierarchy!.roots)) {
      for (const path of [join(root, top), join(root, hierarchy!.own[controller]!, top)])
        if (existsSync(path)) execFileSync('find', [path, '-depth', '-type', 'd', '-delete'])
    }
    box.clean()
  })

  it('holds every process of the sandbox, and is gone with it', () => {
    const { id, path } = sleeper({})
    const { pid } = JSON.parse(ours.run('state', id).stdout)
    let family = descendants(pid)
    // The sentry, a process from which the others are forked, and the program: when it has begun.
    untilNow('its program has begun', () => {
      family = descendants(pid)
      return family.length >= 4
    })
    // One of them may be a moment old.
    const holdsAll = (controller: string): boolean => {
      const pids = processes(path, controller)
      // The gofer is none of the family.
      return family.every(one => pids.includes(one)) && pids.length > family.length
    }
    for (const controller of Object.keys(hierarchy!.roots))
      untilNow(`all are in the cgroup of ${controller}`, () => {
        family = descendants(pid)
        return holdsAll(controller)
      })
    expect(ours.run('delete', '--force', id)).toMatchObject({ status: 0, stderr: '' })
    for (const controller of Object.keys(hierarchy!.roots))
      expect(existsSync(directory(controller, path)), controller).toBe(false)
  })

  it('is not shared, and not left frozen', () => {
    const { id, path } = sleeper({})
    const second = (name: string) =>
      ours.detached('run', '-d', '--bundle', bundle(['sleep', '300'], path), name)
    const shared = second(`c${count++}`)
    expect(shared.status).not.toBe(0)
    expect(shared.stderr).toMatch(/container's cgroup is not empty: [1-9]\d* process\(es\) found/)
    // The one that was refused has not taken the other along.
    expect(status(id)).toBe('running')
    expect(ours.run('delete', '--force', id)).toMatchObject({ status: 0, stderr: '' })

    mkdirSync(directory('freezer', path), { recursive: true })
    const state = join(directory('freezer', path), 'freezer.state')
    writeFileSync(state, 'FROZEN')
    const frozen = second(`c${count++}`)
    expect(frozen.status).not.toBe(0)
    expect(frozen.stderr).toContain("container's cgroup unexpectedly frozen")
    // It was there before, and is left alone.
    expect(readFileSync(state, 'latin1')).toBe('FROZEN\n')
  })

  it.each([
    ['absolute', `${top}/abs/deep`],
    ['relative', `${top.slice(1)}/rel`],
    ['missing', ''],
    ['with ..', `/../..${top}/up`],
  ])('lies where runc puts it: %s', (_name, path) => {
    const where = (runtime: Runtime) => {
      const id = `portcullis-where-${process.pid}`
      const args = ['run', '-d', '--bundle', bundle(['sleep', '300'], path), id]
      expect(runtime.detached(...args)).toMatchObject({ status: 0, stderr: '' })
      const { pid } = JSON.parse(runtime.run('state', id).stdout)
      const text = readFileSync(`/proc/${pid}/cgroup`, 'latin1')
      expect(runtime.run('delete', '--force', id)).toMatchObject({ status: 0, stderr: '' })
      return text
    }
    const expected = where(runc)
    expect(where(ours)).toBe(expected)
  })

  it('has the limits that runc sets', () => {
    const resources = {
      memory: { limit: 200 << 20, reservation: 100 << 20, swap: 300 << 20, swappiness: 10 },
      cpu: { shares: 512, quota: 150_000, period: 100_000, cpus: '0', mems: '0' },
      blockIO: {
        weight: 300,
        throttleReadBpsDevice: [{ major: 7, minor: 0, rate: 1 << 20 }],
        throttleWriteIOPSDevice: [{ major: 7, minor: 0, rate: 500 }],
      },
      devices: [
        { allow: false, access: 'rwm' },
        { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' },
      ],
    }
    const files: Record<string, string[]> = {
      memory: ['limit_in_bytes', 'soft_limit_in_bytes', 'memsw.limit_in_bytes', 'swappiness'],
      cpu: ['shares', 'cfs_quota_us', 'cfs_period_us'],
      cpuset: ['cpus', 'mems'],
      blkio: ['bfq.weight', 'throttle.read_bps_device', 'throttle.write_iops_device'],
      devices: ['list'],
    }
    const read = (runtime: Runtime) => {
      const { id, path } = sleeper(resources, runtime)
      const all = Object.entries(files).flatMap(([controller, names]) =>
        names
          .filter(name => existsSync(join(directory(controller, path), `${controller}.${name}`)))
          .map(name => [name, value(controller, path, `${controller}.${name}`).split('\n').sort()]),
      )
      runtime.run('delete', '--force', id)
      return Object.fromEntries(all)
    }
    const { list: devices, ...expected } = read(runc)
    const { list: oursDevices, ...got } = read(ours)
    expect(got).toEqual(expected)
    // Versions of runc differ in whether 10:200 is in the default list.
    const listed = (lines: string[]) => lines.filter(line => !line.startsWith('c 10:200'))
    expect(listed(oursDevices)).toEqual(listed(devices))
  })

  it('counts the program against the limit on tasks, and not ourselves', () => {
    const script =
      'i=0; while [ $i -lt 8 ]; do sleep 99 & i=$((i+1)); done; echo all; sleep 99 & echo more'
    for (const runtime of [runc, ours]) {
      const id = `p-${runtime.name}`
      const path = bundle(['sh', '-c', script], `${top}/${id}`, { pids: { limit: 9 } })
      const { stdout, stderr } = runtime.run('run', '--bundle', path, id)
      expect(stdout, runtime.name).toBe('all\n')
      expect(stderr, runtime.name).toContain("can't fork: Resource temporarily unavailable")
    }
  })

  it('shows its limits inside, at the places that runc gives them', () => {
    const files = [
      'memory/memory.limit_in_bytes',
      'pids/pids.max',
      'cpu/cpu.shares',
      'cpu/cpu.cfs_quota_us',
      'cpuset/cpuset.cpus',
    ]
    const script = `cd /sys/fs/cgroup; ls; cat ${files.join(' ')}; touch pids/x 2>&1 | grep -o Read-only; grep -cE ':(|[a-z_,]+|name=systemd):' /proc/self/cgroup`
    const resources = {
      memory: { limit: 128 << 20 },
      pids: { limit: 40 },
      cpu: { shares: 300, quota: 70_000, cpus: '1' },
    }
    const read = (runtime: Runtime) => {
      const id = `v-${runtime.name}`
      const path = box.bundle(['sh', '-c', script], config => {
        config.linux.cgroupsPath = `${top}/${id}`
        config.linux.resources = resources
        config.mounts.push(
          { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['ro'] },
          { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro'] },
        )
      })
      return runtime.run('run', '--bundle', path, id).stdout
    }
    expect(read(ours)).toBe(read(runc))
  })

  it('shows the CPUs of the cpuset', () => {
    for (const runtime of [runc, ours]) {
      const id = `n-${runtime.name}`
      const args = ['sh', '-c', 'nproc; grep Cpus_allowed_list /proc/self/status']
      const path = bundle(args, `${top}/${id}`, { cpu: { cpus: '0' } })
      const { stdout } = runtime.run('run', '--bundle', path, id)
      expect(stdout, runtime.name).toBe('1\nCpus_allowed_list:\t0\n')
    }
  })

  it('kills the program that exceeds the memory, and not the sandbox', () => {
    const limit = 96 << 20
    const memory = { memory: { limit, swap: limit } }
    for (const runtime of [runc, ours]) {
      const id = `m-${runtime.name}`
      const path = bundle(['sh', '-c', 'eat 300 child; eat 5'], `${top}/${id}`, memory)
      const result = runtime.run('run', '--bundle', path, id)
      expect(result, runtime.name).toMatchObject({ status: 0, stdout: 'killed by 9\nsurvived\n' })
    }
  })

  it('ends with 137 when that was its first process, and tells of it', () => {
    const { id, path } = sleeper({ memory: { limit: 96 << 20, swap: 96 << 20 } }, ours, [
      'sh',
      '-c',
      'exec eat 300',
    ])
    untilNow('the program is killed', () => status(id) === 'stopped')
    expect(value('memory', path, 'memory.oom_control')).toMatch(/oom_kill [1-9]/)
    ours.run('delete', id)
    const again = bundle(['eat', '300'], path, { memory: { limit: 96 << 20, swap: 96 << 20 } })
    expect(ours.run('run', '--bundle', again, id).status).toBe(137)
  })

  it('costs little of a small limit', () => {
    const { id, path } = sleeper({ memory: { limit: 64 << 20 } })
    expect(Number(value('memory', path, 'memory.usage_in_bytes'))).toBeLessThan(24 << 20)
    ours.run('delete', '--force', id)
  })

  it('may look at more files than fit into a small limit', () => {
    const tree = join(box.path, 'many')
    for (let d = 0; d < 80; d++) {
      mkdirSync(join(tree, `${d}`), { recursive: true })
      for (let i = 0; i < 500; i++) writeFileSync(join(tree, `${d}/file-number-${i}`), '')
    }
    const path = box.bundle(['sh', '-c', 'find /many | wc -l'], config => {
      config.linux.cgroupsPath = `${top}/many`
      config.linux.resources = { memory: { limit: 64 << 20, swap: 64 << 20 } }
      config.mounts.push({ destination: '/many', type: 'bind', source: tree, options: ['bind'] })
    })
    for (const runtime of [runc, ours])
      expect(runtime.run('run', '--bundle', path, 'many'), runtime.name).toMatchObject({
        status: 0,
        stdout: '40081\n',
      })
  })

  it('tells when a limit is so small that more than a program can end, or nothing start', () => {
    const run = (limit: number) => {
      const path = bundle(['echo', 'ran'], `${top}/small`, { memory: { limit, swap: limit } })
      return ours.run('run', '--bundle', path, 'small')
    }
    const { own } = oomScores(0, 16 << 20)
    const warning = own === null ? expect.stringContaining('linux.resources.memory.limit: ') : ''
    expect(run(16 << 20)).toEqual({ status: 0, stdout: 'ran\n', stderr: warning })
    expect(run(64 << 20)).toEqual({ status: 0, stdout: 'ran\n', stderr: '' })
    const { status, stderr } = run(1 << 20)
    expect(status).toBe(128)
    expect(stderr.trim().split('\n').at(-1)).toContain('1048576 bytes are not enough')
  })

  it('is changed by update, from options and from JSON', () => {
    const { id, path } = sleeper({ memory: { limit: 128 << 20 }, pids: { limit: 100 } })
    const options = [
      '--memory',
      '160m',
      '--memory-swap=320m',
      '--cpu-share',
      '77',
      '--cpuset-cpus=0',
    ]
    expect(ours.run('update', ...options, id)).toMatchObject({ status: 0, stderr: '' })
    expect(value('memory', path, 'memory.limit_in_bytes')).toBe(String(160 << 20))
    expect(value('memory', path, 'memory.memsw.limit_in_bytes')).toBe(String(320 << 20))
    expect(value('cpu', path, 'cpu.shares')).toBe('77')
    expect(value('cpuset', path, 'cpuset.cpus')).toBe('0')
    const file = join(box.path, 'resources.json')
    writeFileSync(file, JSON.stringify({ cpu: { quota: 50000, period: 0 }, pids: { limit: 7 } }))
    expect(ours.run('update', '--resources', file, id)).toMatchObject({ status: 0, stderr: '' })
    expect(value('cpu', path, 'cpu.cfs_quota_us')).toBe('50000')
    expect(value('memory', path, 'memory.limit_in_bytes')).toBe(String(160 << 20))
    expect(JSON.parse(ours.run('events', '--stats', id).stdout).data.pids).toEqual({
      current: 1,
      limit: 7,
    })
    const wrong = ours.run('update', '--cpu-share', '1', id)
    expect(wrong.status).not.toBe(0)
    expect(wrong.stderr).toContain('cpu.shares')
    ours.run('delete', '--force', id)
  })

  it('is paused and resumed; a paused container takes signals and can be killed', () => {
    const script = 'trap "echo got >/tmp/x; exit 3" TERM; >/tmp/up; while :; do sleep 0.1; done'
    const { id, path } = sleeper({}, ours, ['sh', '-c', script])
    untilNow('it is ready', () => ours.run('exec', id, 'test', '-e', '/tmp/up').status === 0)
    expect(ours.run('pause', id)).toMatchObject({ status: 0, stderr: '' })
    expect(status(id)).toBe('paused')
    expect(ours.run('pause', id).stderr).toContain('paused')
    expect(ours.run('delete', id).status).not.toBe(0)
    const used = value('cpuacct', path, 'cpuacct.usage')
    execFileSync('sleep', ['0.3'])
    expect(value('cpuacct', path, 'cpuacct.usage')).toBe(used)
    expect(ours.run('kill', id, 'TERM')).toMatchObject({ status: 0 })
    expect(status(id)).toBe('paused')
    expect(ours.run('resume', id)).toMatchObject({ status: 0, stderr: '' })
    untilNow('the signal arrives', () => status(id) === 'stopped')
    expect(ours.run('resume', id).status).not.toBe(0)
    expect(ours.run('delete', id).status).toBe(0)

    const second = sleeper({})
    ours.run('pause', second.id)
    expect(ours.run('kill', second.id, 'KILL').status).toBe(0)
    untilNow('it dies', () => status(second.id) === 'stopped')
    expect(ours.run('delete', second.id).status).toBe(0)

    const third = sleeper({})
    ours.run('pause', third.id)
    expect(ours.run('delete', '--force', third.id)).toMatchObject({ status: 0, stderr: '' })
    expect(existsSync(directory('memory', third.path))).toBe(false)
  })

  it('has statistics in the form of runc', () => {
    const shape = (data: unknown): unknown =>
      typeof data !== 'object' || data === null
        ? typeof data
        : Array.isArray(data)
          ? data.slice(0, 1).map(shape)
          : Object.fromEntries(Object.entries(data).map(([key, inner]) => [key, shape(inner)]))
    const read = (runtime: Runtime) => {
      const { id } = sleeper({ memory: { limit: 128 << 20 }, pids: { limit: 30 } }, runtime)
      const event = JSON.parse(runtime.run('events', '--stats', id).stdout)
      runtime.run('delete', '--force', id)
      expect(event).toMatchObject({ type: 'stats', id })
      expect(event.data.pids.limit).toBe(30)
      expect(event.data.memory.usage.limit).toBe(128 << 20)
      expect(event.data.cpu.usage.total).toBeGreaterThan(0)
      const { blkio: _, ...rest } = event.data
      return shape(rest)
    }
    const expected = read(runc)
    expect(read(ours)).toMatchObject(expected as object)
  })

  it('is removed also after the sentry, or runsc itself, was killed', () => {
    const { id, path } = sleeper({})
    killAll(path)
    untilNow('it stops', () => status(id) === 'stopped')
    expect(ours.run('delete', id)).toMatchObject({ status: 0, stderr: '' })
    expect(existsSync(directory('memory', path))).toBe(false)
    // A create that died before it wrote its state: the record of the cgroup is there already.
    const second = sleeper({})
    const state = join(box.path, 'state-ours', second.id)
    killAll(second.path)
    execFileSync('rm', [join(state, 'state.json')])
    expect(ours.run('delete', '--force', second.id)).toMatchObject({ status: 0, stderr: '' })
    expect(existsSync(directory('memory', second.path))).toBe(false)
  })

  it('leaves nothing behind when a limit is refused', () => {
    const path = `${top}/refused`
    const resources = { blockIO: { leafWeight: 100 }, memory: { limit: 64 << 20 } }
    const result = ours.run('run', '--bundle', bundle(['true'], path, resources), 'refused')
    expect(result.status).not.toBe(0)
    expect(result.stderr).toMatch(/^runsc: cannot write "100" to .*blkio.leaf_weight: ENOENT\n$/)
    for (const controller of Object.keys(hierarchy!.roots))
      expect(existsSync(directory(controller, path)), controller).toBe(false)
    expect(existsSync(join(box.path, 'state-ours/refused'))).toBe(false)
  })

  it('holds the programs of a further container of a pod, with limits and pauses of their own', () => {
    const pod = `c${count}`
    const app = `c${count + 1}`
    const other = `c${count + 2}`
    const start = (id: string, path: string) =>
      expect(ours.detached('run', '-d', '--bundle', path, id)).toMatchObject({
        status: 0,
        stderr: '',
      })
    count += 3
    const inPod = (id: string, limit: number, script: string) =>
      box.bundle(['sh', '-c', script], config => {
        config.linux.cgroupsPath = `${top}/${id}`
        config.linux.resources = { memory: { limit: limit << 20, swap: limit << 20 } }
        config.annotations = {
          'io.kubernetes.cri.container-type': id === pod ? 'sandbox' : 'container',
          'io.kubernetes.cri.sandbox-id': pod,
        }
      })
    start(pod, inPod(pod, 400, 'exec sleep 300'))
    start(app, inPod(app, 96, 'while :; do sleep 0.05; done'))
    const names = (id: string) => processes(`${top}/${id}`).map(nameOf).filter(Boolean)
    // Its stubs; the sentry is the pod's. The second is its program's first child.
    untilNow('its stubs are there', () => names(app).length >= 2)
    expect(names(app).some(name => /node|sentry/i.test(name))).toBe(false)
    const used = () => Number(value('cpuacct', `${top}/${app}`, 'cpuacct.usage'))
    expect(ours.run('pause', app)).toMatchObject({ status: 0, stderr: '' })
    // The sentry goes on, and may wake a stub once more on its way into the freezer.
    let before = -1
    untilNow('nothing goes on', () => {
      before = used()
      execFileSync('sleep', ['0.3'])
      return used() === before
    })
    expect([status(pod), status(app)]).toEqual(['running', 'paused'])
    expect(ours.run('resume', app)).toMatchObject({ status: 0, stderr: '' })
    untilNow('it goes on', () => used() > before)
    expect(ours.run('update', '--pids-limit', '1', app)).toMatchObject({ status: 0, stderr: '' })
    // Its shell cannot fork any more, and ends.
    untilNow('it meets its limit on tasks', () => status(app) === 'stopped')
    expect(ours.run('delete', app).status).toBe(0)
    start(app, inPod(app, 96, 'while :; do sleep 0.05; done'))
    // One container's program is killed for its own limit, and the others stay.
    start(other, inPod(other, 96, 'eat 300'))
    untilNow('it is killed', () => status(other) === 'stopped')
    expect(value('memory', `${top}/${other}`, 'memory.oom_control')).toMatch(/oom_kill [1-9]/)
    expect([status(pod), status(app)]).toEqual(['running', 'running'])
    for (const id of [other, app, pod])
      expect(ours.run('delete', '--force', id)).toMatchObject({ status: 0, stderr: '' })
    for (const id of [other, app, pod])
      expect(existsSync(directory('memory', `${top}/${id}`)), id).toBe(false)
  })

  it('can be left out, or be asked of systemd', () => {
    const path = `${top}/ignored`
    const where = bundle(['true'], path, { memory: { limit: 64 << 20 } })
    expect(ours.run('--ignore-cgroups', 'run', '--bundle', where, 'i1').status).toBe(0)
    expect(existsSync(directory('memory', path))).toBe(false)
    const named = bundle(['true'], 'system.slice:p:n')
    const result = ours.run('--systemd-cgroup', 'run', '--bundle', named, 'i2')
    if (existsSync('/run/systemd/system')) expect(result).toMatchObject({ status: 0, stderr: '' })
    else
      expect(result.stderr).toMatch(/^runsc: --systemd-cgroup: systemd does not run on this host/)
  })
})
