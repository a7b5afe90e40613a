// membarrier(2). The private commands run on the host, where the threads are; here is the query, and what a
// sandbox does not offer.

import { EINVAL } from '../../syscall-table/errno.ts'
import {
  MEMBARRIER_CMD_GET_REGISTRATIONS,
  MEMBARRIER_CMD_PRIVATE_EXPEDITED,
  MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
  MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
  MEMBARRIER_CMD_QUERY,
  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ,
  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'

/** What the platform lets the host do: native/policy/stub.ts. */
const NATIVE =
  MEMBARRIER_CMD_PRIVATE_EXPEDITED |
  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
  MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |
  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE |
  MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ |
  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ |
  MEMBARRIER_CMD_GET_REGISTRATIONS

/** membarrier(2). Global barriers would interrupt programs that are none of the caller's business. */
export function sys_membarrier(
  _task: Task,
  command: number,
  flags: number,
  _cpuId: number,
): number {
  if (flags !== 0 || command !== MEMBARRIER_CMD_QUERY) return -EINVAL
  return NATIVE
}
