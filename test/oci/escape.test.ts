// Ways out of a container that other runtimes have had: each is tried, and must lead nowhere. What is outside of the
// bundle's root holds a secret, which no program may print, and where nobody may leave anything.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Config, cache, compile, heavy, type Result, root, run, runsc } from '../run.ts'
import { Workshop } from './both.ts'

const ROUNDS = heavy ? 100 : 8
const SECRET = 'what only the host may see'

let shop: Workshop
let swapper: string
let outside: string
beforeAll(() => {
  shop = new Workshop()
  swapper = compile(join(root, 'test/oci/swap.c'), join(cache, 'oci-swap'), ['-O1', '-Wall'])
  outside = join(shop.path, 'outside')
}, 120_000)
afterAll(() => shop?.clean())

let helpers: ChildProcess[] = []
beforeEach(() => {
  rmSync(outside, { recursive: true, force: true })
  mkdirSync(outside)
  writeFileSync(join(outside, 'secret'), SECRET)
})
afterEach(() => {
  for (const helper of helpers) helper.kill('SIGKILL')
  helpers = []
  expect(readdirSync(outside)).toEqual(['secret'])
  expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe(SECRET)
  expect(shop.left()).toEqual([])
})

/** Exchanges the two for as long as the test runs. */
function keepSwapping(a: string, b: string): void {
  helpers.push(spawn(swapper, [a, b], { stdio: 'ignore' }))
}

/** It either ran, or was refused by one line; in no case did it see the secret. */
function expectHarmless({ status, stdout, stderr }: Result): void {
  expect(stdout + stderr).not.toContain(SECRET)
  if (status === 128) expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  else expect(status, stderr).toBe(0)
}

const bind = (source: string, destination: string, ...options: string[]): Config => ({
  destination,
  type: 'bind',
  source,
  options: ['rbind', ...options],
})
const LOOK = 'cat /v/secret /v/t/secret /v/t/x/secret 2>/dev/null; cat /proc/mounts; true'

// CVE-2021-30465, CVE-2019-19921: between the check of a mount's destination and the mount, it becomes a link.
describe.each([
  ['to the outside', (to: string) => to],
  ['by dots', () => '../../../outside'],
  ['to the root', () => '/'],
  ['by /proc', () => '/proc/self/root/tmp'],
])('a mount destination that turns into a link %s', (_how, target) => {
  const source = () => {
    const path = join(shop.path, 'source')
    mkdirSync(path, { recursive: true })
    return path
  }

  it.each([
    ['at it', '/v/t'],
    ['below it', '/v/t/x'],
  ])('%s', (_where, destination) => {
    for (let i = 0; i < ROUNDS; i++) {
      const bundle = shop.bundle(['sh', '-c', LOOK], c => {
        c.mounts.push({ destination, type: 'tmpfs', source: 'tmpfs' })
        c.mounts.push(bind(source(), `${destination}/deep`))
      })
      const folder = join(bundle, 'rootfs/v')
      mkdirSync(join(folder, 't'), { recursive: true })
      symlinkSync(target(outside), join(folder, 'u'))
      keepSwapping(join(folder, 't'), join(folder, 'u'))
      expectHarmless(shop.ours(bundle))
      helpers.pop()!.kill('SIGKILL')
    }
  })
})

// The same in a volume that another container has: the place is made by the sandbox, through its gofer.
it('a mount destination in a shared volume that turns into a link', () => {
  for (let i = 0; i < ROUNDS; i++) {
    const volume = join(shop.path, `volume${i}`)
    mkdirSync(join(volume, 't'), { recursive: true })
    symlinkSync(outside, join(volume, 'u'))
    const bundle = shop.bundle(['sh', '-c', LOOK], c => {
      c.mounts.push(bind(volume, '/v'))
      c.mounts.push({ destination: '/v/t/x', type: 'tmpfs', source: 'tmpfs' })
    })
    keepSwapping(join(volume, 't'), join(volume, 'u'))
    expectHarmless(shop.ours(bundle))
    helpers.pop()!.kill('SIGKILL')
  }
})

it('a bind source that turns into a link and back, or vanishes', () => {
  for (let i = 0; i < ROUNDS; i++) {
    const volume = join(shop.path, `source${i}`)
    mkdirSync(join(volume, 'a'), { recursive: true })
    mkdirSync(join(volume, 'b'))
    const bundle = shop.bundle(['sh', '-c', LOOK], c => c.mounts.push(bind(`${volume}/a`, '/v')))
    const child = spawn('sh', [
      '-c',
      `while :; do mv ${volume}/a ${volume}/c; mv ${volume}/c ${volume}/a; done`,
    ])
    helpers.push(child)
    expectHarmless(shop.ours(bundle))
    child.kill('SIGKILL')
  }
})

