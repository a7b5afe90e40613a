// runsc install and uninstall, on configurations of our own.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { run, runsc, temporary } from '../run.ts'

const box = temporary('install')
afterAll(() => box.clean())
const cli = (...args: string[]) => run(runsc, args)
let files = 0
const file = (text?: string): string => {
  const path = join(box.path, `${files++}`, 'daemon.json')
  if (text !== undefined) {
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, text)
  }
  return path
}

describe("Docker's daemon.json", () => {
  it('is made when it is missing', () => {
    const path = file()
    const result = cli('install', '--config_file', path)
    expect(result.stderr).toBe('')
    expect(result.stdout).toContain('reload')
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
      runtimes: { portcullis: { path: runsc } },
    })
  })

  it('keeps all else, its mode and its place', () => {
    const path = file('{\n\t"debug":  true\n}\n')
    chmodSync(path, 0o600)
    const link = join(path, '../link.json')
    symlinkSync('daemon.json', link)
    const args = ['--runtime', 'mine', '--', '--strace', '--platform=ptrace']
    expect(cli('install', '--config_file', link, ...args).status).toBe(0)
    const text = readFileSync(path, 'utf8')
    expect(text.startsWith('{\n\t"debug":  true,\n\t"runtimes": {\n\t\t"mine": {')).toBe(true)
    expect(JSON.parse(text).runtimes.mine.runtimeArgs).toEqual(['--strace', '--platform=ptrace'])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(path, '..')).sort()).toEqual(['daemon.json', 'link.json'])
    expect(cli('install', '--config_file', link, ...args).stdout).toContain('already')
    expect(cli('uninstall', '--config_file', link, '--runtime', 'mine').status).toBe(0)
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ debug: true, runtimes: {} })
  })

  it.each([
    ['broken', '{"a": ', [], 'JSON'],
    ['of another kind', '[]', [], 'object'],
    ['with runtimes of another kind', '{"runtimes": []}', [], 'object'],
    ["with Docker's own name", '{}', ['--runtime', 'runc'], 'runc'],
    ['with a name that is none', '{}', ['--runtime', '../x'], '../x'],
    ['with an unknown flag', '{}', ['--', '--fast'], '--fast'],
    ['with a wrong value', '{}', ['--', '--platform=moon'], 'moon'],
    ['with what a shell would split', '{}', ['--', '--log=/a b'], '/a b'],
  ])('is left alone: %s', (_what, text, args, word) => {
    const path = file(text)
    const { status, stderr } = cli('install', '--config_file', path, ...args)
    expect(status).toBe(128)
    expect(stderr).toContain(word)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(readFileSync(path, 'utf8')).toBe(text)
    expect(readdirSync(join(path, '..'))).toEqual(['daemon.json'])
  })

  it('names no default that is not there any more', () => {
    const runtimes = { portcullis: { path: runsc }, other: { path: '/bin/other' } }
    const path = file(JSON.stringify({ 'default-runtime': 'portcullis', runtimes }))
    expect(cli('uninstall', '--config_file', path, '--runtime', 'other').stdout).not.toContain(
      'default',
    )
    expect(JSON.parse(readFileSync(path, 'utf8'))['default-runtime']).toBe('portcullis')
    expect(cli('uninstall', '--config_file', path).stdout).toContain('not the default any more')
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ runtimes: {} })
  })

  it('that is missing has nothing to take out', () => {
    const path = file()
    expect(cli('uninstall', '--config_file', path).stdout).toContain('no runtime')
    expect(existsSync(path)).toBe(false)
  })
})

it.each([
  ['containerd', 'runtime_type = "io.containerd.runc.v2"'],
  ['crio', 'runtime_type = "oci"'],
  ['podman', '[engine.runtimes]'],
  ['kubernetes', 'kind: RuntimeClass'],
])('prints what %s needs', (engine, word) => {
  const { stdout } = cli('install', '--runtime', 'port_1', '--print', engine)
  expect(stdout).toContain(word)
  expect(stdout).toContain(engine === 'kubernetes' ? 'name: port-1' : runsc)
})
