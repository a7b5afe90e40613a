// podman over runsc. Its files, its networks and its containers' cgroup are the test's own.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { heavy, type Result, root, run, runsc, temporary } from '../run.ts'
import { installNeeds } from '../setup.ts'
import { until } from '../until.ts'
import { IMAGE, removeCgroup } from './containerd.ts'
import { busyboxTree, imageArchive } from './image.ts'

/** A pod's first container; podman would build an image of its own for it. */
const INFRA = ['--infra-image', IMAGE, '--infra-command', 'sleep 2147483647']
/** podman's own limits are more than a host without CAP_SYS_RESOURCE lets anybody have. */
const LIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
const box = temporary('pm')
const path = (name: string) => join(box.path, name)
const cgroup = basename(box.path)
let network: ChildProcess | null = null
let reason = ''

const flags = () => [
  ...['--root', path('root'), '--runroot', path('run'), '--tmpdir', path('tmp')],
  ...['--cgroup-manager', 'cgroupfs', '--events-backend', 'file', '--storage-driver', 'vfs'],
  ...['--network-config-dir', path('net'), '--runtime', runsc],
]
const command = (args: string[]) => [
  ...['--net', '-t', String(network!.pid), 'podman'],
  ...flags(),
  ...args,
]
const podman = (...args: string[]): Result => run('nsenter', command(args), { seconds: 60 })
const create = (...args: string[]) => [...LIMITS, '--cgroup-parent', `/${cgroup}`, ...args]
const once = (...args: string[]) => podman('run', '--rm', '--network', 'none', ...create(...args))

function output(result: Result): string {
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' })
  return result.stdout.trim()
}

/** A command of the tutorial, on our image, with the limits and the cgroup of these tests. */
function asWritten(words: string): Result {
  const text = words
    .replace('"$PWD/runsc/bin/runsc"', runsc)
    .replace('docker.io/library/busybox', IMAGE)
    .replace(/ run /, ` run ${create().join(' ')} `)
  const globals = flags().slice(0, -2)
  const podman = ['nsenter', '--net', '-t', String(network!.pid), 'podman', ...globals].join(' ')
  const env = { CONTAINERS_CONF: path('containers.conf') }
  writeFileSync(path('containers.conf'), '', { flag: 'a' })
  return run('sh', ['-c', `${podman} ${text}`], { env, seconds: 60 })
}

const inspect = (name: string, field: string) =>
  output(podman('container', 'inspect', '-f', `{{.${field}}}`, name))

beforeAll(() => {
  try {
    installNeeds(['podman', 'containernetworking-plugins', 'iptables', 'busybox-static'])
    network = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; exec sleep 3600'])
    busyboxTree(path('tree'))
    const archive = imageArchive(box.path, IMAGE, path('tree'), ['sh'])
    const { status, stderr } = podman('load', '-q', '-i', archive)
    if (status !== 0) throw new Error(`podman load: ${stderr}`)
  } catch (error) {
    reason = (error as Error).message
    console.warn(`skipped: podman: ${reason}`)
  }
}, 240_000)

afterAll(() => {
  if (network !== null) podman('rm', '-af', '-t', '0')
  network?.kill('SIGKILL')
  // What podman has mounted over its own storage.
  for (const line of readFileSync('/proc/mounts', 'latin1').split('\n').reverse()) {
    const [, at = ''] = line.split(' ')
    if (at.startsWith(`${box.path}/`)) run('umount', ['-l', at])
  }
  // podman leaves the one of its monitors.
  removeCgroup(join(cgroup, 'conmon'))
  removeCgroup(cgroup)
  box.clean()
}, 60_000)

