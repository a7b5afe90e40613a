// The filter on stub processes, which run the untrusted program. Whatever it allows, the program can do, also
// what it allows the stub's own code only: a program can jump there. So each call allowed must concern nobody
// but the caller. The instruction pointer only separates what a call *means*.
// Everything else traps: the stub's SIGSYS handler passes it to the Sentry, and the host never answers it.

import {
  compare,
  maskedEq,
  onlyBits,
  type Policy,
  policy,
  type Rule,
  TRAP,
  USER_NOTIF,
} from 'seccomp-bpf-compiler'
import { allowed, allowedFor, allowedIf, byNumber, each, type Rules } from './base.ts'

export interface StubOptions {
  /**
   * The stub's text. A filter sees the address after the system call instruction, so an instruction that ends
   * right at `stubEnd` counts as outside.
   */
  readonly stubStart: number | bigint
  readonly stubEnd: number | bigint
  /** The number that the stub calls to wake the Sentry. */
  readonly doorbellNr: number
  /** Program code gets nothing natively that a trace of its system calls should show. */
  readonly traceAll: boolean
  /** Numbers of calls that program code never gets natively: a container's seccomp profile decides about them. */
  readonly trapped?: readonly number[]
  /** The flag words with which the platform clones, signal number included. */
  readonly cloneFlags: readonly number[]
}

const PROT_ALL = 7
/** SHARED, PRIVATE, FIXED, ANONYMOUS, NORESERVE, STACK, FIXED_NOREPLACE. Not LOCKED or HUGETLB: they take from all. */
const MAP_FLAGS = 0x1 | 0x2 | 0x10 | 0x20 | 0x4000 | 0x20000 | 0x100000
/** MAYMOVE, FIXED, DONTUNMAP. */
const MREMAP_FLAGS = 7

/**
 * NORMAL … DONTNEED, FREE, HUGEPAGE, NOHUGEPAGE, DONTDUMP, DODUMP, COLD, POPULATE_READ, POPULATE_WRITE.
 * Not PAGEOUT, MERGEABLE, REMOVE or HWPOISON: they reach shared pages or observe other processes.
 */
const ADVICE = [0, 1, 2, 3, 4, 8, 14, 15, 20, 22, 23]
/** DONTFORK, DOFORK, WIPEONFORK, KEEPONFORK, DONTDUMP, DODUMP: the Sentry must know of these for fork and for cores. */
const KNOWN_ADVICE = [10, 11, 18, 19, 16, 17]

/** WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET. PI operations lend priority to others. */
const FUTEX_OPS = [0, 1, 3, 4, 5, 9, 10]
/** All bits but FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME. */
const FUTEX_COMMAND = 0xfffffe7f

/** FUTEX2_SIZE_U32 and FUTEX2_PRIVATE. Not those that choose a memory node. */
const FUTEX2_FLAGS = 0x2 | 0x80

const ARCH_SET_GS = 0x1001
const ARCH_SET_FS = 0x1002
const ARCH_GET_FS = 0x1003

/**
 * What the host's process list shows of the caller. PR_SET_MM_MAP changes numbers only that the host's kernel tells in
 * /proc of that process, and its executable for the privileged, whom no stub is among.
 */
const PR_SET_NAME = 15
const PR_SET_MM = 35
const PR_SET_MM_MAP = 14

/** The PRIVATE_EXPEDITED commands, their registrations, and the list of these. Others interrupt every CPU of the host. */
const MEMBARRIER = [8, 16, 32, 64, 128, 256, 512]

/** REALTIME, MONOTONIC, MONOTONIC_RAW, both COARSE, BOOTTIME, TAI. Not the CPU clocks, which name processes. */
const CLOCKS = [0, 1, 4, 5, 6, 7, 11]

const CLOCK_THREAD_CPUTIME_ID = 3
const RUSAGE_SELF = 0
const RUSAGE_THREAD = 1

