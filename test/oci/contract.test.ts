// What scripts and engines rely on beside the specification: runc's habits and the words of its messages.

import { spawn } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Config, type Result, run, runsc, temporary } from '../run.ts'
import { untilNow } from '../until.ts'
import { Workshop } from './both.ts'
import { type Oracle, oracle } from './bundles.ts'

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
}, 120_000)
afterAll(() => shop?.clean())

const sorted = ({ stdout }: Result) => stdout.split('\n').sort()

describe('the environment', () => {
  it.each([
    [['A=1', 'B=2', 'A=3', 'PATH=/bin']],
    [['HOME=', 'PATH=/bin']],
    [['HOME=/one', 'HOME=', 'PATH=/bin']],
    [['HOME=', 'HOME=/one', 'PATH=/none', 'PATH=/bin']],
    [['B=', 'B=a=b', 'C=\n', 'PATH=/bin']],
  ])('has each variable once, and a HOME: %j', env => {
    const { runc, ours } = shop.both('', c => {
      c.process.args = ['env']
      c.process.env = env
    })
    expect(sorted(ours)).toEqual(sorted(runc))
    expect(ours.status).toBe(0)
  })
})

describe('a program that cannot run', () => {
  const fails = (args: string[], change: (config: Config, bundle: string) => void = () => {}) =>
    shop.both('', (c, bundle) => {
      c.process.args = args
      change(c, bundle)
    })

  it('is told apart from one that is not there', () => {
    const { runc, ours } = fails(['/script'], (_, bundle) => {
      writeFileSync(join(bundle, 'rootfs/script'), '#!/no/interpreter\n')
      chmodSync(join(bundle, 'rootfs/script'), 0o755)
    })
    for (const { stderr, status } of [runc, ours]) {
      expect(stderr).toContain('exec /script: no such file or directory')
      expect(status).not.toBe(0)
    }
    const missing = fails(['/none'])
    expect(missing.runc.stderr).toContain('exec: \\"/none\\": ')
    expect(missing.ours.stderr).toContain('exec: "/none": no such file or directory')
  })

  it('may begin in a directory that only root may enter', () => {
    const { runc, ours } = fails(['pwd'], c => {
      c.process.user = { uid: 1000, gid: 1000 }
      c.process.cwd = '/closed'
      c.process.capabilities = {}
      c.mounts.push({
        destination: '/closed',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['mode=700'],
      })
    })
    expect(ours).toEqual(runc)
    expect(ours.stdout).toBe('/closed\n')
  })
})

describe('hooks', () => {
  it.each([
    'createRuntime',
    'createContainer',
    'startContainer',
  ])('%s: are told their name as it is given', kind => {
    const { runc, ours } = shop.both('true', c => {
      c.hooks = { [kind]: [{ path: '/bin/busybox', args: ['cat', '/no/such/file'] }] }
    })
    for (const { stderr } of [runc, ours]) expect(stderr).toContain("cat: can't open")
    expect(ours.stderr).toContain(`error running ${kind} hook #0: /bin/busybox: exit status 1`)
  })
})

describe('a terminal', () => {
  it('has no carriage returns for a pipe', () => {
    const bundle = shop.bundle(['sh', '-c', 'echo one; echo two'], c => {
      c.process.terminal = true
    })
    expect(shop.ours(bundle).stdout).toBe('one\ntwo\n')
  })

  it.each(['/dev/null', '/etc/hostname'])('may have %s as its input', file => {
    const bundle = shop.bundle(['sh', '-c', 'echo one'], c => {
      c.process.terminal = true
    })
    const command = [runsc, `--root=${join(shop.path, 'state')}`, 'run', '-b', bundle]
    const id = `contract-tty-${process.pid}`
    const { status, stdout, stderr } = run('sh', ['-c', `"$@" <${file}`, 'sh', ...command, id])
    expect(stderr).toBe('')
    expect(stdout).toContain('one\n')
    expect(status).toBe(0)
  })
})

