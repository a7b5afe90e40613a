// Futexes: futex(2), set_robust_list(2). Waiting and waking run on the host, on the program's own memory;
// what arrives here is what the platform refuses. Waiters of two worlds would not see each other, so only those
// operations are done here that never meet the host's: futex-pi.ts.

import { EFAULT, EINVAL, ENOSYS, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_PTRACE,
  FUTEX_CLOCK_REALTIME,
  FUTEX_CMD_MASK,
  FUTEX_CMP_REQUEUE_PI,
  FUTEX_LOCK_PI,
  FUTEX_LOCK_PI2,
  FUTEX_PRIVATE_FLAG,
  FUTEX_TRYLOCK_PI,
  FUTEX_UNLOCK_PI,
  FUTEX_WAIT_REQUEUE_PI,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { cmpRequeuePi, lockPi, unlockPi, waitRequeuePi } from './futex-pi.ts'

const ROBUST_HEAD_SIZE = 24

/** futex(2): the operations of priority inheritance; others, which the host does not know either, are ENOSYS. */
export function sys_futex(
  task: Task,
  addr: number,
  op: number,
  value: number,
  timeout: number,
  addr2: number,
  value3: number,
): number {
  const realtime = (op & FUTEX_CLOCK_REALTIME) !== 0
  const shared = (op & FUTEX_PRIVATE_FLAG) === 0
  switch (op & FUTEX_CMD_MASK) {
    case FUTEX_LOCK_PI:
      return realtime ? -ENOSYS : lockPi(task, addr, shared, timeout, true, false)
    case FUTEX_LOCK_PI2:
      return lockPi(task, addr, shared, timeout, realtime, false)
    case FUTEX_TRYLOCK_PI:
      return realtime ? -ENOSYS : lockPi(task, addr, shared, 0, false, true)
    case FUTEX_UNLOCK_PI:
      return realtime ? -ENOSYS : unlockPi(task, addr, shared)
    case FUTEX_WAIT_REQUEUE_PI:
      return waitRequeuePi(task, addr, shared, value, timeout, realtime, addr2)
    case FUTEX_CMP_REQUEUE_PI:
      if (realtime) return -ENOSYS
      return cmpRequeuePi(task, addr, shared, value, (timeout % 2 ** 32) | 0, addr2, value3)
    default:
      return -ENOSYS
  }
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

/** set_robust_list(2). The host would look for its own thread ids in the list. */
export function sys_set_robust_list(task: Task, head: number, length: number): number {
  if (length !== ROBUST_HEAD_SIZE) return -EINVAL
  task.robustList = head
  return 0
}

/** get_robust_list(2). */
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
