// linux.seccomp of config.json as the sentry takes it: a compiled filter.

import {
  ALLOW,
  AUDIT_ARCH_X86_64,
  compile,
  constantAnswer,
  type OciSeccomp,
  ociPolicy,
  toBytes,
} from 'seccomp-bpf-compiler'
import { NATIVE_CALLS } from '../native/policy/stub.ts'
import type { SeccompConfig } from '../sentry/config.ts'
import {
  SECCOMP_FILTER_FLAG_LOG,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW,
  SECCOMP_FILTER_FLAG_TSYNC,
} from '../syscall-table/flags.ts'
import { syscalls } from '../syscall-table/syscalls.ts'
import { CliError } from './errors.ts'
import type { Spec, SpecSeccomp } from './spec-schema.ts'

/** Flags of seccomp(2). WAIT_KILLABLE_RECV is about listeners, which there are none of. */
export const SECCOMP_FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_FILTER_FLAG_LOG,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW,
}

export const SECCOMP_ACTIONS = [
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_KILL',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_LOG',
  'SCMP_ACT_TRACE',
  'SCMP_ACT_TRAP',
] as const

export const SECCOMP_OPERATORS = [
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_LE',
  'SCMP_CMP_LT',
  'SCMP_CMP_MASKED_EQ',
  'SCMP_CMP_NE',
] as const

/** Architectures that libseccomp knows. A profile may name them all; the sandbox runs x86-64 only. */
const ARCHITECTURES =
  'AARCH64 ARM LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PARISC PARISC64 PPC PPC64 PPC64LE RISCV64 S390 S390X SH SHEB X32 X86 X86_64'
    .split(' ')
    .map(name => `SCMP_ARCH_${name}`)
export const SECCOMP_ARCHITECTURES = ['SCMP_ARCH_X86_64']

/** Compile the profile; null without one. Throws with the field that is wrong. */
export function seccompConfig(profile: Spec['linux']['seccomp']): SeccompConfig | null {
  if (profile === undefined) return null
  checkNames(profile)
  let flags = 0
  for (const [i, flag] of profile.flags.entries()) {
    const bit = Object.hasOwn(SECCOMP_FLAGS, flag) ? SECCOMP_FLAGS[flag] : undefined
    if (bit === undefined)
      fail(`flags.${i}`, `"${flag}" is not one of ${Object.keys(SECCOMP_FLAGS).join(', ')}`)
    else flags |= bit
  }
  const numbers = new Map(Object.entries(syscalls).map(([name, { nr }]) => [name, nr]))
  try {
    const program = compile(ociPolicy(profile as OciSeccomp, numbers))
    return {
      filter: Buffer.from(toBytes(program)).toString('base64'),
      flags,
      trapped: NATIVE_CALLS.filter(nr => constantAnswer(program, nr, AUDIT_ARCH_X86_64) !== ALLOW),
    }
  } catch (cause) {
    throw new CliError(`config.json: linux.${(cause as Error).message}`, { cause })
  }
}

function fail(field: string, why: string): never {
  throw new CliError(`config.json: linux.seccomp.${field}: ${why}`)
}

function checkNames(profile: SpecSeccomp): void {
  checkAction('defaultAction', profile.defaultAction)
  if (profile.listenerPath !== '')
    fail('listenerPath', 'SCMP_ACT_NOTIFY is not supported, and nothing else has a listener')
  for (const [i, arch] of profile.architectures.entries()) {
    if (!ARCHITECTURES.includes(arch)) fail(`architectures.${i}`, `"${arch}" is unknown`)
  }
  for (const [i, rule] of profile.syscalls.entries()) {
    const field = `syscalls.${i}`
    if (rule.names.length === 0) fail(`${field}.names`, 'at least one name is needed')
    if (rule.names.includes('')) fail(`${field}.names`, 'a name is empty')
    checkAction(`${field}.action`, rule.action)
    for (const [j, { index, op }] of rule.args.entries()) {
      if (index > 5) fail(`${field}.args.${j}.index`, `expected a number from 0 to 5, not ${index}`)
      if (!(SECCOMP_OPERATORS as readonly string[]).includes(op))
        fail(`${field}.args.${j}.op`, `"${op}" is not one of ${SECCOMP_OPERATORS.join(', ')}`)
    }
  }
}

function checkAction(field: string, action: string): void {
  if (action === 'SCMP_ACT_NOTIFY')
    fail(field, 'SCMP_ACT_NOTIFY is not supported: decide in the profile, or use SCMP_ACT_ERRNO')
  if (!(SECCOMP_ACTIONS as readonly string[]).includes(action))
    fail(field, `"${action}" is not one of ${SECCOMP_ACTIONS.join(', ')}`)
}
