// Resource limits and usage, and descriptors of processes.

import { EBADF, EFAULT, EINVAL, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_PTRACE,
  CAP_SYS_RESOURCE,
  PIDFD_NONBLOCK,
  PIDFD_THREAD,
  RLIM_NLIMITS,
  RLIMIT_NOFILE,
  RUSAGE_CHILDREN,
  RUSAGE_SELF,
  RUSAGE_THREAD,
} from '../../syscall-table/flags.ts'
import {
  newRusage,
  type Rusage,
  SIZEOF_RUSAGE,
  writeRusage,
} from '../../syscall-table/structs.gen.ts'
import { groupCpu, noteMaxRss, taskCpu } from '../kernel/accounting.ts'
import { askUsage, setTimes } from '../kernel/host-usage.ts'
import { installPidfd, pidfdGroup } from '../kernel/pidfd.ts'
import { setRlimit } from '../kernel/rlimit.ts'
import type { Task } from '../kernel/task.ts'
import type { ThreadGroup } from '../kernel/thread-group.ts'

const usage = newRusage()

function fillUsage(userNs: number, systemNs: number, maxRssKb: number): Rusage {
  setTimes(usage, userNs, systemNs)
  usage.maxrss = maxRssKb
  return usage
}

/** What a process and its reaped children have used: wait4(2). */
export function groupRusage(group: ThreadGroup): Rusage {
  const { userNs, systemNs } = groupCpu(group)
  return fillUsage(
    userNs + group.childUtimeNs,
    systemNs + group.childStimeNs,
    Math.max(group.maxRssKb, group.childMaxRssKb),
  )
}

export function copyOutRusage(task: Task, addr: number, rusage: Rusage): number {
  const { scratch, scratchView } = task.kernel
  writeRusage(scratchView, 0, rusage)
  return task.mm.copyResult(task, addr, scratch, 0, SIZEOF_RUSAGE)
}

/**
 * getrusage(2).
 * DIFFERS: of children, faults and context switches are not counted, and their largest memory is estimated unless
 * they asked for it themselves.
 */
export function sys_getrusage(task: Task, who: number, addr: number): number {
  const { group } = task
  if (who === RUSAGE_CHILDREN) {
    const { childUtimeNs, childStimeNs, childMaxRssKb } = group
    return copyOutRusage(task, addr, fillUsage(childUtimeNs, childStimeNs, childMaxRssKb))
  }
  if (who !== RUSAGE_SELF && who !== RUSAGE_THREAD) return -EINVAL
  if (askUsage(task, who, addr)) return 0
  const { userNs, systemNs } = who === RUSAGE_THREAD ? taskCpu(task) : groupCpu(group)
  noteMaxRss(group)
  return copyOutRusage(task, addr, fillUsage(userNs, systemNs, group.maxRssKb))
}

/** getrlimit(2). */
export function sys_getrlimit(task: Task, resource: number, addr: number): number {
  if (resource < 0 || resource >= RLIM_NLIMITS) return -EINVAL
  return copyOutLimit(task, task.group, resource, addr)
}

/** setrlimit(2). */
export function sys_setrlimit(task: Task, resource: number, addr: number): number {
  if (resource < 0 || resource >= RLIM_NLIMITS) return -EINVAL
  if (copyInLimit(task, addr) < 0) return -EFAULT
  return setRlimit(task, task.group, resource, limit.cur, limit.max)
}

/** prlimit(2). */
export function sys_prlimit64(
  task: Task,
  pid: number,
  resource: number,
  newAddr: number,
  oldAddr: number,
): number {
  if (resource < 0 || resource >= RLIM_NLIMITS) return -EINVAL
  if (newAddr !== 0 && copyInLimit(task, newAddr) < 0) return -EFAULT
  const target = pid === 0 ? task : task.pidNs.task(pid)
  if (target === undefined) return -ESRCH
  if (!mayLimit(task, target)) return -EPERM
  const { group } = target
  const { cur: oldCur, max: oldMax } = group.rlimits[resource]!
  if (newAddr !== 0) {
    const n = setRlimit(task, group, resource, limit.cur, limit.max)
    if (n < 0) return n
  }
  if (oldAddr === 0) return 0
  return copyOutPair(task, oldCur, oldMax, oldAddr)
}

