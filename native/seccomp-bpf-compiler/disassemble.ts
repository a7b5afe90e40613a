// Programs as text, for debugging.

import * as bpf from './bpf.ts'
import { describeAnswer, OFF_ARCH, OFF_ARGS, OFF_IP, OFF_NR, SIZEOF_DATA } from './seccomp.ts'

const ALU = new Map([
  [bpf.ADD_K, '+='],
  [bpf.SUB_K, '-='],
  [bpf.MUL_K, '*='],
  [bpf.DIV_K, '/='],
  [bpf.OR_K, '|='],
  [bpf.AND_K, '&='],
  [bpf.LSH_K, '<<='],
  [bpf.RSH_K, '>>='],
  [bpf.XOR_K, '^='],
])

const JUMPS = new Map([
  [bpf.JEQ_K, '=='],
  [bpf.JGT_K, '>'],
  [bpf.JGE_K, '>='],
  [bpf.JSET_K, '&'],
])

/** BPF_X: the operand is the index register, not the constant. */
const X_OPERAND = 0x08

/** One line per instruction, with absolute jump targets and names for what is loaded. */
export function disassemble(program: bpf.Program): string {
  const width = String(program.length).length
  return program.map((insn, pc) => `${String(pc).padStart(width)}: ${line(insn, pc)}`).join('\n')
}

function line(insn: bpf.Insn, pc: number): string {
  const { code, jt, jf, k } = insn
  const hex = `0x${k.toString(16)}`
  const operand = code & X_OPERAND ? 'x' : hex
  const alu = ALU.get(code & ~X_OPERAND)
  if (alu !== undefined) return `a ${alu} ${operand}`
  const test = JUMPS.get(code & ~X_OPERAND)
  if (test !== undefined) {
    return `if (a ${test} ${operand}) goto ${pc + 1 + jt} else ${pc + 1 + jf}`
  }
  switch (code) {
    case bpf.LD_ABS:
      return `a = ${field(k)}`
    case bpf.LD_IMM:
      return `a = ${hex}`
    case bpf.LDX_IMM:
      return `x = ${hex}`
    case bpf.LD_MEM:
      return `a = m[${k}]`
    case bpf.LDX_MEM:
      return `x = m[${k}]`
    case bpf.LD_LEN:
      return 'a = length'
    case bpf.LDX_LEN:
      return 'x = length'
    case bpf.ST:
      return `m[${k}] = a`
    case bpf.STX:
      return `m[${k}] = x`
    case bpf.NEG:
      return 'a = -a'
    case bpf.TAX:
      return 'x = a'
    case bpf.TXA:
      return 'a = x'
    case bpf.JA:
      return `goto ${pc + 1 + k}`
    case bpf.RET_K:
      return `return ${describeAnswer(k)}`
    case bpf.RET_A:
      return 'return a'
    default:
      return `bad instruction 0x${code.toString(16)} ${jt} ${jf} ${hex}`
  }
}

function field(offset: number): string {
  if (offset === OFF_NR) return 'nr'
  if (offset === OFF_ARCH) return 'arch'
  const half = offset & 4 ? 'high' : 'low'
  if (offset % 4 !== 0 || offset >= SIZEOF_DATA) return `data[${offset}]`
  if (offset < OFF_ARGS) return `ip.${half}`
  return `arg${(offset - OFF_IP - 8) >> 3}.${half}`
}
