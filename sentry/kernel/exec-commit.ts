// The point of no return of exec: the task becomes the only one of its process, and sheds what belonged to
// the old program. begin_new_exec in fs/exec.c.

import {
  ADDR_NO_RANDOMIZE,
  SIG_DFL,
  SIG_IGN,
  SIGCHLD,
  SS_DISABLE,
} from '../../syscall-table/flags.ts'
import { closeOnExec } from '../vfs/close.ts'
import { keepCpuTimes, keepThreadTimes } from './accounting.ts'
import type { Program } from './exec.ts'
import { exitTask, releaseVfork } from './exit.ts'
import { dropProgramKeys } from './keys/lookup.ts'
import { releasePiLocks } from './pi-futex.ts'
import { deletePosixTimers } from './posix-timer.ts'
import { traceExec } from './ptrace.ts'
import { DEAD, type Task } from './task.ts'

/** TASK_COMM_LEN with its NUL. */
const COMM_LENGTH = 15
/** PER_CLEAR_ON_SETID: a privileged program starts with an ordinary layout. READ_IMPLIES_EXEC, MMAP_PAGE_ZERO, ADDR_COMPAT_LAYOUT. */
const CLEAR_ON_SETID = ADDR_NO_RANDOMIZE | 0x0400000 | 0x0100000 | 0x0200000

/** Make `task`, whose new host thread has started, the process of `program`. */
export function becomeProgram(task: Task, program: Program): void {
  const oldTid = task.tid
  killOldProgram(task)
  takeOverLeader(task)
  const { group, signals } = task
  releaseVfork(task)
  task.robustList = 0
  releasePiLocks(task)
  task.fsBase = 0
  task.gsBase = 0
  task.clearChildTid = 0
  if (task.files.shared) {
    const own = task.files.copy()
    task.files.unref()
    task.files = own
  }
  closeOnExec(task, task.files)
  resetHandlers(task)
  signals.altStackAddr = signals.altStackSize = 0
  signals.altStackFlags = SS_DISABLE
  deletePosixTimers(group)
  dropProgramKeys(task)
  group.didExec = true
  group.threaded = false
  group.exitSignal = SIGCHLD
  applyCreds(task, program)
  task.comm = program.fileName.slice(program.fileName.lastIndexOf('/') + 1).slice(0, COMM_LENGTH)
  traceExec(task, oldTid)
}

/** All threads of the old program share one host process: they end with it. */
function killOldProgram(task: Task): void {
  const { group, kernel } = task
  const { platform, taskOfThread } = kernel
  const others = group.tasks.filter(other => other !== task)
  for (const other of others) keepCpuTimes(other)
  const old = task.oldThread
  if (old !== null) {
    keepThreadTimes(task, old)
    platform.kill(old)
  }
  for (const other of others) {
    // It was executing a program itself: the process made for that is another one.
    if (other.oldThread !== null) platform.kill(other.thread)
    exitTask(other)
  }
  if (old === null) return
  taskOfThread[old.id] = undefined
  platform.release(old)
  task.oldThread = null
}

/** Whichever thread called exec: afterwards it is the leader, with the leader's pid. */
function takeOverLeader(task: Task): void {
  const { group, kernel, pid } = task
  const { leader } = group
  if (leader === task) return
  leader.state = DEAD
  kernel.tasks.delete(leader)
  pid.task = null
  pid.release()
  task.pid = group.pid
  task.tid = group.tgid
  task.pid.task = task
  group.leader = task
}

/** Handlers are gone with the old program; ignored signals stay ignored. */
function resetHandlers(task: Task): void {
  const { group } = task
  if (group.handlers.users > 1) {
    group.handlers.users--
    group.handlers = group.handlers.copy()
  }
  for (const action of group.handlers.actions) {
    if (action.handler !== SIG_IGN) action.handler = SIG_DFL
    action.flags = 0
    action.restorer = 0
    action.mask.set(0, 0)
  }
}

function applyCreds(task: Task, program: Program): void {
  const { group } = task
  const { creds, secure } = program.exec
  const changed = creds.euid !== task.creds.euid || creds.egid !== task.creds.egid
  task.creds = creds
  if (secure || changed) {
    group.dumpable = 0
    group.parentDeathSignal = 0
    task.personality &= ~CLEAR_ON_SETID
  } else group.dumpable = 1
}
