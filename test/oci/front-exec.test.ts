// `exec --process FILE --detach` without Node.js: the sandbox is asked for the same process as by Node, or, where anything is unusual, for none.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_CAPABILITIES } from '../../runsc/capabilities.ts'
import { processStartTime } from '../../runsc/state.ts'
import { stateText } from '../../runsc/state-text.ts'
import { root, run, runsc } from '../run.ts'
import { until } from '../until.ts'
import { type Oracle, oracle } from './bundles.ts'
import { frontAlone, LEFT_TO_NODE, PINNED } from './front-alone.ts'

const LIMITS =
  'CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME'

let box: Oracle
let state: string
let alone: string
beforeAll(() => {
  box = oracle('front-exec')
  state = join(box.path, 'state-ours')
  alone = frontAlone(box.path, 'stand-in')
})
afterAll(() => box.clean())

interface Ended {
  status: number
  output: string
}

/** Runs a command line; what it starts may keep its output. */
async function command(program: string, ...args: string[]): Promise<Ended> {
  const file = join(box.path, `output-${Math.random()}`)
  const fd = openSync(file, 'w')
  const child = spawn(program, args, { stdio: ['ignore', fd, fd] })
  closeSync(fd)
  const [status] = await once(child, 'exit')
  const output = readFileSync(file, 'utf8')
  rmSync(file)
  return { status, output }
}

const exec = (...args: string[]) => [`--root=${state}`, 'exec', '--detach', ...args]
const byFront = (...args: string[]) => command(alone, ...exec(...args))
const byBoth = (...args: string[]) => command(runsc, ...exec(...args))
const byNode = (...args: string[]) =>
  command(join(root, PINNED), join(root, 'build/load.cjs'), 'runsc', ...exec(...args))

const QUIET = { status: 0, output: '' }
const LEFT = { status: LEFT_TO_NODE, output: '' }
const PLAIN = {
  user: { uid: 0, gid: 0 },
  args: ['/bin/true'],
  env: ['PATH=/bin'],
  cwd: '/',
}

function processFile(text: string): string {
  const file = join(box.path, 'process.json')
  rmSync(file, { force: true })
  writeFileSync(file, text)
  return file
}

