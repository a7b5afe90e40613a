// Node.js itself, working under the filters on the real kernel.

import { execFile, execFileSync, type SpawnSyncReturns } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compile, type Policy, toBytes } from 'seccomp-bpf-compiler'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { goferPolicy } from './gofer.ts'
import { nodeStartPolicy } from './node-start.ts'
import { numberOf } from './numbers.ts'
import { sentryPolicy } from './sentry.ts'

const here = dirname(fileURLToPath(import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'policy-'))
const runner = join(dir, 'run-filtered')
let runs = 0

beforeAll(() => {
  const source = join(here, 'test/run-filtered.c')
  execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', runner, source])
  writeFileSync(join(dir, 'node-start.bpf'), toBytes(compile(nodeStartPolicy())))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

type Outcome = Pick<SpawnSyncReturns<string>, 'signal' | 'stdout' | 'stderr'>

/** Runs the workload under the policy, which at its end makes the call `[name, argument]`. */
function work(policy: Policy, call: [string, number] | [] = []): Promise<Outcome> {
  const filter = join(dir, `${runs++}.bpf`)
  writeFileSync(filter, toBytes(compile(policy)))
  const last = call.length === 0 ? [] : [String(numberOf(call[0])), String(call[1])]
  const script = [
    process.execPath,
    join(here, 'test/workload.ts'),
    filter,
    `${filter}.sock`,
    ...last,
  ]
  return new Promise(resolve => {
    execFile(runner, [join(dir, 'node-start.bpf'), ...script], (error, stdout, stderr) => {
      resolve({ signal: error?.signal ?? null, stdout, stderr })
    })
  })
}

test.each<[string, Policy]>([
  ['sentry', sentryPolicy()],
  ['sentry with host network', sentryPolicy({ hostNetwork: true })],
  ['gofer', goferPolicy()],
])('Node.js collects garbage, compiles, waits, streams and makes threads: %s', async (_, policy) => {
  expect(await work(policy)).toEqual({ signal: null, stdout: 'done\n', stderr: '' })
})

test.each<[string, number]>([
  ['execve', 0],
  ['socket', 2],
  ['unshare', 0],
  ['io_uring_enter', 0],
  ['ptrace', 0],
])('%s kills the Sentry', async (name, argument) => {
  expect(await work(sentryPolicy(), [name, argument])).toMatchObject({
    signal: 'SIGSYS',
    stdout: '',
  })
})

test('the Sentry cannot open files, and has sockets only with host networking', async () => {
  expect((await work(sentryPolicy(), ['openat2', 0])).stdout).toBe('done -1\n')
  const { stdout } = await work(sentryPolicy({ hostNetwork: true }), ['socket', 2])
  expect(stdout).toMatch(/^done -1\n$/)
})
