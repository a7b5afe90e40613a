// Proof of isolation: the host calls that the processes of a busy sandbox really execute, recorded by the kernel,
// against the policies that were meant; and what those processes have and could do.

import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import {
  ALLOW,
  compile as compilePolicy,
  Filter,
  fromBytes,
  type Policy,
  seccompData,
} from 'seccomp-bpf-compiler'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { goferPolicy } from '../native/policy/gofer.ts'
import { sentryPolicy } from '../native/policy/sentry.ts'
import { stubFilter } from '../native/systrap.ts'
import { path } from '../syscall-table/args.ts'
import type { Row } from '../syscall-table/row.ts'
import { syscalls } from '../syscall-table/syscalls.ts'
import { cache, compile, root, runsc } from './run.ts'
import { descendants, type HostCall, SyscallTrace } from './tracing.ts'
import { until } from './until.ts'

const PROGRAMS = [
  'file',
  'file-locks',
  'file-memory',
  'path',
  'mm',
  'process',
  'signal',
  'futex',
  'pipe',
  'poll',
  'time',
  'unix',
  'entry',
]
const STUB_TEXT = 0x550000000100n
const PROGRAM_TEXT = 0x400000n

const rows: readonly [string, Row][] = Object.entries(syscalls)
const names = new Map(rows.map(([name, row]) => [row.nr, name]))
/** Calls that name a file by a path, from the table. */
const pathCalls = new Map(
  rows
    .filter(([, row]) => Object.values(row.args).some(arg => arg === path))
    .map(([name, row]) => [row.nr, name]),
)

type Kind = 'stub' | 'sentry' | 'gofer'
const pids: Record<Kind, number[]> = { stub: [], sentry: [], gofer: [] }
const calls: Record<Kind, HostCall[]> = { stub: [], sentry: [], gofer: [] }
let trace: SyscallTrace | undefined
let reason = ''
let output = ''
const status = new Map<string, string>()
const descriptors = new Map<number, string[]>()
const roots = new Map<number, string[]>()
const limits = new Map<number, string>()
/** By thread: its namespaces. */
const namespaces = new Map<string, string[]>()
const environments = new Map<number, string>()
const OWN_NAMESPACES = ['mnt', 'net', 'ipc', 'uts']

const commandLine = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'latin1')
const threads = (pid: number) => readdirSync(`/proc/${pid}/task`).map(Number)

function kindOf(pid: number): Kind | null {
  const line = commandLine(pid)
  // It shows the program's command line.
  if (readlinkSync(`/proc/${pid}/exe`).endsWith('/launcher')) return null
  if (/\0gofer(\0|$)|gofer\.mjs/.test(line)) return 'gofer'
  if (/\0sentry(\0|$)|sentry\.mjs/.test(line)) return 'sentry'
  // The stub's arguments are gone with its stack.
  return /^\S*node\b/.test(line) ? null : 'stub'
}

/** A stub has the descriptor of what it maps for a moment: those that we have seen were about to wait for their next calls. */
const wereAtRest = (): boolean => pids.stub.every(pid => descriptors.get(pid)?.length === 0)

/** What /proc tells of the sandbox's processes while they run, and wait. Throws when one ends or closes something. */
function inspect(parent: number): void {
  for (const list of Object.values(pids)) list.length = 0
  for (const map of [status, descriptors, roots, limits, namespaces, environments]) map.clear()
  for (const pid of descendants(parent)) {
    const kind = kindOf(pid)
    if (kind === null) continue
    pids[kind].push(pid)
    for (const tid of threads(pid))
      status.set(`${kind} ${pid}/${tid}`, readFileSync(`/proc/${pid}/task/${tid}/status`, 'latin1'))
    descriptors.set(
      pid,
      readdirSync(`/proc/${pid}/fd`).map(fd => readlinkSync(`/proc/${pid}/fd/${fd}`)),
    )
    roots.set(pid, readdirSync(`/proc/${pid}/root/`))
    limits.set(pid, readFileSync(`/proc/${pid}/limits`, 'latin1'))
    environments.set(pid, readFileSync(`/proc/${pid}/environ`, 'latin1'))
    for (const tid of threads(pid))
      namespaces.set(
        `${kind} ${pid}/${tid}`,
        OWN_NAMESPACES.map(type => readlinkSync(`/proc/${pid}/task/${tid}/ns/${type}`)),
      )
  }
}

function field(text: string, name: string): string {
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(text)?.[1] ?? ''
}

