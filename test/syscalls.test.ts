// Builds the C programs of test/syscalls and runs each on Linux and then, the same binary, in a sandbox.

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  cache,
  compile,
  PLATFORMS,
  platformWorks,
  type Result,
  root,
  run,
  sandboxed,
} from './run.ts'

const folder = join(root, 'test/syscalls')
const FLAGS = ['-O1', '-Wall', '-Wextra', '-pthread', `-I${folder}`]
const headers = readdirSync(folder)
  .filter(file => file.endsWith('.h'))
  .map(file => readFileSync(join(folder, file)))

function build(name: string): string {
  const source = join(folder, `${name}.c`)
  const hash = createHash('sha256')
    .update(Buffer.concat(headers))
    .update(readFileSync(source))
    .update(FLAGS.join(' '))
    .digest('hex')
  const output = join(cache, `syscalls/${name}-${hash.slice(0, 16)}`)
  return existsSync(output) ? output : compile(source, output, FLAGS)
}

/** The lines of cases that failed, and what shows that a run did not reach its end. */
function failures(result: Result): string[] {
  const lines = result.stdout.split('\n')
  const bad = lines.filter(line => line.startsWith('not ok'))
  if (!lines.some(line => /^1\.\.\d+$/.test(line)))
    bad.push(`the run ended early: status ${result.status}, ${result.stderr.trim()}`)
  return bad
}

const plan = (result: Result) => result.stdout.match(/^1\.\.(\d+)$/m)?.[1]

const programs = readdirSync(folder)
  .filter(file => file.endsWith('.c'))
  .map(file => file.slice(0, -2))
  .sort()
const platforms = PLATFORMS.filter(platformWorks)

describe.each(programs)('%s', name => {
  let native: Result

  it('on Linux', { timeout: 300_000 }, () => {
    // What it makes of System V's and POSIX's queues must not meet another's.
    native = run('unshare', ['--ipc', build(name)], { seconds: 280 })
    expect(failures(native)).toEqual([])
  })

  for (const platform of PLATFORMS) {
    it.skipIf(!platforms.includes(platform))(`under ${platform}`, { timeout: 400_000 }, () => {
      const result = sandboxed([build(name)], { platform, seconds: 380 })
      expect(failures(result)).toEqual([])
      expect(plan(result)).toBe(plan(native))
    })
  }
})
