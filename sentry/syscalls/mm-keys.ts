// mseal(2), and protection keys: pkeys(7).

import { EINVAL, ENOMEM } from '../../syscall-table/errno.ts'
import { PAGE_SIZE, PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { TASK_SIZE } from '../mm/mm.ts'
import { protect } from '../mm/protect.ts'
import { pageCeil, VMA_SEALED } from '../mm/vma.ts'

/** pkey_alloc(2): there are none, as on a CPU without them: arch_set_user_pkey_access. */
export function sys_pkey_alloc(_task: Task, flags: number, rights: number): number {
  if (flags !== 0 || rights > (PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE)) return -EINVAL
  return -EINVAL
}

/** pkey_free(2). */
export function sys_pkey_free(_task: Task, _key: number): number {
  return -EINVAL
}

/** pkey_mprotect(2): key -1 is none, which makes it mprotect(2). */
export function sys_pkey_mprotect(
  task: Task,
  addr: number,
  length: number,
  prot: number,
  key: number,
): number {
  // As in mseal: it was not aligned.
  if (addr >= 2 ** 64) return -EINVAL
  // Nothing to protect is no error, whatever the key.
  return key === -1 || length === 0 ? protect(task, task.mm, addr, length, prot) : -EINVAL
}

/** mseal(2): the areas can be neither changed nor unmapped from now on. */
export function sys_mseal(task: Task, addr: number, wanted: number, flags: number): number {
  // An address that is 2^64 as a double was less, and not aligned.
  if (flags !== 0 || addr % PAGE_SIZE !== 0 || addr >= 2 ** 64) return -EINVAL
  const length = pageCeil(wanted)
  if (length === 0) return 0
  if (addr + length > TASK_SIZE) return addr + length >= 2 ** 64 ? -EINVAL : -ENOMEM
  const { mm } = task
  const end = addr + length
  if (!mm.vmas.covers(addr, end)) return -ENOMEM
  const busy = mm.pending.settle(task, addr, end)
  if (busy < 0) return busy
  mm.vmas.change(addr, end, vma => {
    vma.flags |= VMA_SEALED
  })
  return 0
}
