import { E2BIG, EINVAL } from '../../syscall-table/errno.ts'
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
  const error = task.mm.copyIn(task, addr, scratch, 0, size)
  if (error < 0) return error
  for (let i = known; i < size; i++) if (scratch[i] !== 0) return -E2BIG
  return 0
}
