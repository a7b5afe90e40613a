// Sending signals: kill(2), tgkill(2), rt_sigqueueinfo(2), pidfd_send_signal(2).

import { EBADF, EFAULT, EINVAL, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import { NSIG, SI_TKILL, SI_USER } from '../../syscall-table/flags.ts'
import { TaskDirectoryInode } from '../fs/proc/task-directory.ts'
import { pidfdGroup } from '../kernel/pidfd.ts'
import {
  addressTo,
  maySignal,
  sendToGroup,
  sendToTask,
  userSigInfo,
} from '../kernel/signal-send.ts'
import { type SigInfo, sigInfo } from '../kernel/signal-state.ts'
import type { Task } from '../kernel/task.ts'
import type { ThreadGroup } from '../kernel/thread-group.ts'

const PIDFD_SIGNAL_THREAD = 1
const PIDFD_SIGNAL_THREAD_GROUP = 2
const PIDFD_SIGNAL_PROCESS_GROUP = 4
/** Part of siginfo_t that Linux looks at; the rest is padding. */
const SIGINFO_READ = 48

const isSignal = (signo: number): boolean => signo >= 0 && signo <= NSIG

/** Send a checked signal to a process; 0 only asks whether it may. */
function killGroup(task: Task, group: ThreadGroup, info: SigInfo): number {
  const denied = maySignal(task, group.leader, info.signo)
  if (denied < 0) return denied
  return info.signo === 0 ? 0 : sendToGroup(group, addressTo(group.leader, task, info))
}

/** kill(2). */
export function sys_kill(task: Task, pid: number, signo: number): number {
  if (pid > 0) {
    const group = task.pidNs.groupOf(pid)
    return group === undefined ? -ESRCH : killMany(task, [group], signo)
  }
  if (pid === -1) return killAll(task, signo)
  if (pid === -(2 ** 31)) return -ESRCH
  const pgrp = pid === 0 ? task.group.pgrp : task.pidNs.processGroup(-pid)
  return pgrp === undefined ? -ESRCH : killMany(task, [...pgrp.members], signo)
}

/** All processes that the caller sees but process 1 and its own. */
function killAll(task: Task, signo: number): number {
  const { pidNs } = task
  const targets = pidNs.groups().filter(g => g !== pidNs.reaper && g !== task.group)
  return targets.length === 0 ? -ESRCH : killMany(task, targets, signo)
}

/** One success is enough; else the last error. A signal that is none is one of each target: nobody there comes first. */
function killMany(task: Task, groups: ThreadGroup[], signo: number): number {
  if (!isSignal(signo)) return -EINVAL
  let result = -ESRCH
  let sent = false
  for (const group of groups) {
    const n = killGroup(task, group, userSigInfo(task, signo))
    if (n === 0) sent = true
    else result = n
  }
  return sent ? 0 : result
}

/** tkill(2). */
export function sys_tkill(task: Task, tid: number, signo: number): number {
  if (tid <= 0) return -EINVAL
  return killTask(task, 0, tid, signo, userSigInfo(task, signo, SI_TKILL))
}

/** tgkill(2). */
export function sys_tgkill(task: Task, tgid: number, tid: number, signo: number): number {
  if (tgid <= 0 || tid <= 0) return -EINVAL
  return killTask(task, tgid, tid, signo, userSigInfo(task, signo, SI_TKILL))
}

/** Send to one thread, of process `tgid` unless that is 0. */
function killTask(task: Task, tgid: number, tid: number, signo: number, info: SigInfo): number {
  const target = task.pidNs.task(tid)
  if (target === undefined) return -ESRCH
  if (tgid !== 0 && target.group !== task.pidNs.group(tgid)) return -ESRCH
  if (!isSignal(signo)) return -EINVAL
  const denied = maySignal(task, target, signo)
  if (denied < 0) return denied
  return signo === 0 ? 0 : sendToTask(target, addressTo(target, task, info))
}

/** A siginfo that the program made. Nobody may pretend to be the kernel, or another sender's kill. */
function readInfo(task: Task, addr: number, signo: number, self: boolean): SigInfo | number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, SIGINFO_READ) < 0) return -EFAULT
  const code = scratchView.getInt32(8, true)
  if ((code >= 0 || code === SI_TKILL) && !self) return -EPERM
  const info = sigInfo(signo, code)
  info.errno = scratchView.getInt32(4, true)
  info.pid = info.timerId = scratchView.getInt32(16, true)
  info.uid = scratchView.getUint32(20, true)
  info.status = code < 0 ? scratchView.getInt32(20, true) : scratchView.getInt32(24, true)
  info.addr = scratchView.getUint32(20, true) * 2 ** 32 + scratchView.getUint32(16, true)
  info.valueLo = scratchView.getUint32(24, true)
  info.valueHi = scratchView.getUint32(28, true)
  return info
}

/** rt_sigqueueinfo(2). */
export function sys_rt_sigqueueinfo(task: Task, pid: number, signo: number, addr: number): number {
  const info = readInfo(task, addr, signo, pid === task.group.tgid)
  if (typeof info === 'number') return info
  if (!isSignal(signo)) return -EINVAL
  const group = task.pidNs.groupOf(pid)
  return group === undefined ? -ESRCH : killGroup(task, group, info)
}

/** rt_tgsigqueueinfo(2). */
export function sys_rt_tgsigqueueinfo(
  task: Task,
  tgid: number,
  tid: number,
  signo: number,
  addr: number,
): number {
  const info = readInfo(task, addr, signo, tid === task.tid)
  if (typeof info === 'number') return info
  if (tgid <= 0 || tid <= 0) return -EINVAL
  return killTask(task, tgid, tid, signo, info)
}

/** What a pidfd refers to, or, as before there were any, a directory /proc/PID: tgid_pidfd_to_pid. */
function signalledGroup(task: Task, fd: number): ThreadGroup | number {
  const file = task.files.get(fd)
  if (file !== undefined && file.inode instanceof TaskDirectoryInode)
    return file.inode.group ?? -EBADF
  return pidfdGroup(task, fd)
}

/** pidfd_send_signal(2). */
export function sys_pidfd_send_signal(
  task: Task,
  pidfd: number,
  signo: number,
  addr: number,
  flags: number,
): number {
  const scope = PIDFD_SIGNAL_THREAD | PIDFD_SIGNAL_THREAD_GROUP | PIDFD_SIGNAL_PROCESS_GROUP
  if ((flags & ~scope) !== 0 || (flags & (flags - 1)) !== 0) return -EINVAL
  const group = signalledGroup(task, pidfd)
  if (typeof group === 'number') return group
  if (!isSignal(signo)) return -EINVAL
  if (group.reaped) return -ESRCH
  let info = userSigInfo(task, signo, SI_USER)
  if (addr !== 0) {
    const given = readInfo(task, addr, signo, group === task.group)
    if (typeof given === 'number') return given
    if (task.kernel.scratchView.getInt32(0, true) !== signo) return -EINVAL
    info = given
  }
  if ((flags & PIDFD_SIGNAL_PROCESS_GROUP) !== 0)
    return killMany(task, [...group.pgrp.members], signo)
  if ((flags & PIDFD_SIGNAL_THREAD) !== 0) {
    const { leader } = group
    const denied = maySignal(task, leader, signo)
    if (denied < 0) return denied
    return signo === 0 ? 0 : sendToTask(leader, addressTo(leader, task, info))
  }
  return killGroup(task, group, info)
}
