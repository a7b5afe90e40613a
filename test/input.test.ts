// Bad input, table by table: configurations, states, ids and command lines. Each gets one line that names what is
// wrong, exit status 128, and leaves nothing behind.

import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Config, type Result, run, runsc, temporary, writeBundle } from './run.ts'

const box = temporary('input')
afterAll(() => box.clean())
const state = join(box.path, 'state')
const cli = (...args: string[]): Result => run(runsc, [`--root=${state}`, ...args], { seconds: 60 })

/** Names the container's cgroup too, which tests that run at the same time must not share. */
const ID = `input-${process.pid}`

let bundles = 0
function bundle(change: (config: Config) => void = () => {}): string {
  const path = join(box.path, `bundle${bundles++}`)
  mkdirSync(join(path, 'rootfs/bin'), { recursive: true })
  cpSync('/bin/busybox', join(path, 'rootfs/bin/busybox'), { dereference: true })
  writeBundle(path, 'rootfs', ['/bin/busybox', 'true'], change)
  return path
}

/** A failure of runsc itself: one short line, with these words, and the status. */
function expectError(result: Result, words: readonly string[], status = 128): void {
  expect(result.stdout).toBe('')
  expect(result.stderr.trimEnd().split('\n')).toHaveLength(1)
  expect(result.stderr.length).toBeLessThan(2000)
  for (const word of words) expect(result.stderr).toContain(word)
  expect(result.status).toBe(status)
  expect(existsSync(state) ? readdirSync(state) : []).toEqual([])
}

const tooLong = 'x'.repeat(10 << 20)
/** What is changed, what the message names. */
const WRONG: [string, (config: Config) => unknown, string[]][] = [
  ['no ociVersion', c => delete c.ociVersion, ['ociVersion']],
  ['ociVersion of a wrong type', c => (c.ociVersion = 1), ['ociVersion', 'string']],
  ['no process', c => delete c.process, ['process', 'missing']],
  ['process of a wrong type', c => (c.process = []), ['process']],
  ['no args', c => delete c.process.args, ['process.args', 'missing']],
  ['empty args', c => (c.process.args = []), ['process.args', 'at least one']],
  ['args with a number', c => (c.process.args = ['sh', 7]), ['process.args.1', 'string']],
  ['args with NUL', c => (c.process.args = ['a\0b']), ['process.args.0', 'NUL']],
  ['env of a wrong type', c => (c.process.env = { A: 'b' }), ['process.env', 'rray']],
  ['env with NUL', c => (c.process.env = ['A=\0']), ['process.env.0', 'NUL']],
  ['cwd with NUL', c => (c.process.cwd = '/\0'), ['process.cwd', 'NUL']],
  ['a relative cwd', c => (c.process.cwd = 'tmp'), ['process.cwd', 'absolute']],
  ['a negative uid', c => (c.process.user.uid = -1), ['process.user.uid']],
  ['a broken uid', c => (c.process.user.uid = 1.5), ['process.user.uid', 'integer']],
  ['a huge gid', c => (c.process.user.gid = 2 ** 40), ['process.user.gid']],
  [
    'groups of a wrong type',
    c => (c.process.user.additionalGids = ['wheel']),
    ['additionalGids.0', 'number'],
  ],
  ['terminal of a wrong type', c => (c.process.terminal = 'yes'), ['process.terminal', 'boolean']],
  [
    'an effective capability that is not permitted',
    c => (c.process.capabilities = { bounding: [], effective: ['CAP_KILL'] }),
    ['effective', 'CAP_KILL', 'permitted'],
  ],
  [
    'an unknown limit',
    c => (c.process.rlimits = [{ type: 'RLIMIT_FUN', soft: 1, hard: 1 }]),
    ['RLIMIT_FUN'],
  ],
  [
    'a limit above its hard one',
    c => (c.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 9, hard: 1 }]),
    ['RLIMIT_NOFILE'],
  ],
  ['no root', c => delete c.root, ['root', 'missing']],
  ['no root path', c => delete c.root.path, ['root.path', 'missing']],
  ['an empty root path', c => (c.root.path = ''), ['root.path']],
  ['a missing root', c => (c.root.path = 'none'), ['none', 'o such file']],
  ['a root that is a file', c => (c.root.path = 'config.json'), ['config.json', 'directory']],
  ['readonly of a wrong type', c => (c.root.readonly = 1), ['root.readonly', 'boolean']],
  ['hostname of a wrong type', c => (c.hostname = {}), ['hostname', 'string']],
  ['a hostname that is too long', c => (c.hostname = 'h'.repeat(65)), ['hostname']],
  ['a hostname of 10 MB', c => (c.hostname = tooLong), ['hostname']],
  ['mounts of a wrong type', c => (c.mounts = {}), ['mounts', 'rray']],
  [
    'a mount without destination',
    c => (c.mounts = [{ type: 'proc' }]),
    ['mounts.0.destination', 'missing'],
  ],
  [
    'an unknown file system',
    c => c.mounts.push({ destination: '/x', type: 'nosuchfs' }),
    ['/x', 'nosuchfs'],
  ],
  [
    'an unknown option',
    c => c.mounts.push({ destination: '/x', type: 'tmpfs', options: ['nosuchoption=1'] }),
    ['/x'],
  ],
  [
    'a missing source',
    c =>
      c.mounts.push({ destination: '/x', type: 'bind', source: '/none/such', options: ['bind'] }),
    ['/none/such'],
  ],
  [
    'a source of 10 MB',
    c =>
      c.mounts.push({ destination: '/x', type: 'bind', source: `/${tooLong}`, options: ['bind'] }),
    ['4095 bytes'],
  ],
  [
    'a destination of 10 MB',
    c => c.mounts.push({ destination: `/${tooLong}`, type: 'tmpfs' }),
    ['4095 bytes'],
  ],
  ['annotations of a wrong type', c => (c.annotations = { a: 1 }), ['annotations.a', 'string']],
  ['linux of a wrong type', c => (c.linux = 7), ['linux', 'bject']],
]

