// A host that does not play along: no room or no right to write, a console socket that nobody serves, a pid file that cannot
// be written. runsc ends with one line and leaves nothing half made.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Result, run, runsc } from '../run.ts'
import { Workshop } from './both.ts'

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
})
afterAll(() => shop.clean())

const id = `odd-${process.pid}`
const stateOf = (root: string): string[] => (existsSync(root) ? readdirSync(root) : [])

/** One line of runsc's own, which names these; and nothing is left under `root`, nor a cgroup. */
function expectRefused({ status, stdout, stderr }: Result, root: string, ...words: string[]): void {
  expect(stdout).toBe('')
  expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  for (const word of words) expect(stderr).toContain(word)
  expect(status).toBe(128)
  expect(stateOf(root)).toEqual([])
  expect(run('find', ['/sys/fs/cgroup', '-maxdepth', '3', '-name', id]).stdout).toBe('')
}

/** Under a mount of its own, so that the host's is not touched. */
const inMount = (mount: string, at: string, command: string): Result =>
  run('unshare', ['--mount', 'sh', '-c', `mount ${mount} ${at} && { ${command}; }`])

describe('--root', () => {
  it('on a full disk', () => {
    const root = join(shop.path, 'full')
    mkdirSync(root)
    const bundle = shop.bundle(['true'])
    // First without an inode left, then without a page.
    for (const [size, fill] of [
      ['nr_inodes=1', 'true'],
      ['nr_inodes=2', 'true'],
      ['nr_inodes=3', 'true'],
      ['size=8k', `head -c 8192 /dev/zero >${root}/fill`],
    ] as const) {
      const result = inMount(
        `-t tmpfs -o ${size} full`,
        root,
        `${fill}; ${runsc} --root ${root} run -b ${bundle} ${id}; status=$?; ls ${root} | grep -v fill; exit $status`,
      )
      expectRefused(result, root, 'full')
    }
  })

  it('where no directories can be made', () => {
    const bundle = shop.bundle(['true'])
    for (const root of ['/proc/none', '/proc/none/below', '/etc/passwd', '/etc/passwd/below']) {
      const { status, stdout, stderr } = run(runsc, ['--root', root, 'run', '-b', bundle, id])
      expect({ status, stdout }, root).toEqual({ status: 128, stdout: '' })
      expect(stderr).toMatch(/^runsc: cannot make [^\n]*\n$/)
    }
  })

  it('on a read-only disk', () => {
    const root = join(shop.path, 'read-only')
    mkdirSync(root)
    const bundle = shop.bundle(['true'])
    const command = `${runsc} --root ${root}/state run -b ${bundle} ${id}`
    expectRefused(inMount('-t tmpfs -o ro none', root, command), root, 'read-only')
  })

  it.each([
    ['a file', (path: string) => writeFileSync(path, '')],
    ['a link to nowhere', (path: string) => symlinkSync('/none/such', path)],
    ['a link to itself', (path: string) => symlinkSync(path, path)],
  ])('that is %s', (_what, make) => {
    const root = join(shop.path, 'state-wrong')
    make(root)
    const result = run(runsc, ['--root', root, 'run', '-b', shop.bundle(['true']), id])
    rmSync(root)
    expectRefused(result, root, root)
  })
})

describe('--pid-file', () => {
  it.each([
    ['in a directory that is missing', 'none/pid'],
    ['that is a directory', '.'],
    ['below a file', 'config.json/pid'],
  ])('%s', (_what, file) => {
    const bundle = shop.bundle(['sleep', '100'])
    const root = join(shop.path, 'state-pid')
    const result = run(runsc, [
      ...['--root', root, 'run', '-d', '-b', bundle],
      ...['--pid-file', join(bundle, file), id],
    ])
    expectRefused(result, root, '--pid-file')
  })
})

describe('--console-socket', () => {
  const attempt = (socket: string): [Promise<Result>, string] => {
    const root = join(shop.path, 'state-console')
    const bundle = shop.bundle(['true'], c => {
      c.process.terminal = true
    })
    const child = spawn(runsc, [
      ...['--root', root, 'create', '-b', bundle],
      ...['--console-socket', socket, id],
    ])
    const result: Result = { status: 0, stdout: '', stderr: '' }
    child.stdout.on('data', text => (result.stdout += String(text)))
    child.stderr.on('data', text => (result.stderr += String(text)))
    const ended = new Promise<Result>(done =>
      child.on('close', status => done({ ...result, status: status ?? 124 })),
    )
    return [ended, root]
  }

  it('that is not there, or no socket', async () => {
    const file = join(shop.path, 'no-socket')
    writeFileSync(file, '')
    for (const socket of ['/none/such', join(shop.path, 'missing'), file, shop.path]) {
      const [result, root] = attempt(socket)
      expectRefused(await result, root, '--console-socket', socket)
    }
  })

  it('that nobody listens at any more', async () => {
    const socket = join(shop.path, 'gone')
    const script = `import socket; socket.socket(socket.AF_UNIX).bind("${socket}")`
    expect(run('python3', ['-c', script]).status).toBe(0)
    const [result, root] = attempt(socket)
    expectRefused(await result, root, '--console-socket', 'refused')
  })

  it('whose server closes at once, or never reads', async () => {
    for (const serve of [(connection: { destroy(): void }) => connection.destroy(), () => {}]) {
      const socket = join(shop.path, 'early')
      const server = createServer(serve)
      const connections: Socket[] = []
      server.on('connection', connection => connections.push(connection))
      await new Promise<void>(done => server.listen(socket, done))
      const [result, root] = attempt(socket)
      const { status, stderr } = await result
      // The message may be on its way before the end is seen: then the container is there, without a terminal to look at.
      if (status === 0) expect(run(runsc, ['--root', root, 'delete', '--force', id]).status).toBe(0)
      else expectRefused({ status, stdout: '', stderr }, root, '--console-socket')
      expect(stateOf(root)).toEqual([])
      for (const connection of connections) connection.destroy()
      await new Promise(done => server.close(done))
    }
  })
})

it('an output that nobody reads ends nothing early', () => {
  const root = join(shop.path, 'state-pipe')
  const bundle = shop.bundle(['sh', '-c', 'trap "" PIPE; seq 100000; echo over >/done'])
  const command = `${runsc} --root ${root} run -b ${bundle} ${id} | head -1`
  expect(run('sh', ['-c', command]).stdout).toBe('1\n')
  expect(existsSync(join(bundle, 'rootfs/done'))).toBe(true)
  expect(stateOf(root)).toEqual([])
})
