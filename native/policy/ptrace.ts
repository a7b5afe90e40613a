// The filter on the processes of the ptrace platform. A call that it does not allow stops the thread for its
// tracer, which replaces the call by none before the thread goes on; without a tracer the kernel answers ENOSYS.
// The host calls that the sentry orders go the same way: the filter gives no address any rights.

import { type Policy, policy, TRAP, trace, USER_NOTIF } from 'seccomp-bpf-compiler'
import { allowed, byNumber, each } from './base.ts'
import { programCalls } from './stub.ts'

export interface PtraceOptions {
  /** The stub's text: from there, and only there, `doorbellNr` becomes a notification. */
  readonly stubStart: number
  readonly stubEnd: number
  /** A number without a system call. */
  readonly doorbellNr: number
  /** Program code gets nothing natively that a trace of its system calls should show. */
  readonly traceAll: boolean
  /** Numbers of calls that program code never gets natively. */
  readonly trapped?: readonly number[]
}

/** The page of the three old time calls. They cannot be traced: the kernel allows no other address after them. */
const VSYSCALL = 0xffffffffff600000n
const VSYSCALL_END = VSYSCALL + 0x1000n

/** The policy for processes of the ptrace platform. */
export function ptracePolicy(options: PtraceOptions): Policy {
  const { stubStart, stubEnd, doorbellNr } = options
  const bell = new Map([[doorbellNr, [{ when: [], action: USER_NOTIF }]]])
  const oldTime = byNumber(each('gettimeofday time getcpu', allowed))
  return policy({
    foreignArch: TRAP,
    x32: trace(),
    sections: [
      { from: BigInt(stubStart), to: BigInt(stubEnd), rules: { calls: bell, otherwise: trace() } },
      { from: VSYSCALL, to: VSYSCALL_END, rules: { calls: oldTime, otherwise: trace() } },
    ],
    rules: { calls: programCalls(options), otherwise: trace() },
  })
}