describe('capabilities', () => {
  const sets = (text: string) => text.match(/^Cap\w+:\t\w+/gm)

  it('that cannot be ambient are left out, and told', () => {
    const { runc, ours } = shop.both('grep Cap /proc/self/status', c => {
      const caps = ['CAP_CHOWN', 'CAP_KILL']
      c.process.capabilities = {
        bounding: caps,
        effective: caps,
        permitted: caps,
        inheritable: ['CAP_KILL'],
        ambient: ['CAP_CHOWN', 'CAP_KILL', 'CAP_SYSLOG'],
      }
    })
    expect(sets(ours.stdout)).toEqual(sets(runc.stdout))
    for (const name of ['CAP_CHOWN', 'CAP_SYSLOG'])
      expect(ours.stderr).toContain(`can't raise ambient capability ${name}: `)
    expect(ours.stderr).not.toContain('CAP_KILL')
  })

  it.each([
    ['effective', 'CAP_SYSLOG'],
    ['inheritable', 'CAP_SYSLOG'],
  ])('that capset(2) refuses in the %s set are told', (set, name) => {
    const { runc, ours } = shop.both('true', c => {
      const caps = ['CAP_CHOWN']
      c.process.capabilities = { bounding: caps, permitted: caps, [set]: [name] }
    })
    expect(runc.status).not.toBe(0)
    expect(ours.stderr).toContain(`process.capabilities.${set}: ${name}`)
  })
})

describe('exec', () => {
  const id = `contract-${process.pid}`
  let both: Oracle
  beforeAll(() => {
    both = oracle('contract')
    const caps = ['CAP_CHOWN', 'CAP_KILL']
    const bundle = both.bundle(['sleep', '1000'], c => {
      c.process.capabilities = {
        bounding: [...caps, 'CAP_SYSLOG'],
        effective: caps,
        permitted: caps,
        inheritable: ['CAP_CHOWN', 'CAP_SYSLOG'],
        ambient: ['CAP_CHOWN'],
      }
      c.process.execCPUAffinity = { initial: '0', final: '0' }
      c.linux.personality = { domain: 'LINUX32' }
    })
    const { status, stderr } = both.ours.detached('run', '-d', '-b', bundle, id)
    expect(stderr).toBe('')
    expect(status).toBe(0)
  }, 120_000)
  afterAll(() => {
    both.ours.run('delete', '--force', id)
    both.clean()
  })

  const status = (field: string, text: string) =>
    new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(text)?.[1]

  it('makes what it adds ambient, where it is inheritable', () => {
    const { stdout } = both.ours.run('exec', '--cap', 'CAP_SYSLOG', id, 'cat', '/proc/self/status')
    expect(status('CapAmb', stdout)).toBe('0000000400000001')
    const plain = both.ours.run('exec', id, 'cat', '/proc/self/status').stdout
    expect(status('CapAmb', plain)).toBe('0000000000000001')
  })

  it('has the personality of its container', () => {
    expect(both.ours.run('exec', id, 'uname', '-m').stdout).toBe('i686\n')
  })

  it('takes its process from a pipe', () => {
    const json = JSON.stringify({ args: ['echo', 'piped'], cwd: '/', env: ['PATH=/bin'] })
    const script = 'printf %s "$0" | "$@" 3<&0 </dev/null'
    const { stdout, stderr } = run('sh', [
      ...['-c', script, json, runsc, `--root=${join(both.path, 'state-ours')}`],
      ...['exec', '--process', '/dev/fd/3', id],
    ])
    expect(stderr).toBe('')
    expect(stdout).toBe('piped\n')
  })

  it('keeps to the CPUs of execCPUAffinity', () => {
    const seen = both.ours.run('exec', id, 'cat', '/proc/self/status').stdout
    expect(status('Cpus_allowed_list', seen)).toBe('0')
    const process = join(both.path, 'process.json')
    const execWith = (final: string) => {
      const args = ['true']
      writeFileSync(process, JSON.stringify({ args, cwd: '/', execCPUAffinity: { final } }))
      return both.ours.run('exec', '--process', process, id)
    }
    expect(execWith('0').status).toBe(0)
    expect(execWith('60000').stderr).toContain('execCPUAffinity')
    expect(execWith('zero').stderr).toContain('execCPUAffinity.final')
  })
})

describe('ps', () => {
  it('takes what ps(1) takes, and knows of no process when there is none', () => {
    const id = `contract-ps-${process.pid}`
    const both = oracle('contract-ps')
    const bundle = both.bundle(['sleep', '1000'])
    for (const runtime of [both.ours, both.runc]) {
      expect(runtime.detached('run', '-d', '-b', bundle, id).status).toBe(0)
      for (const args of [
        ['ps', id],
        ['ps', id, '-e', '-f'],
        ['ps', id, '-ef'],
      ])
        expect(runtime.run(...args).stdout).toMatch(/^UID +PID .*\n.*sleep( 1000)?\n$/)
      runtime.run('kill', id, 'KILL')
      untilNow('it has ended', () => runtime.run('state', id).stdout.includes('"stopped"'))
      expect(runtime.run('ps', id).stdout).toMatch(/^UID +PID .*\n$/)
      expect(JSON.parse(runtime.run('ps', '--format', 'json', id).stdout) ?? []).toEqual([])
      expect(runtime.run('delete', id).status).toBe(0)
    }
    both.clean()
  })
})

