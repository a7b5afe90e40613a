import { afterAll, expect, test } from 'vitest'
import * as bpf from './bpf.ts'
import { jump, stmt } from './bpf.ts'
import { checkFilter } from './check.ts'
import { compile } from './compile.ts'
import { disassemble } from './disassemble.ts'
import { Filter, runFilters } from './interpret.ts'
import { compare, type Policy, policy } from './policy.ts'
import * as seccomp from './seccomp.ts'
import { KernelOracle } from './test/kernel.ts'
import { Random, randomTest, randomWide } from './test/random.ts'

const kernel = new KernelOracle()
afterAll(() => kernel.dispose())

const EINVAL = 22
const ret = stmt(bpf.RET_K, seccomp.ALLOW)

const malformed: [string, bpf.Program][] = [
  ['empty', []],
  ['too long', Array(4097).fill(ret)],
  ['no return at the end', [stmt(bpf.LD_ABS, 0)]],
  ['a jump at the end', [ret, jump(bpf.JEQ_K, 0, 0, 0)]],
  ['a load past seccomp_data', [stmt(bpf.LD_ABS, 64), ret]],
  ['an unaligned load', [stmt(bpf.LD_ABS, 2), ret]],
  ['a load of a packet byte', [stmt(0x30, 0), ret]],
  ['a load of an ancillary field', [stmt(bpf.LD_ABS, 0xfffff000), ret]],
  ['an indirect load', [stmt(0x40, 0), ret]],
  ['a division by constant zero', [stmt(bpf.DIV_K, 0), ret]],
  ['a modulo', [stmt(0x94, 3), ret]],
  ['a shift by 32', [stmt(bpf.LSH_K, 32), ret]],
  ['a jump past the end', [jump(bpf.JEQ_K, 0, 0, 1), ret]],
  ['a long jump past the end', [stmt(bpf.JA, 1), ret]],
  ['a long jump backwards', [ret, stmt(bpf.JA, 0xffffffff), ret]],
  ['scratch cell 16', [stmt(bpf.ST, 16), ret]],
  ['a load of an unset cell', [stmt(bpf.LD_MEM, 3), ret]],
  [
    'a cell set on one way only',
    [...[stmt(bpf.LD_ABS, 0), jump(bpf.JEQ_K, 1, 0, 1), stmt(bpf.ST, 0), stmt(bpf.LD_MEM, 0), ret]],
  ],
  [
    'a cell set before a return',
    [...[jump(bpf.JEQ_K, 0, 0, 2), stmt(bpf.ST, 0), ret, stmt(bpf.LD_MEM, 0), ret]],
  ],
  ['return of the index register', [stmt(0x0e, 0), ret, stmt(0x0e, 0)]],
]

test.each(malformed)('%s is refused, by the kernel too', (_, program) => {
  expect(checkFilter(program)).toBe(-EINVAL)
  expect([...kernel.check([program])]).toEqual([EINVAL])
  expect(() => new Filter(program)).toThrow()
  expect(Filter.load(bpf.toBytes(program))).toBe(-EINVAL)
})

function expectVerdicts(programs: readonly bpf.Program[]): number {
  const verdicts = kernel.check(programs)
  expect(verdicts.length).toBe(programs.length)
  programs.forEach((program, i) => {
    if (-checkFilter(program) !== verdicts[i]) {
      expect.fail(`the kernel says ${verdicts[i]} to\n${disassemble(program)}`)
    }
  })
  return verdicts.filter(v => v === 0).length
}

test('every opcode has the verdict that the kernel gives', () => {
  const opcodes = Array.from({ length: 0x10000 }, (_, code) => [
    jump(code, 4, 0, 0),
    ...Array(6).fill(ret),
  ])
  const stored = stmt(bpf.ST, 4)
  expect(expectVerdicts(opcodes.map(program => [stored, ...program]))).toBeGreaterThan(30)
})

test('random programs have the verdict that the kernel gives', () => {
  const random = new Random(2)
  const codes = [
    ...[bpf.LD_ABS, bpf.LD_IMM, bpf.LD_MEM, bpf.LDX_MEM, bpf.ST, bpf.STX, bpf.LSH_K, bpf.DIV_K],
    ...[bpf.JA, bpf.JEQ_K, bpf.JGT_X, bpf.JSET_K, bpf.RET_K, bpf.RET_A, bpf.TAX, bpf.LD_LEN],
  ]
  const insn = () => {
    const k = random.chance(90) ? random.below(4) * (random.chance(50) ? 4 : 1) : random.below(70)
    return jump(random.pick(codes), k, random.below(3), random.below(3))
  }
  const programs = random.times(20_000, () => [...random.times(random.below(7), insn), ret])
  const good = expectVerdicts(programs)
  expect(good).toBeGreaterThan(1000)
  expect(good).toBeLessThan(19_000)
})

