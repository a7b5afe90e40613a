// The systrap platform: programs run in stub processes of the host, whose system calls trap into the stub and
// reach the sentry through shared memory. The work is done in native/addon/systrap*.cc and native/stub; their
// protocol is described in native/stub/README.md.

import { compile, toBytes } from 'seccomp-bpf-compiler'
import { stubPolicy } from './policy/stub.ts'
import { type PlatformOptions, STUB_BASE, STUB_TEXT_END, StubPlatform } from './stub-platform.ts'

// As in native/stub/slot.h.
const STUB_END = STUB_BASE + 0x20000000
// The table of rewritten call sites.
const GATE_TABLE = 0x60000
const GATE_TABLE_END = 0x70000
const DOORBELL_NR = 400
const CLONE_FORK = 0x8011
const CLONE_SHARED = 0x8111
const CLONE_THREAD = 0x50f00
const CLONE_SETTLS = 0x80000
const CLONE_CHILD_CLEARTID = 0x200000

const cloneFlags = [
  CLONE_FORK,
  ...[CLONE_SHARED, CLONE_THREAD].flatMap(flags => [
    flags,
    flags | CLONE_SETTLS,
    flags | CLONE_CHILD_CLEARTID,
    flags | CLONE_SETTLS | CLONE_CHILD_CLEARTID,
  ]),
]

/** The filter for stub processes as struct sock_filter[]. */
export function stubFilter(traceAll: boolean, trapped: readonly number[] = []): Uint8Array {
  const options = { stubStart: STUB_BASE, stubEnd: STUB_TEXT_END, doorbellNr: DOORBELL_NR }
  return toBytes(compile(stubPolicy({ ...options, traceAll, trapped, cloneFlags })))
}

/**
 * Start the systrap platform. At most one per process. It takes over SIGCHLD and reaps every child, so
 * nothing else in this process may start children as long as it lives.
 */
export function createSystrapPlatform(options: PlatformOptions): StubPlatform {
  const filter = stubFilter(options.traceAll === true, options.trapped)
  const reserved = [
    { start: GATE_TABLE, end: GATE_TABLE_END },
    { start: STUB_BASE, end: STUB_END },
  ]
  return new StubPlatform('systrap', { stubFd: options.stubFd, filter, reserved })
}
