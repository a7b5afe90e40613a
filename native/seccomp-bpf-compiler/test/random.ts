// Random policies and call records for the tests, biased towards collisions of values at word boundaries.

import {
  type ArgOp,
  type ArgTest,
  compare,
  maskedEq,
  type Policy,
  type Rule,
  type RuleSet,
} from '../policy.ts'
import * as seccomp from '../seccomp.ts'

/** Reproducible random numbers (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** An integer in [0, n). */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }

  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  times<T>(n: number, make: () => T): T[] {
    return Array.from({ length: n }, make)
  }
}

const HALVES = [0, 1, 2, 3, 0x10, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0xdeadbeef]
const OPS: readonly ArgOp[] = ['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'maskedEq']
const ACTIONS = [
  ...[seccomp.ALLOW, seccomp.LOG, seccomp.KILL_PROCESS, seccomp.KILL_THREAD, seccomp.USER_NOTIF],
  ...[seccomp.errno(1), seccomp.errno(38), seccomp.trap(7), seccomp.trace(9)],
]

/** A 64-bit value from few possible halves, so that values of tests and records meet often. */
export function randomWide(random: Random): bigint {
  const high = random.chance(60) ? 0 : random.pick(HALVES)
  return (BigInt(high) << 32n) | BigInt(random.pick(HALVES))
}

/** A random test of one argument. */
export function randomTest(random: Random, arg = random.below(6)): ArgTest {
  const op = random.pick(OPS)
  const value = randomWide(random)
  if (op !== 'maskedEq') return compare(arg, op, value)
  const mask = randomWide(random)
  return maskedEq(arg, mask, random.chance(80) ? value & mask : value)
}

function randomRules(random: Random, numbers: readonly number[]): RuleSet {
  const rule = (): Rule => ({
    when: random.times(random.below(4), () =>
      randomTest(random, random.below(random.chance(50) ? 2 : 6)),
    ),
    action: random.pick(ACTIONS),
  })
  const calls = new Map(numbers.map(nr => [nr, random.times(random.below(6), rule)]))
  const last = numbers
    .filter(nr => nr < seccomp.X32_SYSCALL_BIT)
    .reduce((a, b) => Math.max(a, b), 0)
  return {
    calls,
    otherwise: random.pick(ACTIONS),
    ...(random.chance(30) ? { newer: { last, action: random.pick(ACTIONS) } } : {}),
  }
}

const NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7, 100, 101, 102, 300, 301, 450, 0x3fffffff]
const ODD_NUMBERS = [seccomp.X32_SYSCALL_BIT, 0x40000001, 0xfffffffe, seccomp.NR_SKIPPED]
const IPS = [0n, 0x1000n, 0x1fffn, 0x2000n, 0x600000000000n, 0x600000001000n, 0xffffffff00000000n]

/** A random policy over a few call numbers and code sections. */
export function randomPolicy(random: Random): Policy {
  const rules = () =>
    randomRules(
      random,
      [...NUMBERS, ...ODD_NUMBERS].filter(() => random.chance(50)),
    )
  const sections = random.times(random.below(3), () => {
    const [from, to] = [random.pick(IPS.slice(0, -1)), random.pick(IPS.slice(1))]
    return from < to ? { from, to, rules: rules() } : { from: to, to: from + 1n, rules: rules() }
  })
  return {
    arch: seccomp.AUDIT_ARCH_X86_64,
    foreignArch: random.pick(ACTIONS),
    x32: random.chance(70) ? random.pick(ACTIONS) : undefined,
    sections,
    rules: rules(),
  }
}

/** A random record that `randomPolicy` has something to say about. */
export function randomData(random: Random): seccomp.SeccompData {
  const nr = random.pick(
    random.chance(85) ? NUMBERS : [...ODD_NUMBERS, 8, 99, 103, 1000, 0x3ffffffe],
  )
  const arch = random.chance(95) ? seccomp.AUDIT_ARCH_X86_64 : seccomp.AUDIT_ARCH_I386
  const ip = random.pick(IPS) + BigInt(random.below(3) - 1)
  return seccomp.seccompData(
    nr,
    random.times(6, () => randomWide(random)),
    ip,
    arch,
  )
}
