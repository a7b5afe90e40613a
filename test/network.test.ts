// --network=host: sockets of the host in the network namespace of the container, on both platforms. The C programs
// pass on Linux first, in a network namespace of their own.

import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_CAPABILITIES } from '../runsc/capabilities.ts'
import {
  type Config,
  cache,
  compile,
  PLATFORMS,
  platformWorks,
  type Result,
  root,
  run,
  runsc,
  temporary,
  writeBundle,
} from './run.ts'
import { descendants } from './tracing.ts'
import { until } from './until.ts'

const FOLDERS = ['test/network', 'test/syscalls']
const SHARED = ['inet.c', 'inet-data.c', 'inet-packets.c', 'netlink.c', 'sock-diag.c']
/** net.ipv4.ping_group_range as systemd sets it; the kernel's own lets nobody. */
const PING_GROUPS = '0 2147483647'
const withPing = (config: Config) => {
  config.linux.sysctl = { 'net.ipv4.ping_group_range': PING_GROUPS }
}
const box = temporary('network')
let count = 0

/** Where the kernel makes network namespaces for us; else nothing here can run. */
const possible = run('unshare', ['-n', 'true']).status === 0
if (!possible) console.warn('skipped: this machine lets us make no network namespace')

function build(folder: string, file: string): string {
  const flags = ['-O1', '-Wall', '-Wextra', '-pthread', `-I${join(root, 'test/syscalls')}`]
  return compile(join(root, folder, file), join(cache, `network/${file.slice(0, -2)}`), flags)
}

interface Options {
  platform?: string
  flags?: string[]
  change?: (config: Config) => void
  /** Limit of descriptors of runsc and all that it starts. */
  descriptors?: number
}

/** Runs a program from a bundle over the host's files, read-only, with a network namespace of its own. */
function inSandbox(args: string[], options: Options = {}): Result {
  const id = `network-${process.pid}-${count++}`
  const bundle = join(box.path, id)
  // The bundle's tmpfs would hide our programs and our Node.js if they lay below /tmp.
  const inside = args.map(arg => arg.replaceAll(root, '/mnt'))
  writeBundle(bundle, '/', inside, config => {
    config.root.readonly = true
    config.mounts.push({
      destination: '/mnt',
      type: 'bind',
      source: root,
      options: ['rbind', 'ro'],
    })
    const all = ['CAP_NET_RAW', 'CAP_NET_BIND_SERVICE', 'CAP_SETUID', 'CAP_KILL', 'CAP_SETGID']
    config.process.capabilities = { bounding: all, effective: all, permitted: all }
    options.change?.(config)
  })
  const flags = [`--root=${join(box.path, 'state')}`, ...(options.flags ?? ['--network=host'])]
  if (options.platform !== undefined) flags.push(`--platform=${options.platform}`)
  const limit = options.descriptors === undefined ? ':' : `ulimit -n ${options.descriptors}`
  const command = [
    '-c',
    `${limit}; exec "$@"`,
    'sh',
    runsc,
    ...flags,
    'run',
    '--bundle',
    bundle,
    id,
  ]
  return run('sh', command, { seconds: 120 })
}

const failures = ({ stdout, stderr, status }: Result) => {
  const bad = stdout.split('\n').filter(line => line.startsWith('not ok'))
  return /^1\.\.\d+$/m.test(stdout) ? bad : [...bad, `ended early: ${status} ${stderr.trim()}`]
}

afterAll(() => rmSync(box.path, { recursive: true, force: true }))

const programs = FOLDERS.flatMap(folder =>
  readdirSync(join(root, folder))
    .filter(file => file.endsWith('.c') && (folder === 'test/network' || SHARED.includes(file)))
    .map(file => [folder, file] as const),
)

describe.skipIf(!possible).each(programs)('%s/%s', (folder, file) => {
  it('on Linux', { timeout: 200_000 }, () => {
    const up = `ip link set lo up && echo '${PING_GROUPS}' > /proc/sys/net/ipv4/ping_group_range && exec "$@"`
    const result = run('unshare', ['-n', 'sh', '-c', up, 'sh', build(folder, file)])
    expect(failures(result)).toEqual([])
  })

  for (const platform of PLATFORMS) {
    it.skipIf(!platformWorks(platform))(`under ${platform}`, { timeout: 200_000 }, () => {
      const result = inSandbox([build(folder, file)], { platform, change: withPing })
      expect(failures(result)).toEqual([])
    })
  }

  it.skipIf(folder === 'test/network')('with --network=none and ping', { timeout: 200_000 }, () => {
    const flags = ['--network=none']
    expect(failures(inSandbox([build(folder, file)], { flags, change: withPing }))).toEqual([])
  })
})

