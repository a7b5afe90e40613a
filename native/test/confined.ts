// Run by sandbox.test.ts under the launcher: takes every step of a sentry's confinement, then runs a program
// on the platform that is named and prints what it saw as JSON.

import { readFileSync } from 'node:fs'
import { EV_STARTED } from '../../sentry/platform.ts'
import { openat } from '../host-file.ts'
import {
  dropCapabilities,
  installFilter,
  pivotToEmptyRoot,
  setIds,
  setNoNewPrivs,
} from '../sandbox.ts'
import {
  arg,
  buildPrograms,
  MAKE_FORK,
  Machine,
  PLATFORM_KINDS,
  PROGRAM_REPORT,
  PROGRAMS,
} from './machine.ts'

const AT_FDCWD = -100
const NOBODY = 65534

const image = buildPrograms()
const kind = PLATFORM_KINDS.find(name => name === process.argv[2]) ?? 'systrap'
const policy = kind === 'ptrace' ? 'sentry-ptrace' : 'sentry'
const filter = readFileSync(new URL(`../../build/${policy}.bpf`, import.meta.url))
const stub = openat(AT_FDCWD, new URL('../../build/stub', import.meta.url).pathname, 0o2000000, 0)
// The platform's modules, loaded while there are files to load them from.
const seen: Record<string, unknown> = { pid: process.pid }
seen.capabilities = dropCapabilities(0xffffffff, 0xffffffff)
seen.pivot = pivotToEmptyRoot()
seen.root = openat(AT_FDCWD, '/etc/passwd', 0, 0)
seen.create = openat(AT_FDCWD, '/x', 0o102, 0o600)
seen.ids = setIds(NOBODY, NOBODY)
seen.nnp = setNoNewPrivs()
const start = performance.now()
const m = new Machine(image, false, stub, kind)
seen.startMs = performance.now() - start
seen.filter = installFilter(filter)

const t = m.run(PROGRAMS.forkMemory)
const child = m.newThread()
if (t.nr === MAKE_FORK) m.platform.ops(t).fork(child)
m.platform.resume(t, 5)
const events = [m.next(), m.next()]
seen.started = events.includes(child) && child.event === EV_STARTED
seen.report = [t.nr === PROGRAM_REPORT, arg(t, 0), arg(t, 1)]
m.platform.resume(child, 0)
m.next()
seen.childReport = [arg(child, 0), arg(child, 1)]
m.kill(child)
m.kill(t)
seen.timeout = m.platform.wait(Number(process.hrtime.bigint()) + 2e7)
console.log(JSON.stringify(seen))
