// Futexes: futex(2), set_robust_list(2). Waiting and waking run on the host, on the program's own memory;
// what arrives here is what the platform refuses. Waiters of two worlds would not see each other, so nothing
// is emulated.

import { EFAULT, EINVAL, ENOSYS, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import { CAP_SYS_PTRACE } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'

const ROBUST_HEAD_SIZE = 24

/** futex(2): unknown operations and those of priority inheritance, as without CONFIG_FUTEX_PI. */
export function sys_futex(
  _task: Task,
  _uaddr: number,
  _op: number,
  _val: number,
  _timeout: number,
  _uaddr2: number,
  _val3: number,
): number {
  return -ENOSYS
}

/** What the flags of futex_wake(2) and futex_wait(2) may say: FUTEX2_SIZE_U32, FUTEX2_PRIVATE. */
const FUTEX2_FLAGS = 0x2 | 0x80

/** futex_waitv(2): the host does it, except where flags are set, or a filter of the program's own looks at it. */
export function sys_futex_waitv(
  _task: Task,
  _waiters: number,
  _count: number,
  flags: number,
  _timeout: number,
  _clock: number,
): number {
  return flags === 0 ? -ENOSYS : -EINVAL
}

/** futex_wake(2): as futex_waitv. */
export function sys_futex_wake(
  _task: Task,
  _uaddr: number,
  _maskLo: number,
  _maskHi: number,
  _count: number,
  flags: number,
): number {
  return (flags & ~FUTEX2_FLAGS) === 0 ? -ENOSYS : -EINVAL
}

/** futex_wait(2): as futex_waitv. */
export function sys_futex_wait(
  _task: Task,
  _uaddr: number,
  _valueLo: number,
  _valueHi: number,
  _maskLo: number,
  _maskHi: number,
  flags: number,
  _timeout: number,
  _clock: number,
): number {
  return (flags & ~FUTEX2_FLAGS) === 0 ? -ENOSYS : -EINVAL
}

/** futex_requeue(2): as futex_waitv. */
export function sys_futex_requeue(
  _task: Task,
  _waiters: number,
  flags: number,
  _wake: number,
  _requeue: number,
): number {
  return flags === 0 ? -ENOSYS : -EINVAL
}

/** set_robust_list(2), where the platform does not leave it to the host. */
export function sys_set_robust_list(task: Task, head: number, length: number): number {
  if (length !== ROBUST_HEAD_SIZE) return -EINVAL
  task.robustList = head
  return 0
}

/**
 * get_robust_list(2).
 * LIMIT: lists that the platform registers with the host show as absent.
 */
export function sys_get_robust_list(
  task: Task,
  pid: number,
  headAddr: number,
  lengthAddr: number,
): number {
  const target = pid === 0 ? task : task.pidNs.task(pid)
  if (target === undefined) return -ESRCH
  const sameUser = task.creds.fsuid === target.creds.uid && task.creds.fsuid === target.creds.euid
  if (
    target.group !== task.group &&
    !sameUser &&
    !task.creds.capableIn(target.creds.userNs, CAP_SYS_PTRACE)
  )
    return -EPERM
  const { scratch, scratchView } = task.kernel
  const words = [ROBUST_HEAD_SIZE, target.robustList]
  words.forEach((word, i) => {
    scratchView.setUint32(i * 8, word % 2 ** 32, true)
    scratchView.setUint32(i * 8 + 4, Math.floor(word / 2 ** 32), true)
  })
  if (task.mm.copyOut(task, lengthAddr, scratch, 0, 8) < 0) return -EFAULT
  return task.mm.copyOut(task, headAddr, scratch, 8, 8)
}
