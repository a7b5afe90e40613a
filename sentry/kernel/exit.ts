// The end of tasks and processes: _exit(2), exit_group(2), kernel/exit.c. A process dies as a whole at once:
// its host process is killed first, then each task is taken apart. Only a task whose handler is on the
// kernel's own stack right now is left for `returnToUser`.

import { SIGCHLD, SIGCONT, SIGHUP, SIGKILL } from '../../syscall-table/flags.ts'
import { leaveUndoList } from '../ipc/sem.ts'
import { actForProcess } from '../ipc/shm.ts'
import { closeTable } from '../vfs/close.ts'
import { addCpuTimes, groupCpu, keepCpuTimes, noteMaxRss } from './accounting.ts'
import { notifyParent } from './exit-notify.ts'
import { walkRobustList } from './futex.ts'
import { cancelIntervalTimers } from './itimer.ts'
import { isOrphaned, stoppedMember, taskLeftStop } from './job-control.ts'
import { dropTaskKeys } from './keys/lookup.ts'
import { releasePiLocks } from './pi-futex.ts'
import { leaveProcessGroup } from './pid.ts'
import { deletePosixTimers } from './posix-timer.ts'
import { tracedTaskEnds, tracerEnds } from './ptrace.ts'
import { seccompTaskEnds } from './seccomp-filter.ts'
import { dropPending, sendToGroup, signalProcessGroup, userSigInfo } from './signal-send.ts'
import { DEAD, RUNNING, type Task, ZOMBIE } from './task.ts'
import type { ProcessGroup, Session, ThreadGroup } from './thread-group.ts'

/** wait(2) status: the signal; the next bit tells of a core dump. */
const STATUS_SIGNAL = 0x7f

/** End all tasks of a process with a wait(2) status: an exit code << 8, or a signal number. */
export function groupExit(group: ThreadGroup, status: number): void {
  if (group.exiting || group.zombie) return
  for (const task of group.tasks) keepCpuTimes(task)
  noteMaxRss(group)
  group.exiting = true
  group.exitStatus = status
  const { platform } = group.kernel
  const victim = group.tasks[0]
  if (victim !== undefined) {
    for (const task of group.tasks) if (task.robustList !== 0) walkRobustList(task)
    for (const task of group.tasks) {
      if (task.oldThread !== null) platform.kill(task.oldThread)
    }
    platform.kill(victim.thread)
  }
  for (const task of [...group.tasks]) {
    task.work = true
    if (!handlerOnStack(task)) exitTask(task)
  }
}

/**
 * Whether the task's handler is running at this moment, so that it may still use what the task owns. A call that
 * waits for the platform's frame has none, and none will come from a process that is killed.
 */
function handlerOnStack(task: Task): boolean {
  if (task.unframed !== null || task.tracee?.framing) return false
  return task.state === RUNNING && task.syscallNr >= 0
}

/** _exit(2) of one thread; the last one ends the process. */
export function exitThread(task: Task, code: number): void {
  const { group } = task
  if (group.exiting) return
  if (group.tasks.length === 1) {
    groupExit(group, (code & 0xff) << 8)
    return
  }
  task.exitCode = (code & 0xff) << 8
  keepCpuTimes(task)
  if (task.robustList !== 0) walkRobustList(task)
  clearChildTid(task)
  const { platform } = task.kernel
  platform.ops(task.thread).exitThread()
  platform.resume(task.thread, 0)
  exitTask(task)
}

/** set_tid_address(2): the host does not know of this word, unlike of CLONE_CHILD_CLEARTID. */
function clearChildTid(task: Task): void {
  const addr = task.clearChildTid
  task.clearChildTid = 0
  if (addr === 0 || task.mm.users <= 1) return
  const { scratch, scratchView, platform } = task.kernel
  scratchView.setUint32(0, 0, true)
  const n = task.mm.copyOut(task, addr, scratch, 0, 4)
  if (n === 0) platform.ops(task.thread).futexWake(addr, 1, true)
}

/** Take one task apart. Its host thread has ended, or is about to. */
export function exitTask(task: Task): void {
  if (task.state === ZOMBIE || task.state === DEAD) return
  const { group, kernel } = task
  kernel.tracer?.exited(task, group.exiting ? group.exitStatus : task.exitCode)
  task.stopWaiting()
  task.restart.clear()
  task.state = ZOMBIE
  task.notification = null
  if (task.seccomp !== null) seccompTaskEnds(task)
  releasePiLocks(task)
  tracedTaskEnds(task, group.exiting ? group.exitStatus : task.exitCode)
  task.eventQueue?.wake(0)
  task.unsignalable = false
  releaseThreads(task)
  releaseVfork(task)
  leaveUndoList(task)
  actForProcess(group.tgid)
  task.mm.unref()
  if (task.files.unref()) closeTable(task, task.files)
  task.nsproxy.unref()
  task.creds.userNs.unref()
  dropPending(group, task.signals.pending)
  group.handlers.users--
  addCpuTimes(group, task)
  const index = group.tasks.indexOf(task)
  if (index >= 0) group.tasks.splice(index, 1)
  dropTaskKeys(task, group.tasks.length === 0)
  task.landlock?.unref()
  if (task !== group.leader) {
    task.state = DEAD
    forgetTask(task)
  }
  if (group.tasks.length === 0) endGroup(group)
  else if (!group.exiting) {
    passChildren(task)
    taskLeftStop(group)
  }
}

function releaseThreads(task: Task): void {
  const { platform, taskOfThread } = task.kernel
  taskOfThread[task.thread.id] = undefined
  platform.release(task.thread)
  if (task.oldThread === null) return
  taskOfThread[task.oldThread.id] = undefined
  platform.release(task.oldThread)
  task.oldThread = null
}