describe('podman', () => {
  const row = (name: string, test: (context: TestContext) => void | Promise<void>) =>
    it(name, async context => {
      if (reason !== '') return context.skip(reason)
      await test(context)
    })

  row('runs a program: output, input, exit status', () => {
    const input = command(['run', '--rm', '-i', '--network', 'none', ...create(IMAGE, 'cat')])
    expect(run('nsenter', input, { input: 'hello' }).stdout).toBe('hello')
    const { status, stdout } = once(IMAGE, 'sh', '-c', 'uname -r; exit 7')
    expect({ status, stdout }).toEqual({ status: 7, stdout: '6.12.0-portcullis\n' })
    expect(once(IMAGE, 'nope').status).toBe(127)
  })

  row('gives a terminal', () => {
    const words = ['nsenter', ...command(['run', '--rm', '-it', '--network', 'none'])]
    const line = [...words, ...create(IMAGE, 'tty')].join(' ')
    expect(run('script', ['-qec', line, '/dev/null'], { seconds: 30 }).stdout).toContain(
      '/dev/pts/0',
    )
  })

  row('lives: exec, logs, top, stats, cp, pause, kill, stop', async () => {
    writeFileSync(path('in'), 'in\n')
    const script = 'trap "exit 7" TERM; trap "echo usr1" USR1; echo up; while :; do sleep 0.1; done'
    const life = create('--name', 'life', '-v', `${path('in')}:/srv/in`, IMAGE, 'sh', '-c', script)
    output(podman('run', '-d', '--network', 'none', ...life))
    await until('up', () => podman('logs', 'life').stdout === 'up\n')
    expect(
      output(podman('exec', '-e', 'A=v', '-w', '/tmp', 'life', 'sh', '-c', 'echo $A $PWD')),
    ).toBe('v /tmp')
    expect(podman('exec', 'life', 'sh', '-c', 'exit 9').status).toBe(9)
    expect(output(podman('top', 'life'))).toContain('sh -c trap')
    expect(output(podman('top', 'life', '-ef'))).toMatch(/^ +1 0 .*sh -c trap/m)
    expect(output(podman('stats', '--no-stream', 'life'))).toMatch(/[1-9][\d.]*MB \//)
    output(podman('cp', path('in'), 'life:/root/in'))
    expect(output(podman('exec', 'life', 'cat', '/root/in', '/srv/in'))).toBe('in\nin')
    output(podman('exec', 'life', 'sh', '-c', 'echo out >/root/out'))
    output(podman('cp', 'life:/root/out', path('out')))
    expect(readFileSync(path('out'), 'utf8')).toBe('out\n')
    output(podman('pause', 'life'))
    expect(inspect('life', 'State.Status')).toBe('paused')
    output(podman('unpause', 'life'))
    output(podman('kill', '-s', 'USR1', 'life'))
    await until('usr1', () => podman('logs', 'life').stdout === 'up\nusr1\n')
    output(podman('stop', '-t', '20', 'life'))
    expect(inspect('life', 'State.ExitCode')).toBe('7')
    output(podman('rm', 'life'))
  })

  row('has a network by a bridge, with a published port', async () => {
    const served = 'while :; do echo served | nc -l -p 80; done'
    const options = ['-d', '--name', 'web', '-p', '8080:80']
    output(podman('run', ...options, ...create(IMAGE, 'sh', '-c', served)))
    const address = inspect('web', 'NetworkSettings.IPAddress')
    const ask = (host: string, port: string) => {
      const client = ['busybox', 'nc', '-w', '5', host, port]
      return run('nsenter', ['--net', '-t', String(network!.pid), ...client]).stdout
    }
    await until('the container', () => ask(address, '80') === 'served\n')
    // It listens for one client at a time.
    const gateway = inspect('web', 'NetworkSettings.Gateway')
    await until('the published port', () => ask(gateway, '8080') === 'served\n')
    output(podman('rm', '-f', '-t', '0', 'web'))
  })

  row('has pods, whose containers share a sandbox', context => {
    if (!heavy) return context.skip('PORTCULLIS_HEAVY=1 is not set')
    const args = ['--name', 'pod', '--cgroup-parent', `/${cgroup}`, ...INFRA]
    const pod = output(podman('pod', 'create', ...args))
    const serve = 'while :; do echo served | nc -l -p 81; done'
    const made = podman(
      'run',
      '-d',
      '--pod',
      'pod',
      '--name',
      'one',
      ...LIMITS,
      IMAGE,
      'sh',
      '-c',
      serve,
    )
    const id = output(made)
    const ask = 'until nc 127.0.0.1 81; do sleep 0.1; done; hostname'
    const two = podman('run', '--rm', '--pod', 'pod', ...LIMITS, IMAGE, 'sh', '-c', ask)
    expect(output(two)).toBe('served\npod')
    expect(lstatSync(`/run/runsc/${id}/control.sock`).isSymbolicLink()).toBe(true)
    output(podman('pod', 'rm', '-f', '-t', '0', 'pod'))
    // podman leaves the pod's own in the hierarchies that it does not use itself.
    removeCgroup(join(cgroup, pod))
  })

  row('works as docs/podman.md says', () => {
    const text = readFileSync(join(root, 'docs/podman.md'), 'utf8')
    const commands = [...text.matchAll(/^ {4}(?:sudo )?(podman|runsc\/bin\/runsc) (.*)$/gm)]
    expect(commands.length).toBeGreaterThan(10)
    const shown = new Map<string, string>()
    for (const [line, program, rest] of commands) {
      if (program === 'podman') shown.set(line.trim(), output(asWritten(rest!)))
      // What it prints belongs into a file; podman reads ours.
      else writeFileSync(path('containers.conf'), output(run(runsc, rest!.split(' '))))
    }
    const printed = (part: string) =>
      [...shown].filter(([line]) => line.includes(part)).map(([, out]) => out)
    expect(printed('uname -r')).toEqual(Array(3).fill('6.12.0-portcullis'))
    expect(printed('top web')[0]).toContain('sh -c trap')
    expect(readFileSync('/tmp/portcullis-index.html', 'utf8')).toBe('hello\n')
    rmSync('/tmp/portcullis-index.html')
  })

  row('leaves nothing behind', async () => {
    expect(output(podman('ps', '-aq'))).toBe('')
    const ours = () => run('ps', ['-eo', 'args']).stdout.includes(`--conmon-pidfile ${box.path}`)
    await until('processes end', () => !ours())
    const made = ['pids/', '']
      .map(name => `/sys/fs/cgroup/${name}${cgroup}`)
      .find(name => existsSync(name))
    expect(readdirSync(made!).filter(name => name.startsWith('libpod-'))).toEqual([])
  })
})
