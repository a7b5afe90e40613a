// The ptrace platform: programs run in processes that the sentry traces. A seccomp filter stops them at each of
// their system calls. Slower than systrap, and simpler: nothing of ours runs in those processes, and the sentry
// shares no memory with them. The work is done in native/addon/ptrace*.cc.

import { compile, toBytes } from 'seccomp-bpf-compiler'
import { ptracePolicy } from './policy/ptrace.ts'
import { type PlatformOptions, STUB_BASE, STUB_TEXT_END, StubPlatform } from './stub-platform.ts'

// As in native/addon/ptrace.h.
const DOORBELL_NR = 400

/**
 * Start the ptrace platform. At most one per process, and all its calls from the thread that starts it. It takes
 * over SIGCHLD and reaps every child, so nothing else in this process may start children as long as it lives.
 */
export function createPtracePlatform(options: PlatformOptions): StubPlatform {
  const stub = { stubStart: STUB_BASE, stubEnd: STUB_TEXT_END, doorbellNr: DOORBELL_NR }
  const policy = ptracePolicy({
    ...stub,
    traceAll: options.traceAll === true,
    trapped: options.trapped ?? [],
  })
  const filter = toBytes(compile(policy))
  return new StubPlatform('ptrace', {
    stubFd: options.stubFd,
    filter,
    reserved: [{ start: STUB_BASE, end: STUB_TEXT_END }],
  })
}
