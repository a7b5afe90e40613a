// Files of the host that are changed through the gofer: the C programs on a bind mount and on a writable root, and two
// containers on one volume.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { ALL_CAPABILITIES } from '../runsc/capabilities.ts'
import { compile, root, run, runsc, temporary, writeBundle } from './run.ts'

const box = temporary('host-files')
afterAll(box.clean)
let bundles = 0

/** A bundle whose root holds the program, with the host's own programs beside it and `volume` at /tmp. */
function bundle(source: string, args: string[], volume: string | null): string {
  const path = join(box.path, `bundle${bundles++}`)
  const tree = join(path, 'root')
  for (const name of ['proc', 'dev', 'tmp', 'etc']) mkdirSync(join(tree, name), { recursive: true })
  writeFileSync(join(tree, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\n')
  const system = ['/usr', '/bin', '/lib', '/lib64'].filter(name => existsSync(name))
  const flags = ['-O1', '-pthread', `-I${join(root, 'test/syscalls')}`]
  compile(join(root, 'test', source), join(tree, 'program'), flags)
  writeBundle(path, tree, ['/program', ...args], config => {
    const all = [...ALL_CAPABILITIES]
    config.process.capabilities = { bounding: all, effective: all, permitted: all }
    config.mounts.pop()
    for (const name of system)
      config.mounts.push({
        destination: name,
        type: 'bind',
        source: name,
        options: ['ro', 'rbind'],
      })
    if (volume !== null)
      config.mounts.push({ destination: '/tmp', type: 'bind', source: volume, options: ['rbind'] })
  })
  return path
}

function volume(name: string): string {
  const path = join(box.path, name)
  mkdirSync(path)
  return path
}

const command = (path: string) => ['run', '--bundle', path, `host-files-${process.pid}-${bundles}`]

it.each(
  ['path', 'file', 'file-locks', 'inotify'].flatMap(name => [
    { name, where: 'a bind mount' },
    { name, where: 'a writable root' },
  ]),
)('$name on $where', { timeout: 300_000 }, ({ name, where }) => {
  const shared = where === 'a bind mount' ? volume(name) : null
  const result = run(runsc, command(bundle(`syscalls/${name}.c`, [], shared)), { seconds: 280 })
  const lines = result.stdout.split('\n')
  expect(lines.filter(line => line.startsWith('not ok'))).toEqual([])
  expect(
    lines.some(line => /^1\.\.\d+$/.test(line)),
    result.stderr,
  ).toBe(true)
})

it('two containers see at once what the other does on their volume', {
  timeout: 200_000,
}, async () => {
  const shared = volume('shared')
  const ends = ['0', '1'].map(number => {
    const args = command(bundle('host-files/pass.c', ['/tmp', number], shared))
    const child = spawn(runsc, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', text => (output += text))
    return new Promise(done => child.on('close', () => done(output)))
  })
  expect(await Promise.all(ends)).toEqual(['passed\n', 'passed\n'])
})

/** Where a process may run, as the host shows it; '' when there is none. */
function cpusOf(pid: string): string {
  try {
    return (
      /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? ''
    )
  } catch {
    return ''
  }
}

/** The sentry and the gofer below the process `runner`. */
function partsOf(runner: number): Map<string, string> {
  const found = new Map<string, string>()
  const search = (pid: string): void => {
    try {
      const role = /\0(sentry|gofer)(\0|$)/.exec(readFileSync(`/proc/${pid}/cmdline`, 'latin1'))
      if (role !== null) found.set(role[1]!, pid)
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        const children = readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1')
        for (const child of children.split(' ')) if (child !== '') search(child)
      }
    } catch {
      // It has ended.
    }
  }
  search(String(runner))
  return found
}

it.skipIf(availableParallelism() < 2)(
  'sentry and gofer share a CPU as long as message follows message',
  { timeout: 200_000 },
  async () => {
    const shared = volume(`churn${bundles}`)
    for (let i = 0; i < 100; i++) writeFileSync(join(shared, `name${i}`), '')
    const args = command(bundle('host-files/churn.c', ['/tmp'], shared))
    const child = spawn(runsc, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', text => (output += text))
    const ended = new Promise(done => child.on('close', done))
    const places = () => {
      const parts = partsOf(child.pid!)
      return ['sentry', 'gofer'].map(part => cpusOf(parts.get(part) ?? ''))
    }
    const one = expect.stringMatching(/^\d+$/)
    try {
      await expect.poll(places, { timeout: 90_000, interval: 5 }).toEqual([one, one])
      writeFileSync(join(shared, 'slow'), '')
      const all = cpusOf('self')
      await expect.poll(places, { timeout: 90_000, interval: 20 }).toEqual([all, all])
    } finally {
      writeFileSync(join(shared, 'stop'), '')
      await ended
    }
    expect(output).toBe('stopped\n')
  },
)
