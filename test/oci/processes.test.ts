// The processes of a container in the host's process list: `runsc ps --format json` names them for engines, and each
// shows its program's command line, as the program has made it.

import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { PLATFORMS, run, runsc, temporary, writeBundle } from '../run.ts'
import { debianTree } from '../setup.ts'

const box = temporary('processes')
afterAll(() => box.clean())

const PROGRAM = `
sleep 1001 &
perl -e '$0 = "a title of its own"; sleep 1002' &
(exec -a other sleep 1003) &
sh -c 'sleep 1004; true' &
wait`
const titles = (pids: number[]) => pids.map(titleOf)
/** Empty when the process has just ended. */
function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replace(/\0+$/, '').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
const names = (pids: number[]) =>
  pids.map(pid => readFileSync(`/proc/${pid}/comm`, 'latin1').trim())

describe.each(PLATFORMS)('%s', platform => {
  it('shows all processes of a container', async () => {
    const [bundle, state, id] = [join(box.path, platform), join(box.path, 'state'), `p-${platform}`]
    writeBundle(bundle, debianTree(), ['bash', '-c', PROGRAM])
    const flags = [`--root=${state}`, `--platform=${platform}`]
    const call = (...args: string[]) => run(runsc, [...flags, ...args])
    // What stays would hold a pipe open.
    const start = ['-c', '"$@" >"$0" 2>&1', `${bundle}.log`, runsc, ...flags, 'run', '--detach']
    expect(run('sh', [...start, '--bundle', bundle, id]).status).toBe(0)
    try {
      const pids = (): number[] => JSON.parse(call('ps', '--format', 'json', id).stdout)
      const wanted = [
        'a title of its own',
        `bash -c ${PROGRAM}`,
        'other 1003',
        'sh -c sleep 1004; true',
        'sleep 1001',
        'sleep 1004',
      ]
      let found: string[] = []
      for (let i = 0; i < 100; i++, await sleep(100)) {
        found = titles(pids()).sort()
        if (found.join() === wanted.join()) break
      }
      expect(found).toEqual(wanted)
      expect(names(pids()).sort()).toEqual([
        'a title of its',
        'bash',
        'sh',
        'sleep',
        'sleep',
        'sleep',
      ])
    } finally {
      call('delete', '--force', id)
    }
  })
})

/** The ids of a process's threads in its own pid namespace, its first one's left out. */
const threadIds = (pid: number) =>
  readdirSync(`/proc/${pid}/task`)
    .filter(tid => tid !== String(pid))
    .map(
      tid =>
        /^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/task/${tid}/status`, 'latin1'))![1],
    )
    .sort()

// V8 remembers them, and tells by them who holds a lock: in a pid namespace with few processes, new ones would be
// those that other threads remember.
it('lets the threads of a sentry have the ids that they had in runsc', async () => {
  const script = '"$0" do -- sh -c "echo started; sleep 100"; true'
  const namespace = ['--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '-c', script, runsc]
  const child = spawn('unshare', namespace, { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await new Promise(started => child.stdout.once('data', started))
    const below = (pid: number): number[] => {
      const path = `/proc/${pid}/task/${pid}/children`
      const children = readFileSync(path, 'latin1').split(' ').filter(Boolean).map(Number)
      return [pid, ...children.flatMap(below)]
    }
    const all = below(child.pid!)
    const named = (role: string) => all.find(pid => titleOf(pid).includes(`/load.cjs ${role}`))!
    expect(threadIds(named('sentry'))).toEqual(threadIds(named('runsc')))
  } finally {
    child.kill('SIGKILL')
  }
})

/** Of a process of the host: its process group and session, proc_pid_stat(5). */
const groupAndSession = (pid: number) =>
  readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)!.split(' ').slice(2, 4).map(Number)

// Engines' monitors kill the process group of a container, which must not be their own: runc's first process is a session's leader, too.
it('puts what stands for a program into a session of its own', () => {
  const [bundle, state] = [join(box.path, 'session'), join(box.path, 'state-session')]
  writeBundle(bundle, debianTree(), ['sleep', '1000'])
  const call = (...args: string[]) => run('sh', ['-c', '"$@" >"$0" 2>&1', `${bundle}.log`, ...args])
  const ours = (...args: string[]) => call(runsc, `--root=${state}`, ...args)
  const pidIn = (file: string) => Number(readFileSync(join(box.path, file), 'latin1'))
  const pidFile = (file: string) => ['--pid-file', join(box.path, file)]
  expect(ours('create', '--bundle', bundle, ...pidFile('first'), 'session').status).toBe(0)
  try {
    expect(ours('start', 'session').status).toBe(0)
    const sleeper = ['session', 'sleep', '1000']
    expect(ours('exec', '--detach', ...pidFile('second'), ...sleeper).status).toBe(0)
    for (const pid of [pidIn('first'), pidIn('second')])
      expect(groupAndSession(pid)).toEqual([pid, pid])
  } finally {
    ours('delete', '--force', 'session')
  }
})
