import { describe, expect, test } from 'vitest'
import type { Program } from './bpf.ts'
import { compile } from './compile.ts'
import { disassemble } from './disassemble.ts'
import { containerProfile } from './fixtures/container-profile.ts'
import { Filter } from './interpret.ts'
import { type OciArg, type OciSeccomp, ociPolicy } from './oci.ts'
import { type ArgOp, type ArgTest, evaluate, policy, type Rule } from './policy.ts'
import * as seccomp from './seccomp.ts'
import { type AddedRule, libseccompFilter, libseccompMissing, resolve } from './test/libseccomp.ts'
import { Random, randomTest, randomWide } from './test/random.ts'

const NUMBERS = new Map([
  ...Object.entries({ read: 0, write: 1, open: 2, close: 3, stat: 4, fstat: 5, lstat: 6, poll: 7 }),
  ...Object.entries({ lseek: 8, mmap: 9, mprotect: 10, munmap: 11, brk: 12, rt_sigaction: 13 }),
  ...Object.entries({ rt_sigprocmask: 14, ioctl: 16, pread64: 17, getpid: 39, socket: 41 }),
  ...Object.entries({ clone: 56, execve: 59, exit: 60, wait4: 61, kill: 62, uname: 63 }),
  ...Object.entries({ ptrace: 101, personality: 135, mount: 165, futex: 202, clock_gettime: 228 }),
  ...Object.entries({ exit_group: 231, epoll_wait: 232, openat: 257, statx: 332, rseq: 334 }),
  ...Object.entries({
    clone3: 435,
    faccessat2: 439,
    epoll_pwait2: 441,
    landlock_restrict_self: 446,
  }),
])

const decide = (profile: OciSeccomp) => {
  const filter = new Filter(compile(ociPolicy(profile, NUMBERS)))
  return (name: string | number, ...args: (number | bigint)[]) => {
    const nr = typeof name === 'number' ? name : NUMBERS.get(name)!
    return seccomp.describeAnswer(filter.run(seccomp.seccompData(nr, args)))
  }
}

describe('a container profile', () => {
  const of = decide(containerProfile)

  test('allows and refuses by name and argument', () => {
    expect(of('read')).toBe('allow')
    expect(of('mount')).toBe('errno(1)')
    expect(of('clone3')).toBe('errno(38)')
    expect(of('ptrace')).toBe('trace(1)')
    expect(of('personality', 0x20008)).toBe('allow')
    expect(of('personality', 3)).toBe('errno(1)')
    expect(of('socket', 2)).toBe('allow')
    expect(of('socket', 40)).toBe('errno(1)')
    expect(of('clone', 0x3d0f00)).toBe('allow')
    expect(of('clone', 0x10000011)).toBe('errno(1)')
  })

  test('calls newer than the profile are missing, not refused', () => {
    expect(of(440)).toBe('errno(1)')
    expect(of(442)).toBe('errno(38)')
    expect(of(5000)).toBe('errno(38)')
    expect(of(seccomp.NR_SKIPPED)).toBe('errno(1)')
    const { architectures, ...native } = containerProfile
    expect(architectures).toContain('SCMP_ARCH_X86_64')
    expect(decide(native)(5000)).toBe('errno(1)')
    expect(decide({ ...containerProfile, defaultAction: 'SCMP_ACT_LOG' })(5000)).toBe('log')
  })

  test('x32 calls kill the thread', () => {
    expect(of(seccomp.X32_SYSCALL_BIT)).toBe('kill-thread')
  })
})

test('conditions on one argument are alternatives', () => {
  const op = 'SCMP_CMP_EQ'
  const args = [
    { index: 0, value: 1, op },
    { index: 0, value: 2, op },
    { index: 1, value: 9, op },
  ]
  const of = decide({
    defaultAction: 'SCMP_ACT_KILL_PROCESS',
    syscalls: [{ names: ['kill'], action: 'SCMP_ACT_ALLOW', args }],
  })
  expect(of('kill', 1, 0)).toBe('allow')
  expect(of('kill', 2, 0)).toBe('allow')
  expect(of('kill', 3, 9)).toBe('allow')
  expect(of('kill', 3, 8)).toBe('kill-process')
})

