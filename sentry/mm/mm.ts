// Address spaces: struct mm_struct. The host kernel keeps the pages; this keeps the layout (the VMA tree) and
// copies between kernel and program memory.

import { EFAULT, ENAMETOOLONG } from '../../syscall-table/errno.ts'
import type { Task } from '../kernel/task.ts'

/** First address that is not a user address on amd64 (4-level page tables). */
export const TASK_SIZE = 2 ** 47 - 4096
/** PATH_MAX: with the terminating NUL. */
export const PATH_MAX = 4096

export class Mm {
  /** Tasks (and pending execs) that use this address space. */
  users = 1

  /**
   * Copy `length` bytes from program address `addr` to `into[at…]`. All or nothing: 0 or -EFAULT.
   * The caller has copied once: it validates the copy, never the original.
   */
  copyIn(task: Task, addr: number, into: Uint8Array, at: number, length: number): number {
    return this.copyInPartial(task, addr, into, at, length) === length ? 0 : -EFAULT
  }

  /** Copy to program memory: 0 or -EFAULT (some bytes may have been written, as in Linux). */
  copyOut(task: Task, addr: number, from: Uint8Array, at: number, length: number): number {
    return this.copyOutPartial(task, addr, from, at, length) === length ? 0 : -EFAULT
  }

  /** As `copyIn`, but returns the bytes copied before memory ended, or -EFAULT for none. */
  copyInPartial(task: Task, addr: number, into: Uint8Array, at: number, length: number): number {
    if (length === 0) return 0
    if (addr + length > TASK_SIZE) return -EFAULT
    return task.kernel.platform.readMemory(task.thread, addr, into, at, length)
  }

  copyOutPartial(task: Task, addr: number, from: Uint8Array, at: number, length: number): number {
    if (length === 0) return 0
    if (addr + length > TASK_SIZE) return -EFAULT
    return task.kernel.platform.writeMemory(task.thread, addr, from, at, length)
  }

  /**
   * A NUL-terminated string of at most `max` bytes with its NUL, as latin1 (one char per byte).
   * -ENAMETOOLONG when there is no NUL in `max` bytes, -EFAULT where memory ends before one.
   */
  readString(task: Task, addr: number, max: number = PATH_MAX): string | number {
    const { scratch } = task.kernel
    let length = 0
    while (length < max) {
      const chunk = Math.min(max - length, length === 0 ? 256 : PATH_MAX)
      const n = this.copyInPartial(task, addr + length, scratch, length, chunk)
      if (n <= 0) return -EFAULT
      const end = scratch.indexOf(0, length)
      if (end >= 0 && end < length + n) return latin1(scratch, end)
      length += n
      if (n < chunk) return -EFAULT
    }
    return -ENAMETOOLONG
  }
}

function latin1(bytes: Uint8Array, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('latin1')
}
