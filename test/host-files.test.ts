// Files of the host that are changed through the gofer: the C programs on a bind mount and on a writable root, and two
// containers on one volume.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
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
