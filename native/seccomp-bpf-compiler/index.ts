// Policies and OCI profiles to seccomp filters, and an interpreter for seccomp filters.

export { fromBytes, type Insn, MAX_INSNS, type Program, SIZEOF_INSN, toBytes } from './bpf.ts'
export { checkFilter, checkSocketFilter } from './check.ts'
export { compile } from './compile.ts'
export { constantAnswer } from './constant.ts'
export { disassemble } from './disassemble.ts'
export { Filter, runFilters, type Verdict } from './interpret.ts'
export { type OciSeccomp, ociPolicy } from './oci.ts'
export { type PacketView, SocketFilter } from './packet.ts'
export {
  type ArgOp,
  type ArgTest,
  anyOf32,
  compare,
  eq32,
  evaluate,
  maskedEq,
  onlyBits,
  onlyBits32,
  type Policy,
  policy,
  type Rule,
  type RuleSet,
  type Section,
} from './policy.ts'
export * from './seccomp.ts'
