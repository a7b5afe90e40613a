// Commands through which data reaches a container or comes out of it: read, port-forward, passed descriptors; and what
// usage tells.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runsc } from '../run.ts'
import { untilNow } from '../until.ts'
import { type Oracle, oracle } from './bundles.ts'

const ECHO = 'while :; do nc -l -p 7000 -e cat; done'

let box: Oracle
beforeAll(() => {
  box = oracle('data')
  const lines = Array.from({ length: 40_000 }, (_, i) => `${i}\n`).join('')
  writeFileSync(join(box.path, 'rootfs/etc/lines'), lines)
  const bundle = box.bundle(['sh', '-c', 'echo inside >/tmp/inside; sleep 1000'])
  expect(box.ours.detached('run', '-d', '-b', bundle, 'data').status).toBe(0)
  // The shell becomes the last program that it is to run.
  const started = () => box.ours.run('read', 'data', '/proc/self/comm').stdout === 'sleep\n'
  untilNow('its program runs', started)
})
afterAll(() => {
  box.ours.run('delete', '--force', 'data')
  box.clean()
})

describe('read', () => {
  const read = (...args: string[]) => box.ours.run('read', ...args)

  it('prints files as the program sees them', () => {
    expect(read('data', '/etc/lines').stdout).toBe(
      readFileSync(join(box.path, 'rootfs/etc/lines'), 'utf8'),
    )
    expect(read('data', '/tmp/inside')).toMatchObject({ status: 0, stdout: 'inside\n' })
    expect(read('data', '/proc/self/comm').stdout).toBe('sleep\n')
    expect(read('-offset', '2', '-size=3', 'data', '/tmp/inside').stdout).toBe('sid')
  })

  it.each([
    ['/none', 'No such file'],
    ['/etc', 'Is a directory'],
    ['/dev/zero', 'Invalid argument'],
  ])('refuses %s', (path, words) => {
    const { status, stdout, stderr } = read('data', path)
    expect([status, stdout]).toEqual([128, ''])
    expect(stderr).toContain(words)
    expect(stderr.trim().split('\n')).toHaveLength(1)
  })
})

describe('usage', () => {
  it('adds up, in the form of gVisor', () => {
    const brief = JSON.parse(box.ours.run('usage', 'data').stdout)
    const full = JSON.parse(box.ours.run('usage', '-full', 'data').stdout)
    const names = 'Unknown System Anonymous PageCache Mapped Tmpfs Ramdiskfs Total'.split(' ')
    expect(Object.keys(brief)).toEqual(names)
    expect(Object.keys(full)).toEqual(names)
    const { Total, ...parts } = full
    expect(Object.values<number>(parts).reduce((a, b) => a + b)).toBe(Total)
    expect(full.System).toBeGreaterThan(1 << 20)
    expect(full.Anonymous).toBeGreaterThan(0)
    expect(brief.Unknown).toBeGreaterThan(full.System / 2)
    expect(box.ours.run('usage', '--fd', 'data').stdout).toMatch(
      /^Mapped \d+, Unknown \d+, Total \d+\n$/,
    )
  })

  it('counts files in memory', () => {
    const tmpfs = () => JSON.parse(box.ours.run('usage', '--full', 'data').stdout).Tmpfs
    const before = tmpfs()
    box.ours.run('exec', 'data', 'dd', 'if=/dev/zero', 'of=/tmp/large', 'bs=1M', 'count=8')
    expect(tmpfs() - before).toBeGreaterThanOrEqual(8 << 20)
  })
})

/** Sends all that there is, and resolves with what comes back: nothing while the next server is not there yet. */
async function echoed(connection: ReturnType<typeof createConnection>, data: Buffer) {
  const chunks: Buffer[] = []
  connection.end(data)
  try {
    for await (const chunk of connection) chunks.push(chunk as Buffer)
  } catch {
    return Buffer.alloc(0)
  }
  return Buffer.concat(chunks)
}

