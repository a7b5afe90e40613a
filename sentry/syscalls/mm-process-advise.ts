// process_madvise(2) and process_mrelease(2): advice about the memory of another process.

import { EINVAL, ENOMEM, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_NICE,
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_PAGEOUT,
  MADV_WILLNEED,
  PAGE_SIZE,
} from '../../syscall-table/flags.ts'
import { pidfdGroup } from '../kernel/pidfd.ts'
import { BY_FSCREDS, ptraceAccess } from '../kernel/ptrace-access.ts'
import type { Task } from '../kernel/task.ts'
import { UIO_MAXIOV } from '../mm/io.ts'
import { advise } from '../mm/protect.ts'
import { pageCeil } from '../mm/vma.ts'

/** What may be said of another's memory: it changes no contents. */
const REMOTE_ADVICE: readonly number[] = [MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_COLLAPSE]

const base = new Float64Array(UIO_MAXIOV)
const length = new Float64Array(UIO_MAXIOV)

/** process_madvise(2): the number of bytes that were advised of. */
export function sys_process_madvise(
  task: Task,
  pidfd: number,
  iov: number,
  count: number,
  advice: number,
  flags: number,
): number {
  if (flags !== 0) return -EINVAL
  const loaded = task.io.vector(iov, count)
  if (loaded < 0) return loaded
  for (let i = 0; i < count; i++) {
    base[i] = task.io.baseOf(i)
    length[i] = task.io.lengthOf(i)
  }
  const group = pidfdGroup(task, pidfd)
  if (typeof group === 'number') return group
  const [target] = group.tasks
  if (target === undefined) return -ESRCH
  const denied = ptraceAccess(task, target, BY_FSCREDS)
  if (denied < 0) return denied
  const own = target.mm === task.mm
  if (!own && !REMOTE_ADVICE.includes(advice)) return -EINVAL
  if (!own && !task.creds.capable(CAP_SYS_NICE)) return -EPERM
  let done = 0
  for (let i = 0; i < count; i++) {
    const n = own
      ? advise(task, task.mm, base[i]!, length[i]!, advice)
      : adviseRemote(target, base[i]!, length[i]!)
    if (n < 0) return done > 0 ? done : n
    done += length[i]!
  }
  return done
}

/** All that may be said is a hint, and the host keeps the pages as it sees fit: only the range is checked. */
function adviseRemote(target: Task, start: number, size: number): number {
  if (start % PAGE_SIZE !== 0) return -EINVAL
  const end = start + pageCeil(size)
  return end === start || target.mm.vmas.covers(start, end) ? 0 : -ENOMEM
}

/** process_mrelease(2): the memory of a process that is being killed is gone with it already. */
export function sys_process_mrelease(task: Task, pidfd: number, flags: number): number {
  if (flags !== 0) return -EINVAL
  const group = pidfdGroup(task, pidfd)
  if (typeof group === 'number') return group
  if (group.tasks.length === 0) return -ESRCH
  return group.exiting ? 0 : -EINVAL
}