describe('config.json', () => {
  it.each(WRONG)('with %s', (_what, change, words) => {
    expectError(
      cli(
        'run',
        '--bundle',
        bundle(c => void change(c)),
        ID,
      ),
      words,
    )
  })

  it.each([
    ['', 'JSON'],
    ['{', 'JSON'],
    ['null', 'the whole document'],
    ['[]', 'the whole document'],
    ['"text"', 'the whole document'],
    ['\0\0\0', 'JSON'],
    ['['.repeat(100_000), 'JSON'],
    [`{"ociVersion": "${'1'.repeat(17 << 20)}"}`, 'bytes'],
  ])('that is %.20s', (text, word) => {
    const path = bundle()
    writeFileSync(join(path, 'config.json'), text)
    expectError(cli('run', '--bundle', path, ID), ['config.json', word])
  })

  it('that is missing, or no file', () => {
    const path = join(box.path, 'empty')
    mkdirSync(join(path, 'sub/config.json'), { recursive: true })
    expectError(cli('run', '--bundle', path, ID), ['config.json', 'does not exist'])
    expectError(cli('run', '--bundle', join(box.path, 'nowhere'), ID), ['does not exist'])
    expectError(cli('run', '--bundle', join(path, 'sub'), ID), [
      'config.json',
      'not a regular file',
    ])
  })

  it('with a program that is missing, or cannot be executed', () => {
    expectError(
      cli(
        'run',
        '--bundle',
        bundle(c => (c.process.args = ['/none'])),
        ID,
      ),
      ['/none'],
      127,
    )
    expectError(
      cli(
        'run',
        '--bundle',
        bundle(c => (c.process.args = ['nosuch'])),
        ID,
      ),
      ['nosuch'],
      127,
    )
    expectError(
      cli(
        'run',
        '--bundle',
        bundle(c => (c.process.args = ['/bin'])),
        ID,
      ),
      ['/bin'],
      126,
    )
    const long = cli(
      'run',
      '--bundle',
      bundle(c => (c.process.args = ['/bin/busybox', tooLong])),
      ID,
    )
    expect(long.status).not.toBe(0)
    expect(long.stderr.length).toBeLessThan(2000)
  })
})

describe('mount destinations', () => {
  let outside = ''
  beforeAll(() => {
    outside = join(box.path, 'outside')
    mkdirSync(outside)
  })

  const mountAt = (destination: string, links: (root: string) => void): Result => {
    const path = bundle(c => {
      c.process.args = ['/bin/busybox', 'mount']
      c.mounts = [{ destination, type: 'tmpfs', source: 'here' }]
    })
    links(join(path, 'rootfs'))
    return cli('run', '--bundle', path, ID)
  }

  it.each([
    [
      'a link to the outside',
      '/link/made',
      (root: string) => symlinkSync(outside, join(root, 'link')),
    ],
    [
      'a link by dots',
      '/link/made',
      (root: string) => symlinkSync('../../outside', join(root, 'link')),
    ],
    [
      'a link as the last',
      '/link',
      (root: string) => symlinkSync(join(outside, 'made'), join(root, 'link')),
    ],
    ['dots', '/../../../../../outside/made', () => {}],
    ['dots after a directory', '/bin/../../../outside/made', () => {}],
    [
      'a link to a link',
      '/a/made',
      (root: string) => {
        symlinkSync('b', join(root, 'a'))
        symlinkSync(outside, join(root, 'b'))
      },
    ],
    [
      'a link through /proc',
      '/link/made',
      (root: string) => symlinkSync('/proc/self/root/tmp', join(root, 'link')),
    ],
  ])('stay inside: %s', (_what, destination, links) => {
    const result = mountAt(destination, links)
    expect(readdirSync(outside)).toEqual([])
    expect(existsSync('/tmp/made')).toBe(false)
    // Either it was mounted, inside, or it was refused in one line.
    if (result.status === 0) expect(result.stdout).toMatch(/^here on \/.* type tmpfs/m)
    else expect(result.stderr.trimEnd().split('\n')).toHaveLength(1)
  })

  it('a loop of links is an error', () => {
    const result = mountAt('/loop/x', root => symlinkSync('loop', join(root, 'loop')))
    expectError(result, ['/loop'])
  })

  it('a file in the way is an error', () => {
    const result = mountAt('/bin/busybox/x', () => {})
    expectError(result, ['/bin/busybox/x'])
  })
})

