// Registers as tracers and core dumps have them: struct user_regs_struct of sys/user.h, by words of 32 bits.

import { EIO } from '../../syscall-table/errno.ts'
import { REG } from '../platform.ts'
import type { Task } from './task.ts'

/** Registers of struct user_regs_struct, by number; -1 for those that the platform does not tell. */
const USER_REGS = 27
export const RAX = 10
export const ORIG_RAX = 15
const CS = 17
const SS = 20
/** cs, ss, ds, es, fs, gs. */
const SEGMENTS = [CS, SS, 23, 24, 25, 26]
export const FS_BASE = 21
export const GS_BASE = 22
const REG_OF_USER = [
  REG.r15,
  REG.r14,
  REG.r13,
  REG.r12,
  REG.rbp,
  REG.rbx,
  REG.r11,
  REG.r10,
  REG.r9,
  REG.r8,
  REG.rax,
  REG.rcx,
  REG.rdx,
  REG.rsi,
  REG.rdi,
  -1,
  REG.rip,
  -1,
  REG.eflags,
  REG.rsp,
  -1,
  -1,
  -1,
  -1,
  -1,
  -1,
  -1,
]
/** cs and ss of user code. */
const FIXED: Readonly<Record<number, number>> = { 17: 0x33, 20: 0x2b }
/** rdi, rsi, rdx, r10, r8, r9. */
export const ARGUMENTS = [14, 13, 12, 7, 9, 8]
/** AC OF DF SF ZF AF PF CF RF NT ID; and IF with the bit that is always set. */
const USER_EFLAGS = 0x254cd5 | 0x10000
const FIXED_EFLAGS = 0x202

/** Programs set their FS base without a call of ours: ask the stopped thread. */
export function refreshBases(task: Task): void {
  const base = task.kernel.platform.fsBase(task.thread)
  if (base >= 0) task.fsBase = base < 2 ** 47 ? base : 0
}

/** struct user_regs_struct of a task whose registers have been read, as words. `nr` is its call, -1 outside of any. */
export function userRegsOf({ thread, fsBase, gsBase }: Task, nr: number): Uint32Array {
  const words = new Uint32Array(USER_REGS * 2)
  for (let i = 0; i < USER_REGS; i++) {
    const reg = REG_OF_USER[i]!
    if (reg < 0) words[i * 2] = FIXED[i] ?? 0
    else words.set(thread.regs.subarray(reg * 2, reg * 2 + 2), i * 2)
  }
  setWord(words, FS_BASE, fsBase)
  setWord(words, GS_BASE, gsBase)
  words[ORIG_RAX * 2] = nr
  words[ORIG_RAX * 2 + 1] = nr < 0 ? 0xffffffff : 0
  return words
}

/** Make them the stopped task's: 0, or -EIO where an address is none. Flags that are no program's stay; segments too. */
export function storeUserRegs(task: Task, words: Uint32Array): number {
  const { regs } = task.thread
  for (let i = 0; i < USER_REGS; i++) {
    const reg = REG_OF_USER[i]!
    if (reg >= 0) regs.set(words.subarray(i * 2, i * 2 + 2), reg * 2)
  }
  const error = setBases(task, getWord(words, FS_BASE), getWord(words, GS_BASE))
  if (error < 0) return error
  regs[REG.eflags * 2] = (regs[REG.eflags * 2]! & USER_EFLAGS) | FIXED_EFLAGS
  regs[REG.eflags * 2 + 1] = 0
  return 0
}

function setBases(task: Task, fsBase: number, gsBase: number): number {
  if (fsBase >= 2 ** 47 || gsBase >= 2 ** 47) return -EIO
  const ops = task.kernel.platform.ops(task.thread)
  if (fsBase !== task.fsBase) ops.setFsBase(fsBase)
  if (gsBase !== task.gsBase) ops.setGsBase(gsBase)
  task.fsBase = fsBase
  task.gsBase = gsBase
  return 0
}

/** Whether all segments are selectors that a program may have. */
export const hasUserSegments = (words: Uint32Array): boolean =>
  SEGMENTS.every(i => isSelector(words[i * 2]!, i))

/** Selectors of user code have 3 in their low bits; only the data segments may be none: set_segment_reg. */
function isSelector(value: number, register: number): boolean {
  if (value === 0) return register !== CS && register !== SS
  return value <= 0xffff && (value & 3) === 3
}

const setWord = (words: Uint32Array, i: number, value: number) => {
  words[i * 2] = value % 2 ** 32
  words[i * 2 + 1] = Math.floor(value / 2 ** 32)
}
const getWord = (words: Uint32Array, i: number): number =>
  words[i * 2 + 1]! * 2 ** 32 + words[i * 2]!
