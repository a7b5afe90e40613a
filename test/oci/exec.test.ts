// The process contract of engines: the pid of a pid file is a process that takes signals and ends as the sandboxed
// process does. The driver is a subreaper, as the engines' shims are.

import { spawnSync } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Config, type Result, run, runsc } from '../run.ts'
import { Workshop } from './both.ts'
import { type Oracle, oracle } from './bundles.ts'

const DRIVER = `
import ctypes, json, os, signal, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
runsc, root, bundle = sys.argv[1:4]
devnull = subprocess.DEVNULL
out = {}
def call(*args, **more):
    return subprocess.run([runsc, '--root', root, *args], stdin=devnull, stdout=devnull, stderr=subprocess.DEVNULL, **more).returncode
def text(*args):
    return subprocess.run([runsc, '--root', root, *args], stdin=devnull, capture_output=True, text=True).stdout
def pid_of(name): return int(open(os.path.join(root, name)).read())
def end(pid):
    for _ in range(3000):
        got, status = os.waitpid(pid, os.WNOHANG)
        if got: return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return 'late'
def exec_(name, *args):
    if call('exec', '--detach', '--pid-file', os.path.join(root, name), 'stood', *args): return None
    return pid_of(name)
os.makedirs(root, exist_ok=True)
call('create', '--bundle', bundle, '--pid-file', os.path.join(root, 'init'), 'stood')
init = pid_of('init')
out['parent'] = int(open(f'/proc/{init}/stat').read().rsplit(')', 1)[1].split()[1]) == os.getpid()
out['start'] = call('start', 'stood')
out['code'] = end(exec_('e1', 'sh', '-c', 'exit 9'))
out['own signal'] = end(exec_('e2', 'sh', '-c', 'kill -SEGV $$'))
pid = exec_('e3', 'sleep', '1000')
out['listed'] = {init, pid} <= set(json.loads(text('ps', '--format', 'json', 'stood')))
out['title'] = open(f'/proc/{pid}/cmdline').read()
os.kill(pid, signal.SIGTERM); out['passed on'] = end(pid)
pid = exec_('e4', 'sleep', '1001')
os.kill(pid, signal.SIGKILL); end(pid)
for _ in range(300):
    if 'sleep 1001' not in text('exec', 'stood', 'ps'): break
    time.sleep(0.02)
out['killed with it'] = 'sleep 1001' not in text('exec', 'stood', 'ps')
pid = exec_('e5', 'sh', '-c', 'trap "exit 3" USR2; echo >/tmp/ready; while :; do sleep 0.05; done')
while call('exec', 'stood', 'test', '-e', '/tmp/ready'): pass
os.kill(pid, signal.SIGUSR2); out['caught'] = end(pid)
out['missing'] = call('exec', 'stood', 'nope'), call('exec', 'stood', '/bin')
while call('exec', 'stood', 'test', '-e', '/tmp/up'): pass
os.kill(init, signal.SIGTERM); time.sleep(0.2)
out['protected'] = os.waitpid(init, os.WNOHANG) == (0, 0)
os.kill(init, signal.SIGUSR1); out['init'] = end(init)
# What else there was has come to us, and would hold the cgroup as long as nobody reaps it.
try:
    while True: os.waitpid(-1, 0)
except ChildProcessError: pass
out['delete'] = call('delete', 'stood')
print(json.dumps(out))
`

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
})
afterAll(() => shop.clean())

describe('stand-ins', () => {
  it('take signals, and end as their processes do', () => {
    const script = 'trap "exit 5" USR1; echo >/tmp/up; while :; do sleep 0.05; done'
    const bundle = shop.bundle(['sh', '-c', script])
    const driver = join(shop.path, 'driver.py')
    writeFileSync(driver, DRIVER)
    const root = join(shop.path, 'state')
    const result = run('/usr/bin/python3', [driver, runsc, root, bundle], { seconds: 120 })
    expect(result.stderr).toBe('')
    expect(JSON.parse(result.stdout)).toEqual({
      parent: true,
      start: 0,
      code: 9,
      'own signal': -11,
      listed: true,
      title: 'sleep\0' + '1000\0',
      'passed on': -15,
      'killed with it': true,
      caught: 3,
      missing: [127, 126],
      protected: true,
      init: 5,
      delete: 0,
    })
  }, 150_000)
})