it('a root that is exchanged while the container starts', () => {
  for (let i = 0; i < ROUNDS; i++) {
    const bundle = shop.bundle(['sh', '-c', LOOK])
    symlinkSync(outside, join(bundle, 'other'))
    keepSwapping(join(bundle, 'rootfs'), join(bundle, 'other'))
    const { status, stdout, stderr } = shop.ours(bundle)
    helpers.pop()!.kill('SIGKILL')
    // Whoever may exchange the bundle's root may as well name another one: only that it ends in one line counts.
    expect(stdout + stderr).not.toContain(SECRET)
    expect([0, 126, 127, 128]).toContain(status)
    // What was made in the other root, of mountpoints, is no escape either.
    for (const name of readdirSync(outside))
      if (name !== 'secret') rmSync(join(outside, name), { recursive: true })
  }
})

// CVE-2025-31133: runc took /dev/null of the container for the mask, which the container could have made a link.
describe('masked and read-only paths', () => {
  const withLinks = (change: (c: Config, bundle: string) => void): Result =>
    shop.ours(
      shop.bundle(
        [
          'sh',
          '-c',
          'cat /masked /dir/* /proc/kcore /dev/null; echo x >/readonly/x; echo y >/dev/null; ls /dir; cat /readonly/secret',
        ],
        (c, bundle) => {
          const rootfs = join(bundle, 'rootfs')
          mkdirSync(join(bundle, 'dev'))
          symlinkSync(join(outside, 'secret'), join(bundle, 'dev/null'))
          symlinkSync(join(outside, 'secret'), join(bundle, 'dev/console'))
          symlinkSync(outside, join(bundle, 'dev/pts'))
          c.mounts = c.mounts.filter(({ destination }: Config) => destination !== '/dev')
          c.mounts.push(bind(join(bundle, 'dev'), '/dev'))
          writeFileSync(join(rootfs, 'masked'), SECRET)
          mkdirSync(join(rootfs, 'dir'))
          writeFileSync(join(rootfs, 'dir/file'), SECRET)
          symlinkSync(outside, join(rootfs, 'readonly'))
          c.linux.maskedPaths = ['/masked', '/dir', '/proc/kcore', '/none']
          c.linux.readonlyPaths = ['/readonly', '/proc/sys']
          change(c, bundle)
        },
      ),
    )

  it('do not depend on the devices that the container brings', () => {
    const { stdout, stderr } = withLinks(() => {})
    expect(stdout + stderr).not.toContain(SECRET)
  })

  it('that are links mask what these lead to, inside', () => {
    const { stdout, stderr } = withLinks((c, bundle) => {
      rmSync(join(bundle, 'rootfs/masked'))
      writeFileSync(join(bundle, 'rootfs/target'), SECRET)
      symlinkSync('/target', join(bundle, 'rootfs/masked'))
      c.process.args = ['sh', '-c', 'cat /masked /target']
    })
    expect(stdout + stderr).not.toContain(SECRET)
  })
})

// CVE-2025-52565: the terminal was bound over /dev/console, which could be a link by then.
it('a console in a /dev of the container that is a link', () => {
  const bundle = shop.bundle(
    ['sh', '-c', 'echo written >/dev/console; ls -l /dev /dev/pts'],
    (c, path) => {
      mkdirSync(join(path, 'dev'))
      symlinkSync(join(outside, 'console'), join(path, 'dev/console'))
      symlinkSync(outside, join(path, 'dev/pts'))
      c.mounts = c.mounts.filter(({ destination }: Config) => destination !== '/dev')
      c.mounts.push(bind(join(path, 'dev'), '/dev'))
      c.process.terminal = true
    },
  )
  const { stdout } = run('script', [
    '-qec',
    `${runsc} --root ${shop.path}/state-ours run -b ${bundle} c-${process.pid}`,
    '/dev/null',
  ])
  expect(stdout).not.toContain(SECRET)
})

