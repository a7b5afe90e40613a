// Robust futexes of a task that ends: get_robust_list(2), kernel/futex/core.c exit_robust_list.

import {
  FUTEX_OWNER_DIED,
  FUTEX_TID_MASK,
  FUTEX_WAITERS,
  ROBUST_LIST_LIMIT,
} from '../../syscall-table/flags.ts'
import { RUNNING, type Task } from './task.ts'

/** struct robust_list_head { next, futex_offset, list_op_pending }. */
const HEAD_SIZE = 24

function readPointer(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
}

/** Mark the locks that the task still holds as left behind, and wake a waiter of each. */
export function walkRobustList(task: Task): void {
  const head = task.robustList
  task.robustList = 0
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, head, scratch, 0, HEAD_SIZE) < 0) return
  let entry = readPointer(scratchView, 0)
  const offset = scratchView.getInt32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
  const pending = readPointer(scratchView, 16)
  // The list is the program's: it may be endless.
  for (let i = 0; i < ROBUST_LIST_LIMIT && entry !== head; i++) {
    // Bit 0 marks PI futexes.
    const address = entry - (entry % 2)
    if (task.mm.copyIn(task, address, scratch, 0, 8) < 0) return
    const next = readPointer(scratchView, 0)
    if (entry !== pending) handleFutexDeath(task, address + offset, entry % 2 !== 0, false)
    entry = next
  }
  if (pending !== 0)
    handleFutexDeath(task, pending - (pending % 2) + offset, pending % 2 !== 0, true)
}

function handleFutexDeath(task: Task, addr: number, pi: boolean, pending: boolean): void {
  const { scratch, scratchView } = task.kernel
  if (addr % 4 !== 0 || task.mm.copyIn(task, addr, scratch, 0, 4) < 0) return
  const value = scratchView.getUint32(0, true)
  // It died after it had unlocked, before it could wake anybody.
  if (pending && !pi && value === 0) return wakeOne(task, addr)
  if ((value & FUTEX_TID_MASK) !== task.tid) return
  scratchView.setUint32(0, ((value & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0, true)
  if (task.mm.copyOut(task, addr, scratch, 0, 4) < 0) return
  // Waiters of PI futexes are the kernel's own: releasePiLocks.
  if (!pi && (value & FUTEX_WAITERS) !== 0) wakeOne(task, addr)
}

function wakeOne(task: Task, addr: number): void {
  if (task.group.exiting) nudgeWaiters(task)
  else task.kernel.platform.ops(task.thread).futexWake(addr, 1, true)
}

/**
 * A process that is being killed cannot wake anybody. Interrupting those who may wait makes the host repeat
 * their waits, which end at once because the word has changed.
 */
function nudgeWaiters(task: Task): void {
  const { kernel, group } = task
  for (const other of kernel.tasks) {
    if (other.group === group || other.state !== RUNNING || other.syscallNr >= 0) continue
    kernel.platform.interrupt(other.thread)
  }
}