/** A container whose sandbox only notes what it is asked for, and refuses it. */
describe('the request', () => {
  let server: Server
  let program: ChildProcess
  let asked: string[]
  beforeAll(async () => {
    const folder = join(state, 'noted')
    mkdirSync(folder, { recursive: true })
    program = spawn('sleep', ['1000'], { stdio: 'ignore' })
    const pid = program.pid!
    await until('sleep runs', () => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n')
    const text = stateText(
      {
        id: 'noted',
        bundle: '/',
        pid,
        startTime: processStartTime(pid)!,
        started: true,
        created: '',
        owner: 0,
        annotations: {},
        freezer: '',
        hooks: { poststart: [], poststop: [] },
      },
      { directories: [], removable: true, executable: true },
    )
    writeFileSync(join(folder, 'state.json'), text)
    server = createServer(connection => {
      let line = ''
      connection.on('error', () => {})
      connection.on('data', bytes => {
        line += String(bytes)
        if (!line.endsWith('\n')) return
        asked.push(line)
        connection.end('{"error":"not here"}')
      })
    })
    server.listen(join(folder, 'control.sock'))
    await once(server, 'listening')
  })
  afterAll(() => {
    program.kill('SIGKILL')
    server.close()
    rmSync(join(state, 'noted'), { recursive: true })
  })

  const requests = async (by: typeof byFront, text: string): Promise<[Ended, unknown[]]> => {
    asked = []
    const ended = await by('--process', processFile(text), 'noted')
    return [ended, asked.map(line => JSON.parse(line))]
  }

  const every = [...ALL_CAPABILITIES]
  const limits = (soft: string, hard: string) =>
    LIMITS.split(' ').map(name => `{"type":"RLIMIT_${name}","hard":${hard},"soft":${soft}}`)
  const withField = (field: string) => `{${field},${JSON.stringify(PLAIN).slice(1)}`

  it.each<[string, string]>([
    ['little', '{"args":["a"],"cwd":"/"}'],
    ['plain', JSON.stringify(PLAIN)],
    ['set out', JSON.stringify({ ...PLAIN, args: ['a', '', 'b c'], env: [] }, null, '\t')],
    [
      'much',
      JSON.stringify({
        ...PLAIN,
        terminal: false,
        user: { uid: 4294967295, gid: 7, umask: 0o27, additionalGids: [1, 2, 3], username: 'x' },
        noNewPrivileges: true,
        oomScoreAdj: -999,
        apparmorProfile: 'a',
        selinuxLabel: '',
        rlimits: [],
        capabilities: {
          bounding: every,
          permitted: every,
          effective: every.slice(20),
          inheritable: every.slice(10),
          ambient: every.slice(30),
        },
      }),
    ],
    ['escapes', withField('"oomScoreAdj": 5 , "selinuxLabel":"\\u003ca\\u0026"')],
    [
      'characters',
      JSON.stringify({ ...PLAIN, args: ['/bin/echo', '\t"\\/\n\r\b\f\u0001 ~'] }).replace(
        '~',
        '\\u003c\\/',
      ),
    ],
    ['limits', withField(`"rlimits":[${limits('5', '9007199254740992').join(', ')}]`)],
    ['no limits', withField(`"rlimits":[${limits('0', '18446744073709551615').join(',')}]`)],
    ['many', JSON.stringify({ ...PLAIN, env: Array(2000).fill('A=0123456789') })],
    ['many words', JSON.stringify({ ...PLAIN, args: Array(200).fill('word') })],
  ])('is the same for %s', async (_, text) => {
    const [front, mine] = await requests(byFront, text)
    const [, other] = await requests(byNode, text)
    expect(other).toHaveLength(1)
    expect(mine).toEqual(other)
    // It was refused, and nothing has been executed.
    expect(front).toEqual(LEFT)
    expect(readdirSync(join(state, 'noted/exec'))).toEqual([])
  })

  it.each<[string, string]>([
    ['nothing', ''],
    ['no object', '[]'],
    ['no program', JSON.stringify({ ...PLAIN, args: [] })],
    ['no directory', '{"args":["a"]}'],
    ['a relative directory', '{"args":["a"],"cwd":"bin"}'],
    ['more behind it', `${JSON.stringify(PLAIN)} 1`],
    ['less', JSON.stringify(PLAIN).slice(0, -1)],
    ['a comma', withField('"rlimits":[],')],
    ['null', withField('"rlimits":null')],
    ['an unknown field', withField('"unknown":1')],
    ['a scheduler', withField('"scheduler":{"policy":"SCHED_BATCH"}')],
    ['CPUs', withField('"execCPUAffinity":{"final":"0"}')],
    ['a terminal', withField('"terminal":true')],
    ['a field twice', withField('"cwd":"/bin"')],
    ['other characters', withField('"apparmorProfile":"ü"')],
    ['other characters as escapes', withField('"apparmorProfile":"\\u00fc"')],
    ['half a character', withField('"apparmorProfile":"\\ud83d"')],
    ['a null byte', withField('"apparmorProfile":"\\u0000"')],
    ['an escape of none', withField('"apparmorProfile":"\\x41"')],
    ['a line end in a string', withField('"apparmorProfile":"\n"')],
    ['an unknown capability', withField('"capabilities":{"bounding":["CAP_X"]}')],
    ['capabilities without right', withField('"capabilities":{"effective":["CAP_KILL"]}')],
    ['inheritable ones', withField('"capabilities":{"inheritable":["CAP_KILL"]}')],
    ['ambient ones', withField('"capabilities":{"ambient":["CAP_KILL"]}')],
    ['limits that cross', withField(`"rlimits":[${limits('2', '1')[0]}]`)],
    ['inexact limits', withField(`"rlimits":[${limits('1', '9007199254740993')[0]}]`)],
    ['endless limits', withField(`"rlimits":[${limits('1', '99999999999999999999')[0]}]`)],
    ['an unknown limit', withField('"rlimits":[{"type":"RLIMIT_X","hard":1,"soft":1}]')],
    ['half a limit', withField('"rlimits":[{"type":"RLIMIT_CPU","hard":1}]')],
    ['a user that is none', JSON.stringify({ ...PLAIN, user: { uid: 2 ** 32 } })],
    ['a fraction', withField('"oomScoreAdj":1.0')],
    ['an exponent', withField('"oomScoreAdj":1e1')],
    ['a zero in front', withField('"oomScoreAdj":01')],
    ['a sign alone', withField('"oomScoreAdj":- 1')],
    ['too much', withField('"oomScoreAdj":1001')],
    ['long words', JSON.stringify({ ...PLAIN, args: ['x'.repeat(40_000)] })],
    ['a large file', withField(`"apparmorProfile":"${'x'.repeat(128 << 10)}"`)],
  ])('is left to Node for %s', async (_, text) => {
    expect(await requests(byFront, text)).toEqual([LEFT, []])
  })

  it('is left to Node where the container has a say', () => {
    const bundle = box.bundle(['sleep', '1000'], config => {
      config.linux.personality = { domain: 'LINUX32' }
    })
    expect(box.ours.detached('create', '-b', bundle, 'other').status).toBe(0)
    const front = /"front": "(.*)"/.exec(readFileSync(join(state, 'other/state.json'), 'utf8'))![1]
    expect(front).toContain('start,delete')
    expect(front).not.toContain('exec')
    expect(box.ours.run('delete', 'other').status).toBe(0)
  })

  it('is left to Node for other command lines', async () => {
    const file = processFile(JSON.stringify(PLAIN))
    const fifo = join(box.path, 'fifo')
    run('mkfifo', [fifo])
    asked = []
    for (const words of [
      ['noted', '/bin/true'],
      ['--process', file, 'noted', '/bin/true'],
      ['--process', file, '--tty', 'noted'],
      ['--process', file, '--pid-file', box.path, 'noted'],
      ['--process', file, '--pid-file', join(box.path, 'none/file'), 'noted'],
      ['--process', file, '--console-socket', '/none', 'noted'],
      ['--process', file, '--preserve-fds=1', 'noted'],
      ['--process', fifo, 'noted'],
      ['--process', box.path, 'noted'],
      ['--process', join(box.path, 'none'), 'noted'],
      ['--process', file, 'nobody'],
      ['--process', file],
      ['--process'],
    ])
      expect([words, await byFront(...words)]).toEqual([words, LEFT])
    const foreground = [`--root=${state}`, 'exec', '--process', file, 'noted']
    expect(await command(alone, ...foreground)).toEqual(LEFT)
    expect(asked).toEqual([])
  })
})

describe('in a container', () => {
  const id = 'inside'
  const bundleOf = () => box.bundle(['sleep', '1000'])
  const start = (name: string) => {
    expect(box.ours.detached('create', '-b', bundleOf(), name).status).toBe(0)
    expect(box.ours.run('start', name).status).toBe(0)
  }
  beforeAll(() => start(id))
  afterAll(() => {
    expect(box.ours.run('delete', '--force', id).status).toBe(0)
  })
  const sh = (script: string, change = {}) =>
    processFile(JSON.stringify({ ...PLAIN, args: ['sh', '-c', script], ...change }))
  const records = () => readdirSync(join(state, id, 'exec'))
  const lives = (pid: number) => processStartTime(pid) !== null

  it('runs, and is stood for by a process that ends when it does', async () => {
    const file = join(box.path, 'pid')
    const script = 'echo $A; id -u; pwd; read line </tmp/fifo; exit 7'
    run(runsc, [`--root=${state}`, 'exec', id, 'mkfifo', '/tmp/fifo'])
    const process = sh(script, { env: ['A=b "c"', 'PATH=/bin'], cwd: '/tmp', user: { uid: 5 } })
    const output = join(box.path, 'said')
    const fd = openSync(output, 'w')
    const child = spawn(alone, exec('--pid-file', file, '--process', process, id), {
      stdio: ['ignore', fd, fd],
    })
    closeSync(fd)
    expect(await once(child, 'exit')).toEqual([0, null])
    const pid = Number(readFileSync(file, 'utf8'))
    expect(lives(pid)).toBe(true)
    expect(readdirSync(box.path).filter(name => name.endsWith('.tmp'))).toEqual([])
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toBe(`sh\0-c\0${script}\0`)
    expect(records()).toEqual([`${pid}-${processStartTime(pid)}`])
    // Here its own number is known, and that of the host.
    expect(JSON.parse(box.ours.run('ps', '--format=json', id).stdout)).toContain(pid)
    expect(await byNode(id, 'sh', '-c', 'echo >/tmp/fifo')).toEqual(QUIET)
    await until('it ends', () => !lives(pid))
    expect(readFileSync(output, 'utf8')).toBe('b "c"\n5\n/tmp\n')
    expect(await byFront('--process', sh('true'), id)).toEqual(QUIET)
    expect(records().filter(name => name.startsWith(`${pid}-`))).toEqual([])
  })

  it('tells why a program cannot run as Node does, and leaves nothing', async () => {
    const file = join(box.path, 'no-pid')
    const before = records().length
    const words = () => ['--pid-file', file, '--process', processFile(none), id]
    const none = JSON.stringify({ ...PLAIN, args: ['/nothing/here'] })
    expect(await byFront(...words())).toEqual(LEFT)
    expect(records().length).toBeLessThanOrEqual(before)
    const told = await byBoth(...words())
    expect(told.status).not.toBe(0)
    expect(told.output).toContain('/nothing/here')
    expect(told).toEqual(await byNode(...words()))
    expect(readdirSync(box.path).filter(name => name.startsWith('no-pid'))).toEqual([])
  })

  it('many at once, and while the container dies', async () => {
    start('dies')
    const process = sh('sleep 1000')
    const files = Array.from({ length: 8 }, (_, i) => join(box.path, `pid-${i}`))
    const several = files.map(file => byBoth('--pid-file', file, '--process', process, 'dies'))
    await Promise.race(several)
    expect(box.ours.run('kill', 'dies', 'KILL').status).toBe(0)
    for (const { status, output } of await Promise.all(several))
      if (status !== 0) expect(output).toMatch(/^runsc: .*\n$/)
    const pids = files.filter(existsSync).map(file => Number(readFileSync(file, 'utf8')))
    expect(pids.length).toBeGreaterThan(0)
    await until('they end', () => !pids.some(lives))
    expect(box.ours.run('delete', '--force', 'dies')).toMatchObject({ status: 0, stderr: '' })
    expect(existsSync(join(state, 'dies'))).toBe(false)
  })
})
