// Signal masks that hold for one call: ppoll, pselect, epoll_pwait. set_user_sigmask in kernel/signal.c.

import { EINVAL } from '../../syscall-table/errno.ts'
import { recheckSignals, setSignalMask } from './signal.ts'
import type { Task } from './task.ts'

/**
 * Put the mask at `addr` (none when 0) into force for this call. The old one comes back through
 * `dropTemporaryMask`, or by signal delivery when the call is interrupted. Returns 0 or -errno.
 */
export function setTemporaryMask(task: Task, addr: number, size: number): number {
  // A re-run finds the mask of its first pass in force.
  if (addr === 0 || task.signals.restoreMask) return 0
  if (size !== 8) return -EINVAL
  const { scratch, scratchView } = task.kernel
  const n = task.mm.copyIn(task, addr, scratch, 0, 8)
  if (n < 0) return n
  const { signals } = task
  signals.savedMask.copyFrom(signals.mask)
  signals.restoreMask = true
  setSignalMask(task, scratchView.getUint32(0, true), scratchView.getUint32(4, true))
  return 0
}

/** The call has ended by itself: the old mask holds again. */
export function dropTemporaryMask(task: Task): void {
  const { signals } = task
  if (!signals.restoreMask) return
  signals.restoreMask = false
  signals.mask.copyFrom(signals.savedMask)
  recheckSignals(task)
}