/** Runs the workload; it waits for a line when it has started, and is recorded from then on. */
async function record(): Promise<void> {
  const folder = join(root, 'test/syscalls')
  const built = PROGRAMS.map(name =>
    compile(join(folder, `${name}.c`), join(cache, 'isolation', name), [
      '-O1',
      '-pthread',
      '-w',
      `-I${folder}`,
    ]),
  )
  const script = `echo ready; read line; sh -c 'find /etc -type f | head -200 | xargs cat | sort | wc -c; echo x > /tmp/x; rm /tmp/x'
    for p in ${built.join(' ')}; do $p > /dev/null 2>&1; done; echo over; read line`
  const child = spawn(runsc, ['do', '--', '/bin/sh', '-c', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: '/',
  })
  const ended = new Promise(done => child.on('exit', done))
  const said = (word: string) =>
    new Promise<void>((done, failed) => {
      const look = () => output.includes(word) && done()
      child.stdout.on('data', look)
      child.on('exit', () => failed(new Error(`the workload ended before "${word}": ${output}`)))
      look()
    })
  child.stdout.on('data', chunk => (output += String(chunk)))
  await said('ready')
  await until('all are at rest', () => {
    try {
      inspect(child.pid!)
      return wereAtRest()
    } catch (error) {
      // It ended, or was closed, while we looked.
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code!)) return false
      throw error
    }
  })
  trace!.start(Object.values(pids).flat().flatMap(threads))
  const all: HostCall[] = []
  const timer = setInterval(() => trace!.take(all), 20)
  child.stdin.write('go\n')
  await said('over')
  clearInterval(timer)
  trace!.take(all)
  const kinds = new Map<number, Kind>()
  for (const kind of ['sentry', 'gofer'] as const)
    for (const pid of pids[kind]) for (const tid of threads(pid)) kinds.set(tid, kind)
  // Only stubs make processes.
  for (const call of all) calls[kinds.get(call.pid) ?? 'stub'].push(call)
  child.stdin.end('end\n')
  await ended
}

/** The calls that a policy does not allow, from none of the given places, once each. */
function outside(
  recorded: readonly HostCall[],
  filter: Filter,
  places: readonly bigint[],
): string[] {
  const bad = new Set<string>()
  for (const { nr, args } of recorded) {
    // -1: a call that a tracer or a filter has replaced by none.
    if (nr === -1) continue
    const allowed = places.some(ip => filter.run(seccompData(nr, args, ip)) === ALLOW)
    if (!allowed)
      bad.add(`${names.get(nr) ?? nr}(${args.map(arg => `0x${arg.toString(16)}`).join(', ')})`)
  }
  return [...bad]
}

const filterOf = (policy: Policy) => new Filter(compilePolicy(policy))
const distinct = (recorded: readonly HostCall[]) => new Set(recorded.map(call => call.nr))
const threadsOf = (kind: Kind) =>
  [...status].filter(([name]) => name.startsWith(kind)).map(([, text]) => text)

beforeAll(async () => {
  const opened = SyscallTrace.open()
  if (typeof opened === 'string') {
    reason = opened
    console.warn(`skipped: ${reason}`)
    return
  }
  trace = opened
  await record()
}, 900_000)
afterAll(() => trace?.close())

describe('host calls of a busy sandbox', () => {
  it('were recorded', context => {
    if (trace === undefined) return context.skip(reason)
    expect(output).toContain('over')
    expect(pids.sentry).toHaveLength(1)
    expect(pids.gofer).toHaveLength(1)
    expect(pids.stub.length).toBeGreaterThan(0)
    expect(calls.stub.length).toBeGreaterThan(1000)
    expect(calls.sentry.length).toBeGreaterThan(1000)
    expect(calls.gofer.length).toBeGreaterThan(100)
  })

  it('stubs execute nothing outside of their policy', context => {
    if (trace === undefined) return context.skip(reason)
    const filter = new Filter(fromBytes(stubFilter(false)))
    expect(outside(calls.stub, filter, [STUB_TEXT, PROGRAM_TEXT])).toEqual([])
  })

  it('the sentry executes nothing outside of its policy', context => {
    if (trace === undefined) return context.skip(reason)
    expect(outside(calls.sentry, filterOf(sentryPolicy()), [0n])).toEqual([])
  })

  it('the gofer executes nothing outside of its policy', context => {
    if (trace === undefined) return context.skip(reason)
    expect(outside(calls.gofer, filterOf(goferPolicy()), [0n])).toEqual([])
  })

  it('no call of a stub or of the sentry has a path', context => {
    if (trace === undefined) return context.skip(reason)
    // The filter lets through an empty path only, or it is no path but a name.
    const pathless = ['newfstatat', 'statx', 'memfd_create']
    for (const kind of ['stub', 'sentry'] as const)
      expect(
        [...distinct(calls[kind])]
          .flatMap(nr => pathCalls.get(nr) ?? [])
          .filter(name => !pathless.includes(name)),
      ).toEqual([])
  })
})

