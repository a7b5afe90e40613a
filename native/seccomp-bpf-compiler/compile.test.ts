import { expect, test } from 'vitest'
import { MAX_INSNS } from './bpf.ts'
import { compile } from './compile.ts'
import { disassemble } from './disassemble.ts'
import { Filter } from './interpret.ts'
import { anyOf32, compare, evaluate, type Policy, policy, type Rule } from './policy.ts'
import * as seccomp from './seccomp.ts'
import { Random, randomData, randomPolicy } from './test/random.ts'

const { ALLOW, KILL_PROCESS } = seccomp

const simple = (calls: [number, Rule[]][]): Policy =>
  policy({
    foreignArch: KILL_PROCESS,
    rules: { calls: new Map(calls), otherwise: seccomp.errno(1) },
  })

test('compiled random policies decide as their direct evaluation does', () => {
  const random = new Random(1)
  for (let i = 0; i < 400; i++) {
    const p = randomPolicy(random)
    const filter = new Filter(compile(p))
    for (let j = 0; j < 200; j++) {
      const data = randomData(random)
      if (filter.run(data) === evaluate(p, data)) continue
      expect.fail(`policy ${i}, record ${[...data]}:\n${disassemble(filter.program)}`)
    }
  }
})

test('calls with equal decisions are one range of numbers', () => {
  const allow: Rule[] = [{ when: [], action: ALLOW }]
  const program = compile(
    simple([
      [5, allow],
      [6, allow],
      [7, allow],
      [9, allow],
    ]),
  )
  // arch: 2; number: load, x32 below and above, 5, 8, 9, 10; answers: 3.
  expect(program.length).toBeLessThanOrEqual(13)
})

test('a list of values costs one comparison each', () => {
  const values = Array.from({ length: 100 }, (_, i) => i * 3)
  const program = compile(simple([[1, anyOf32(0, values, ALLOW)]]))
  expect(program.length).toBeLessThan(115)
})

test('jumps over more than 255 instructions', () => {
  const calls = Array.from({ length: 300 }, (_, i): [number, Rule[]] => [
    i * 2,
    [{ when: [compare(i % 6, 'eq', i + 2 ** 40)], action: ALLOW }],
  ])
  const p = simple(calls)
  const filter = new Filter(compile(p))
  expect(filter.program.length).toBeGreaterThan(1000)
  for (let nr = 0; nr < 601; nr++) {
    for (const value of [nr / 2 + 2 ** 40, nr, 0]) {
      const data = seccomp.seccompData(nr, Array(6).fill(Math.floor(value)))
      expect(filter.run(data)).toBe(evaluate(p, data))
    }
  }
})

test('a filter of more than 4096 instructions is an error', () => {
  const values = (from: number) => Array.from({ length: 900 }, (_, i) => from + i * 2)
  const calls = (n: number) =>
    Array.from({ length: n }, (_, i): [number, Rule[]] => [
      i * 2,
      anyOf32(0, values(i * 99), ALLOW),
    ])
  expect(compile(simple(calls(4))).length).toBeLessThanOrEqual(MAX_INSNS)
  expect(() => compile(simple(calls(5)))).toThrow(/limit of 4096/)
  expect(() => compile(simple([[1, anyOf32(0, [...values(0), ...values(1)], ALLOW)]]))).toThrow(
    /limit/,
  )
})

test('malformed policies are errors', () => {
  const rule = (arg: number): Rule[] => [{ when: [compare(arg, 'eq', 1)], action: ALLOW }]
  expect(() => compile(simple([[1, rule(6)]]))).toThrow(/argument/)
  expect(() => compile(simple([[-1, rule(0)]]))).toThrow(/number/)
  const good = simple([[1, rule(0)]])
  const section = { from: 2n, to: 2n, rules: good.rules }
  expect(() => compile({ ...good, sections: [section] })).toThrow(/section/)
  const newer = { last: 0, action: ALLOW }
  expect(() => compile({ ...good, rules: { ...good.rules, newer } })).toThrow(/newer/)
})

test('the disassembler names fields, targets and answers', () => {
  const text = disassemble(compile(simple([[1, [{ when: [compare(0, 'eq', 3)], action: ALLOW }]]])))
  expect(text).toContain('a = arch')
  expect(text).toContain('a = arg0.low')
  expect(text).toMatch(/if \(a == 0x3\) goto \d+ else \d+/)
  expect(text).toContain('return errno(1)')
})