describe.skipIf(!possible)('the processes of a sandbox with sockets of the host', () => {
  /** What each thread may do, and the descriptors of each process, while a program sleeps. */
  async function inspect(): Promise<{ capabilities: string[][]; descriptors: string[][] }> {
    const id = `network-${process.pid}-${count++}`
    const bundle = join(box.path, id)
    writeBundle(bundle, '/', ['sh', '-c', 'echo ready; sleep 60'], config => {
      config.root.readonly = true
      const all = [...ALL_CAPABILITIES]
      config.process.capabilities = { bounding: all, effective: all, permitted: all }
    })
    const flags = [`--root=${join(box.path, 'state')}`, '--network=host', 'run', '--bundle']
    const child = spawn(runsc, [...flags, bundle, id], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise(done => child.stdout.once('data', done))
    const line = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'latin1')
    const threads = (pid: number) =>
      readdirSync(`/proc/${pid}/task`)
        .map(Number)
        .sort((a, b) => a - b)
        .map(tid => readFileSync(`/proc/${pid}/task/${tid}/status`, 'latin1'))
        .map(status => /^CapEff:\s+(\S+)/m.exec(status)![1]!)
    const descriptors = (pid: number) =>
      readdirSync(`/proc/${pid}/fd`).map(fd => readlinkSync(`/proc/${pid}/fd/${fd}`))
    const look = () => {
      const [sentry] = descendants(child.pid!).filter(
        pid => /load\.cjs\0sentry/.test(line(pid)) && !line(pid).includes('--filter'),
      )
      const stubs = descendants(sentry!)
      return {
        capabilities: [threads(sentry!), stubs.flatMap(threads)],
        descriptors: [descriptors(sentry!), stubs.flatMap(descriptors)],
      }
    }
    let found: ReturnType<typeof look>
    // Until `sleep` sleeps and the next process waits for it, descriptors are handed over.
    await until('all are at rest', () => {
      try {
        found = look()
        return found.descriptors[1]!.length === 0
      } catch (error) {
        // It ended, or was closed, while we looked.
        if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code!)) return false
        throw error
      }
    })
    child.kill('SIGKILL')
    await new Promise(done => child.on('exit', done))
    // Killed like that, it leaves the container behind, with its cgroup.
    run(runsc, [flags[0]!, 'delete', '--force', id])
    return found!
  }

  it('have two capabilities, in the kernel thread alone', {
    timeout: 200_000,
  }, async () => {
    const { capabilities, descriptors } = await inspect()
    const [[kernel, ...others], stubs] = capabilities as [[string, ...string[]], string[]]
    // NET_BIND_SERVICE and NET_RAW, of all that the container has.
    expect(Number.parseInt(kernel, 16)).toBe(2 ** 10 + 2 ** 13)
    expect(others.length).toBeGreaterThan(0)
    for (const set of [...others, ...stubs]) expect(set).toMatch(/^0+$/)
    expect(descriptors[1]).toEqual([])
    // Of /proc, tables of the network and its own score; isolation.test.ts tells of the rest.
    const tables = descriptors[0]!.filter(target => target.startsWith('/1/'))
    expect(tables).toContain('/1/net/tcp')
    for (const target of tables) expect(target).toMatch(/^\/1\/(net\/\w+|oom_score_adj)$/)
  })
})

