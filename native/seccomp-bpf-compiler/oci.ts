// linux.seccomp of an OCI config.json → policy, with the meaning that runc and libseccomp give it.

import {
  type ArgOp,
  type ArgTest,
  compare,
  maskedEq,
  type Policy,
  policy,
  type Rule,
  type RuleSet,
} from './policy.ts'
import * as seccomp from './seccomp.ts'

/** The part of the runtime specification's LinuxSeccomp that decides about calls. */
export interface OciSeccomp {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number
  readonly architectures?: readonly string[]
  readonly flags?: readonly string[]
  readonly syscalls?: readonly OciSyscall[]
}

export interface OciSyscall {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet?: number
  readonly args?: readonly OciArg[]
}

/**
 * JSON.parse rounds integers above 2^53. Masks that matter there (all ones in the high half) have to be
 * passed as bigint by a caller that parses such numbers itself.
 */
export interface OciArg {
  readonly index: number
  readonly value: number | bigint
  readonly valueTwo?: number | bigint
  readonly op: string
}

const EPERM = 1
const ENOSYS = 38
const MAX_ARGS = 6

const OPERATORS = new Map<string, ArgOp>([
  ['SCMP_CMP_NE', 'ne'],
  ['SCMP_CMP_LT', 'lt'],
  ['SCMP_CMP_LE', 'le'],
  ['SCMP_CMP_EQ', 'eq'],
  ['SCMP_CMP_GE', 'ge'],
  ['SCMP_CMP_GT', 'gt'],
  ['SCMP_CMP_MASKED_EQ', 'maskedEq'],
])

/** Default actions for which a call unknown to the profile's author must keep failing with that action. */
const PERMISSIVE = new Set(['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'])

/**
 * The policy for a profile, for x86-64 programs. `numbers` maps names to x86-64 system call numbers; names it
 * lacks are ignored, since profiles list the calls of every architecture. Throws on an invalid profile.
 *
 * LIMIT: i386 and x32 calls kill the thread also when `architectures` has them, as nothing here can run them.
 */
export function ociPolicy(profile: OciSeccomp, numbers: ReadonlyMap<string, number>): Policy {
  const otherwise = action(profile.defaultAction, profile.defaultErrnoRet)
  if (otherwise === seccomp.USER_NOTIF) {
    throw new Error('seccomp: SCMP_ACT_NOTIFY cannot be the default action')
  }
  const calls = new Map<number, readonly Rule[]>()
  for (const entry of profile.syscalls ?? []) {
    const rules = rulesOf(entry)
    for (const name of entry.names) {
      const nr = numbers.get(name)
      if (name === '') throw new Error('seccomp: empty system call name')
      if (rules[0]?.action === seccomp.USER_NOTIF && name === 'write') {
        throw new Error('seccomp: SCMP_ACT_NOTIFY cannot be used for write')
      }
      // libseccomp refuses a rule that repeats the default, so runc skips it.
      if (nr === undefined || rules[0]?.action === otherwise) continue
      calls.set(nr, merged(calls.get(nr) ?? [], rules))
    }
  }
  return policy({
    foreignArch: seccomp.KILL_THREAD,
    rules: { calls, otherwise, ...newerThanProfile(profile, numbers) },
  })
}

/**
 * libseccomp: the first rule without conditions decides alone, wherever it stands.
 *
 * DIFFERS: of overlapping conditions with different actions the first in the profile wins; libseccomp tries them in
 * an order of its own, and refuses equal conditions.
 */
function merged(before: readonly Rule[], rules: readonly Rule[]): readonly Rule[] {
  if (before.some(isUnconditional)) return before
  return rules.some(isUnconditional) ? rules : [...before, ...rules]
}

const isUnconditional = (rule: Rule): boolean => rule.when.length === 0

function rulesOf(entry: OciSyscall): Rule[] {
  const decided = action(entry.action, entry.errnoRet)
  const args = entry.args ?? []
  const tests = args.map(argTest)
  // libseccomp takes one condition per argument. For several runc makes each condition, of all arguments,
  // a rule of its own: they become alternatives.
  const repeated = new Set(args.map(a => a.index)).size < args.length
  if (repeated) return tests.map(test => ({ when: [test], action: decided }))
  return [{ when: tests, action: decided }]
}

function argTest({ index, value, valueTwo, op }: OciArg): ArgTest {
  const operator = OPERATORS.get(op)
  if (operator === undefined) throw new Error(`seccomp: unknown operator ${op}`)
  if (!Number.isInteger(index) || index < 0 || index >= MAX_ARGS) {
    throw new Error(`seccomp: argument index ${index} is not in 0-5`)
  }
  // The specification's `value` is the mask here. libseccomp masks the other operand too.
  if (operator === 'maskedEq') return maskedEq(index, value, BigInt(valueTwo ?? 0) & BigInt(value))
  return compare(index, operator, value)
}

function action(name: string, errnoRet: number | undefined): number {
  switch (name) {
    case 'SCMP_ACT_KILL':
    case 'SCMP_ACT_KILL_THREAD':
      return seccomp.KILL_THREAD
    case 'SCMP_ACT_KILL_PROCESS':
      return seccomp.KILL_PROCESS
    case 'SCMP_ACT_TRAP':
      return seccomp.TRAP
    case 'SCMP_ACT_ERRNO':
      return seccomp.errno(errnoRet ?? EPERM)
    case 'SCMP_ACT_TRACE':
      return seccomp.trace(errnoRet ?? EPERM)
    case 'SCMP_ACT_ALLOW':
      return seccomp.ALLOW
    case 'SCMP_ACT_LOG':
      return seccomp.LOG
    case 'SCMP_ACT_NOTIFY':
      return seccomp.USER_NOTIF
    default:
      throw new Error(`seccomp: unknown action ${name}`)
  }
}

/**
 * runc: calls newer than any in the profile fail with ENOSYS, not with the default, so that a C library falls
 * back to the old call when the profile's author could not know the new one.
 */
function newerThanProfile(
  profile: OciSeccomp,
  numbers: ReadonlyMap<string, number>,
): Pick<RuleSet, 'newer'> {
  if (!profile.architectures?.includes('SCMP_ARCH_X86_64')) return {}
  if (PERMISSIVE.has(profile.defaultAction) || profile.defaultErrnoRet === ENOSYS) return {}
  const named = (profile.syscalls ?? []).flatMap(entry => entry.names)
  const last = named.reduce((max, name) => Math.max(max, numbers.get(name) ?? 0), 0)
  return last === 0 ? {} : { newer: { last, action: seccomp.errno(ENOSYS) } }
}
