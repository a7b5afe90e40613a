// The real Docker engine over runsc: what people do with containers, and what must be left behind afterwards: nothing.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Result, run, runsc, temporary } from '../run.ts'
import { installNeeds } from '../setup.ts'

const DOCKER = '/usr/bin/docker'
const IMAGE = 'bb:1'
/** A container of its own network needs no rights on the host's. */
const COMMON = ['--runtime', 'runsc', '--network', 'none']
const box = temporary('dk')
const path = (name: string) => join(box.path, name)
/** Below it are the cgroups of our containers only. */
const cgroup = `/${basename(box.path)}`
const socket = `unix://${path('s')}`
let daemon: ReturnType<typeof spawn> | null = null
let reason = ''

/** A client that hangs is killed: only its container would take note of a softer signal. */
const docker = (...args: string[]): Result =>
  run(DOCKER, ['-H', socket, ...args], { seconds: 60, env: { DOCKER_CONFIG: box.path } })
const containerRun = (...args: string[]) => docker('run', '--rm', ...COMMON, ...args)

function output(result: Result): string {
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' })
  return result.stdout.trim()
}

/** Start a container that stays, for one test. */
function keep(name: string, ...args: string[]): void {
  output(docker('run', '-d', '--name', name, ...COMMON, ...args))
}

async function until(what: string, test: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; await sleep(100)) if (test()) return
  throw new Error(`${what}: not within 30 s`)
}

const state = (name: string, field: string) =>
  output(docker('inspect', '-f', `{{.State.${field}}}`, name))

/** A terminal around a client: what it shows, after `input`. */
function onTerminal(command: string, input = ''): Result {
  return run('script', ['-qec', command, '/dev/null'], {
    input,
    seconds: 30,
    env: { DOCKER_CONFIG: box.path },
  })
}

