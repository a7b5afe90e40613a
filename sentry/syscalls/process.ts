// Processes and their identity. The larger families have files of their own.

import { EFAULT, ESRCH } from '../../syscall-table/errno.ts'
import { KCMP_EPOLL_TFD } from '../../syscall-table/flags.ts'
import { compareObjects, compareWithWatched } from '../kernel/kcmp.ts'
import { setProcessGroup, setSession } from '../kernel/pid.ts'
import { BY_REALCREDS, ptraceAccess } from '../kernel/ptrace-access.ts'
import type { Task } from '../kernel/task.ts'

export {
  sys_clone,
  sys_clone3,
  sys_execve,
  sys_execveat,
  sys_exit,
  sys_exit_group,
  sys_fork,
  sys_set_tid_address,
  sys_setns,
  sys_unshare,
  sys_vfork,
  sys_wait4,
  sys_waitid,
} from './process-clone.ts'
export {
  sys_capget,
  sys_capset,
  sys_getgroups,
  sys_getresgid,
  sys_getresuid,
  sys_setfsgid,
  sys_setfsuid,
  sys_setgid,
  sys_setgroups,
  sys_setregid,
  sys_setresgid,
  sys_setresuid,
  sys_setreuid,
  sys_setuid,
} from './process-creds.ts'
export { sys_add_key, sys_keyctl, sys_request_key } from './process-keys.ts'
export {
  sys_landlock_add_rule,
  sys_landlock_create_ruleset,
  sys_landlock_restrict_self,
} from './process-landlock.ts'
export {
  sys_getrlimit,
  sys_getrusage,
  sys_pidfd_getfd,
  sys_pidfd_open,
  sys_prlimit64,
  sys_setrlimit,
} from './process-limits.ts'
export {
  sys_lsm_get_self_attr,
  sys_lsm_list_modules,
  sys_lsm_set_self_attr,
} from './process-lsm.ts'
export {
  sys_arch_prctl,
  sys_personality,
  sys_prctl,
  sys_rseq,
  sys_seccomp,
} from './process-prctl.ts'
export { sys_ptrace } from './process-ptrace.ts'

/** getpid(2). */
export function sys_getpid(task: Task): number {
  return task.group.tgid
}

/** gettid(2). */
export function sys_gettid(task: Task): number {
  return task.tid
}

/** getppid(2). 0 for a process whose parent is outside of its pid namespace. */
export function sys_getppid(task: Task): number {
  return task.group.parent?.pid.numberIn(task.pidNs) ?? 0
}

/** getuid(2). */
export function sys_getuid(task: Task): number {
  return task.creds.userNs.showUid(task.creds.uid)
}

/** geteuid(2). */
export function sys_geteuid(task: Task): number {
  return task.creds.userNs.showUid(task.creds.euid)
}

/** getgid(2). */
export function sys_getgid(task: Task): number {
  return task.creds.userNs.showGid(task.creds.gid)
}

/** getegid(2). */
export function sys_getegid(task: Task): number {
  return task.creds.userNs.showGid(task.creds.egid)
}

/** struct kcmp_epoll_slot: efd, tfd, toff. */
const KCMP_EPOLL_SLOT_SIZE = 12

/** kcmp(2). */
export function sys_kcmp(
  task: Task,
  pid1: number,
  pid2: number,
  type: number,
  index1: number,
  index2: number,
): number {
  const one = task.pidNs.task(pid1)
  const other = task.pidNs.task(pid2)
  if (one === undefined || other === undefined) return -ESRCH
  const denied = ptraceAccess(task, one, BY_REALCREDS) || ptraceAccess(task, other, BY_REALCREDS)
  if (denied < 0) return denied
  if (type !== KCMP_EPOLL_TFD) return compareObjects(one, other, type, index1, index2)
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, index2, scratch, 0, KCMP_EPOLL_SLOT_SIZE) < 0) return -EFAULT
  return compareWithWatched(
    one,
    other,
    index1,
    scratchView.getUint32(0, true),
    scratchView.getUint32(4, true),
    scratchView.getUint32(8, true),
  )
}

/** setpgid(2). */
export function sys_setpgid(task: Task, pid: number, pgid: number): number {
  return setProcessGroup(task, pid, pgid)
}

/** getpgid(2). */
export function sys_getpgid(task: Task, pid: number): number {
  const group = pid === 0 ? task.group : task.pidNs.task(pid)?.group
  return group === undefined ? -ESRCH : group.pgrp.pid.numberIn(task.pidNs)
}

/** getpgrp(2). */
export function sys_getpgrp(task: Task): number {
  return task.group.pgrp.pid.numberIn(task.pidNs)
}

/** setsid(2). */
export function sys_setsid(task: Task): number {
  return setSession(task)
}

/** getsid(2). */
export function sys_getsid(task: Task, pid: number): number {
  const group = pid === 0 ? task.group : task.pidNs.task(pid)?.group
  return group === undefined ? -ESRCH : group.session.pid.numberIn(task.pidNs)
}