describe('a user namespace that is named by a path', () => {
  it('has the ids of its maker', () => {
    const both = oracle('contract-users')
    const mappings = [
      { containerID: 0, hostID: 300000, size: 500 },
      { containerID: 1000, hostID: 700, size: 3 },
    ]
    run('chown', ['-R', '300000:300000', join(both.path, 'rootfs')])
    chmodSync(both.path, 0o755)
    const maker = both.bundle(['sleep', '1000'], c => {
      c.linux.namespaces.push({ type: 'user' })
      c.linux.uidMappings = mappings
      c.linux.gidMappings = mappings
    })
    const id = `contract-users-${process.pid}`
    const joining = (path: string) =>
      both.bundle(['cat', '/proc/self/uid_map', '/proc/self/gid_map'], c => {
        c.linux.namespaces.push({ type: 'user', path })
      })
    const map = '0 300000 500\n1000 700 3\n'
    expect(both.ours.detached('run', '-d', '-b', maker, id)).toMatchObject({ status: 0 })
    const { pid } = JSON.parse(both.ours.run('state', id).stdout)
    const inContainer = both.ours.run('run', '-b', joining(`/proc/${pid}/ns/user`), `${id}-2`)
    both.ours.run('delete', '--force', id)
    expect(inContainer.stderr).toBe('')
    expect(inContainer.stdout.replaceAll(/^ +| +(?= )/gm, '')).toBe(map + map)

    const foreign = spawn('unshare', ['--user', 'sleep', '1000'])
    const namespace = (of: number | string) => readlinkSync(`/proc/${of}/ns/user`)
    untilNow('it has a namespace of its own', () => namespace(foreign.pid!) !== namespace('self'))
    const text = mappings.map(m => `${m.containerID} ${m.hostID} ${m.size}`).join('\n')
    for (const kind of ['uid', 'gid']) writeFileSync(`/proc/${foreign.pid}/${kind}_map`, text)
    const inOther = both.ours.run('run', '-b', joining(`/proc/${foreign.pid}/ns/user`), `${id}-3`)
    foreign.kill('SIGKILL')
    expect(inOther).toEqual(inContainer)

    const nobodys = both.ours.run('run', '-b', joining('/proc/self/ns/user'), `${id}-4`)
    expect(nobodys.stderr).toContain('linux.uidMappings')
    both.clean()
  })
})

