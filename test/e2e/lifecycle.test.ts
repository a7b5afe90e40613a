// Containers from bundles: create, start, state, list, kill, delete; what remains when parts die.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Config, type Result, run, runsc, temporary, writeBundle } from '../run.ts'
import { debianTree, installNeeds } from '../setup.ts'
import { untilNow } from '../until.ts'

const box = temporary('oci')
const state = join(box.path, 'state')
const cli = (...args: string[]): Result => run(runsc, [`--root=${state}`, ...args])

/** create: what it starts keeps its standard streams, so these cannot be pipes that the test reads to their end. */
function create(path: string, id: string, ...options: string[]): Result {
  const file = join(box.path, `output-${id}`)
  const output = openSync(file, 'w')
  const { status } = spawnSync(
    runsc,
    [`--root=${state}`, 'create', '--bundle', path, ...options, id],
    { stdio: ['ignore', output, output], timeout: 60_000, killSignal: 'SIGKILL' },
  )
  closeSync(output)
  return { status: status ?? 124, stdout: '', stderr: readFileSync(file, 'utf8') }
}

function expectOk(result: Result): Result {
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' })
  return result
}

/** A busybox root: one static program and its names. */
function busyboxRoot(path: string): void {
  installNeeds(['busybox-static'])
  for (const folder of ['bin', 'proc', 'dev', 'tmp', 'etc', 'root', 'sys'])
    mkdirSync(join(path, folder), { recursive: true })
  cpSync('/bin/busybox', join(path, 'bin/busybox'), { dereference: true })
  for (const name of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n'))
    if (name !== '' && name !== 'busybox') symlinkSync('busybox', join(path, 'bin', name))
}

const rootfs = join(box.path, 'rootfs')
let bundles = 0
function bundle(args: string[], change?: (config: Config) => void): string {
  const path = join(box.path, `bundle${bundles++}`)
  writeBundle(path, rootfs, args, change)
  return path
}

const status = (id: string): string => JSON.parse(expectOk(cli('state', id)).stdout).status

const alive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')

/** The host's processes whose command line has this word. */
function processesWith(word: string): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(word)
      } catch {
        return false
      }
    })
}

const children = (pid: number): number[] =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(other => {
      try {
        return (
          Number(
            readFileSync(`/proc/${other}/stat`, 'latin1')
              .replace(/^.*\) . /, '')
              .split(' ')[0],
          ) === pid
        )
      } catch {
        return false
      }
    })

beforeAll(() => busyboxRoot(rootfs))
afterAll(() => {
  for (const { id } of JSON.parse(cli('list', '--format=json').stdout || '[]') ?? [])
    cli('delete', '--force', id)
  box.clean()
})

describe('run', () => {
  it('runs the program of a bundle and returns its status', () => {
    const result = cli(
      'run',
      '--bundle',
      bundle(['sh', '-c', 'echo $0 from $(hostname); exit 7', 'hello']),
      'r1',
    )
    expect(result).toMatchObject({ status: 7, stdout: 'hello from box\n', stderr: '' })
    expect(cli('state', 'r1').status).not.toBe(0)
  })

  it('applies user, directory, environment, limits and umask', () => {
    const path = bundle(
      [
        'sh',
        '-c',
        'id -u; id -g; pwd; echo $ONLY; ulimit -n; umask; grep NoNewPrivs /proc/self/status',
      ],
      c => {
        c.process.user = { uid: 1234, gid: 4321, umask: 0o77 }
        c.process.cwd = '/tmp'
        c.process.env.push('ONLY=here')
        c.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 99, hard: 100 }]
        c.process.noNewPrivileges = true
      },
    )
    expect(cli('run', '--bundle', path, 'r2').stdout).toBe(
      '1234\n4321\n/tmp\nhere\n99\n0077\nNoNewPrivs:\t1\n',
    )
  })

  it('a read-only root refuses writes', () => {
    const path = bundle(['sh', '-c', 'echo x > /file; echo x > /tmp/file && echo tmp'], c => {
      c.root.readonly = true
    })
    const result = cli('run', '--bundle', path, 'r3')
    expect(result.stdout).toBe('tmp\n')
    expect(result.stderr).toMatch(/Read-only file system/)
  })

  it('mounts bind and tmpfs', () => {
    mkdirSync(join(box.path, 'share'))
    const path = bundle(
      [
        'sh',
        '-c',
        'echo shared > /share/f; mkdir /t/d && echo made; echo x > /ro/f || echo refused',
      ],
      c => {
        c.mounts.push(
          {
            destination: '/share',
            type: 'bind',
            source: join(box.path, 'share'),
            options: ['rbind', 'rw'],
          },
          {
            destination: '/ro',
            type: 'bind',
            source: join(box.path, 'share'),
            options: ['bind', 'ro'],
          },
          { destination: '/t', type: 'tmpfs', source: 'tmpfs', options: ['size=1m'] },
        )
      },
    )
    expect(cli('run', '--bundle', path, 'r4').stdout).toBe('made\nrefused\n')
    expect(readFileSync(join(box.path, 'share/f'), 'utf8')).toBe('shared\n')
  })

  it('runs a Debian tree', { timeout: 1_300_000 }, () => {
    const path = join(box.path, 'debian')
    writeBundle(
      path,
      debianTree(),
      ['bash', '-c', 'cat /etc/debian_version; perl -e "print 6*7"; python3 -c "print(1)"'],
      c => {
        c.root.readonly = true
      },
    )
    const result = expectOk(cli('run', '--bundle', path, 'r5'))
    expect(result.stdout).toMatch(/^12\.\d+\n421\n$/)
  })
})