describe('state', () => {
  it.each([
    ['nothing', ''],
    ['no JSON', '{{{'],
    ['another type', '[]'],
    ['half', '{"id":"broken"'],
    ['wrong fields', '{"id":1,"bundle":2,"pid":"x"}'],
    [
      'a negative pid',
      JSON.stringify({
        id: 'broken',
        bundle: '/',
        pid: -1,
        startTime: '',
        started: true,
        created: '',
        owner: 0,
        annotations: {},
      }),
    ],
    ['too much', ' '.repeat(33 << 20)],
    ['NULs', '\0'.repeat(100)],
  ])('that is damaged (%s) can be told and removed', (_what, text) => {
    mkdirSync(join(state, 'broken'), { recursive: true })
    writeFileSync(join(state, 'broken/state.json'), text)
    for (const command of [
      ['state', 'broken'],
      ['start', 'broken'],
      ['kill', 'broken', 'TERM'],
      ['delete', 'broken'],
    ]) {
      const { status, stderr } = cli(...command)
      expect(status).toBe(128)
      expect(stderr).toContain('damaged')
      expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    }
    expect(cli('list').status).toBe(0)
    expect(cli('run', '--bundle', bundle(), 'broken').stderr).toContain('exists')
    expect(cli('delete', '--force', 'broken').status).toBe(0)
    expect(readdirSync(state)).toEqual([])
  })

  it('of a process that is another one by now counts as stopped', () => {
    mkdirSync(join(state, 'old'), { recursive: true })
    const old = {
      id: 'old',
      bundle: '/',
      pid: process.pid,
      startTime: '1',
      started: true,
      created: '',
      owner: 0,
      annotations: {},
    }
    writeFileSync(join(state, 'old/state.json'), JSON.stringify(old))
    expect(JSON.parse(cli('state', 'old').stdout).status).toBe('stopped')
    expect(cli('kill', 'old', 'KILL').status).toBe(128)
    expect(cli('delete', 'old').status).toBe(0)
  })

  it('directory that is empty blocks nothing for good', () => {
    mkdirSync(join(state, 'half'), { recursive: true })
    expect(cli('state', 'half').status).toBe(128)
    expect(cli('list').status).toBe(0)
    expect(cli('delete', '--force', 'half').status).toBe(0)
    expect(cli('run', '--bundle', bundle(), 'half').status).toBe(0)
  })

  it('is never looked for outside of its directory', () => {
    for (const id of [
      '',
      '.',
      '..',
      '../x',
      'a/b',
      '/etc',
      'a b',
      '-',
      'ä',
      'x'.repeat(2000),
      'a\nb',
    ])
      for (const command of ['state', 'start', 'delete', 'create']) {
        const { status, stderr } = cli(command, '--', id)
        expect(status).toBe(128)
        expect(stderr).not.toMatch(/\bat .*\.(m?js|ts):/)
      }
    expect(lstatSync(state).isDirectory()).toBe(true)
  })
})

describe('command line', () => {
  it.each([
    [
      ['strat', 'x'],
      ['strat', 'start'],
    ],
    [['lst'], ['lst', 'list']],
    [
      ['--plattform=ptrace', 'list'],
      ['plattform', 'platform'],
    ],
    [
      ['--platform=quantum', 'list'],
      ['quantum', 'systrap'],
    ],
    [['--network=moon', 'list'], ['moon']],
    [
      ['run', '--bundel', '/x', 'c'],
      ['bundel', 'bundle'],
    ],
    [['run'], ['id']],
    [['state'], ['id']],
    [['list', 'too', 'many'], ['argument']],
    [['kill', 'c', 'NOSUCH'], []],
    [['do'], ['command']],
    [['do', '--uid', 'x', 'true'], ['uid']],
    [['do', '--uid', '-1', 'true'], ['uid']],
    [['do', '--cwd', 'relative', 'true'], ['cwd']],
    [['do', '--root', '/none/such', 'true'], ['/none/such']],
  ])('%j', (args, words) => {
    const result = run(runsc, [`--root=${state}`, ...args])
    expectError(result, words)
  })
})
