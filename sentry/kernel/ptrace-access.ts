// Whether a task may look into another one: __ptrace_may_access in kernel/ptrace.c and cap_ptrace_access_check.

import { EPERM } from '../../syscall-table/errno.ts'
import { CAP_SYS_PTRACE } from '../../syscall-table/flags.ts'
import type { CapSet } from './creds.ts'
import { landlockTraces } from './landlock.ts'
import type { Task } from './task.ts'

/** PTRACE_MODE_FSCREDS (files of /proc) or PTRACE_MODE_REALCREDS (system calls). */
export const BY_FSCREDS = 1
export const BY_REALCREDS = 2

/** 0 when `task` may access `target`'s memory and state, else -EPERM. */
export function ptraceAccess(task: Task, target: Task, by: number): number {
  if (task.group === target.group) return 0
  if (!landlockTraces(task, target)) return -EPERM
  const mine = task.creds
  const its = target.creds
  if (mine.capableIn(its.userNs, CAP_SYS_PTRACE)) return 0
  const uid = by === BY_FSCREDS ? mine.fsuid : mine.uid
  const gid = by === BY_FSCREDS ? mine.fsgid : mine.gid
  const sameUser = uid === its.euid && uid === its.suid && uid === its.uid
  if (!sameUser || gid !== its.egid || gid !== its.sgid || gid !== its.gid) return -EPERM
  if (target.group.dumpable !== 1) return -EPERM
  if (mine.userNs !== its.userNs) return -EPERM
  return includes(by === BY_FSCREDS ? mine.effective : mine.permitted, its.permitted) ? 0 : -EPERM
}

function includes(all: CapSet, some: CapSet): boolean {
  return (some.lo & ~all.lo) === 0 && (some.hi & ~all.hi) === 0
}
