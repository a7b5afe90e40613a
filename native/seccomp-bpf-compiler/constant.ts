// What a filter answers for a number whatever the arguments are: seccomp_is_const_allow in kernel/seccomp.c. Such
// calls need no run of the filter.

import type { Program } from './bpf.ts'
import * as bpf from './bpf.ts'
import { OFF_ARCH, OFF_NR } from './seccomp.ts'

/** The answer for every call with this number, or null when it depends on more. */
export function constantAnswer(program: Program, nr: number, arch: number): number | null {
  let a = 0
  for (let pc = 0; pc < program.length; pc++) {
    const { code, jt, jf, k } = program[pc]!
    switch (code) {
      case bpf.LD_ABS:
        if (k !== OFF_NR && k !== OFF_ARCH) return null
        a = (k === OFF_NR ? nr : arch) >>> 0
        break
      case bpf.JA:
        pc += k
        break
      case bpf.JEQ_K:
        pc += a === k ? jt : jf
        break
      case bpf.JGE_K:
        pc += a >= k ? jt : jf
        break
      case bpf.JGT_K:
        pc += a > k ? jt : jf
        break
      case bpf.JSET_K:
        pc += (a & k) !== 0 ? jt : jf
        break
      case bpf.AND_K:
        a = (a & k) >>> 0
        break
      case bpf.RET_K:
        return k >>> 0
      default:
        return null
    }
  }
  return null
}
