// Process groups and sessions: setpgid(2), setsid(2), kernel/sys.c.

import { EACCES, EINVAL, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import type { Pid } from './pid-namespace.ts'
import type { Task } from './task.ts'
import { ProcessGroup, Session, type ThreadGroup } from './thread-group.ts'

/** Leave the process group; groups and sessions vanish with their last member. */
export function leaveProcessGroup(group: ThreadGroup): void {
  const { pgrp } = group
  pgrp.members.delete(group)
  if (pgrp.members.size > 0) return
  const { session } = pgrp
  if (pgrp.pid.pgrp === pgrp) pgrp.pid.pgrp = null
  pgrp.pid.release()
  if (session.terminal?.foreground === pgrp) session.terminal.foreground = null
  session.groups.delete(pgrp)
  if (session.groups.size > 0 || session.pid.session !== session) return
  session.pid.session = null
  session.pid.release()
}

/** A new session with one process group, both named `pid`. */
export function newSession(pid: Pid): ProcessGroup {
  const session = new Session(pid)
  const pgrp = new ProcessGroup(pid, session)
  pid.session = session
  pid.pgrp = pgrp
  return pgrp
}

/** setsid(2). */
export function setSession(task: Task): number {
  const { group } = task
  const { pid } = group
  if (group.session.leader === group || pid.pgrp !== null) return -EPERM
  leaveProcessGroup(group)
  const pgrp = newSession(pid)
  pgrp.session.leader = group
  group.pgrp = pgrp
  pgrp.members.add(group)
  return group.tgid
}

/** setpgid(2): move `pid` (0: the caller) into process group `pgid` (0: its own). */
export function setProcessGroup(task: Task, pidArg: number, pgidArg: number): number {
  const { pidNs } = task
  const number = pidArg === 0 ? task.group.tgid : pidArg
  const pgid = pgidArg === 0 ? number : pgidArg
  if (pgid < 0) return -EINVAL
  const group = pidNs.group(number)
  if (group === undefined) return pidNs.task(number) !== undefined ? -EINVAL : -ESRCH
  if (group.parent === task.group) {
    if (group.session !== task.group.session) return -EPERM
    if (group.didExec) return -EACCES
  } else if (group !== task.group) return -ESRCH
  if (group.session.leader === group) return -EPERM
  if (group.pgrp.pid.numberIn(pidNs) === pgid) return 0
  let pgrp = pidNs.processGroup(pgid)
  if (pgid !== number && (pgrp === undefined || pgrp.session !== group.session)) return -EPERM
  if (pgrp === undefined) {
    pgrp = new ProcessGroup(group.pid, group.session)
    group.pid.pgrp = pgrp
  }
  // Join first: leaving must not dissolve the session.
  pgrp.members.add(group)
  leaveProcessGroup(group)
  group.pgrp = pgrp
  return 0
}
