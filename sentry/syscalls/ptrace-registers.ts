// Registers of a traced task in the forms that ptrace(2) gives them: struct user_regs_struct, and the FPU state.

import { EFAULT, EINVAL, EIO, EPERM } from '../../syscall-table/errno.ts'
import { ARCH_GET_FS, ARCH_GET_GS, ARCH_SET_FS, ARCH_SET_GS } from '../../syscall-table/flags.ts'
import { SIZEOF_USER_REGS_STRUCT } from '../../syscall-table/structs.gen.ts'
import type { Tracee } from '../kernel/ptrace.ts'
import type { Task } from '../kernel/task.ts'
import { FS_BASE, GS_BASE } from '../kernel/user-regs.ts'
import { TASK_SIZE } from '../mm/mm.ts'

export const USER_REGS_SIZE = SIZEOF_USER_REGS_STRUCT
/** struct _xstate: where the processor's features are told to ptrace, and to the frame of a signal. */
const SW_RESERVED = 464
const SW_FEATURES = 472
const LEGACY_SIZE = 512
/** Its upper half must be zero. */
const MXCSR = 24
const HEADER_SIZE = 64
const MAX_FPU_SIZE = 16384
const fpu = new Uint8Array(MAX_FPU_SIZE)
const shown = new Uint8Array(MAX_FPU_SIZE)

/** PTRACE_GETREGS and PTRACE_SETREGS, and their first `size` bytes. */
export function transferRegs(
  task: Task,
  tracee: Tracee,
  addr: number,
  size: number,
  direction: 'get' | 'set',
): number {
  const words = tracee.userRegs()
  const bytes = new Uint8Array(words.buffer)
  if (direction === 'get') return task.mm.copyOut(task, addr, bytes, 0, size)
  if (task.mm.copyIn(task, addr, bytes, 0, size) < 0) return -EFAULT
  return tracee.setUserRegs(words)
}

/** PTRACE_ARCH_PRCTL: arch_prctl(2) of the tracee, with the tracer's memory. */
export function transferBase(task: Task, tracee: Tracee, option: number, addr: number): number {
  const words = tracee.userRegs()
  const register = option === ARCH_SET_FS || option === ARCH_GET_FS ? FS_BASE : GS_BASE
  if (option === ARCH_GET_FS || option === ARCH_GET_GS) {
    const bytes = new Uint8Array(words.buffer, register * 8, 8)
    return task.mm.copyOut(task, addr, bytes, 0, 8)
  }
  if (option !== ARCH_SET_FS && option !== ARCH_SET_GS) return -EINVAL
  if (addr >= TASK_SIZE) return -EPERM
  words[register * 2] = addr % 2 ** 32
  words[register * 2 + 1] = Math.floor(addr / 2 ** 32)
  return tracee.setUserRegs(words)
}

/** The header of an XSAVE area in `shown`: features that the processor has, and zeros. */
function headerFits(): boolean {
  for (let i = 0; i < 8; i++)
    if ((shown[LEGACY_SIZE + i]! & ~fpu[SW_FEATURES + i]!) !== 0) return false
  for (let i = 8; i < HEADER_SIZE; i++) if (shown[LEGACY_SIZE + i] !== 0) return false
  return true
}

/** The FPU state as XSAVE's area without the frame's own words, up to `size` bytes; returns how many. */
export function transferFpu(
  task: Task,
  tracee: Tracee,
  addr: number,
  size: number,
  format: 'legacy' | 'xsave',
  direction: 'get' | 'set',
): number {
  const { platform } = task.kernel
  const { thread } = tracee.task
  const n = platform.getFpu(thread, fpu)
  if (n < 0) return -EIO
  // The frame ends in four bytes of a magic number of its own.
  const length = Math.min(size, n > LEGACY_SIZE ? n - 4 : n)
  if (direction === 'get') {
    shown.set(fpu.subarray(0, length))
    shown.fill(0, SW_RESERVED, LEGACY_SIZE)
    shown.set(fpu.subarray(SW_FEATURES, SW_FEATURES + 8), SW_RESERVED)
    return task.mm.copyOut(task, addr, shown, 0, length) < 0 ? -EFAULT : length
  }
  const whole = n > LEGACY_SIZE ? n - 4 : n
  if (format === 'legacy' ? length < LEGACY_SIZE : length < whole)
    return format === 'legacy' ? -EINVAL : -EFAULT
  if (task.mm.copyIn(task, addr, shown, 0, length) < 0) return -EFAULT
  if (shown[MXCSR + 2] !== 0 || shown[MXCSR + 3] !== 0) return -EINVAL
  if (length > LEGACY_SIZE && !headerFits()) return -EINVAL
  fpu.set(shown.subarray(0, Math.min(length, SW_RESERVED)))
  if (length > LEGACY_SIZE) fpu.set(shown.subarray(LEGACY_SIZE, length), LEGACY_SIZE)
  return platform.setFpu(thread, fpu, n) < 0 ? -EINVAL : length
}
