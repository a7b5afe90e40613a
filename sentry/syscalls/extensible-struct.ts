import { E2BIG, EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import { PAGE_SIZE } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'

/**
 * Copy a struct whose size the program tells into the kernel's scratch, as copy_struct_from_user (lib/usercopy.c): of
 * a shorter one the rest is zero, and what a longer one has behind the `known` bytes must be zero. `smallest` is the
 * size of the first version. Returns 0 or -errno.
 */
export function copyExtensible(
  task: Task,
  addr: number,
  size: number,
  smallest: number,
  known: number,
): number {
  if (size < smallest) return -EINVAL
  if (size > PAGE_SIZE) return -E2BIG
  const { scratch } = task.kernel
  scratch.fill(0, 0, known)
  if (size > known) {
    const error = checkZeros(task, addr + known, size - known)
    if (error < 0) return error
  }
  return task.mm.copyIn(task, addr, scratch, 0, Math.min(size, known))
}

/** check_zeroed_user: memory is read no further than to the first byte that is not zero. */
function checkZeros(task: Task, addr: number, length: number): number {
  const { scratch } = task.kernel
  const n = task.mm.copyInPartial(task, addr, scratch, PAGE_SIZE, length)
  for (let i = 0; i < n; i++) if (scratch[PAGE_SIZE + i] !== 0) return -E2BIG
  return n < length ? -EFAULT : 0
}