describe.skipIf(!possible)('the network namespace of a container', { timeout: 120_000 }, () => {
  const shell = (text: string, options: Options = {}) => inSandbox(['bash', '-c', text], options)

  it('is a new one with a loopback that is up', () => {
    const { stdout } = shell('cat /proc/net/dev | wc -l; exec 3<>/dev/udp/127.0.0.1/9; echo $?')
    expect(stdout).toBe('3\n0\n')
  })

  it('has the tunables of config.json', () => {
    const result = shell(
      'ping -c1 -W5 127.0.0.1 >/dev/null 2>&1; echo $?; cat /proc/net/if_inet6',
      {
        change: config => {
          config.linux.sysctl = {
            'net.ipv4.ip_unprivileged_port_start': '0',
            'net.ipv6.conf.lo.disable_ipv6': '1',
          }
        },
      },
    )
    expect(result.stdout).not.toContain('lo')
    expect(result.stderr).toBe('')
  })

  it('has low ports for everybody when a tunable says so', () => {
    const bind =
      "require('net').createServer().listen(80, () => { console.log('bound'); process.exit() })"
    const result = inSandbox([process.execPath, '-e', bind], {
      change: config => {
        config.process.user.uid = 1000
        config.linux.sysctl = { 'net.ipv4.ip_unprivileged_port_start': '80' }
      },
    })
    expect(result).toMatchObject({ stdout: 'bound\n', status: 0 })
  })

  it('is told in /proc/net as the sandbox knows it', () => {
    const listen = `
      const s = require('net').createServer().listen(7777, () => {
        const row = require('fs').readFileSync('/proc/net/tcp6', 'latin1').split('\\n').find(l => l.includes(':1E61'))
        const inode = row.trim().split(/ +/)[9]
        const own = require('fs').readdirSync('/proc/self/fd').map(fd => { try { return require('fs').readlinkSync('/proc/self/fd/' + fd) } catch {} })
        console.log(inode !== '0', own.includes('socket:[' + inode + ']'), row.trim().split(/ +/)[7])
        process.exit()
      })`
    const { stdout } = inSandbox([process.execPath, '-e', listen])
    expect(stdout).toBe('true true 0\n')
  })

  it('is not there with --network=none: the kernel has a loopback of its own', () => {
    const { stdout } = shell('exec 3<>/dev/udp/127.0.0.1/9; grep -c : /proc/net/dev', {
      flags: ['--network=none'],
    })
    expect(stdout).toBe('1\n')
  })

  it('is left by unshare: a program is alone with a loopback of the kernel', () => {
    const { stdout } = shell(
      'ip -o link | wc -l; unshare -n sh -c "ip -o link; wc -l < /proc/net/tcp"',
      {
        change: config => {
          for (const set of ['bounding', 'effective', 'permitted'])
            config.process.capabilities[set].push('CAP_SYS_ADMIN')
        },
      },
    )
    expect(stdout).toMatch(/^1\n1: lo: .*\n(?:.*\n)?1\n$/)
  })

  it('gives sockets only as long as the kernel has descriptors left for files', () => {
    const exhaust = `
import errno, resource, socket, subprocess
resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
sockets = []
try:
    for i in range(1 << 20): sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
except OSError as e: print(e.errno == errno.ENFILE)
print(subprocess.run(['cat', '/proc/sys/kernel/ostype'], capture_output=True).stdout)
sockets = sockets[:1]
socket.socket(socket.AF_INET, socket.SOCK_DGRAM)`
    const { stdout, stderr } = inSandbox(['python3', '-c', exhaust], {
      descriptors: 4000,
      change: config => {
        config.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 1 << 20 }]
      },
    })
    expect({ stdout, stderr }).toEqual({ stdout: "True\nb'Linux\\n'\n", stderr: '' })
  })

  describe('that exists', () => {
    let holder: ReturnType<typeof spawn>
    const path = () => `/proc/${holder.pid}/ns/net`
    const joined = (config: Config) => {
      for (const entry of config.linux.namespaces) if (entry.type === 'network') entry.path = path()
    }

    beforeAll(async () => {
      const server = `
        require('child_process').execFileSync('ip', ['link', 'set', 'lo', 'up'])
        require('net').createServer(s => s.end('from outside\\n')).listen(4321, '127.0.0.1', () => console.log('up'))`
      holder = spawn('unshare', ['-n', process.execPath, '-e', server])
      await new Promise(done => holder.stdout!.once('data', done))
      run('nsenter', [`--net=${path()}`, ...'ip link add v0 type veth peer name v1'.split(' ')])
    })
    afterAll(() => holder.kill('SIGKILL'))

    it('is joined', () => {
      const { stdout, stderr } = shell('exec 3<>/dev/tcp/127.0.0.1/4321; cat <&3', {
        change: joined,
      })
      expect({ stdout, stderr }).toEqual({ stdout: 'from outside\n', stderr: '' })
    })

    it('has its interfaces, by netlink, ioctl and sysfs', () => {
      const command = `ip -o link show v0 | cut -d: -f2; ip link del v0 2>&1
        cat /sys/class/net/v0/mtu; grep -c v0: /proc/net/dev; cat /sys/class/net/v0/address | wc -c`
      const { stdout } = shell(command, {
        change: config => {
          joined(config)
          config.mounts.push({ destination: '/sys', type: 'sysfs', source: 'sysfs' })
        },
      })
      expect(stdout).toBe(' v0@v1\nRTNETLINK answers: Operation not permitted\n1500\n1\n18\n')
    })

    it('is joined without the option, since config.json names it', () => {
      const { stdout } = shell('exec 3<>/dev/tcp/127.0.0.1/4321; cat <&3', {
        change: joined,
        flags: [],
      })
      expect(stdout).toBe('from outside\n')
    })
  })

  it('that does not exist is named in the error', () => {
    const { stderr, status } = inSandbox(['true'], {
      change: config => {
        for (const entry of config.linux.namespaces)
          if (entry.type === 'network') entry.path = '/nowhere/ns'
      },
    })
    expect(status).not.toBe(0)
    expect(stderr).toContain('/nowhere/ns')
    expect(stderr.trim().split('\n')).toHaveLength(1)
  })

  it('that is no namespace ends in one line', () => {
    const { stderr, status } = inSandbox(['true'], {
      change: config => {
        for (const entry of config.linux.namespaces)
          if (entry.type === 'network') entry.path = '/etc/passwd'
      },
    })
    expect(status).not.toBe(0)
    expect(stderr).toContain('/etc/passwd')
  })
})
