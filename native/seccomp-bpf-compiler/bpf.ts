// Classic BPF as linux/filter.h and linux/bpf_common.h define it: opcodes and struct sock_filter.

/** One instruction, struct sock_filter. */
export interface Insn {
  readonly code: number
  readonly jt: number
  readonly jf: number
  readonly k: number
}

/** A program: what struct sock_fprog points to. */
export type Program = readonly Insn[]

/** BPF_MAXINSNS: the kernel takes no longer program. */
export const MAX_INSNS = 4096
/** sizeof(struct sock_filter). */
export const SIZEOF_INSN = 8
/** Cells of scratch memory, BPF_MEMWORDS. */
export const MEM_WORDS = 16

export const LD_ABS = 0x20
export const LD_H_ABS = 0x28
export const LD_B_ABS = 0x30
export const LD_IND = 0x40
export const LD_H_IND = 0x48
export const LD_B_IND = 0x50
export const LD_IMM = 0x00
export const LD_MEM = 0x60
export const LD_LEN = 0x80
export const LDX_IMM = 0x01
export const LDX_MEM = 0x61
export const LDX_LEN = 0x81
/** X = 4 * (the lower half of a byte): the length of an IP header. */
export const LDX_MSH = 0xb1
export const ST = 0x02
export const STX = 0x03
export const ADD_K = 0x04
export const ADD_X = 0x0c
export const SUB_K = 0x14
export const SUB_X = 0x1c
export const MUL_K = 0x24
export const MUL_X = 0x2c
export const DIV_K = 0x34
export const DIV_X = 0x3c
export const OR_K = 0x44
export const OR_X = 0x4c
export const AND_K = 0x54
export const AND_X = 0x5c
export const LSH_K = 0x64
export const LSH_X = 0x6c
export const RSH_K = 0x74
export const RSH_X = 0x7c
export const NEG = 0x84
export const MOD_K = 0x94
export const MOD_X = 0x9c
export const XOR_K = 0xa4
export const XOR_X = 0xac
export const JA = 0x05
export const JEQ_K = 0x15
export const JEQ_X = 0x1d
export const JGT_K = 0x25
export const JGT_X = 0x2d
export const JGE_K = 0x35
export const JGE_X = 0x3d
export const JSET_K = 0x45
export const JSET_X = 0x4d
export const RET_K = 0x06
export const RET_A = 0x16
export const TAX = 0x07
export const TXA = 0x87

/** An instruction without jump offsets. */
export function stmt(code: number, k = 0): Insn {
  return { code, jt: 0, jf: 0, k: k >>> 0 }
}

/** A conditional jump. Offsets count from the next instruction. */
export function jump(code: number, k: number, jt: number, jf: number): Insn {
  return { code, jt, jf, k: k >>> 0 }
}

/** The program as an array of struct sock_filter, little-endian. */
export function toBytes(program: Program): Uint8Array {
  const bytes = new Uint8Array(program.length * SIZEOF_INSN)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const insn of program) {
    view.setUint16(at, insn.code, true)
    view.setUint8(at + 2, insn.jt)
    view.setUint8(at + 3, insn.jf)
    view.setUint32(at + 4, insn.k, true)
    at += SIZEOF_INSN
  }
  return bytes
}

/** The reverse of `toBytes`. Bytes after the last whole instruction are ignored. */
export function fromBytes(bytes: Uint8Array): Insn[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const program: Insn[] = []
  for (let at = 0; at + SIZEOF_INSN <= bytes.length; at += SIZEOF_INSN) {
    program.push({
      code: view.getUint16(at, true),
      jt: view.getUint8(at + 2),
      jf: view.getUint8(at + 3),
      k: view.getUint32(at + 4, true),
    })
  }
  return program
}
