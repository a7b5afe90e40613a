// move_pages(2) and migrate_pages(2) on a machine with one memory node: mm/migrate.c. All pages are where they can be.

import { E2BIG, EFAULT, EINVAL, ENODEV, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import { CAP_SYS_NICE } from '../../syscall-table/flags.ts'
import { BY_REALCREDS, ptraceAccess } from '../kernel/ptrace-access.ts'
import { type Task, ZOMBIE } from '../kernel/task.ts'
import { readNodes } from '../mm/mempolicy.ts'

const MPOL_MF_MOVE = 2
const MPOL_MF_MOVE_ALL = 4
/** Pages that one call may name, so that it ends soon. */
const MOST_PAGES = 1 << 20

/** The task that `pid` names, if the caller may look into it. */
function accessible(task: Task, pid: number): Task | number {
  const target = pid === 0 ? task : task.pidNs.task(pid)
  if (target === undefined || target.state >= ZOMBIE) return -ESRCH
  return ptraceAccess(task, target, BY_REALCREDS) < 0 ? -EPERM : target
}

/** move_pages(2). Without `nodes` it tells where pages are. */
export function sys_move_pages(
  task: Task,
  pid: number,
  count: number,
  pages: number,
  nodes: number,
  status: number,
  flags: number,
): number {
  if ((flags & ~(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)) !== 0) return -EINVAL
  if ((flags & MPOL_MF_MOVE_ALL) !== 0 && !task.creds.capable(CAP_SYS_NICE)) return -EPERM
  const target = accessible(task, pid)
  if (typeof target === 'number') return target
  for (let i = 0; i < count; i++) {
    if (i === MOST_PAGES) return -E2BIG
    const error = movePage(
      task,
      target,
      pages + i * 8,
      nodes === 0 ? 0 : nodes + i * 4,
      status + i * 4,
    )
    if (error < 0) return error
  }
  return 0
}

function movePage(
  task: Task,
  target: Task,
  pageAt: number,
  nodeAt: number,
  statusAt: number,
): number {
  const { mm, kernel } = task
  const { scratch, scratchView } = kernel
  if (mm.copyIn(task, pageAt, scratch, 0, 8) < 0) return -EFAULT
  const addr = scratchView.getUint32(4, true) * 2 ** 32 + scratchView.getUint32(0, true)
  if (nodeAt !== 0) {
    if (mm.copyIn(task, nodeAt, scratch, 0, 4) < 0) return -EFAULT
    if (scratchView.getInt32(0, true) !== 0) return -ENODEV
  }
  scratchView.setInt32(0, target.mm.vmas.find(addr) === undefined ? -EFAULT : 0, true)
  return mm.copyOut(task, statusAt, scratch, 0, 4) < 0 ? -EFAULT : 0
}

/** migrate_pages(2). */
export function sys_migrate_pages(
  task: Task,
  pid: number,
  maxNode: number,
  from: number,
  to: number,
): number {
  const old = readNodes(task, from, maxNode)
  if (old < 0) return old
  const wanted = readNodes(task, to, maxNode)
  if (wanted < 0) return wanted
  const target = accessible(task, pid)
  if (typeof target === 'number') return target
  return wanted === 0 ? -EINVAL : 0
}
