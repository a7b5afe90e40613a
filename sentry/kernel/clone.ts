// New tasks: clone(2), kernel/fork.c copy_process. The host makes the thread or process when the caller goes
// on; until it reports, the child is STARTING.

import { EAGAIN, EBLOCKED, EINVAL, ENOMEM } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_ADMIN,
  CAP_SYS_RESOURCE,
  CLONE_CHILD_CLEARTID,
  CLONE_CHILD_SETTID,
  CLONE_DETACHED,
  CLONE_FILES,
  CLONE_FS,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_PARENT,
  CLONE_PARENT_SETTID,
  CLONE_PIDFD,
  CLONE_SETTLS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VFORK,
  CLONE_VM,
  RLIMIT_CPU,
  RLIMIT_NPROC,
  SCHED_DEADLINE,
  SIG_DFL,
  SIG_IGN,
  SS_DISABLE,
} from '../../syscall-table/flags.ts'
import { leaveUndoList, shareUndoList } from '../ipc/sem.ts'
import { actForProcess } from '../ipc/shm.ts'
import { REG, type ThreadContext } from '../platform.ts'
import { closeTable } from '../vfs/close.ts'
import { checkPids } from './cgroup.ts'
import { cancelIntervalTimers, watchCpuLimit } from './itimer.ts'
import { dropTaskKeys, inheritKeys } from './keys/lookup.ts'
import { AREA_WEIGHT, FDS_PER_UNIT, kernelMemory, TASK_WEIGHT } from './memory.ts'
import { cloneNamespaces } from './namespaces.ts'
import { type OpsContinuation, stopAfterOps } from './ops-barrier.ts'
import { leaveProcessGroup } from './pid.ts'
import type { Pid } from './pid-namespace.ts'
import { installPidfd } from './pidfd.ts'
import { forgetClone, traceClone, traceVfork, traceVforkDone } from './ptrace.ts'
import { inheritSeccomp } from './seccomp-filter.ts'
import { DEAD, type OpsFailure, Task, type TaskStart } from './task.ts'
import { ThreadGroup } from './thread-group.ts'

/** Most tasks of a sandbox: what /proc/sys/kernel/threads-max says. */
export const THREADS_MAX = 32768

/** What clone(2), clone3(2), fork(2) and vfork(2) ask for: struct kernel_clone_args. */
export interface CloneArgs {
  /** CLONE_* below 2^32 without CSIGNAL. */
  flags: number
  exitSignal: number
  /** Stack pointer of the child, 0 for the parent's. */
  stack: number
  parentTid: number
  childTid: number
  pidfd: number
  tls: number
  /** Requested numbers, innermost pid namespace first. */
  setTid: readonly number[]
  clearSighand: boolean
}

/** Make a task. Returns its tid, or -errno. */
export function cloneTask(task: Task, args: CloneArgs): number {
  const error = checkClone(task, args)
  if (error < 0) return error
  if (!kernelMemory.take(weightOf(task, args))) return -ENOMEM
  const thread = task.kernel.platform.newThread()
  if (typeof thread === 'number') return -EAGAIN
  const child = newTask(task, args, thread)
  if (typeof child === 'number') {
    task.kernel.platform.release(thread)
    return child
  }
  const pidfdError = (args.flags & CLONE_PIDFD) !== 0 ? givePidfd(task, child, args.pidfd) : 0
  if (pidfdError < 0) {
    discard(child)
    return pidfdError
  }
  if ((args.flags & CLONE_PARENT_SETTID) !== 0) {
    // Linux ignores a bad address here too: the child exists.
    void writeTid(task, args.parentTid, child.pid.numberIn(task.pidNs))
  }
  return start(task, child, args)
}

function weightOf({ mm, files }: Task, { flags }: CloneArgs): number {
  const areas = (flags & CLONE_VM) !== 0 ? 0 : mm.vmas.count * AREA_WEIGHT
  const descriptors = (flags & CLONE_FILES) !== 0 ? 0 : files.size / FDS_PER_UNIT
  return TASK_WEIGHT + areas + descriptors
}