test.each<[string, OciSeccomp]>([
  ['action', { defaultAction: 'SCMP_ACT_MAYBE' }],
  ['default', { defaultAction: 'SCMP_ACT_NOTIFY' }],
  [
    'write',
    {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['write'], action: 'SCMP_ACT_NOTIFY' }],
    },
  ],
  ['index', withArg({ index: 6, value: 0, op: 'SCMP_CMP_EQ' })],
  ['operator', withArg({ index: 0, value: 0, op: 'SCMP_CMP_LIKE' })],
  ['16 bits', { defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 1 << 20 }],
])('a profile with a bad %s is an error', (message, profile) => {
  expect(() => ociPolicy(profile, NUMBERS)).toThrow(message)
})

function withArg(arg: OciArg): OciSeccomp {
  const syscalls = [{ names: ['kill'], action: 'SCMP_ACT_ALLOW', args: [arg] }]
  return { defaultAction: 'SCMP_ACT_ERRNO', syscalls }
}

if (libseccompMissing !== undefined) console.warn(`skipping the oracle: ${libseccompMissing}`)

describe.skipIf(libseccompMissing !== undefined)('libseccomp', () => {
  const ACTIONS = [
    ...[seccomp.ALLOW, seccomp.LOG, seccomp.errno(1), seccomp.errno(38), seccomp.trap()],
    ...[seccomp.trace(9), seccomp.KILL_PROCESS, seccomp.KILL_THREAD, seccomp.USER_NOTIF],
  ]

  function oracle(otherwise: number, rules: readonly AddedRule[]): Filter {
    const program = libseccompFilter(otherwise, rules)
    if (typeof program === 'number') throw new Error(`libseccomp: ${program}`)
    return new Filter(program)
  }

  function expectSame(
    ours: Program,
    theirs: Filter,
    records: readonly seccomp.SeccompData[],
  ): void {
    const filter = new Filter(ours)
    for (const data of records) {
      const [answer, expected] = [filter.run(data), theirs.run(data)]
      if (answer === expected) continue
      const both = `${seccomp.describeAnswer(answer)}, not ${seccomp.describeAnswer(expected)}`
      expect.fail(
        `${both} for ${[...data]}:\n${disassemble(ours)}\n\n${disassemble(theirs.program)}`,
      )
    }
  }

  test('has the numbers that these tests use', () => {
    for (const [name, nr] of NUMBERS) expect(resolve(name)).toBe(nr)
  })

  const SPECIAL = [0x3fffffff, 0x40000000, 0x40000001, 0xfffffffe, 0xffffffff]

  function records(random: Random, calls: readonly number[], count: number) {
    return random.times(count, () => {
      const nr = random.pick(random.chance(80) ? calls : [...SPECIAL, random.below(450)])
      const args = random.times(6, () => randomWide(random))
      const arch = random.chance(97) ? seccomp.AUDIT_ARCH_X86_64 : seccomp.AUDIT_ARCH_I386
      return seccomp.seccompData(nr, args, 0, arch)
    })
  }

  test('every operator decides as libseccomp does', () => {
    const random = new Random(5)
    for (let i = 0; i < 300; i++) {
      const otherwise = seccomp.errno(77)
      const calls = [...NUMBERS.values()].filter(() => random.chance(30))
      const rules = calls.map((nr): AddedRule => {
        const arg = (t: ArgTest): ArgTest => ({ ...t, value: t.value & t.mask })
        const args = [0, 1, 2, 3, 4, 5].filter(() => random.chance(30))
        return { nr, when: args.map(a => arg(randomTest(random, a))), action: random.pick(ACTIONS) }
      })
      const own = new Map<number, Rule[]>(rules.map(rule => [rule.nr, [rule]]))
      const p = policy({ foreignArch: seccomp.KILL_THREAD, rules: { calls: own, otherwise } })
      expectSame(compile(p), oracle(otherwise, rules), records(random, [...calls, 500], 150))
    }
  })

  const OPERATOR: Record<ArgOp, string> = {
    eq: 'SCMP_CMP_EQ',
    ne: 'SCMP_CMP_NE',
    lt: 'SCMP_CMP_LT',
    le: 'SCMP_CMP_LE',
    gt: 'SCMP_CMP_GT',
    ge: 'SCMP_CMP_GE',
    maskedEq: 'SCMP_CMP_MASKED_EQ',
  }

  /** The rules that runc adds for an entry. */
  function added(nr: number, action: number, tests: readonly ArgTest[]): AddedRule[] {
    if (new Set(tests.map(t => t.arg)).size === tests.length) return [{ nr, when: tests, action }]
    return tests.map(t => ({ nr, when: [t], action }))
  }

  /**
   * Equalities only: with several ordered comparisons for one call, libseccomp 2.5.4 emits jumps that leave the
   * wrong word in the accumulator.
   */
  function randomEquality(random: Random): ArgTest {
    const op = random.pick(['eq', 'maskedEq'] as const)
    const mask = op === 'eq' ? 0xffffffffffffffffn : randomWide(random)
    return { arg: random.below(3), op, value: randomWide(random) & mask, mask }
  }

  test('OCI profiles decide as runc with libseccomp does', () => {
    const random = new Random(6)
    for (let i = 0; i < 300; i++) {
      const rules: AddedRule[] = []
      const syscalls = [...NUMBERS].flatMap(([name, nr]) => {
        const entries = random.chance(40) ? 1 + random.below(3) : 0
        return random.times(entries, () => {
          const tests = random.times(random.below(2), () => randomEquality(random))
          rules.push(...added(nr, seccomp.ALLOW, tests))
          const args = tests.map(({ arg: index, op, value, mask }): OciArg => {
            const masked = op === 'maskedEq'
            return {
              index,
              op: OPERATOR[op],
              value: masked ? mask : value,
              valueTwo: masked ? value : 0n,
            }
          })
          return { names: [name, 'unknown_call'], action: 'SCMP_ACT_ALLOW', args }
        })
      })
      const profile = { defaultAction: 'SCMP_ACT_ERRNO', syscalls }
      const p = ociPolicy(profile, NUMBERS)
      const data = records(random, [...NUMBERS.values()], 200)
      const program = compile(p)
      expectSame(program, oracle(seccomp.errno(1), rules), data)
      for (const record of data) expect(new Filter(program).run(record)).toBe(evaluate(p, record))
    }
  })

  test('a rule without conditions beats those with, first come', () => {
    const eq: OciArg = { index: 0, value: 1, op: 'SCMP_CMP_EQ' }
    const entries = [
      { names: ['kill'], action: 'SCMP_ACT_ALLOW', args: [eq] },
      { names: ['kill'], action: 'SCMP_ACT_LOG' },
      { names: ['kill'], action: 'SCMP_ACT_ALLOW' },
    ]
    const actions = [seccomp.ALLOW, seccomp.LOG, seccomp.ALLOW]
    const when = ociWhen(eq)
    for (const order of [
      [0, 1],
      [1, 0],
      [0, 2],
      [1, 2],
      [2, 1],
      [0, 1, 2],
      [0, 2, 1],
    ]) {
      const syscalls = order.map(i => entries[i]!)
      const rules = order.map(i => ({ nr: 62, action: actions[i]!, when: i === 0 ? when : [] }))
      const program = compile(ociPolicy({ defaultAction: 'SCMP_ACT_ERRNO', syscalls }, NUMBERS))
      const data = [0, 1].map(value => seccomp.seccompData(62, [value]))
      expectSame(program, oracle(seccomp.errno(1), rules), data)
    }
  })

  const ociWhen = ({ index, value }: OciArg): ArgTest[] => [
    { arg: index, op: 'eq', value: BigInt(value), mask: 0xffffffffffffffffn },
  ]
})