describe('the processes of a sandbox', () => {
  it('are filtered, and can gain nothing, in every thread', context => {
    if (trace === undefined) return context.skip(reason)
    for (const kind of ['stub', 'sentry', 'gofer'] as const) {
      expect(threadsOf(kind).length).toBeGreaterThan(0)
      for (const text of threadsOf(kind))
        expect({ nnp: field(text, 'NoNewPrivs'), seccomp: field(text, 'Seccomp') }).toEqual({
          nnp: '1',
          seccomp: '2',
        })
    }
  })

  it('sentry and stubs are nobody, without capabilities', context => {
    if (trace === undefined) return context.skip(reason)
    for (const text of [...threadsOf('stub'), ...threadsOf('sentry')]) {
      for (const name of ['Uid', 'Gid'])
        expect(field(text, name)).toBe('65534\t65534\t65534\t65534')
      expect(field(text, 'Groups')).toBe('')
      for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
        expect(field(text, name)).toMatch(/^0+$/)
    }
  })

  it('the gofer has the capabilities of a file server only', context => {
    if (trace === undefined) return context.skip(reason)
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID.
    for (const text of threadsOf('gofer')) {
      for (const name of ['CapPrm', 'CapEff', 'CapBnd'])
        expect(field(text, name)).toBe('000000000000001b')
      for (const name of ['CapInh', 'CapAmb']) expect(field(text, name)).toMatch(/^0+$/)
    }
  })

  it('see an empty root', context => {
    if (trace === undefined) return context.skip(reason)
    for (const pid of Object.values(pids).flat()) expect(roots.get(pid)).toEqual([])
  })

  it('are in namespaces of their own, in every thread', context => {
    if (trace === undefined) return context.skip(reason)
    const ours = OWN_NAMESPACES.map(type => readlinkSync(`/proc/self/ns/${type}`))
    expect(namespaces.size).toBeGreaterThan(Object.values(pids).flat().length)
    for (const [thread, theirs] of namespaces)
      for (const [i, name] of theirs.entries()) expect(name, thread).not.toBe(ours[i])
  })

  it('have nothing of our environment', context => {
    if (trace === undefined) return context.skip(reason)
    for (const pid of [...pids.sentry, ...pids.gofer])
      expect(environments.get(pid)).toMatch(/^\0*$/)
  })

  it('share no event queue, wake-up or pipe of Node.js', context => {
    if (trace === undefined) return context.skip(reason)
    const pipes = (pid: number) =>
      (descriptors.get(pid) ?? []).filter(target => target.startsWith('pipe:'))
    // One that the program has as a standard stream is the caller's.
    const shared = pipes(pids.sentry[0]!).filter(target => pipes(pids.gofer[0]!).includes(target))
    expect(shared).toEqual([])
    for (const pid of [...pids.sentry, ...pids.gofer])
      expect(descriptors.get(pid)).not.toContain('anon_inode:[io_uring]')
  })

  it('stubs have no descriptors', context => {
    if (trace === undefined) return context.skip(reason)
    for (const pid of pids.stub) expect(descriptors.get(pid)).toEqual([])
  })

  it('stubs are limited in what they could take of the host by themselves', context => {
    if (trace === undefined) return context.skip(reason)
    for (const pid of pids.stub) {
      expect(limits.get(pid)).toMatch(/^Max processes +16384 +16384 /m)
      expect(limits.get(pid)).toMatch(/^Max open files +256 +256 /m)
      expect(limits.get(pid)).toMatch(/^Max locked memory +0 +0 /m)
    }
  })

  it('the sentry has no directory and no file of the host but its streams', context => {
    if (trace === undefined) return context.skip(reason)
    // Donated by the gofer: regular files that the program has open.
    const own = descriptors
      .get(pids.sentry[0]!)!
      .filter(target => !/^\/(etc|usr|lib|lib64|bin|sbin)\//.test(target))
    for (const target of own)
      expect(target).toMatch(/^(anon_inode:.+|socket:\S+|pipe:\S+|\/memfd:.*|\/dev\/null)$/)
  })
})
