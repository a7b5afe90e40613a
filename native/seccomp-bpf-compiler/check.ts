// The kernel's acceptance rules for filters: bpf_check_classic in net/core/filter.c, and for those of seccomp
// seccomp_check_filter in kernel/seccomp.c.

import * as bpf from './bpf.ts'
import { SIZEOF_DATA } from './seccomp.ts'

const EINVAL = 22

/** What seccomp takes. Classic BPF has more: packet loads, MOD and the ancillary fields of sockets. */
const ALLOWED = new Set([
  ...[bpf.LD_ABS, bpf.LD_IMM, bpf.LD_MEM, bpf.LD_LEN, bpf.LDX_IMM, bpf.LDX_MEM, bpf.LDX_LEN],
  ...[bpf.ST, bpf.STX, bpf.ADD_K, bpf.ADD_X, bpf.SUB_K, bpf.SUB_X, bpf.MUL_K, bpf.MUL_X],
  ...[bpf.DIV_K, bpf.DIV_X, bpf.OR_K, bpf.OR_X, bpf.AND_K, bpf.AND_X, bpf.LSH_K, bpf.LSH_X],
  ...[bpf.RSH_K, bpf.RSH_X, bpf.NEG, bpf.XOR_K, bpf.XOR_X, bpf.JA, bpf.JEQ_K, bpf.JEQ_X],
  ...[bpf.JGT_K, bpf.JGT_X, bpf.JGE_K, bpf.JGE_X, bpf.JSET_K, bpf.JSET_X, bpf.RET_K, bpf.RET_A],
  ...[bpf.TAX, bpf.TXA],
])

/** What filters of sockets have besides: loads from packets, and MOD. */
const OF_SOCKETS = new Set([
  ...ALLOWED,
  ...[bpf.LD_H_ABS, bpf.LD_B_ABS, bpf.LD_IND, bpf.LD_H_IND, bpf.LD_B_IND, bpf.LDX_MSH],
  ...[bpf.MOD_K, bpf.MOD_X],
])
/** Loads from here on tell facts about a packet: SKF_AD_OFF. */
export const ANCILLARY = 0xfffff000
const ANCILLARY_SIZE = 64

const CONDITIONAL = new Set([
  ...[bpf.JEQ_K, bpf.JEQ_X, bpf.JGT_K, bpf.JGT_X, bpf.JGE_K, bpf.JGE_X, bpf.JSET_K, bpf.JSET_X],
])

const ALL_CELLS = 0xffff

/** Would seccomp(2) accept the program? Returns 0 or -EINVAL. */
export function checkFilter(program: bpf.Program): number {
  return check(program, ({ code, k }) =>
    code === bpf.LD_ABS ? k < SIZEOF_DATA && k % 4 === 0 : ALLOWED.has(code),
  )
}

/** Would SO_ATTACH_FILTER accept the program? Returns 0 or -EINVAL. */
export function checkSocketFilter(program: bpf.Program): number {
  return check(program, ({ code, k }) => {
    const absolute = code === bpf.LD_ABS || code === bpf.LD_H_ABS || code === bpf.LD_B_ABS
    if (!absolute || k < ANCILLARY) return OF_SOCKETS.has(code)
    return k % 4 === 0 && k < ANCILLARY + ANCILLARY_SIZE
  })
}

function check(program: bpf.Program, allowed: (insn: bpf.Insn) => boolean): number {
  const length = program.length
  if (length === 0 || length > bpf.MAX_INSNS) return -EINVAL
  const good = program.every((insn, pc) => allowed(insn) && insnValid(insn, length - pc - 1))
  if (!good) return -EINVAL
  const last = program[length - 1]!.code
  if (last !== bpf.RET_K && last !== bpf.RET_A) return -EINVAL
  return scratchInitialised(program) ? 0 : -EINVAL
}

/** `after`: how many instructions follow. */
function insnValid({ code, jt, jf, k }: bpf.Insn, after: number): boolean {
  if (CONDITIONAL.has(code)) return jt < after && jf < after
  switch (code) {
    case bpf.DIV_K:
    case bpf.MOD_K:
      return k !== 0
    case bpf.LSH_K:
    case bpf.RSH_K:
      return k < 32
    case bpf.LD_MEM:
    case bpf.LDX_MEM:
    case bpf.ST:
    case bpf.STX:
      return k < bpf.MEM_WORDS
    case bpf.JA:
      return k < after
    default:
      return true
  }
}

/**
 * A cell must be stored to on every way to a load of it, else a filter could read the kernel's stack. As in
 * Linux code after a return counts as reached from above, which refuses some harmless programs.
 */
function scratchInitialised(program: bpf.Program): boolean {
  const validAt = new Uint16Array(program.length).fill(ALL_CELLS)
  let valid = 0
  const reach = (pc: number): void => {
    validAt[pc] = validAt[pc]! & valid
  }
  for (let pc = 0; pc < program.length; pc++) {
    const { code, jt, jf, k } = program[pc]!
    valid &= validAt[pc]!
    if (code === bpf.ST || code === bpf.STX) valid |= 1 << k
    else if (code === bpf.LD_MEM || code === bpf.LDX_MEM) {
      if ((valid & (1 << k)) === 0) return false
    } else if (code === bpf.JA) {
      reach(pc + 1 + k)
      valid = ALL_CELLS
    } else if (CONDITIONAL.has(code)) {
      reach(pc + 1 + jt)
      reach(pc + 1 + jf)
      valid = ALL_CELLS
    }
  }
  return true
}
