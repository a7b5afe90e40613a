// containerd's own client over runsc.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Result, run, runsc } from '../run.ts'
import { until } from '../until.ts'
import { Containerd, IMAGE } from './containerd.ts'

const containerd = new Containerd()
const ctr = (...args: string[]) => containerd.ctr(...args)
const RUN = ['--runc-binary', runsc, '--snapshotter', 'native']
let reason = ''

beforeAll(async () => {
  try {
    await containerd.start([containerd.namespace])
  } catch (error) {
    reason = (error as Error).message
    console.warn(`skipped: containerd: ${reason}`)
  }
}, 240_000)

afterAll(async () => {
  for (const id of ids()) {
    ctr('task', 'rm', '-f', id)
    ctr('container', 'rm', id)
  }
  ctr('images', 'rm', '--sync', IMAGE)
  await containerd.stop()
}, 60_000)

const ids = () => ctr('container', 'ls', '-q').stdout.trim().split('\n').filter(Boolean)

function output(result: Result): string {
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' })
  return result.stdout.trim()
}

/** Of the line in the task list. */
const statusOf = (id: string) =>
  ctr('task', 'ls').stdout.match(new RegExp(`^${id} +\\d+ +(\\w+)`, 'm'))?.[1]

describe('ctr', () => {
  const row = (name: string, test: () => void | Promise<void>) =>
    it(name, async context => {
      if (reason !== '') return context.skip(reason)
      await test()
    })

  row('runs a program: output, exit status', () => {
    const args = ['run', '--rm', ...RUN, '--env', 'A=v', IMAGE, 'once', 'sh', '-c']
    const { status, stdout } = ctr(...args, 'echo $A; uname -r; exit 7')
    expect({ status, stdout }).toEqual({ status: 7, stdout: 'v\n6.12.0-portcullis\n' })
    expect(ctr('run', '--rm', ...RUN, IMAGE, 'missing', 'nope').stderr).toContain(
      'executable file not found in $PATH',
    )
    expect(ids()).toEqual([])
  })

  row('gives a terminal', () => {
    const words = ['ctr', '-a', containerd.socket, '-n', containerd.namespace, 'run', '--rm', '-t']
    const command = [...words, ...RUN, IMAGE, 'terminal', 'tty'].join(' ')
    const { stdout } = run('script', ['-qec', command, '/dev/null'], { seconds: 30 })
    expect(stdout).toContain('/dev/pts/0')
  })

  row('lets it into the network of the host', () => {
    // Made by hand: the daemon's namespace has nothing but lo.
    output(containerd.inNetwork('ip', 'link', 'add', 'of-host', 'type', 'bridge'))
    const args = ['run', '--rm', '--net-host', ...RUN, IMAGE, 'net', 'cat', '/proc/net/dev']
    expect(output(ctr(...args))).toContain('of-host:')
  })

  row('lives: exec, ps, metrics, pause, signals', async () => {
    const script = 'trap "exit 7" TERM; while :; do sleep 0.1; done'
    output(ctr('run', '-d', ...RUN, IMAGE, 'life', 'sh', '-c', script))
    expect(statusOf('life')).toBe('RUNNING')
    const exec = (id: string, ...args: string[]) => ctr('task', 'exec', '--exec-id', id, ...args)
    expect(output(exec('e1', '--cwd', '/tmp', 'life', 'pwd'))).toBe('/tmp')
    expect(exec('e2', 'life', 'sh', '-c', 'exit 9').status).toBe(9)
    const [, pid] = output(ctr('task', 'ls')).match(/^life +(\d+)/m)!
    expect(output(ctr('task', 'ps', 'life'))).toMatch(new RegExp(`^${pid} `, 'm'))
    expect(output(ctr('task', 'metrics', 'life'))).toMatch(/^memory.usage_in_bytes +[1-9]/m)
    output(ctr('task', 'pause', 'life'))
    expect(statusOf('life')).toBe('PAUSED')
    output(ctr('task', 'resume', 'life'))
    output(ctr('task', 'kill', '-s', 'TERM', 'life'))
    await until('the end', () => statusOf('life') === 'STOPPED')
    expect(ctr('task', 'rm', 'life').stderr).toContain('exit code 7')
    output(ctr('container', 'rm', 'life'))
  })

  row('leaves nothing behind', async () => {
    await until('processes end', () => containerd.shims().length === 0)
    expect(run('ls', [`/run/containerd/runc/${containerd.namespace}`]).stdout).toBe('')
  })
})
