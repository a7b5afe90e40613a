// lsm_list_modules(2), lsm_get_self_attr(2), lsm_set_self_attr(2): security/lsm_syscalls.c. There are capabilities and Landlock, and
// neither labels anything.

import { E2BIG, EFAULT, EINVAL, EOPNOTSUPP } from '../../syscall-table/errno.ts'
import { PAGE_SIZE } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'

/** LSM_ID_CAPABILITY and LSM_ID_LANDLOCK. */
const MODULES = [100, 110]
const ID_SIZE = 8
/** LSM_FLAG_SINGLE: of the module that the context names. */
const SINGLE = 1
/** sizeof(struct lsm_ctx). */
const CONTEXT_SIZE = 32

export function sys_lsm_list_modules(
  task: Task,
  ids: number,
  sizeAddr: number,
  flags: number,
): number {
  if (flags !== 0) return -EINVAL
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, sizeAddr, scratch, 0, 4) < 0) return -EFAULT
  const room = scratchView.getUint32(0, true)
  const size = MODULES.length * ID_SIZE
  scratchView.setUint32(0, size, true)
  if (task.mm.copyOut(task, sizeAddr, scratch, 0, 4) < 0) return -EFAULT
  if (room < size) return -E2BIG
  MODULES.forEach((id, i) => {
    scratchView.setUint32(i * ID_SIZE, id, true)
    scratchView.setUint32(i * ID_SIZE + 4, 0, true)
  })
  return task.mm.copyOut(task, ids, scratch, 0, size) < 0 ? -EFAULT : MODULES.length
}

export function sys_lsm_get_self_attr(
  task: Task,
  attr: number,
  context: number,
  sizeAddr: number,
  flags: number,
): number {
  if (attr === 0 || sizeAddr === 0) return -EINVAL
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, sizeAddr, scratch, 0, 4) < 0) return -EFAULT
  if (flags !== 0) {
    if (flags !== SINGLE || context === 0) return -EINVAL
    if (task.mm.copyIn(task, context, scratch, 0, CONTEXT_SIZE) < 0) return -EFAULT
    if (scratchView.getUint32(0, true) === 0 && scratchView.getUint32(4, true) === 0) return -EINVAL
  }
  scratchView.setUint32(0, 0, true)
  return task.mm.copyOut(task, sizeAddr, scratch, 0, 4) < 0 ? -EFAULT : -EOPNOTSUPP
}

export function sys_lsm_set_self_attr(
  task: Task,
  _attr: number,
  context: number,
  size: number,
  flags: number,
): number {
  if (flags !== 0 || size < CONTEXT_SIZE) return -EINVAL
  if (size > PAGE_SIZE) return -E2BIG
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, context, scratch, 0, size) < 0) return -EFAULT
  const word = (at: number): number =>
    scratchView.getUint32(at + 4, true) * 2 ** 32 + scratchView.getUint32(at, true)
  const length = word(16)
  return length > size || length < CONTEXT_SIZE + word(24) ? -EINVAL : -EOPNOTSUPP
}