/** CLONE_PIDFD, CLONE_PTRACE, CLONE_UNTRACED and every CLONE_NEW* of clone(2). */
const CLONE_FORBIDDEN = 0x1000 | 0x2000 | 0x800000 | 0x20000 | 0x7e000000

const futexRules = FUTEX_OPS.flatMap(op => allowedIf(maskedEq(1, FUTEX_COMMAND, op)))

const stubRules: Rules = {
  mmap: allowedIf(onlyBits(2, PROT_ALL), onlyBits(3, MAP_FLAGS)),
  mprotect: allowedIf(onlyBits(2, PROT_ALL)),
  mremap: allowedIf(onlyBits(3, MREMAP_FLAGS)),
  madvise: allowedFor(2, [...ADVICE, ...KNOWN_ADVICE]),
  futex: futexRules,
  arch_prctl: allowedFor(0, [ARCH_SET_GS, ARCH_SET_FS]),
  prctl: [
    ...allowedFor(0, [PR_SET_NAME]),
    ...allowedIf(compare(0, 'eq', PR_SET_MM), compare(1, 'eq', PR_SET_MM_MAP)),
  ],
  getrusage: allowedFor(0, [RUSAGE_SELF, RUSAGE_THREAD]),
  clock_gettime: allowedFor(0, [CLOCK_THREAD_CPUTIME_ID]),
  ...each(
    'munmap close sigaltstack rt_sigreturn rt_sigprocmask sched_yield exit exit_group',
    allowed,
  ),
}

/** Self-affecting calls that a trace of system calls can do without, or that threads cannot work without. */
export const programBase: Rules = {
  futex: futexRules,
  futex_waitv: allowedFor(2, [0]),
  futex_wake: allowedIf(onlyBits(3, FUTEX2_FLAGS)),
  futex_wait: allowedIf(onlyBits(3, FUTEX2_FLAGS)),
  futex_requeue: allowedFor(1, [0]),
  rseq: allowed,
  arch_prctl: allowedFor(0, [ARCH_SET_FS, ARCH_GET_FS]),
  membarrier: allowedFor(0, MEMBARRIER),
}

/** Calls that every program may have answered by the host, unless a trace of its calls is wanted. */
export const programMore: Rules = {
  ...each('sched_yield gettimeofday time getcpu mincore', allowed),
  ...each('clock_gettime clock_getres', allowedFor(0, CLOCKS)),
  madvise: allowedFor(2, ADVICE),
}

/** The calls that program code may make natively. */
export function programCalls(
  options: Pick<StubOptions, 'traceAll' | 'trapped'>,
): Map<number, readonly Rule[]> {
  const calls = byNumber(options.traceAll ? programBase : { ...programBase, ...programMore })
  for (const nr of options.trapped ?? []) calls.delete(nr)
  return calls
}

/** Numbers of all calls that a program may make natively. */
export const NATIVE_CALLS: readonly number[] = [...programCalls({ traceAll: false }).keys()]

/** The policy for stub processes. */
export function stubPolicy(options: StubOptions): Policy {
  const { stubStart, stubEnd, doorbellNr, cloneFlags } = options
  for (const flags of cloneFlags) {
    if (flags & CLONE_FORBIDDEN)
      throw new Error(`clone flags 0x${flags.toString(16)} in a stub policy`)
  }
  const own = byNumber({
    ...stubRules,
    clone: cloneFlags.flatMap(flags => allowedIf(compare(0, 'eq', flags))),
  })
  if (own.has(doorbellNr))
    throw new Error(`the doorbell ${doorbellNr} is a call that the stub makes`)
  own.set(doorbellNr, [{ when: [], action: USER_NOTIF }])
  const section = { calls: own, otherwise: TRAP }
  return policy({
    foreignArch: TRAP,
    sections: [{ from: BigInt(stubStart), to: BigInt(stubEnd), rules: section }],
    rules: { calls: programCalls(options), otherwise: TRAP },
  })
}
