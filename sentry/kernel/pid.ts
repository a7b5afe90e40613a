// Process ids, process groups and sessions: setpgid(2), setsid(2), kernel/sys.c.

import { EACCES, EINVAL, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import type { Kernel } from './kernel.ts'
import type { Task } from './task.ts'
import { ProcessGroup, Session, type ThreadGroup } from './thread-group.ts'

/** Leave the process group; groups and sessions vanish with their last member. */
export function releasePid(group: ThreadGroup): void {
  leave(group)
}

function leave(group: ThreadGroup): void {
  const { pgrp, kernel } = group
  pgrp.members.delete(group)
  if (pgrp.members.size > 0) return
  const { session } = pgrp
  if (kernel.processGroups.get(pgrp.pgid) === pgrp) kernel.processGroups.delete(pgrp.pgid)
  if (session.terminal?.foreground === pgrp) session.terminal.foreground = null
  session.groups.delete(pgrp)
  if (session.groups.size === 0 && kernel.sessions.get(session.sid) === session) {
    kernel.sessions.delete(session.sid)
  }
}

/** A new session with one process group, both named `id`. */
export function newSession(kernel: Kernel, id: number): ProcessGroup {
  const session = new Session(id)
  const pgrp = new ProcessGroup(id, session)
  kernel.sessions.set(id, session)
  kernel.processGroups.set(id, pgrp)
  return pgrp
}

/** setsid(2). */
export function setSession(task: Task): number {
  const { group, kernel } = task
  const { tgid } = group
  if (group.session.leader === group || kernel.processGroups.has(tgid)) return -EPERM
  leave(group)
  const pgrp = newSession(kernel, tgid)
  pgrp.session.leader = group
  group.pgrp = pgrp
  pgrp.members.add(group)
  return tgid
}

/** setpgid(2): move `pid` (0: the caller) into process group `pgid` (0: its own). */
export function setProcessGroup(task: Task, pidArg: number, pgidArg: number): number {
  const { kernel } = task
  const pid = pidArg === 0 ? task.group.tgid : pidArg
  const pgid = pgidArg === 0 ? pid : pgidArg
  if (pgid < 0) return -EINVAL
  const group = kernel.groups.get(pid)
  if (group === undefined) return kernel.tasks.has(pid) ? -EINVAL : -ESRCH
  if (group.parent === task.group) {
    if (group.session !== task.group.session) return -EPERM
    if (group.didExec) return -EACCES
  } else if (group !== task.group) return -ESRCH
  if (group.session.leader === group) return -EPERM
  if (group.pgrp.pgid === pgid) return 0
  let pgrp = kernel.processGroups.get(pgid)
  if (pgid !== pid && (pgrp === undefined || pgrp.session !== group.session)) return -EPERM
  if (pgrp === undefined) {
    pgrp = new ProcessGroup(pgid, group.session)
    kernel.processGroups.set(pgid, pgrp)
  }
  // Join first: leaving must not dissolve the session.
  pgrp.members.add(group)
  leave(group)
  group.pgrp = pgrp
  return 0
}