/** Filters whose every answer shows as an errno, over numbers that no kernel has. */
function visiblePolicy(random: Random): Policy {
  const rule = () => ({
    when: random.times(random.below(4), () => randomTest(random)),
    action: seccomp.errno(1 + random.below(4000)),
  })
  const calls = new Map(
    [600, 601, 602, 603, 607, 0xffffffff].map(nr => [nr, random.times(random.below(5), rule)]),
  )
  return policy({
    foreignArch: seccomp.KILL_PROCESS,
    x32: seccomp.errno(99),
    rules: { calls, otherwise: seccomp.ALLOW },
  })
}

test('the kernel decides as the interpreter does', () => {
  const random = new Random(3)
  const numbers = [600, 601, 602, 603, 604, 607, 608, 0x40000000 + 700]
  for (let i = 0; i < 60; i++) {
    const program = compile(visiblePolicy(random))
    const filter = new Filter(program)
    const records = random.times(300, () =>
      seccomp.seccompData(
        random.pick(numbers),
        random.times(6, () => randomWide(random)),
      ),
    )
    const ENOSYS = 38
    const expected = records.map(data => {
      const answer = filter.run(data)
      return answer === seccomp.ALLOW ? ENOSYS : seccomp.dataOf(answer)
    })
    expect([...kernel.decide(program, records)]).toEqual(expected)
  }
})

test("arithmetic is the kernel's", () => {
  const random = new Random(4)
  const ops = [
    ...[bpf.ADD_K, bpf.SUB_X, bpf.MUL_K, bpf.MUL_X, bpf.DIV_K, bpf.DIV_X, bpf.OR_X, bpf.AND_K],
    ...[
      bpf.XOR_K,
      bpf.XOR_X,
      bpf.LSH_K,
      bpf.RSH_K,
      bpf.LSH_X,
      bpf.RSH_X,
      bpf.NEG,
      bpf.TAX,
      bpf.ADD_X,
    ],
  ]
  for (let i = 0; i < 150; i++) {
    const steps = random.times(1 + random.below(6), () =>
      stmt(random.pick(ops), 1 + random.below(31)),
    )
    const program = [
      ...[stmt(bpf.LD_ABS, 0), jump(bpf.JEQ_K, 600, 1, 0), ret],
      ...[stmt(bpf.LD_ABS, 24), stmt(bpf.OR_K, 1), stmt(bpf.TAX), stmt(bpf.LD_ABS, 16), ...steps],
      ...[stmt(bpf.AND_K, 0xfff), stmt(bpf.OR_K, seccomp.ERRNO), stmt(bpf.RET_A)],
    ]
    // X starts odd; after TAX it may be zero, and dividing by it would kill the child that asks the kernel.
    if (steps.some(s => s.code === bpf.DIV_X) && steps.some(s => s.code === bpf.TAX)) continue
    const filter = new Filter(program)
    const records = random.times(50, () =>
      seccomp.seccompData(
        600,
        random.times(6, () => BigInt(random.below(2 ** 32))),
      ),
    )
    const visible = (n: number) => Math.min(n, 4095)
    const expected = records.map(data => visible(seccomp.dataOf(filter.run(data))))
    expect([...kernel.decide(program, records)]).toEqual(expected)
  }
})

test('a division by a zero register ends with kill-thread', () => {
  const filter = new Filter([stmt(bpf.LD_IMM, 5), stmt(bpf.DIV_X), stmt(bpf.RET_A)])
  expect(filter.run(seccomp.seccompData(1))).toBe(seccomp.KILL_THREAD)
})

test('of several filters the most severe action wins, then the newest', () => {
  const always = (answer: number) => new Filter([stmt(bpf.RET_K, answer)])
  const severity = [
    ...[seccomp.KILL_PROCESS, seccomp.KILL_THREAD, seccomp.trap(3), seccomp.errno(5)],
    ...[seccomp.USER_NOTIF, seccomp.trace(1), seccomp.LOG, seccomp.ALLOW],
  ]
  const verdict = { answer: 0, filter: undefined }
  const data = seccomp.seccompData(1)
  severity.forEach((stronger, i) => {
    for (const weaker of severity.slice(i)) {
      const filters = [always(stronger), always(weaker)]
      expect(runFilters(filters, data, verdict).answer).toBe(stronger)
      expect(runFilters(filters.toReversed(), data, verdict).answer).toBe(stronger)
    }
  })
  const [newer, older] = [always(seccomp.errno(1)), always(seccomp.errno(2))]
  expect(runFilters([newer, older], data, verdict)).toEqual({
    answer: newer.run(data),
    filter: newer,
  })
  expect(runFilters([], data, verdict).answer).toBe(seccomp.KILL_PROCESS)
})

test('programs survive the way to bytes and back', () => {
  const rules = {
    calls: new Map([[1, [{ when: [compare(0, 'gt', 5)], action: 1 }]]]),
    otherwise: 0,
  }
  const program = compile(policy({ foreignArch: seccomp.KILL_PROCESS, rules }))
  const bytes = bpf.toBytes(program)
  expect(bytes.length).toBe(program.length * bpf.SIZEOF_INSN)
  expect(bpf.fromBytes(bytes)).toEqual(program)
})