/** The child of a vfork has its own memory now, or is gone: its parent goes on. */
export function releaseVfork(task: Task): void {
  const parent = task.vforkParent
  task.vforkParent = null
  parent?.wakeUp()
}

/** The task's number is free again. */
export function forgetTask(task: Task): void {
  task.kernel.tasks.delete(task)
  task.pid.task = null
  task.pid.release()
}

/** The host killed the process of `task`, for example for lack of memory. */
export function hostProcessDied(task: Task, status: number): void {
  const signal = status & STATUS_SIGNAL
  groupExit(task.group, signal === 0 ? SIGKILL : signal)
  // A task whose handler is on the stack ends when that returns; here none is.
  exitTask(task)
}

function endGroup(group: ThreadGroup): void {
  const { kernel } = group
  group.exiting = true
  group.zombie = true
  if (group.exitStatus === 0) group.exitStatus = group.leader.exitCode
  tracerEnds(group)
  cancelIntervalTimers(group)
  deletePosixTimers(group)
  dropPending(group, group.pending)
  if (group.session.leader === group) endSession(group.session)
  if (group === kernel.init) {
    haltSandbox(group)
    return
  }
  if (group.pid.ns.reaper === group) endPidNamespace(group)
  const orphansBefore = group.parent === null ? null : pgrpToOrphan(group)
  reparentChildren(group)
  if (orphansBefore !== null && isOrphaned(orphansBefore, group)) hangUpIfStopped(orphansBefore)
  group.onExit?.(group)
  group.exitQueue.wake(0)
  notifyParent(group)
}

/** The process group that may become orphaned because `group`, one of its links to the session, ends. */
function pgrpToOrphan(group: ThreadGroup): ProcessGroup | null {
  const { pgrp, parent } = group
  const links = parent !== null && parent.pgrp !== pgrp && parent.session === group.session
  return links ? pgrp : null
}

/** Orphaned with stopped members, nobody is left to continue them: SIGHUP, then SIGCONT. */
function hangUpIfStopped(pgrp: ProcessGroup): void {
  if (!stoppedMember(pgrp)) return
  signalProcessGroup(pgrp, SIGHUP)
  signalProcessGroup(pgrp, SIGCONT)
}

/** The nearest living subreaper above in the same pid namespace, else its init. */
function findReaper(group: ThreadGroup): ThreadGroup | null {
  const { ns } = group.pid
  for (let g = group.parent; g !== null && g.pid.ns === ns; g = g.parent)
    if (g.subreaper && !g.exiting) return g
  return ns.reaper === null || ns.reaper.exiting ? null : ns.reaper
}

/** Process 1 of a pid namespace has ended, and everything in it with it: zap_pid_ns_processes. */
function endPidNamespace(init: ThreadGroup): void {
  const { ns } = init.pid
  ns.dead = true
  for (const group of ns.groups()) if (group !== init) groupExit(group, SIGKILL)
}

/** Children of a thread that ends become those of another one, and are told if they want to be. */
function passChildren(task: Task): void {
  const { group } = task
  if (group.children.size === 0) return
  for (const child of group.children) {
    if (child.parentTask !== task) continue
    child.parentTask = group.tasks[0]!
    tellParentDeath(child, task)
  }
}

/** PR_SET_PDEATHSIG: as if the parent had sent it. */
function tellParentDeath(child: ThreadGroup, parent: Task): void {
  const signo = child.parentDeathSignal
  if (signo !== 0 && !child.zombie) sendToGroup(child, userSigInfo(parent, signo))
}

function reparentChildren(group: ThreadGroup): void {
  if (group.children.size === 0) return
  const reaper = findReaper(group)
  for (const child of [...group.children]) {
    group.children.delete(child)
    const wasLink = child.pgrp !== group.pgrp && child.session === group.session
    child.parent = reaper
    child.parentTask = reaper?.leader ?? null
    reaper?.children.add(child)
    child.exitSignal = SIGCHLD
    if (child.zombie) {
      notifyParent(child)
      continue
    }
    tellParentDeath(child, group.leader)
    if (wasLink && isOrphaned(child.pgrp, null)) hangUpIfStopped(child.pgrp)
  }
}

/** The session's leader is gone: its terminal is given up, and the foreground group told. */
function endSession(session: Session): void {
  session.leader = null
  const { terminal } = session
  if (terminal === null) return
  session.terminal = null
  terminal.hangup()
  if (terminal.session === session) {
    terminal.session = null
    terminal.foreground = null
  }
}

/** Init is gone, and everything in the sandbox with it. */
function haltSandbox(init: ThreadGroup): void {
  const { kernel } = init
  kernel.halted = true
  init.pid.ns.dead = true
  for (const group of [...kernel.groups]) {
    if (group === init) continue
    group.parent?.children.delete(group)
    group.parent = null
    groupExit(group, SIGKILL)
  }
  init.onExit?.(init)
  init.exitQueue.wake(0)
}

/** Forget a zombie: its pid is free again. Its times count for the parent. */
export function reap(group: ThreadGroup): void {
  const { parent, kernel } = group
  group.reaped = true
  if (parent !== null) {
    const cpu = groupCpu(group)
    parent.childUtimeNs += cpu.userNs + group.childUtimeNs
    parent.childStimeNs += cpu.systemNs + group.childStimeNs
    parent.childMaxRssKb = Math.max(parent.childMaxRssKb, group.maxRssKb, group.childMaxRssKb)
    parent.children.delete(group)
  }
  group.leader.state = DEAD
  kernel.groups.delete(group)
  forgetTask(group.leader)
  group.pid.group = null
  group.pid.release()
  leaveProcessGroup(group)
  group.exitQueue.wake(0)
}
