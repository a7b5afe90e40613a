// Pods: several containers in one sandbox, as containerd's and CRI-O's annotations ask for them.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { POD_OVERHEAD_MIB } from '../../runsc/install.ts'
import { type Config, type Result, run, runsc } from '../run.ts'
import { untilNow } from '../until.ts'
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

/** An engine's side of a console socket: what the program shows before and after a line for it. */
const CONSOLE = `
import array, os, socket, subprocess, sys, tempfile
runsc, root, bundle = sys.argv[1:]
path = os.path.join(tempfile.mkdtemp(), 's')
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
call = lambda *args: subprocess.run([runsc, '--root', root, *args], check=True, stdin=subprocess.DEVNULL)
call('create', '--bundle', bundle, '--console-socket', path, 'console')
message, data, *_ = listener.accept()[0].recvmsg(4096, 64)
master = array.array('i', data[0][2])[0]
call('start', 'console')
out = b''
while b'77' not in out: out += os.read(master, 4096)
sys.stdout.buffer.write(out)
os.write(master, b'hello\\n')
try:
    while chunk := os.read(master, 4096): sys.stdout.buffer.write(chunk)
except OSError: pass
call('delete', 'console')
`

const networkOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/net`)

/** Those that open sockets for a sandbox in a network namespace. */
const serversIn = (network: string): number[] =>
  run('pgrep', ['-f', 'socket-server.bpf'])
    .stdout.split('\n')
    .map(Number)
    .filter(pid => {
      try {
        return pid > 0 && networkOf(pid) === network
      } catch {
        return false
      }
    })

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
  const ids = ['one', 'two', 'many', 'console', 'first', 'last', POD, 'crio']
  for (const id of ids) command('delete', '--force', id)
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
  untilNow('its end', () => status('one') === 'stopped')
  expect([status('one'), status('two'), status(POD)]).toEqual(['stopped', 'running', 'running'])
  expect(command('delete', 'one').status).toBe(0)
  // Its id is free again.
  const again = command('run', '--bundle', bundle('echo again', 'has its own pids'), 'one')
  expect(again.stdout).toBe('again\n')
})

it('takes no more of the node than the RuntimeClass says', () => {
  const { paths } = JSON.parse(readFileSync(join(root(), POD, 'cgroup.json'), 'utf8'))
  const pids = readFileSync(join(Object.values<string>(paths)[0]!, 'cgroup.procs'), 'latin1')
  let privateKb = 0
  for (const pid of pids.trim().split('\n')) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
    for (const [, kb] of text.matchAll(/^Private_(?:Clean|Dirty): +(\d+)/gm))
      privateKb += Number(kb)
  }
  // Beside the pod's own container there is one more.
  expect(status('two')).toBe('running')
  expect(privateKb / 1024).toBeGreaterThan(POD_OVERHEAD_MIB / 3)
  expect(privateKb / 1024).toBeLessThan(POD_OVERHEAD_MIB)
})

it('has a terminal for a container behind a console socket, of the size that it is given', () => {
  const path = bundle('tty; stty size; read line; echo "got $line"', 'has its own pids', config => {
    config.process.terminal = true
    config.mounts.push({ destination: '/dev/pts', type: 'devpts', source: 'devpts' })
    config.process.consoleSize = { height: 33, width: 77 }
  })
  const { status, stdout, stderr } = run('python3', ['-c', CONSOLE, runsc, root(), path], {
    seconds: 60,
  })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(stdout.replaceAll('\r', '')).toBe('/dev/pts/0\n33 77\nhello\ngot hello\n')
})

it('signals every process of one container, and none of another', () => {
  for (const how of ['shares pids', 'has its own pids'] as const) {
    // Its children do not inherit a trap.
    const script = 'trap : TERM; sleep 601 & sleep 602 & wait; wait; exec sleep 603'
    detached('run', '--detach', '--bundle', bundle(script, how), 'many')
    const sleeps = () => command('ps', 'many').stdout.match(/sleep/g)?.length ?? 0
    untilNow('its processes', () => sleeps() === 2)
    expect(command('kill', '--all', 'many', 'TERM').status).toBe(0)
    untilNow(
      'they end',
      () => command('ps', 'many').stdout.split('\n').length === 3 && sleeps() === 1,
    )
    expect(command('kill', '--all', 'many', 'KILL').status).toBe(0)
    untilNow('the end', () => status('many') === 'stopped')
    expect([status('two'), status(POD)], how).toEqual(['running', 'running'])
    expect(command('delete', 'many').status).toBe(0)
  }
})

it('is made by the annotations of CRI-O, too', () => {
  const annotations = (kind: string) => ({
    'io.kubernetes.cri-o.ContainerType': kind,
    'io.kubernetes.cri-o.SandboxID': 'crio',
  })
  const pause = shop.bundle(['sleep', '600'], config => {
    config.hostname = 'of-crio'
    config.annotations = annotations('sandbox')
  })
  detached('run', '--detach', '--bundle', pause, 'crio')
  const path = bundle('hostname; echo $$', 'has its own pids', config => {
    config.annotations = annotations('container')
  })
  expect(command('run', '--bundle', path, 'in-crio').stdout).toBe('of-crio\n1\n')
  const nameless = bundle('true', 'has its own pids', config => {
    config.annotations = { 'io.kubernetes.cri-o.ContainerType': 'container' }
  })
  expect(command('run', '--bundle', nameless, 'nameless').stderr).toContain(
    'io.kubernetes.cri-o.SandboxID does not name the pod',
  )
  expect(command('delete', '--force', 'crio').status).toBe(0)
})

it('may have no first container, when the others share nothing', () => {
  const named = (shared: boolean) =>
    bundle('hostname; echo $$', 'has its own pids', config => {
      config.annotations['io.kubernetes.cri.sandbox-id'] = 'no-container'
      config.hostname = 'alone'
      if (shared) return
      config.linux.namespaces = ['mount', 'pid', 'ipc', 'uts', 'network'].map(type => ({ type }))
    })
  const alone = command('run', '--bundle', named(false), 'alone')
  expect(alone).toMatchObject({ status: 0, stdout: 'alone\n1\n' })
  const { status, stderr } = command('run', '--bundle', named(true), 'not-alone')
  expect(status).not.toBe(0)
  expect(stderr).toContain('no-container')
})

it('ends with its sandbox', () => {
  expect(status('two')).toBe('running')
  expect(command('kill', POD, 'KILL').status).toBe(0)
  untilNow('the end', () => status('two') === 'stopped')
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
  expect(stderr).toContain('belongs to no sandbox that this container can be in')
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
  const apart = shop.bundle(['sh', '-c', script], shares(['network']))
  expect(command('run', '--bundle', apart, 'apart').stdout).not.toContain('sleep 601')
  const last = shop.bundle(['sleep', '602'], shares(['pid', 'network']))
  detached('run', '--detach', '--bundle', last, 'last')
  expect(status('last')).toBe('running')
  // Of one that has joined another, too; and both outlive it.
  const joined = JSON.parse(command('state', 'last').stdout).pid
  const third = (types: string[], args: string[]) =>
    shop.bundle(args, (config: Config) => {
      config.linux.namespaces = ['mount', 'pid', 'ipc', 'uts', 'network'].map(type =>
        types.includes(type) ? { type, path: `/proc/${joined}/ns/${type}` } : { type },
      )
    })
  detached('run', '--detach', '--bundle', third(['pid'], ['sleep', '603']), 'third')
  expect(command('exec', 'third', 'sh', '-c', script).stdout).toMatch(/sleep 601.*sleep 602/s)
  // These IPC objects are its own, and no other sandbox has them.
  const other = command('run', '--bundle', third(['pid', 'ipc'], ['true']), 'other')
  expect(other.status).toBe(128)
  expect(other.stderr).toContain('belongs to no sandbox that this container can be in')
  expect(command('delete', '--force', 'last').status).toBe(0)
  expect(command('exec', 'third', 'sh', '-c', script).stdout).toContain('sleep 601')
  expect(command('delete', '--force', 'third').status).toBe(0)
  detached('run', '--detach', '--bundle', last, 'last')
  expect(command('delete', '--force', 'first').status).toBe(0)
  // With its first process, the pid namespace ends.
  await expect.poll(() => status('last'), { timeout: 60_000 }).toBe('stopped')
  command('delete', '--force', 'last')
})

it('gives a container that shares only processes a network of its own', async () => {
  const listens = 'echo served | nc -l -p 7000 & sleep 601'
  const first = shop.bundle(['sh', '-c', listens])
  detached('run', '--detach', '--bundle', first, 'first')
  const { pid } = JSON.parse(command('state', 'first').stdout)
  const beside = (script: string, network?: string) =>
    shop.bundle(['sh', '-c', script], (config: Config) => {
      const own = network === undefined ? { type: 'network' } : { type: 'network', path: network }
      config.linux.namespaces = [
        { type: 'mount' },
        { type: 'pid', path: `/proc/${pid}/ns/pid` },
        { type: 'ipc' },
        { type: 'uts' },
        ...(network === '' ? [] : [own]),
      ]
      config.linux.sysctl = { 'net.core.somaxconn': '77' }
      config.mounts.push({ destination: '/sys', type: 'sysfs', source: 'sysfs' })
      const rights = ['CAP_NET_RAW', 'CAP_SYS_ADMIN']
      for (const set of ['bounding', 'effective', 'permitted'])
        config.process.capabilities[set].push(...rights)
    })
  // Programs see one another, and not one another's ports: both may listen on one.
  const script = `
    cat /proc/[0-9]*/cmdline | tr "\\0" " "
    nc 127.0.0.1 7000 </dev/null || echo nobody
    echo mine | nc -l -p 7000 &
    until grep -q ":1B58 " /proc/net/tcp*; do sleep 0.1; done
    nc 127.0.0.1 7000 </dev/null
    ls /sys/class/net; ip -o link | wc -l
    ping -c 1 -w 9 127.0.0.1 | grep -c 'bytes from'
    until nsenter -t 1 -n nc 127.0.0.1 7000 </dev/null 2>/dev/null; do sleep 0.1; done`
  const { status: ended, stdout, stderr } = command('run', '--bundle', beside(script), 'beside')
  expect({ ended, stderr: stderr.replace(/^nc: .*\n/m, '') }).toEqual({ ended: 0, stderr: '' })
  expect(stdout).toMatch(/sleep 601.*nobody\nmine\nlo\n1\n1\nserved\n$/s)
  const last = beside('exec sleep 602')
  detached('run', '--detach', '--bundle', last, 'last')
  const own = JSON.parse(command('state', 'last').stdout).pid
  expect(networkOf(own)).not.toBe(networkOf(pid))
  const somaxconn = ['-t', `${own}`, '-n', 'cat', '/proc/sys/net/core/somaxconn']
  expect(run('nsenter', somaxconn).stdout).toBe('77\n')
  expect(command('exec', 'last', 'cat', '/sys/class/net/lo/operstate').stdout).toBe('unknown\n')
  const [server] = serversIn(networkOf(own))
  expect(server).toBeDefined()
  expect(command('delete', '--force', 'last').status).toBe(0)
  await expect.poll(() => existsSync(`/proc/${server}`), { timeout: 60_000 }).toBe(false)
  // Without who opens its sockets, it is of no use.
  detached('run', '--detach', '--bundle', last, 'last')
  const again = networkOf(JSON.parse(command('state', 'last').stdout).pid)
  process.kill(serversIn(again)[0]!, 'SIGKILL')
  await expect.poll(() => status('last'), { timeout: 60_000 }).toBe('stopped')
  expect(status('first')).toBe('running')
  for (const id of ['last', 'first']) command('delete', '--force', id)
})