describe('create, start, kill, delete', () => {
  it('go through the states of the specification', () => {
    const path = bundle(['sh', '-c', 'echo ran > /ran; sleep 1000'])
    expectOk(create(path, 'c1', '--pid-file', join(box.path, 'pid')))
    expect(status('c1')).toBe('created')
    expect(existsSync(join(rootfs, 'ran'))).toBe(false)
    const report = JSON.parse(cli('state', 'c1').stdout)
    expect(report).toMatchObject({
      id: 'c1',
      bundle: path,
      ociVersion: expect.stringMatching(/^1\./),
    })
    expect(report.pid).toBe(Number(readFileSync(join(box.path, 'pid'), 'utf8')))
    expect(alive(report.pid)).toBe(true)
    expect(create(path, 'c1').stderr).toContain('exists')
    expectOk(cli('start', 'c1'))
    expect(status('c1')).toBe('running')
    untilNow('the program writes', () => existsSync(join(rootfs, 'ran')))
    expect(cli('start', 'c1').status).not.toBe(0)
    expect(cli('list').stdout).toMatch(/c1\s/)
    expect(cli('delete', 'c1').stderr).toContain('running')
    expectOk(cli('kill', 'c1', 'KILL'))
    untilNow('it stops', () => status('c1') === 'stopped')
    expect(cli('kill', 'c1', 'TERM').status).not.toBe(0)
    expectOk(cli('delete', 'c1'))
    expect(cli('state', 'c1').status).not.toBe(0)
    expect(alive(report.pid)).toBe(false)
  })

  it('signals reach the program', () => {
    const path = bundle([
      'sh',
      '-c',
      'trap "echo caught > /tmp/../caught; exit 5" TERM; touch /ready; while :; do sleep 0.1; done',
    ])
    expectOk(create(path, 'c2'))
    expectOk(cli('start', 'c2'))
    untilNow('the program is ready', () => existsSync(join(rootfs, 'ready')))
    expectOk(cli('kill', 'c2', 'SIGTERM'))
    untilNow('it stops', () => status('c2') === 'stopped')
    expect(readFileSync(join(rootfs, 'caught'), 'utf8')).toBe('caught\n')
    expect(cli('kill', 'c2', 'NOSUCH').stderr).toContain('NOSUCH')
    expectOk(cli('delete', 'c2'))
  })

  it('delete --force ends a running one, and a created one', () => {
    for (const id of ['c3', 'c4']) {
      expectOk(create(bundle(['sleep', '1000']), id))
      if (id === 'c3') expectOk(cli('start', id))
      const { pid } = JSON.parse(cli('state', id).stdout)
      expectOk(cli('delete', '--force', id))
      untilNow('its process ends', () => !alive(pid))
    }
    expect(JSON.parse(cli('list', '--format=json').stdout || '[]') ?? []).toEqual([])
  })

  it('a program that is missing fails at create or start, and can be deleted', () => {
    const created = create(bundle(['/none']), 'c5')
    const result = created.status === 0 ? cli('start', 'c5') : created
    expect(result.status).not.toBe(0)
    expect(result.stderr).toContain('/none')
    cli('delete', '--force', 'c5')
    expect(cli('state', 'c5').status).not.toBe(0)
  })
})

describe('death', () => {
  it('killing the sentry leaves no process', () => {
    expectOk(create(bundle(['sh', '-c', 'sleep 1001 & sleep 1001 & sleep 1001']), 'd1'))
    expectOk(cli('start', 'd1'))
    const { pid } = JSON.parse(cli('state', 'd1').stdout)
    const before = new Set([pid, ...children(pid)])
    process.kill(pid, 'SIGKILL')
    untilNow('all processes end', () => [...before].every(p => !alive(p)))
    untilNow(
      'the gofer ends',
      () => processesWith(box.path).filter(p => p !== process.pid && alive(p)).length === 0,
    )
    untilNow('it counts as stopped', () => status('d1') === 'stopped')
    expectOk(cli('delete', 'd1'))
  })

  it('killing runsc ends its sandbox', () => {
    const path = bundle(['sh', '-c', 'touch /up; sleep 1002'])
    const child = spawn(runsc, [`--root=${state}`, 'run', '--bundle', path, 'd2'], {
      stdio: 'ignore',
    })
    untilNow('the program starts', () => existsSync(join(rootfs, 'up')))
    const { pid } = JSON.parse(cli('state', 'd2').stdout)
    child.kill('SIGKILL')
    expectOk(cli('delete', '--force', 'd2'))
    untilNow('the sandbox ends', () => !alive(pid))
  })
})