// CVE-2025-52881: settings were written to where a /proc that the container had rearranged led.
it('sysctls do not go through the file system', () => {
  const host = readFileSync('/proc/sys/kernel/domainname', 'utf8')
  for (const destination of ['/proc', '/proc/sys', '/proc/sys/kernel']) {
    const bundle = shop.bundle(
      ['sh', '-c', 'cat /proc/sys/kernel/domainname; ls /v'],
      (c, path) => {
        mkdirSync(join(path, 'fake/kernel'), { recursive: true })
        symlinkSync(join(outside, 'secret'), join(path, 'fake/kernel/domainname'))
        c.mounts.push(bind(join(path, 'fake'), destination))
        c.linux.sysctl = { 'kernel.domainname': 'changed' }
      },
    )
    expect(shop.ours(bundle).stdout).not.toContain(SECRET)
  }
  expect(readFileSync('/proc/sys/kernel/domainname', 'utf8')).toBe(host)
})

// CVE-2024-21626: a descriptor of the host leaked into the container, and its working directory was it.
describe('descriptors that runsc was started with', () => {
  // With gaps between: to close one after the other up to the first free number is not enough.
  const each = (command: string) => `for n in 3 5 7 9 15 17 20 40 100 250; do ${command}; done`
  const open = () => each(`eval "exec $n<${outside}"`)
  const bash = (command: string): Result => run('bash', ['-c', `${open()}; ${command}`])
  const state = () => `--root ${shop.path}/state-ours`

  it.each([
    '/proc/self/fd/7',
    '/proc/self/fd/7/..',
    '/proc/1/fd/100',
    '/dev/fd/9/../..',
  ])('are not in the working directory %s', cwd => {
    const look = 'cat secret; cat outside/secret; cat ../secret; pwd; ls'
    const bundle = shop.bundle(['sh', '-c', look], c => {
      c.process.cwd = cwd
    })
    const { stdout, stderr } = bash(`${runsc} ${state()} run -b ${bundle} w-${process.pid}`)
    expect(stdout + stderr).not.toContain(SECRET)
  })

  it('are in no process of the sandbox', () => {
    const id = `leak-${process.pid}`
    const bundle = shop.bundle(['sh', '-c', 'ls -l /proc/self/fd /proc/1/fd; sleep 100'])
    const script = `${open()}
      ${runsc} ${state()} run -d -b ${bundle} ${id} </dev/null >${bundle}/out 2>&1
      ${runsc} ${state()} exec -d ${id} sleep 100 </dev/null >>${bundle}/out 2>&1
      ${each('eval "exec $n<&-"')}
      for p in /proc/[0-9]*; do
        echo "process $(tr '\\0' ' ' <$p/cmdline)"; ls -l $p/fd | sed -n 's/.* -> /leads to /p'
      done
      ${runsc} ${state()} delete --force ${id}`
    // In a pid namespace: all processes in sight are ours.
    const namespace = ['--pid', '--fork', '--mount-proc', '--kill-child']
    const { stdout } = run('unshare', [...namespace, 'bash', '-c', script])
    for (const name of ['sleep', 'sentry', 'gofer'])
      expect(stdout).toMatch(new RegExp(`^process .*${name}`, 'm'))
    expect(stdout).not.toMatch(/^leads to .*outside/m)
    expect(stdout).toMatch(/^leads to /m)
    expect(readFileSync(join(bundle, 'out'), 'utf8')).not.toContain('outside')
  })

  it('that are handed over on purpose lead nowhere', () => {
    const id = `kept-${process.pid}`
    const bundle = shop.bundle(['sleep', '100'])
    const started = bash(`${runsc} ${state()} run -d -b ${bundle} ${id} </dev/null >/dev/null 2>&1`)
    expect(started.status).toBe(0)
    for (const look of [
      'ls -l /proc/self/fd; cd /proc/self/fd; cat */secret */../outside/secret */../../etc/shadow',
      'cd /proc/self/fd/3 && cat secret && cd .. && ls; cd /proc/self/fd/5/.. && ls',
      'ls /proc/self/fd/3/..; ls /dev/fd/5/',
    ]) {
      const { stdout, stderr } = bash(
        `${runsc} ${state()} exec --preserve-fds 8 ${id} sh -c '${look}' </dev/null`,
      )
      expect(stdout + stderr).not.toMatch(/what only the host|^root:/m)
    }
    const { stdout } = bash(`${runsc} ${state()} exec --cwd /proc/self/fd/7 ${id} cat secret`)
    expect(stdout).not.toContain(SECRET)
    expect(run(runsc, [...state().split(' '), 'delete', '--force', id]).status).toBe(0)
  })
})
