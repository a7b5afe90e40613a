// What a filter shall decide, as data, and a direct evaluation of it that the compiled form must equal.

import {
  AUDIT_ARCH_X86_64,
  getWide,
  NR_SKIPPED,
  OFF_ARGS,
  OFF_IP,
  type SeccompData,
  X32_SYSCALL_BIT,
} from './seccomp.ts'

export type ArgOp = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge' | 'maskedEq'

/**
 * A test of one argument. All comparisons are unsigned and of the whole 64-bit register: the kernel looks at
 * 32 bits of an `int` argument only, so a rule for one has to say so (`eq32`, `anyOf32`, `onlyBits32`).
 */
export interface ArgTest {
  readonly arg: number
  readonly op: ArgOp
  readonly value: bigint
  /** For maskedEq: `(argument & mask) == value`. All ones for the other operators. */
  readonly mask: bigint
}

/** Decides `action` when every test holds. */
export interface Rule {
  readonly when: readonly ArgTest[]
  readonly action: number
}

/** Rules by system call number. The first rule that holds decides, else `otherwise` does. */
export interface RuleSet {
  readonly calls: ReadonlyMap<number, readonly Rule[]>
  readonly otherwise: number
  /** Answer for all numbers above `last` and below the x32 ones. `calls` must have none of these. */
  readonly newer?: { readonly last: number; readonly action: number }
}

/**
 * A rule set of its own for calls made by a piece of code. seccomp_data's instruction pointer is the address
 * after the system call instruction, so `from` and `to` bound that, not the instruction.
 */
export interface Section {
  readonly from: bigint
  /** Exclusive. */
  readonly to: bigint
  readonly rules: RuleSet
}

export interface Policy {
  /** Architecture word of the calls that the rules are about. */
  readonly arch: number
  readonly foreignArch: number
  /** Answer for x32 numbers; undefined means that they are numbers like any other. */
  readonly x32: number | undefined
  /** Tried in order, before `rules`. */
  readonly sections: readonly Section[]
  readonly rules: RuleSet
}

const ALL = 0xffffffffffffffffn
const LOW = 0xffffffffn

const u64 = (value: bigint | number): bigint => BigInt.asUintN(64, BigInt(value))

/** A policy for x86-64 from its parts. */
export function policy(
  parts: Pick<Policy, 'rules' | 'foreignArch'> & Partial<Pick<Policy, 'x32' | 'sections'>>,
): Policy {
  return { arch: AUDIT_ARCH_X86_64, x32: parts.foreignArch, sections: [], ...parts }
}

/** `argument op value`. */
export function compare(
  arg: number,
  op: Exclude<ArgOp, 'maskedEq'>,
  value: bigint | number,
): ArgTest {
  return { arg, op, value: u64(value), mask: ALL }
}

/** `(argument & mask) == value`. */
export function maskedEq(arg: number, mask: bigint | number, value: bigint | number): ArgTest {
  return { arg, op: 'maskedEq', value: u64(value), mask: u64(mask) }
}

/** The argument, 64 bits wide, has no bit outside of `bits`. */
export const onlyBits = (arg: number, bits: bigint | number): ArgTest =>
  maskedEq(arg, ~u64(bits), 0)
/** The low half of the argument has no bit outside of `bits`; the kernel ignores the other half. */
export const onlyBits32 = (arg: number, bits: number): ArgTest =>
  maskedEq(arg, LOW & ~BigInt.asUintN(32, BigInt(bits)), 0)
/** The low half of the argument is `value`; the kernel ignores the other half. */
export const eq32 = (arg: number, value: number): ArgTest =>
  maskedEq(arg, LOW, BigInt.asUintN(32, BigInt(value)))

/** One rule per value: the low half of the argument is one of them, and `also` holds. */
export function anyOf32(
  arg: number,
  values: readonly number[],
  action: number,
  also: readonly ArgTest[] = [],
): Rule[] {
  return values.map(value => ({ when: [...also, eq32(arg, value)], action }))
}

/** Does the test hold for this record? */
export function holds(test: ArgTest, data: SeccompData): boolean {
  const value = getWide(data, OFF_ARGS + 8 * test.arg)
  switch (test.op) {
    case 'eq':
      return value === test.value
    case 'ne':
      return value !== test.value
    case 'lt':
      return value < test.value
    case 'le':
      return value <= test.value
    case 'gt':
      return value > test.value
    case 'ge':
      return value >= test.value
    case 'maskedEq':
      return (value & test.mask) === test.value
  }
}

/** The answer that the policy gives, without BPF. */
export function evaluate(policy: Policy, data: SeccompData): number {
  if (data[1] !== policy.arch) return policy.foreignArch
  const nr = data[0]!
  if (policy.x32 !== undefined && nr >= X32_SYSCALL_BIT && nr !== NR_SKIPPED) return policy.x32
  const ip = getWide(data, OFF_IP)
  const section = policy.sections.find(s => ip >= s.from && ip < s.to)
  const { calls, otherwise, newer } = section?.rules ?? policy.rules
  if (newer !== undefined && nr > newer.last && nr < X32_SYSCALL_BIT) return newer.action
  const rule = calls.get(nr)?.find(r => r.when.every(test => holds(test, data)))
  return rule?.action ?? otherwise
}