async function startDaemon(): Promise<void> {
  const needs = ['docker.io', 'containerd', 'runc', 'busybox-static']
  installNeeds(needs)
  writeFileSync(
    path('daemon.json'),
    JSON.stringify({
      hosts: [socket],
      'data-root': path('data'),
      'exec-root': path('exec'),
      pidfile: path('pid'),
      // The test's files may lie on an overlay, on which there can be no other.
      'storage-driver': 'vfs',
      'cgroup-parent': cgroup,
      bridge: 'none',
      iptables: false,
      ip6tables: false,
      'ip-forward': false,
      runtimes: { runsc: { path: runsc } },
    }),
  )
  daemon = spawn('dockerd', ['--config-file', path('daemon.json')], {
    // A pipe would fill up: nobody reads it while a client is waited for.
    stdio: ['ignore', 'ignore', openSync(path('log'), 'w')],
    env: { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH}` },
  })
  let failure = ''
  daemon.on('error', error => (failure = error.message))
  for (let i = 0; i < 300 && daemon.exitCode === null; i++) {
    if (existsSync(path('s')) && docker('version').status === 0) return importImage()
    await sleep(100)
  }
  throw new Error(
    `dockerd does not start: ${failure || readFileSync(path('log'), 'utf8').trim().split('\n').at(-1)}`,
  )
}

/** Directories of our containers in all hierarchies. */
function cgroups(): string[] {
  const parents = ['', ...readdirSync('/sys/fs/cgroup')].map(name =>
    join('/sys/fs/cgroup', name, cgroup),
  )
  return parents
    .filter(parent => existsSync(parent))
    .flatMap(parent => readdirSync(parent, { withFileTypes: true }))
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name)
}

/** What dockerd made for them. */
function removeCgroups(): void {
  for (const name of ['', ...readdirSync('/sys/fs/cgroup')]) {
    const parent = join('/sys/fs/cgroup', name, cgroup)
    if (existsSync(parent)) rmdirSync(parent)
  }
}

function importImage(): void {
  const tree = path('tree')
  for (const folder of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'root'])
    mkdirSync(join(tree, folder), { recursive: true })
  cpSync('/bin/busybox', join(tree, 'bin/busybox'), { dereference: true })
  for (const name of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n'))
    if (name !== '' && name !== 'busybox') symlinkSync('busybox', join(tree, 'bin', name))
  const tar = spawnSync('tar', ['c', '-C', tree, '.'], { maxBuffer: 1 << 26 }).stdout
  const result = run(DOCKER, ['-H', socket, 'import', '-c', 'CMD ["/bin/sh"]', '-', IMAGE], {
    input: tar,
  })
  if (result.status !== 0) throw new Error(`docker import: ${result.stderr}`)
}

beforeAll(async () => {
  try {
    await startDaemon()
  } catch (error) {
    reason = (error as Error).message
    console.warn(`skipped: Docker: ${reason}`)
  }
}, 240_000)

afterAll(async () => {
  if (reason === '') {
    const ids = docker('ps', '-aq').stdout.trim().split('\n').filter(Boolean)
    if (ids.length > 0) docker('rm', '-f', ...ids)
  }
  if (daemon !== null && daemon.exitCode === null) {
    const ended = new Promise(done => daemon!.on('exit', done))
    daemon.kill('SIGTERM')
    await Promise.race([ended, sleep(20_000)])
  }
  removeCgroups()
  box.clean()
}, 60_000)

describe('docker', () => {
  const row = (name: string, test: () => void | Promise<void>) =>
    it(name, async context => {
      if (reason !== '') return context.skip(reason)
      await test()
    }, 120_000)

  row('runs a program: output, input, exit status', () => {
    expect(output(containerRun(IMAGE, 'echo', 'hi'))).toBe('hi')
    const args = ['-H', socket, 'run', '--rm', '-i', ...COMMON, IMAGE, 'cat']
    expect(run(DOCKER, args, { input: 'hello' }).stdout).toBe('hello')
    expect(containerRun(IMAGE, 'sh', '-c', 'exit 7').status).toBe(7)
  })

  row('tells a program that is missing from one that cannot be executed', () => {
    expect(containerRun(IMAGE, 'nope').status).toBe(127)
    expect(containerRun(IMAGE, '/nope').status).toBe(127)
    expect(containerRun(IMAGE, '/etc').status).toBe(126)
  })

  row('gives a terminal, of the size of its own', () => {
    const command = (rest: string) =>
      `${DOCKER} -H ${socket} run --rm -it ${COMMON.join(' ')} ${rest}`
    expect(onTerminal(command(`${IMAGE} tty`)).stdout).toContain('/dev/pts/0\r\n')
    const size = `sh -c "while ! stty size | grep -q '33 77'; do sleep 0.1; done; echo fits"`
    expect(onTerminal(`stty rows 33 cols 77; ${command(`${IMAGE} ${size}`)}`).stdout).toContain(
      'fits',
    )
  })

  row('lives: logs, exec, signals, pause, top, stop', async () => {
    const script = 'trap "exit 7" TERM; trap "echo usr1" USR1; echo up; while :; do sleep 0.1; done'
    keep('life', IMAGE, 'sh', '-c', script)
    await until('up', () => docker('logs', 'life').stdout === 'up\n')
    expect(
      output(
        docker(
          'exec',
          '-e',
          'A=v',
          '-w',
          '/tmp',
          '-u',
          '5',
          'life',
          'sh',
          '-c',
          'echo $A $PWD $(id -u)',
        ),
      ),
    ).toBe('v /tmp 5')
    expect(docker('exec', 'life', 'sh', '-c', 'exit 9').status).toBe(9)
    expect(docker('exec', 'life', 'sh', '-c', 'kill -9 $$').status).toBe(137)
    expect(docker('exec', 'life', 'nope').status).toBe(126)
    expect(output(docker('exec', '-t', 'life', 'tty'))).toBe('/dev/pts/0')
    output(docker('exec', '-d', 'life', 'sleep', '333'))
    await until('top', () => /sleep 333/.test(docker('top', 'life').stdout))
    expect(docker('top', 'life').stdout).toContain('sh -c trap')
    output(docker('kill', '-s', 'USR1', 'life'))
    await until('usr1', () => docker('logs', 'life').stdout === 'up\nusr1\n')
    output(docker('pause', 'life'))
    expect(state('life', 'Status')).toBe('paused')
    output(docker('unpause', 'life'))
    expect(output(docker('stats', '--no-stream', 'life'))).toContain('MiB')
    output(docker('update', '--memory', '200m', '--memory-swap', '200m', 'life'))
    output(docker('restart', '-t', '20', 'life'))
    output(docker('stop', '-t', '20', 'life'))
    expect(state('life', 'ExitCode')).toBe('7')
  })

  row('protects the first process from signals that it does not take', () => {
    keep('init', IMAGE, 'sleep', '1000')
    output(docker('kill', '-s', 'TERM', 'init'))
    output(docker('kill', '-s', 'INT', 'init'))
    expect(state('init', 'Running')).toBe('true')
    output(docker('kill', 'init'))
    expect(state('init', 'ExitCode')).toBe('137')
  })

  row('shares files: volumes, cp, diff, commit', () => {
    mkdirSync(path('v'))
    writeFileSync(path('v/f'), 'vol')
    const volume = `${path('v')}:/v`
    expect(output(containerRun('-v', volume, IMAGE, 'sh', '-c', 'echo w >/v/w; cat /v/f'))).toBe(
      'vol',
    )
    expect(readFileSync(path('v/w'), 'utf8')).toBe('w\n')
    expect(containerRun('-v', `${volume}:ro`, IMAGE, 'touch', '/v/x').status).toBe(1)
    keep('files', IMAGE, 'sleep', '1000')
    output(docker('cp', path('v/f'), 'files:/root/in'))
    expect(output(docker('exec', 'files', 'cat', '/root/in'))).toBe('vol')
    output(docker('exec', 'files', 'sh', '-c', 'echo new >/root/new'))
    output(docker('cp', 'files:/root/new', path('new')))
    expect(readFileSync(path('new'), 'utf8')).toBe('new\n')
    expect(output(docker('diff', 'files'))).toContain('A /root/new')
    output(docker('commit', 'files', 'cm:1'))
    expect(output(containerRun('cm:1', 'cat', '/root/new'))).toBe('new')
  })

  row('sets the program up: user, capabilities, limits, mounts', () => {
    const options = ['-u', '5:6', '--group-add', '77', '--hostname', 'hh', '-w', '/tmp']
    const more = [
      '--ulimit',
      'nofile=99:99',
      '--tmpfs',
      '/t',
      '--shm-size',
      '1m',
      '--cap-drop',
      'ALL',
    ]
    const script =
      'echo $(id -u) $(id -g) $(hostname) $PWD $(ulimit -n); id -G; grep CapEff /proc/self/status; grep -c " /t tmpfs\\|size=1024k" /proc/mounts'
    expect(output(containerRun(...options, ...more, IMAGE, 'sh', '-c', script))).toBe(
      '5 6 hh /tmp 99\n6 77\nCapEff:\t0000000000000000\n2',
    )
    expect(containerRun('--read-only', IMAGE, 'touch', '/x').status).toBe(1)
    expect(containerRun('--privileged', IMAGE, 'true').status).toBe(0)
  })

  row('watches health, restarts what fails, attaches and detaches', async () => {
    keep('health', '--health-cmd', 'true', '--health-interval', '500ms', IMAGE, 'sleep', '1000')
    keep('again', '--restart', 'on-failure:2', IMAGE, 'false')
    await until('healthy', () => state('health', 'Health.Status') === 'healthy')
    await until(
      'restarted',
      () => output(docker('inspect', '-f', '{{.RestartCount}}', 'again')) === '2',
    )
    output(docker('create', '-i', '--name', 'attached', ...COMMON, IMAGE, 'cat'))
    const args = ['-H', socket, 'start', '-ai', 'attached']
    expect(run(DOCKER, args, { input: 'abc' }).stdout).toBe('abc')
  })

  row('leaves nothing behind', async () => {
    const ids = docker('ps', '-aq').stdout.trim().split('\n').filter(Boolean)
    if (ids.length > 0) output(docker('rm', '-f', ...ids))
    const ours = () =>
      run('ps', ['-eo', 'args'])
        .stdout.split('\n')
        .filter(line => line.includes(box.path) && line.includes('runtime-runc'))
    await until('processes end', () => ours().length === 0)
    expect(
      readFileSync('/proc/mounts', 'utf8')
        .split('\n')
        .filter(line => line.includes(`${box.path}/exec`) && line.includes('runtime-runc')),
    ).toEqual([])
    expect(
      existsSync(path('exec/runtime-runc/moby'))
        ? run('ls', [path('exec/runtime-runc/moby')]).stdout
        : '',
    ).toBe('')
    expect(cgroups()).toEqual([])
  })
})