describe.each(['none', 'host'])('port-forward, --network=%s', network => {
  const id = `forward-${network}`
  const data = Buffer.alloc(1_000_000, 'some bytes, ')
  beforeAll(() => {
    const bundle = box.bundle(['sh', '-c', ECHO])
    expect(box.ours.detached(`--network=${network}`, 'run', '-d', '-b', bundle, id).status).toBe(0)
    // The server is there when somebody can connect to it.
    while (box.ours.run('exec', id, 'sh', '-c', 'nc 127.0.0.1 7000 </dev/null').status !== 0);
  })
  afterAll(() => void box.ours.run('delete', '--force', id))

  it('carries connections, each to its end, until the container ends', async () => {
    const state = `--root=${join(box.path, 'state-ours')}`
    const child = spawn(runsc, [state, 'port-forward', id, '0:7000'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const ended = once(child, 'exit')
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const port = Number(/^Forwarding local port (\d+) to 7000/.exec(String(line))![1])
    for (let i = 0; i < 3; i++) {
      const got = await echoed(createConnection({ port, host: '127.0.0.1' }), data)
      if (got.length === 0) i--
      else expect(got.equals(data)).toBe(true)
    }
    box.ours.run('kill', id, 'KILL')
    expect((await ended)[0]).toBe(0)
  })

  it('carries one connection to a Unix socket', async () => {
    const bundle = box.bundle(['sh', '-c', ECHO])
    const other = `${id}-stream`
    box.ours.detached(`--network=${network}`, 'run', '-d', '-b', bundle, other)
    while (box.ours.run('exec', other, 'sh', '-c', 'nc 127.0.0.1 7000 </dev/null').status !== 0);
    const path = join(box.path, `socket-${network}`)
    const server = createServer({ allowHalfOpen: true }).listen(path)
    await once(server, 'listening')
    try {
      for (let got = Buffer.alloc(0); got.length === 0; ) {
        const state = `--root=${join(box.path, 'state-ours')}`
        const child = spawn(runsc, [state, 'port-forward', '--stream', path, other, '7000'])
        const ended = once(child, 'exit')
        const [connection] = (await once(server, 'connection')) as [
          ReturnType<typeof createConnection>,
        ]
        got = await echoed(connection, data)
        await ended
        if (got.length > 0) expect(got.equals(data)).toBe(true)
      }
    } finally {
      server.close()
      box.ours.run('delete', '--force', other)
    }
  })
})

describe('port-forward', () => {
  it.each([['x'], ['0'], ['1:0'], ['70000'], ['1:2:3']])('refuses the port %s', port => {
    expect(box.ours.run('port-forward', 'data', port)).toMatchObject({ status: 128, stdout: '' })
  })

  it('tells what is wrong', () => {
    const missing = join(box.path, 'missing')
    const { stderr } = box.ours.run('port-forward', '--stream', missing, 'data', '1')
    expect(stderr).toContain(missing)
    expect(box.ours.run('port-forward', 'nobody', '1:1').stderr).toContain('does not exist')
  })
})

describe('descriptors', () => {
  /** Run with a file for reading on 3 and another for writing on 4. */
  function withFiles(command: string, args: string[]): { status: number | null; written: string } {
    const into = join(box.path, 'written')
    writeFileSync(join(box.path, 'given'), 'given\n')
    const given = openSync(join(box.path, 'given'), 'r')
    const written = openSync(into, 'w')
    const { status } = spawnSync(command, args, {
      stdio: ['ignore', 'ignore', 'ignore', given, written],
      timeout: 60_000,
    })
    closeSync(given)
    closeSync(written)
    return { status, written: readFileSync(into, 'utf8') }
  }

  const SCRIPT = 'cat <&3 >&4; ls /proc/self/fd | wc -l >&4'

  it('are preserved by run as runc does', () => {
    const each = [
      ['ours', runsc],
      ['runc', 'runc'],
    ].map(([name, command]) => {
      const state = `--root=${join(box.path, `state-${name}`)}`
      const bundle = box.bundle(['sh', '-c', SCRIPT])
      return withFiles(command!, [state, 'run', '--preserve-fds', '2', '-b', bundle, 'preserved'])
    })
    expect(each[0]).toEqual(each[1])
    expect(each[0]!.written).toMatch(/^given\n/)
  })

  it('are passed under other numbers by run and exec', () => {
    const state = `--root=${join(box.path, 'state-ours')}`
    const script = 'cat <&9 >&7'
    const flags = ['--pass-fd', '3:9', '-pass-fd=4:7']
    const bundle = box.bundle(['sh', '-c', script])
    const ran = withFiles(runsc, [state, 'run', ...flags, '-b', bundle, 'passed'])
    expect(ran).toEqual({ status: 0, written: 'given\n' })
    const executed = withFiles(runsc, [state, 'exec', ...flags, 'data', 'sh', '-c', script])
    expect(executed).toEqual({ status: 0, written: 'given\n' })
  })

  it.each([
    [['--preserve-fds', '1'], 'not open'],
    [['--pass-fd', '77:9'], 'not open'],
    [['--pass-fd', '0:2'], 'standard streams'],
    [['--pass-fd', '0:9', '--pass-fd', '1:9'], 'both'],
    [['--pass-fd', '1'], 'M:N'],
    [['--preserve-fds', '1000'], 'number'],
  ])('%j is refused', (flags, words) => {
    const bundle = box.bundle(['true'])
    for (const command of [
      ['exec', ...flags, 'data', 'true'],
      ['run', ...flags, '-b', bundle, 'refused'],
    ]) {
      const { status, stderr } = box.ours.run(...command)
      expect(status).toBe(128)
      expect(stderr).toContain(words)
      expect(stderr.trim().split('\n')).toHaveLength(1)
    }
  })
})