/** The parts of the flags that copy_process refuses, in its order. */
export function checkClone(task: Task, args: CloneArgs): number {
  const { flags } = args
  const has = (bits: number) => (flags & bits) === bits
  if (has(CLONE_NEWNS | CLONE_FS) || has(CLONE_NEWUSER | CLONE_FS)) return -EINVAL
  if (has(CLONE_THREAD) && !has(CLONE_SIGHAND)) return -EINVAL
  if (has(CLONE_SIGHAND) && !has(CLONE_VM)) return -EINVAL
  if (has(CLONE_PARENT) && task.group.unkillable) return -EINVAL
  if (has(CLONE_THREAD) && (flags & (CLONE_NEWUSER | CLONE_NEWPID)) !== 0) return -EINVAL
  if (has(CLONE_PIDFD) && (flags & (CLONE_DETACHED | CLONE_THREAD)) !== 0) return -EINVAL
  if (args.clearSighand && has(CLONE_SIGHAND)) return -EINVAL
  const { pidForChildren } = task.nsproxy
  if (has(CLONE_THREAD) && pidForChildren !== task.pidNs) return -EINVAL
  return checkLimits(task)
}

function checkLimits(task: Task): number {
  const { kernel } = task
  if (kernel.tasks.size >= THREADS_MAX) return -EAGAIN
  // Its time is its own.
  if (task.sched.policy === SCHED_DEADLINE && !task.sched.resetOnFork) return -EAGAIN
  const limit = task.group.rlimits[RLIMIT_NPROC]!.cur
  return overUserLimit(task, limit) ? -EAGAIN : checkPids(task)
}

/** RLIMIT_NPROC counts all tasks of a user, and root has no limit. */
function overUserLimit({ kernel, creds }: Task, limit: number): boolean {
  if (kernel.tasks.size < limit || creds.uid === 0) return false
  if (creds.capable(CAP_SYS_RESOURCE) || creds.capable(CAP_SYS_ADMIN)) return false
  let used = 0
  for (const other of kernel.tasks) if (other.creds.uid === creds.uid) used++
  return used >= limit
}

function newTask(task: Task, args: CloneArgs, thread: ThreadContext): Task | number {
  const { kernel } = task
  const { flags } = args
  const context = cloneNamespaces(task, flags)
  if (typeof context === 'number') return context
  const { creds, nsproxy } = context
  const pid = nsproxy.pidForChildren.newPid(args.setTid)
  if (typeof pid === 'number') {
    nsproxy.ref().unref()
    return pid
  }
  const group = (flags & CLONE_THREAD) !== 0 ? task.group : newGroup(task, args, pid)
  actForProcess(task.group.tgid)
  const mm = (flags & CLONE_VM) !== 0 ? task.mm.ref() : task.mm.fork()
  const files = (flags & CLONE_FILES) !== 0 ? task.files.ref() : task.files.copy()
  const fs = (flags & CLONE_FS) !== 0 ? task.fs : task.fs.copy()
  const child = new Task(kernel, pid, group, thread, mm, files, fs, creds, nsproxy)
  if ((flags & CLONE_NEWNS) !== 0) nsproxy.mnt.enterCopy(fs)
  inherit(task, child, flags)
  if ((flags & CLONE_SYSVSEM) !== 0) child.semUndo = shareUndoList(task)
  if (group !== task.group) {
    group.leader = child
    pid.group = group
    kernel.groups.add(group)
    becomeReaper(group)
  } else {
    group.handlers.users++
    group.threaded = true
  }
  group.tasks.push(child)
  pid.task = child
  kernel.tasks.add(child)
  kernel.taskOfThread[thread.id] = child
  traceClone(task, child, flags, args.exitSignal)
  return child
}

/** The first process of a pid namespace is its init. */
export function becomeReaper(group: ThreadGroup): void {
  const { ns, number } = group.pid
  if (number !== 1 || ns.reaper !== null) return
  ns.reaper = group
  group.unkillable = true
}