describe('mounts', () => {
  it('maps the ids of one mount, of all below it, or as the container does', () => {
    const dir = join(shop.path, 'mapped')
    const mappings = [{ containerID: 0, hostID: 5000, size: 1000 }]
    const maps = { uidMappings: mappings, gidMappings: mappings }
    const bind = (destination: string, ...options: string[]) =>
      ({ destination, type: 'bind', source: dir, options: ['rbind', ...options] }) as Config
    const script =
      'for d in /all /implied /not /one /some /zero; do test -e $d && stat -c "%n %u %g" $d/file $d/below/file; done; true'
    // A file system below the source, which nobody else sees.
    const inside = `mkdir -p ${dir}; mount -t tmpfs t ${dir}; touch ${dir}/file; mkdir ${dir}/below
      mount -t tmpfs t ${dir}/below; touch ${dir}/below/file; exec "$@"`
    const seen = (bundle: string) => {
      const command = [runsc, `--root=${join(shop.path, 'state')}`, 'run', '-b', bundle]
      const { stdout, stderr } = run('unshare', [
        ...['-m', 'sh', '-c', inside, 'sh'],
        ...[...command, `contract-map-${process.pid}`],
      ])
      expect(stderr).toBe('')
      return stdout.trim().split('\n')
    }
    const top = shop.bundle(['sh', '-c', script], c => {
      c.mounts.push({ ...bind('/all', 'ridmap'), ...maps }, { ...bind('/one', 'idmap'), ...maps })
      c.mounts.push({ ...bind('/some'), ...maps }, bind('/zero'))
    })
    expect(seen(top)).toEqual([
      ...['/all/file 5000 5000', '/all/below/file 5000 5000'],
      ...['/one/file 5000 5000', '/one/below/file 0 0'],
      ...['/some/file 5000 5000', '/some/below/file 0 0'],
      ...['/zero/file 0 0', '/zero/below/file 0 0'],
    ])
    const implied = shop.bundle(['sh', '-c', script], (c, path) => {
      c.linux.namespaces.push({ type: 'user' })
      const own = [{ containerID: 0, hostID: 100000, size: 1000 }]
      c.linux.uidMappings = own
      c.linux.gidMappings = own
      run('chown', ['-R', '100000:100000', join(path, 'rootfs')])
      c.mounts.push(bind('/implied', 'idmap'), bind('/not'))
    })
    expect(seen(implied)).toEqual([
      ...['/implied/file 0 0', '/implied/below/file 0 0'],
      ...['/not/file 65534 65534', '/not/below/file 65534 65534'],
    ])
  })

  it.each([
    ['', '-', '-'],
    ['shared', 'shared', '-'],
    ['rshared', 'shared', 'shared'],
    ['private', '-', '-'],
    ['unbindable', 'unbindable', '-'],
  ])('of a root that is to be "%s"', (kind, root, other) => {
    const script =
      'for d in / /tmp; do grep " $d rw" /proc/self/mountinfo | cut -d\' \' -f5,7; done'
    const bundle = shop.bundle(['sh', '-c', script], c => {
      c.linux.rootfsPropagation = kind
    })
    const { stdout } = shop.ours(bundle)
    expect(stdout.replaceAll(/:\d+/g, '')).toBe(`/ ${root}\n/tmp ${other}\n`)
  })

  it('of type tmpfs tell of the mode that they have from what they cover', () => {
    const script = 'stat -c %a /t; grep " /t " /proc/mounts'
    const bundle = shop.bundle(['sh', '-c', script], (c, path) => {
      mkdirSync(join(path, 'rootfs/t'))
      chmodSync(join(path, 'rootfs/t'), 0o2710)
      c.mounts.push({ destination: '/t', type: 'tmpfs', source: 'tmpfs', options: ['nodev'] })
    })
    expect(shop.ours(bundle).stdout).toMatch(/^2710\ntmpfs \/t tmpfs rw,nodev,relatime,mode=2710 /)
  })

  it.each(['proc', 'sysfs'])('of type %s go where they are to go, or nowhere', type => {
    const { runc, ours } = shop.both('true', (c, bundle) => {
      mkdirSync(join(bundle, 'rootfs/elsewhere'))
      symlinkSync('elsewhere', join(bundle, 'rootfs/link'))
      c.mounts.push({ destination: '/link', type, source: type })
    })
    for (const { status, stderr } of [runc, ours]) {
      expect(status).not.toBe(0)
      expect(stderr).toContain('must be mounted on ordinary directory')
    }
  })
})

describe('list', () => {
  it('tells in JSON what runc tells', () => {
    const id = `contract-list-${process.pid}`
    const both = oracle('contract-list')
    const bundle = both.bundle(['sleep', '1000'])
    const listed = (runtime: Oracle['ours']) => {
      expect(runtime.detached('run', '-d', '-b', bundle, id).status).toBe(0)
      const { stdout } = runtime.run('list', '--format', 'json')
      const [entry] = JSON.parse(stdout)
      runtime.run('kill', id, 'KILL')
      untilNow('it has ended', () => runtime.run('state', id).stdout.includes('"stopped"'))
      // Nobody is left to tell, which is what was wanted.
      expect(runtime.run('kill', '--all', id, 'KILL').status).toBe(0)
      expect(runtime.run('delete', id).status).toBe(0)
      return { keys: Object.keys(entry), ...entry, ociVersion: '', pid: entry.pid > 0, created: '' }
    }
    expect(listed(both.ours)).toEqual(listed(both.runc))
    both.clean()
  })
})

it('the starter configuration is that of runc', () => {
  const box = temporary('starter')
  const of = (command: string) => {
    expect(run(command, ['spec', '--bundle', box.path]).status).toBe(0)
    const file = join(box.path, 'config.json')
    const spec = JSON.parse(readFileSync(file, 'utf8'))
    run('rm', [file])
    // Names and versions; runc 1.1 still gave ambient capabilities.
    delete spec.process.capabilities.ambient
    return { ...spec, hostname: '', ociVersion: '' }
  }
  expect(of(runsc)).toEqual(of('runc'))
  box.clean()
})
