// Runs seccomp filters as the kernel does: 32-bit unsigned arithmetic on an accumulator and an index register.

import * as bpf from './bpf.ts'
import { checkFilter } from './check.ts'
import { ALLOW, KILL_PROCESS, type SeccompData, SIZEOF_DATA } from './seccomp.ts'

// Filters run one at a time and never nested, and a checked filter stores to a cell before it loads it.
const scratch = new Uint32Array(bpf.MEM_WORDS)

/** A checked filter, in a form that runs without allocating. */
export class Filter {
  readonly program: bpf.Program
  readonly #code: Uint16Array
  readonly #jt: Uint8Array
  readonly #jf: Uint8Array
  readonly #k: Uint32Array

  /** The program must have passed `checkFilter`; use `load` for one that comes from outside. */
  constructor(program: bpf.Program) {
    if (checkFilter(program) !== 0) throw new Error('filter breaks the rules of seccomp')
    this.program = program
    this.#code = Uint16Array.from(program, insn => insn.code)
    this.#jt = Uint8Array.from(program, insn => insn.jt)
    this.#jf = Uint8Array.from(program, insn => insn.jf)
    this.#k = Uint32Array.from(program, insn => insn.k)
  }

  /** The filter in these bytes (struct sock_filter each), or -EINVAL where seccomp(2) fails with it. */
  static load(bytes: Uint8Array): Filter | number {
    const program = bpf.fromBytes(bytes)
    const error = checkFilter(program)
    return error === 0 ? new Filter(program) : error
  }

  /** The filter's answer for a call. */
  run(data: SeccompData): number {
    const code = this.#code
    let a = 0
    let x = 0
    for (let pc = 0; ; pc++) {
      const k = this.#k[pc]!
      switch (code[pc]) {
        case bpf.LD_ABS:
          a = data[k >> 2]!
          break
        case bpf.JEQ_K:
          pc += a === k ? this.#jt[pc]! : this.#jf[pc]!
          break
        case bpf.JGE_K:
          pc += a >= k ? this.#jt[pc]! : this.#jf[pc]!
          break
        case bpf.JGT_K:
          pc += a > k ? this.#jt[pc]! : this.#jf[pc]!
          break
        case bpf.JSET_K:
          pc += a & k ? this.#jt[pc]! : this.#jf[pc]!
          break
        case bpf.JEQ_X:
          pc += a === x ? this.#jt[pc]! : this.#jf[pc]!
          break
        case bpf.JGE_X:
          pc += a >= x ? this.#jt[pc]! : this.#jf[pc]!
          break
        case bpf.JGT_X:
          pc += a > x ? this.#jt[pc]! : this.#jf[pc]!
          break
        case bpf.JSET_X:
          pc += a & x ? this.#jt[pc]! : this.#jf[pc]!
          break
        case bpf.JA:
          pc += k
          break
        case bpf.RET_K:
          return k
        case bpf.RET_A:
          return a
        case bpf.LD_IMM:
          a = k
          break
        case bpf.LDX_IMM:
          x = k
          break
        case bpf.LD_MEM:
          a = scratch[k]!
          break
        case bpf.LDX_MEM:
          x = scratch[k]!
          break
        case bpf.LD_LEN:
          a = SIZEOF_DATA
          break
        case bpf.LDX_LEN:
          x = SIZEOF_DATA
          break
        case bpf.ST:
          scratch[k] = a
          break
        case bpf.STX:
          scratch[k] = x
          break
        case bpf.TAX:
          x = a
          break
        case bpf.TXA:
          a = x
          break
        case bpf.DIV_X:
          // The kernel ends the program here with 0, which is the action kill-thread.
          if (x === 0) return 0
          a = Math.floor(a / x)
          break
        default:
          a = alu(code[pc]!, a, k, x)
      }
    }
  }
}

/** The arithmetic that filters of seccomp and of sockets share. */
export function alu(code: number, a: number, k: number, x: number): number {
  switch (code) {
    case bpf.ADD_K:
      return (a + k) >>> 0
    case bpf.ADD_X:
      return (a + x) >>> 0
    case bpf.SUB_K:
      return (a - k) >>> 0
    case bpf.SUB_X:
      return (a - x) >>> 0
    case bpf.MUL_K:
      return Math.imul(a, k) >>> 0
    case bpf.MUL_X:
      return Math.imul(a, x) >>> 0
    case bpf.DIV_K:
      return Math.floor(a / k)
    case bpf.MOD_K:
      return a % k
    case bpf.OR_K:
      return (a | k) >>> 0
    case bpf.OR_X:
      return (a | x) >>> 0
    case bpf.AND_K:
      return (a & k) >>> 0
    case bpf.AND_X:
      return (a & x) >>> 0
    case bpf.XOR_K:
      return (a ^ k) >>> 0
    case bpf.XOR_X:
      return (a ^ x) >>> 0
    // Shift counts are taken modulo 32, here and in the kernel.
    case bpf.LSH_K:
      return (a << k) >>> 0
    case bpf.LSH_X:
      return (a << x) >>> 0
    case bpf.RSH_K:
      return a >>> k
    case bpf.RSH_X:
      return a >>> x
    case bpf.NEG:
      return -a >>> 0
    default:
      throw new Error(`instruction 0x${code.toString(16)} passed the check`)
  }
}

/** The verdict of several filters: the answer that won and the filter that gave it. */
export interface Verdict {
  answer: number
  filter: Filter | undefined
}

/**
 * Run a task's filters, newest first, as seccomp_run_filters does: all of them run, the most severe action
 * wins, and among equal actions the newest filter's data. No filter at all means kill, so that a lost list
 * fails closed. Fills and returns `into`.
 */
export function runFilters(
  newestFirst: readonly Filter[],
  data: SeccompData,
  into: Verdict,
): Verdict {
  into.answer = newestFirst.length === 0 ? KILL_PROCESS : ALLOW
  into.filter = undefined
  for (let i = 0; i < newestFirst.length; i++) {
    const filter = newestFirst[i]!
    const answer = filter.run(data)
    // Signed: kill-process is the lowest, then kill-thread, trap, errno, user-notif, trace, log, allow.
    if ((answer & 0xffff0000) < (into.answer & 0xffff0000)) {
      into.answer = answer
      into.filter = filter
    }
  }
  return into
}