function newGroup(task: Task, args: CloneArgs, pid: Pid): ThreadGroup {
  const { group, kernel } = task
  const shared = (args.flags & CLONE_SIGHAND) !== 0
  const handlers = shared ? group.handlers : group.handlers.copy()
  if (shared) handlers.users++
  if (args.clearSighand) {
    for (const action of handlers.actions) if (action.handler !== SIG_IGN) action.handler = SIG_DFL
  }
  const parent = (args.flags & CLONE_PARENT) !== 0 ? group.parent : group
  const rlimits = group.rlimits.map(limit => ({ cur: limit.cur, max: limit.max }))
  const child = new ThreadGroup(kernel, pid, parent, group.pgrp, handlers, rlimits)
  child.parentTask = parent === group ? task : group.parentTask
  child.exitSignal = (args.flags & CLONE_PARENT) !== 0 ? group.exitSignal : args.exitSignal
  child.dumpable = group.dumpable
  child.oomScoreAdj = group.oomScoreAdj
  child.container = group.container
  if (Number.isFinite(rlimits[RLIMIT_CPU]!.cur)) watchCpuLimit(child)
  child.cgroups = group.cgroups
  return child
}

function inherit(task: Task, child: Task, flags: number): void {
  child.comm = task.comm
  child.fsBase = task.fsBase
  child.personality = task.personality
  child.memoryErrorPolicy = task.memoryErrorPolicy
  child.gsBase = task.gsBase
  child.timerSlackNs = task.timerSlackNs
  child.loginUid = task.loginUid
  child.auditSession = task.auditSession
  child.sched.copyFrom(task.sched)
  child.entryWork = task.entryWork
  child.exitWork = task.exitWork
  inheritSeccomp(task, child)
  inheritKeys(task, child)
  child.landlock = task.landlock?.ref() ?? null
  const { signals } = child
  signals.mask.copyFrom(task.signals.mask)
  // A thread cannot use its creator's alternate stack; a vfork child runs in the parent's place.
  if ((flags & (CLONE_VM | CLONE_VFORK)) === CLONE_VM) {
    signals.altStackFlags = SS_DISABLE
    return
  }
  signals.altStackAddr = task.signals.altStackAddr
  signals.altStackSize = task.signals.altStackSize
  signals.altStackFlags = task.signals.altStackFlags
}

function givePidfd(task: Task, child: Task, addr: number): number {
  const fd = installPidfd(task, child.group, 0)
  if (fd < 0) return fd
  const { scratch, scratchView } = task.kernel
  scratchView.setInt32(0, fd, true)
  const error = task.mm.copyOut(task, addr, scratch, 0, 4)
  if (error < 0) task.files.remove(fd)?.unref()
  return error
}

function writeTid(task: Task, addr: number, tid: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setInt32(0, tid, true)
  return task.mm.copyOut(task, addr, scratch, 0, 4)
}

function start(task: Task, child: Task, args: CloneArgs): number {
  const { flags } = args
  const { platform } = task.kernel
  const ops = platform.ops(task.thread)
  const clearTid = (flags & CLONE_CHILD_CLEARTID) !== 0 ? args.childTid : 0
  const tls = (flags & CLONE_SETTLS) !== 0 ? args.tls : 0
  if ((flags & CLONE_SETTLS) !== 0) child.fsBase = tls
  const setTid = (flags & CLONE_CHILD_SETTID) !== 0 ? args.childTid : 0
  if ((flags & CLONE_VM) !== 0) {
    ops.cloneThread(child.thread, (flags & CLONE_THREAD) !== 0, clearTid, tls)
    child.onStart = new CloneStart(args.stack, setTid, 0, task.syscallNr)
  } else {
    ops.fork(child.thread)
    child.clearChildTid = clearTid
    child.onStart = new CloneStart(args.stack, setTid, tls, task.syscallNr)
  }
  if ((flags & CLONE_VFORK) === 0) {
    if (task.tracee !== null && task.tracee.pendingEvent !== 0) {
      // The tracer may wait for the child before it lets the parent go on.
      stopAfterOps(task, new TracedClone(child, child.pid.numberIn(task.pidNs)))
      return 0
    }
    task.opsFailure = new CloneFailure(child)
    return child.pid.numberIn(task.pidNs)
  }
  child.vforkParent = task
  task.unsignalable = true
  stopAfterOps(task, new VforkWait(child, child.pid.numberIn(task.pidNs)))
  return 0
}

/** What the child does before it enters program code. */
class CloneStart implements TaskStart {
  readonly #stack: number
  readonly #setTid: number
  readonly #tls: number
  readonly #syscallNr: number