/** Same user in every respect, or CAP_SYS_RESOURCE. */
function mayLimit(task: Task, target: Task): boolean {
  if (task.group === target.group || task.creds.capableIn(target.creds.userNs, CAP_SYS_RESOURCE))
    return true
  return sameUser(task, target)
}

function sameUser(task: Task, target: Task): boolean {
  const { uid, gid } = task.creds
  const to = target.creds
  return (
    uid === to.uid &&
    uid === to.euid &&
    uid === to.suid &&
    gid === to.gid &&
    gid === to.egid &&
    gid === to.sgid
  )
}

const limit = { cur: 0, max: 0 }

function readLimit(view: DataView, at: number): number {
  const low = view.getUint32(at, true)
  const high = view.getUint32(at + 4, true)
  // RLIM_INFINITY; anything beyond a double's precision is as good.
  return high >= 0x200000 ? Number.POSITIVE_INFINITY : high * 2 ** 32 + low
}

function copyInLimit(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 16) < 0) return -EFAULT
  limit.cur = readLimit(scratchView, 0)
  limit.max = readLimit(scratchView, 8)
  return 0
}

function copyOutLimit(task: Task, group: ThreadGroup, resource: number, addr: number): number {
  const { cur, max } = group.rlimits[resource]!
  return copyOutPair(task, cur, max, addr)
}

function copyOutPair(task: Task, cur: number, max: number, addr: number): number {
  const { scratch, scratchView } = task.kernel
  writeLimit(scratchView, 0, cur)
  writeLimit(scratchView, 8, max)
  return task.mm.copyResult(task, addr, scratch, 0, 16)
}

function writeLimit(view: DataView, at: number, value: number): void {
  const infinite = value === Number.POSITIVE_INFINITY
  view.setUint32(at, infinite ? 0xffffffff : value % 2 ** 32, true)
  view.setUint32(at + 4, infinite ? 0xffffffff : Math.floor(value / 2 ** 32), true)
}

/** pidfd_open(2). */
export function sys_pidfd_open(task: Task, pid: number, flags: number): number {
  if ((flags & ~(PIDFD_NONBLOCK | PIDFD_THREAD)) !== 0 || pid <= 0) return -EINVAL
  const group = task.pidNs.group(pid)
  if (group === undefined) {
    // A thread that does not lead its process.
    return task.pidNs.task(pid) !== undefined ? -EINVAL : -ESRCH
  }
  return installPidfd(task, group, flags & PIDFD_NONBLOCK)
}

/** pidfd_getfd(2). */
export function sys_pidfd_getfd(
  task: Task,
  pidfd: number,
  targetFd: number,
  flags: number,
): number {
  if (flags !== 0) return -EINVAL
  const group = pidfdGroup(task, pidfd)
  if (typeof group === 'number') return group
  if (group.zombie) return -ESRCH
  const target = group.leader
  if (!mayAttach(task, target)) return -EPERM
  const file = target.files.get(targetFd)
  if (file === undefined) return -EBADF
  const fd = task.files.install(file.ref(), true, task.group.rlimits[RLIMIT_NOFILE]!.cur)
  if (fd < 0) file.unref()
  return fd
}

/** ptrace(2)'s access check with PTRACE_MODE_ATTACH_REALCREDS. */
function mayAttach(task: Task, target: Task): boolean {
  if (task.group === target.group || task.creds.capableIn(target.creds.userNs, CAP_SYS_PTRACE))
    return true
  const a = task.creds.permitted
  const b = target.creds.permitted
  const covers = (b.lo & ~a.lo) === 0 && (b.hi & ~a.hi) === 0
  return sameUser(task, target) && target.group.dumpable === 1 && covers
}