describe('a further process', () => {
  const id = `further-${process.pid}`
  const command = (...args: string[]): Result =>
    run(runsc, ['--root', join(shop.path, 'state-further'), ...args], { seconds: 60 })
  const file = (change: object): string => {
    const path = join(shop.path, 'process.json')
    const args = ['grep', 'Cpus_allowed_list', '/proc/self/status']
    writeFileSync(path, JSON.stringify({ args, cwd: '/', env: ['PATH=/bin'], ...change }))
    return path
  }
  const asFile = (change: object) => command('exec', '--process', file(change), id)

  beforeAll(() => {
    const bundle = shop.bundle(['sleep', '1000'], (c: Config) => {
      c.process.execCPUAffinity = { initial: '0-1', final: '1' }
      c.linux.personality = { domain: 'LINUX32' }
    })
    // Nobody waits for the end of what it may write.
    const nothing = openSync('/dev/null', 'r+')
    const root = ['--root', join(shop.path, 'state-further')]
    const { status } = spawnSync(runsc, [...root, 'run', '--detach', '--bundle', bundle, id], {
      stdio: [nothing, nothing, nothing],
    })
    closeSync(nothing)
    expect(status).toBe(0)
  })
  afterAll(() => command('delete', '--force', id))

  it('has the CPUs of execCPUAffinity, which the first one has not', () => {
    const list = /^Cpus_allowed_list:\s*(.*)$/m
    const own = command('exec', id, 'grep', 'Cpus_allowed_list', '/proc/self/status').stdout
    expect(list.exec(own)?.[1]).toBe('1')
    const first = command('exec', id, 'grep', 'Cpus_allowed_list', '/proc/1/status').stdout
    expect(list.exec(first)?.[1]).not.toBe('1')
    expect(list.exec(asFile({}).stdout)?.[1]).toBe('1')
    expect(list.exec(asFile({ execCPUAffinity: { final: '0' } }).stdout)?.[1]).toBe('0')
  })

  it('has the personality of the container', () => {
    expect(command('exec', id, 'uname', '-m').stdout).toBe('i686\n')
  })

  it.each([
    ['a CPU that is not there', { execCPUAffinity: { final: '4000' } }, 'of the CPUs 4000'],
    ['a list that is none', { execCPUAffinity: { final: 'all' } }, 'execCPUAffinity.final'],
    ['a variable without a value', { env: ['PATH'] }, 'env.0'],
    [
      'an argument that is too long',
      { args: ['true', 'x'.repeat(1 << 17)] },
      'argument list too long',
    ],
  ])('is refused: %s', (_what, change, words) => {
    const { status, stderr } = asFile(change)
    expect(status).not.toBe(0)
    expect(stderr).toContain(words)
    expect(stderr.trim().split('\n')).toHaveLength(1)
  })

  it('may have more arguments than are shown of it', () => {
    const args = ['sh', '-c', 'echo $#', ...Array<string>(15).fill('x'.repeat(100_000))]
    expect(asFile({ args })).toMatchObject({ status: 0, stdout: '14\n' })
  })

  it('has its variables as NAME=VALUE', () => {
    const { status, stderr } = command('exec', '--env', 'NAME', id, 'true')
    expect({ status, stderr }).toEqual({
      status: 128,
      stderr: 'runsc: --env takes NAME=VALUE, not "NAME"\n',
    })
  })
})

describe('a process given as a file', () => {
  let box: Oracle
  let bundle: string
  beforeAll(() => {
    box = oracle('exec-file')
    bundle = box.bundle(['sleep', '1000'], config => {
      config.process.user.additionalGids = [0, 7, 7, 5]
    })
  })
  afterAll(() => box.clean())

  const script = 'grep -E "^(Groups|CapEff|CapBnd)" /proc/self/status; id -G'
  const base = { cwd: '/', env: ['PATH=/bin'], args: ['sh', '-c', script] }
  const own = { bounding: ['CAP_CHOWN'], effective: ['CAP_CHOWN'], permitted: ['CAP_CHOWN'] }
  it.each([
    ['nothing said', { ...base, user: { uid: 0, gid: 0 } }],
    ['groups', { ...base, user: { uid: 0, gid: 0, additionalGids: [0, 0, 9, 3, 9] } }],
    [
      'capabilities',
      {
        ...base,
        user: { uid: 3, gid: 4 },
        capabilities: own,
      },
    ],
  ])('%s', (what, process) => {
    const file = join(box.path, 'process.json')
    writeFileSync(file, JSON.stringify(process))
    const [ours, runc] = [box.ours, box.runc].map(runtime => {
      const id = `${runtime.name}-${what.length}`
      expect(runtime.detached('run', '-d', '-b', bundle, id).status).toBe(0)
      const { stdout } = runtime.run('exec', '--process', file, id)
      runtime.run('delete', '--force', id)
      return stdout
    })
    expect(ours).toBe(runc)
    expect(ours).not.toBe('')
  })
})