  constructor(stack: number, setTid: number, tls: number, syscallNr: number) {
    this.#stack = stack
    this.#setTid = setTid
    this.#tls = tls
    this.#syscallNr = syscallNr
  }

  started(task: Task): number {
    const { platform } = task.kernel
    const { thread } = task
    if (this.#setTid !== 0) void writeTid(task, this.#setTid, task.tid)
    if (this.#tls !== 0) platform.ops(thread).setFsBase(this.#tls)
    if (this.#stack !== 0) {
      platform.getRegs(thread)
      setReg(thread, REG.rsp, this.#stack)
      setReg(thread, REG.rax, 0)
      platform.setRegs(thread)
    }
    // Signals that came meanwhile find it at the end of the same call as its parent.
    task.syscallNr = this.#stack === 0 ? this.#syscallNr : -1
    return 0
  }
}

/** Store a 64-bit register. */
export function setReg(thread: ThreadContext, reg: number, value: number): void {
  thread.regs[reg * 2] = value % 2 ** 32
  thread.regs[reg * 2 + 1] = Math.floor(value / 2 ** 32)
}

/** A 64-bit register as a double; exact for addresses. */
export function getReg(thread: ThreadContext, reg: number): number {
  return thread.regs[reg * 2 + 1]! * 2 ** 32 + thread.regs[reg * 2]!
}

class CloneFailure implements OpsFailure {
  readonly #child: Task
  constructor(child: Task) {
    this.#child = child
  }
  onOpsFailed(_task: Task, _op: number, errno: number): number {
    discard(this.#child)
    return -errno
  }
}

/** The child is there before its parent stops for the tracer. */
class TracedClone implements OpsContinuation {
  readonly #child: Task
  readonly #tid: number

  constructor(child: Task, tid: number) {
    this.#child = child
    this.#tid = tid
  }

  afterOps(): number {
    return this.#tid
  }

  opsFailed(task: Task, errno: number): number {
    forgetClone(task, this.#child)
    discard(this.#child)
    return -errno
  }
}

/** vfork: the parent sleeps until its child has memory of its own, or is gone. */
class VforkWait implements OpsContinuation {
  readonly child: Task
  /** The child's tid changes when it is not the leader of what it executes. */
  readonly childTid: number

  constructor(child: Task, childTid: number) {
    this.child = child
    this.childTid = childTid
  }

  afterOps(task: Task): number {
    task.restart.data = this
    return traceVfork(task) ? -EBLOCKED : resumeVfork(task)
  }

  opsFailed(task: Task, errno: number): number {
    task.unsignalable = false
    forgetClone(task, this.child)
    this.child.vforkParent = null
    discard(this.child)
    return -errno
  }
}

/**
 * A later pass of a clone call that waits for its vfork child: the child's tid or -EBLOCKED; 0 when this is
 * the first pass.
 */
export function resumeVfork(task: Task): number {
  const wait = task.restart.data
  if (!(wait instanceof VforkWait)) return 0
  if (wait.child.vforkParent === task) return task.block(null, 0)
  task.unsignalable = false
  traceVforkDone(task, wait.child)
  return wait.childTid
}

/** Undo the making of a task whose host part has failed: nobody has seen the child. */
export function discard(child: Task): void {
  const { group, kernel } = child
  if (child.state === DEAD) return
  child.state = DEAD
  kernel.taskOfThread[child.thread.id] = undefined
  kernel.platform.release(child.thread)
  leaveUndoList(child)
  child.mm.unref()
  if (child.files.unref()) closeTable(child, child.files)
  kernel.tasks.delete(child)
  child.nsproxy.unref()
  child.creds.userNs.unref()
  dropTaskKeys(child, group.leader === child)
  child.landlock?.unref()
  child.pid.task = null
  group.tasks.splice(group.tasks.indexOf(child), 1)
  group.handlers.users--
  if (group.leader === child) {
    cancelIntervalTimers(group)
    group.zombie = true
    group.parent?.children.delete(group)
    kernel.groups.delete(group)
    leaveProcessGroup(group)
    group.pid.group = null
    if (group.unkillable) group.pid.ns.dead = true
  }
  child.pid.release()
}
