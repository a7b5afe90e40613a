// Global flags, by what they do to a container.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Config } from '../run.ts'
import { type Oracle, oracle } from './bundles.ts'

let box: Oracle
let logs: string
beforeAll(() => {
  box = oracle('flags')
  logs = join(box.path, 'logs')
})
beforeEach(() => {
  rmSync(logs, { recursive: true, force: true })
  mkdirSync(logs)
})
afterAll(() => box.clean())

const NET_RAW = 1 << 13

const rawCapable = (config: Config) => {
  const caps = ['CAP_NET_RAW', 'CAP_CHOWN']
  config.process.capabilities = { bounding: caps, effective: caps, permitted: caps }
}

describe('--net-raw', () => {
  it.each([
    ['true', NET_RAW],
    ['false', 0],
  ])('%s', (value, expected) => {
    const bundle = box.bundle(['grep', '^Cap', '/proc/self/status'], rawCapable)
    const { status, stdout } = box.ours.run(`--net-raw=${value}`, 'run', '-b', bundle, 'raw')
    expect(status).toBe(0)
    const sets = [...stdout.matchAll(/^Cap(Prm|Eff|Bnd):\s+([0-9a-f]+)$/gm)]
    expect(sets).toHaveLength(3)
    for (const [, , bits] of sets) {
      expect(Number(`0x${bits}`) & NET_RAW).toBe(expected)
      expect(Number(`0x${bits}`) & 1).toBe(1)
    }
  })
})

describe('--oci-seccomp', () => {
  const noMkdir = (config: Config) => {
    config.linux.seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }],
    }
  }
  const run = (...flags: string[]) =>
    box.ours.run(...flags, 'run', '-b', box.bundle(['mkdir', '/tmp/made'], noMkdir), 'profile')

  it('enforces the profile, unless it is false', () => {
    expect(run().stderr).toContain('Operation not permitted')
    expect(run('-oci-seccomp')).toMatchObject({ status: 1 })
    expect(run('--oci-seccomp=false')).toMatchObject({ status: 0, stderr: '' })
  })
})

describe('--strace', () => {
  const trace = (...flags: string[]) => {
    const bundle = box.bundle(['cat', '/etc/passwd', '/none'])
    return box.ours.run(...flags, 'run', '-b', bundle, 'traced').stderr
  }
  it('shows the calls of --strace-syscalls only, and so much of their buffers', () => {
    const { ours } = box
    const bundle = box.bundle(['echo', 'x'.repeat(100)])
    const shown = (...flags: string[]) =>
      ours.run('--strace', '--strace-syscalls=write', ...flags, 'run', '-b', bundle, 'buffers')
        .stderr
    expect(shown()).toMatch(/^write\(1, "x{32}"\.\.\., 101\) = 101$/m)
    expect(shown('--strace-log-size=200')).toMatch(/^write\(1, "x{100}\\n", 101\) = 101$/m)
    expect(shown('--strace-log-size', '0')).toMatch(/^write\(1, ""\.\.\., 101\) = 101$/m)
    expect(trace('--strace')).toContain('brk(')
    const some = trace('--strace', '--strace-syscalls=open,openat')
    expect(some).toMatch(/^open(at)?\(.*"\/none"/m)
    expect(some).not.toContain('brk(')
  })

  it('refuses names that are none', () => {
    const { status, stderr } = box.ours.run(
      '--strace',
      '--strace-syscalls=opne',
      ...['run', '-b', box.bundle(['true']), 'none'],
    )
    expect(status).toBe(128)
    expect(stderr).toContain('"opne"')
  })
})

describe('--debug-log', () => {
  const run = (...flags: string[]) =>
    box.ours.run('--debug', '--strace', ...flags, 'run', '-b', box.bundle(['true']), 'logged')

  it('has names with variables, and one for each command in a directory', () => {
    expect(run(`--debug-log=${logs}/%ID%-%COMMAND%.log`)).toMatchObject({ status: 0, stderr: '' })
    expect(readdirSync(logs)).toEqual(['logged-sentry.log'])
    expect(readFileSync(join(logs, 'logged-sentry.log'), 'utf8')).toContain('exited with 0')
    expect(run(`--debug-log=${logs}/%ID%/`)).toMatchObject({ status: 0, stderr: '' })
    expect(readdirSync(join(logs, 'logged'))).toHaveLength(1)
    expect(run('--debug-log=/proc/none/').stderr).toContain('cannot open --debug-log')
    expect(run(`--debug-log=${logs}/`)).toMatchObject({ status: 0, stderr: '' })
    expect(readdirSync(logs).filter(name => /^runsc\..*\.sentry\.log$/.test(name))).toHaveLength(1)
  })

  it('is for the commands of --debug-command', () => {
    const log = join(logs, 'log')
    run(`--debug-log=${log}`, '--debug-command=create,start')
    run(`--debug-log=${log}`, '--debug-command=!boot')
    expect(existsSync(log)).toBe(false)
    run(`--debug-log=${log}`, '--debug-command=sentry')
    expect(existsSync(log)).toBe(true)
  })

  it('tells flags that have no effect', () => {
    const log = join(logs, '%COMMAND%')
    expect(box.ours.run('--debug', `--debug-log=${log}`, '-directfs=false', 'list').status).toBe(0)
    expect(readFileSync(join(logs, 'flags'), 'utf8')).toContain('--directfs=false')
  })
})
