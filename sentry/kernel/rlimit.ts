// Resource limits: getrlimit(2), prlimit(2).

import { EINVAL, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_RESOURCE,
  RLIM_NLIMITS,
  RLIMIT_CORE,
  RLIMIT_CPU,
  RLIMIT_LOCKS,
  RLIMIT_MEMLOCK,
  RLIMIT_MSGQUEUE,
  RLIMIT_NICE,
  RLIMIT_NOFILE,
  RLIMIT_NPROC,
  RLIMIT_RTPRIO,
  RLIMIT_SIGPENDING,
  RLIMIT_STACK,
} from '../../syscall-table/flags.ts'
import { NR_OPEN } from './fdtable.ts'
import { watchCpuLimit } from './itimer.ts'
import type { Task } from './task.ts'
import type { Rlimit, ThreadGroup } from './thread-group.ts'

const UNLIMITED = Number.POSITIVE_INFINITY

/** The limits of init unless the container says otherwise: what Docker gives. */
export function defaultRlimits(): Rlimit[] {
  const limits: Rlimit[] = []
  for (let i = 0; i < RLIM_NLIMITS; i++) limits.push({ cur: UNLIMITED, max: UNLIMITED })
  limits[RLIMIT_STACK] = { cur: 8 << 20, max: UNLIMITED }
  limits[RLIMIT_CORE] = { cur: 0, max: UNLIMITED }
  limits[RLIMIT_NPROC] = { cur: UNLIMITED, max: UNLIMITED }
  limits[RLIMIT_NOFILE] = { cur: NR_OPEN, max: NR_OPEN }
  limits[RLIMIT_MEMLOCK] = { cur: 64 << 10, max: 64 << 10 }
  limits[RLIMIT_LOCKS] = { cur: UNLIMITED, max: UNLIMITED }
  limits[RLIMIT_SIGPENDING] = { cur: 32768, max: 32768 }
  limits[RLIMIT_MSGQUEUE] = { cur: 819200, max: 819200 }
  limits[RLIMIT_NICE] = { cur: 0, max: 0 }
  limits[RLIMIT_RTPRIO] = { cur: 0, max: 0 }
  return limits
}

/** Set limit `resource` of a process. Only CAP_SYS_RESOURCE may raise a hard limit. */
export function setRlimit(
  task: Task,
  group: ThreadGroup,
  resource: number,
  cur: number,
  max: number,
): number {
  if (cur > max) return -EINVAL
  if (resource === RLIMIT_NOFILE && max > NR_OPEN) return -EPERM
  const limit = group.rlimits[resource]!
  if (max > limit.max && !task.creds.capable(CAP_SYS_RESOURCE)) return -EPERM
  limit.cur = cur
  limit.max = max
  if (resource === RLIMIT_CPU) watchCpuLimit(group)
  return 0
}
