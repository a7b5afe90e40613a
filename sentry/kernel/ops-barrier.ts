// Host calls run when a thread goes on. Exec and vfork need to act after them but before program code: they
// end the list with a call that must fail, so that the thread comes back with EV_OPS_FAILED.

import { EFAULT } from '../../syscall-table/errno.ts'
import type { OpsFailure, Task } from './task.ts'

/** Goes on with a call whose host operations have run. */
export interface OpsContinuation {
  /** All operations have succeeded. Returns the call's result, or -EBLOCKED. */
  afterOps(task: Task): number
  /** One has failed. Returns the call's result. */
  opsFailed(task: Task, errno: number): number
}

class Barrier implements OpsFailure {
  readonly #next: OpsContinuation
  readonly #syscallNr: number

  constructor(next: OpsContinuation, syscallNr: number) {
    this.#next = next
    this.#syscallNr = syscallNr
  }

  onOpsFailed(task: Task, _op: number, errno: number): number {
    // The call is still in progress: it may block, and is then run again under its own number.
    task.syscallNr = this.#syscallNr
    // EFAULT comes from the barrier only: neither mmap, munmap, mprotect nor clone can give it.
    if (errno === EFAULT) return this.#next.afterOps(task)
    return this.#next.opsFailed(task, errno)
  }
}

/** Come back through `next` once the operations ordered so far have run. The call returns any number now. */
export function stopAfterOps(task: Task, next: OpsContinuation): void {
  task.opsFailure = new Barrier(next, task.syscallNr)
  task.opsOnly = true
  // Page 0 is never mapped: vm.mmap_min_addr.
  task.kernel.platform.ops(task.thread).mremap(0, 4096, 8192, 0, 0)
}
