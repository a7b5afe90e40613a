// clone(2) and its relatives, exec, exit, and waiting.

import { EAGAIN, EBADF, EBLOCKED, EFAULT, EINVAL, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import {
  __WALL,
  __WCLONE,
  __WNOTHREAD,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  CAP_CHECKPOINT_RESTORE,
  CAP_SYS_ADMIN,
  CLONE_ARGS_SIZE_VER0,
  CLONE_DETACHED,
  CLONE_FILES,
  CLONE_FS,
  CLONE_NEWIPC,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
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
  CSIGNAL,
  P_ALL,
  P_PGID,
  P_PID,
  P_PIDFD,
  SIGCHLD,
  WCONTINUED,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WUNTRACED,
} from '../../syscall-table/flags.ts'
import {
  type CloneArgs as CloneStruct,
  readCloneArgs,
  SIZEOF_CLONE_ARGS,
} from '../../syscall-table/structs.gen.ts'
import { namespaceOfFile } from '../fs/nsfs.ts'
import { leaveUndoList } from '../ipc/sem.ts'
import { type CloneArgs, cloneTask, resumeVfork } from '../kernel/clone.ts'
import { execTask, mayExec } from '../kernel/exec.ts'
import { argBudget, copyStrings } from '../kernel/exec-args.ts'
import { exitThread, groupExit } from '../kernel/exit.ts'
import { NAMESPACE_FLAGS, type NamespaceType } from '../kernel/namespace.ts'
import {
  ALL_NAMESPACES,
  enterNamespaces,
  namespaceOf,
  unshareNamespaces,
} from '../kernel/namespaces.ts'
import { PID_LEVEL_MAX, PID_MAX, type PidNamespace } from '../kernel/pid-namespace.ts'
import { pidfdGroup, pidfdNonblocking } from '../kernel/pidfd.ts'
import { traceExitEvent } from '../kernel/ptrace.ts'
import { BY_REALCREDS, ptraceAccess } from '../kernel/ptrace-access.ts'
import { writeSigInfo } from '../kernel/signal-frame.ts'
import { sigInfo } from '../kernel/signal-state.ts'
import type { Task } from '../kernel/task.ts'
import { type WaitRequest, type WaitResult, waitForChild } from '../kernel/wait.ts'
import { PATH_MAX, TASK_SIZE } from '../mm/mm.ts'
import { copyExtensible } from './extensible-struct.ts'
import { copyOutRusage, groupRusage } from './process-limits.ts'

/** Namespace flags of clone3 beyond 32 bits, and in the low byte that clone(2) uses for the exit signal. */
const CLONE3_HIGH_CLEAR_SIGHAND = 1
/** Exit signals are valid signal numbers: valid_signal. */
const MAX_SIGNAL = 64
const WAIT4_OPTIONS = WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL
const WAITID_OPTIONS = WAIT4_OPTIONS | WNOWAIT | WEXITED

const cloneArgs: CloneArgs = {
  flags: 0,
  exitSignal: 0,
  stack: 0,
  parentTid: 0,
  childTid: 0,
  pidfd: 0,
  tls: 0,
  setTid: [],
  clearSighand: false,
}
const ANY_TID: readonly number[] = []
const request: WaitRequest = { type: 0, id: 0, pidfdGroup: null, options: 0 }
const found: WaitResult = { group: null, status: 0, info: null }

function setCloneArgs(
  flags: number,
  exitSignal: number,
  stack: number,
  parentTid: number,
  childTid: number,
  tls: number,
): CloneArgs {
  cloneArgs.flags = flags
  cloneArgs.exitSignal = exitSignal
  cloneArgs.stack = stack
  cloneArgs.parentTid = parentTid
  cloneArgs.childTid = childTid
  cloneArgs.tls = tls
  cloneArgs.pidfd = parentTid
  cloneArgs.setTid = ANY_TID
  cloneArgs.clearSighand = false
  return cloneArgs
}

/** clone(2). The upper half of the flags is ignored, as in Linux. */
export function sys_clone(
  task: Task,
  flagsArg: number,
  stack: number,
  parentTid: number,
  childTid: number,
  tls: number,
): number {
  const waited = resumeVfork(task)
  if (waited !== 0) return waited
  const word = (flagsArg % 2 ** 32) | 0
  const flags = word & ~CSIGNAL
  // One pointer serves for both.
  if ((flags & CLONE_PIDFD) !== 0 && (flags & (CLONE_PARENT_SETTID | CLONE_DETACHED)) !== 0)
    return -EINVAL
  if ((flags & CLONE_SETTLS) !== 0 && tls >= TASK_SIZE) return -EPERM
  return cloneTask(task, setCloneArgs(flags, word & CSIGNAL, stack, parentTid, childTid, tls))
}

/** fork(2). */
export function sys_fork(task: Task): number {
  return cloneTask(task, setCloneArgs(0, SIGCHLD, 0, 0, 0, 0))
}

/** vfork(2). */
export function sys_vfork(task: Task): number {
  const waited = resumeVfork(task)
  if (waited !== 0) return waited
  return cloneTask(task, setCloneArgs(CLONE_VFORK | CLONE_VM, SIGCHLD, 0, 0, 0, 0))
}

const struct: CloneStruct = {
  flagsLo: 0,
  flagsHi: 0,
  pidfd: 0,
  childTid: 0,
  parentTid: 0,
  exitSignal: 0,
  stack: 0,
  stackSize: 0,
  tls: 0,
  setTid: 0,
  setTidSize: 0,
  cgroup: 0,
}

/** clone3(2). */
export function sys_clone3(task: Task, addr: number, size: number): number {
  const waited = resumeVfork(task)
  if (waited !== 0) return waited
  const error = copyExtensible(task, addr, size, CLONE_ARGS_SIZE_VER0, SIZEOF_CLONE_ARGS)
  if (error < 0) return error
  readCloneArgs(task.kernel.scratchView, 0, struct)
  const { flagsLo, flagsHi, exitSignal, stack, stackSize, tls } = struct
  if ((flagsHi & ~CLONE3_HIGH_CLEAR_SIGHAND) !== 0) return -EINVAL
  if ((flagsLo & (CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME))) !== 0) return -EINVAL
  const flags = flagsLo | 0
  if ((flags & (CLONE_THREAD | CLONE_PARENT)) !== 0 && exitSignal !== 0) return -EINVAL
  if (exitSignal > MAX_SIGNAL) return -EINVAL
  if ((stack === 0) !== (stackSize === 0)) return -EINVAL
  if (stack + stackSize > TASK_SIZE) return -EINVAL
  if ((flags & CLONE_SETTLS) !== 0 && tls >= TASK_SIZE) return -EPERM
  const setTid = requestedTid(task)
  if (typeof setTid === 'number') return setTid
  const args = setCloneArgs(
    flags,
    exitSignal,
    stack + stackSize,
    struct.parentTid,
    struct.childTid,
    tls,
  )
  args.pidfd = struct.pidfd
  args.setTid = setTid
  args.clearSighand = (flagsHi & CLONE3_HIGH_CLEAR_SIGHAND) !== 0
  return cloneTask(task, args)
}

/** set_tid: numbers from the innermost pid namespace outwards. */
function requestedTid(task: Task): readonly number[] | number {
  const { setTid, setTidSize } = struct
  if (setTidSize === 0) return setTid === 0 ? ANY_TID : -EINVAL
  if (setTidSize > PID_LEVEL_MAX + 1 || setTid === 0) return -EINVAL
  const fresh = (struct.flagsLo & CLONE_NEWPID) !== 0 ? 1 : 0
  if (setTidSize > task.nsproxy.pidForChildren.level + 1 + fresh) return -EINVAL
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, setTid, scratch, 0, setTidSize * 4) < 0) return -EFAULT
  const wanted: number[] = []
  let ns: PidNamespace | null = fresh === 1 ? null : task.nsproxy.pidForChildren
  for (let i = 0; i < setTidSize; i++) {
    const tid = scratchView.getInt32(i * 4, true)
    if (tid < 1 || tid >= PID_MAX) return -EINVAL
    // Process 1 comes first.
    if (tid !== 1 && (ns === null || ns.reaper === null)) return -EINVAL
    if (ns !== null && !mayChooseTid(task, ns)) return -EPERM
    wanted.push(tid)
    ns = ns === null ? task.nsproxy.pidForChildren : ns.parent
  }
  return wanted
}

const mayChooseTid = (task: Task, ns: PidNamespace): boolean =>
  task.creds.capableIn(ns.owner!, CAP_CHECKPOINT_RESTORE) ||
  task.creds.capableIn(ns.owner!, CAP_SYS_ADMIN)

const UNSHARABLE =
  CLONE_THREAD | CLONE_FS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES | CLONE_SYSVSEM | ALL_NAMESPACES

/** unshare(2): memory, threads and handlers must not have been shared. */
export function sys_unshare(task: Task, flagsArg: number): number {
  if (flagsArg >= 2 ** 32) return -EINVAL
  let flags = flagsArg | 0
  if ((flags & ~UNSHARABLE) !== 0) return -EINVAL
  if ((flags & CLONE_NEWUSER) !== 0) flags |= CLONE_THREAD | CLONE_FS
  if ((flags & CLONE_NEWNS) !== 0) flags |= CLONE_FS
  if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) !== 0 && task.group.tasks.length > 1)
    return -EINVAL
  if ((flags & (CLONE_SIGHAND | CLONE_VM)) !== 0 && task.group.handlers.users > 1) return -EINVAL
  if ((flags & CLONE_VM) !== 0 && task.mm.users > 1) return -EINVAL
  const shared = task.fs
  if ((flags & CLONE_FS) !== 0) task.fs = task.fs.copy()
  const error = unshareNamespaces(task, flags)
  if (error < 0) {
    task.fs = shared
    return error
  }
  if ((flags & (CLONE_SYSVSEM | CLONE_NEWIPC)) !== 0) leaveUndoList(task)
  if ((flags & CLONE_FILES) !== 0 && task.files.shared) {
    const own = task.files.copy()
    task.files.unref()
    task.files = own
  }
  return 0
}

/** setns(2): of one namespace's file, or of some of a process. */
export function sys_setns(task: Task, fd: number, type: number): number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  const namespace = namespaceOfFile(file)
  if (namespace !== null) {
    if (type !== 0 && type !== NAMESPACE_FLAGS[namespace.type]) return -EINVAL
    return enterNamespaces(task, [namespace])
  }
  const group = pidfdGroup(task, fd)
  if (typeof group === 'number') return -EINVAL
  if (type === 0 || (type & ~ALL_NAMESPACES) !== 0) return -EINVAL
  if (group.zombie) return -ESRCH
  const { leader } = group
  if (ptraceAccess(task, leader, BY_REALCREDS) < 0) return -EPERM
  const names = Object.keys(NAMESPACE_FLAGS) as NamespaceType[]
  const wanted = names.filter(name => (type & NAMESPACE_FLAGS[name]) !== 0)
  return enterNamespaces(
    task,
    wanted.map(name => namespaceOf(leader, name)),
  )
}

/** execve(2). */
export function sys_execve(task: Task, path: number, argv: number, envp: number): number {
  return execveat(task, AT_FDCWD, path, argv, envp, 0)
}

/** execveat(2). */
export function sys_execveat(
  task: Task,
  dfd: number,
  path: number,
  argv: number,
  envp: number,
  flags: number,
): number {
  return execveat(task, dfd, path, argv, envp, flags)
}

function execveat(
  task: Task,
  dfd: number,
  pathAddr: number,
  argvAddr: number,
  envpAddr: number,
  flags: number,
): number {
  if ((flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) !== 0) return -EINVAL
  const path = task.mm.readString(task, pathAddr, PATH_MAX)
  if (typeof path === 'number') return path
  const budget = argBudget(task)
  const target = { dfd, path, flags }
  const argv = copyStrings(task, argvAddr, budget)
  if (typeof argv === 'number') return mayExec(task, target) || argv
  const envp = copyStrings(task, envpAddr, budget)
  if (typeof envp === 'number') return mayExec(task, target) || envp
  // Programs rely on argv[0]: Linux gives an empty one.
  if (argv.length === 0) argv.push('')
  return execTask(task, target, argv, envp, budget)
}

/** _exit(2): this thread only. */
export function sys_exit(task: Task, status: number): number {
  if (traceExitEvent(task, (status & 0xff) << 8, null)) return -EBLOCKED
  exitThread(task, status)
  return 0
}

/** exit_group(2). */
export function sys_exit_group(task: Task, status: number): number {
  if (traceExitEvent(task, (status & 0xff) << 8, null)) return -EBLOCKED
  groupExit(task.group, (status & 0xff) << 8)
  return 0
}

/** set_tid_address(2). */
export function sys_set_tid_address(task: Task, addr: number): number {
  task.clearChildTid = addr
  return task.tid
}

/** wait4(2). */
export function sys_wait4(
  task: Task,
  pid: number,
  statusAddr: number,
  options: number,
  rusageAddr: number,
): number {
  if ((options & ~WAIT4_OPTIONS) !== 0) return -EINVAL
  if (pid === -(2 ** 31)) return -ESRCH
  request.pidfdGroup = null
  request.options = options | WEXITED
  request.type = pid === -1 ? P_ALL : pid > 0 ? P_PID : P_PGID
  request.id = pid > 0 ? pid : -pid
  const n = waitForChild(task, request, found)
  if (n <= 0) return n
  return copyOutWait(task, n, statusAddr, rusageAddr)
}

function copyOutWait(task: Task, pid: number, statusAddr: number, rusageAddr: number): number {
  const { scratch, scratchView } = task.kernel
  const { group, status } = found
  found.group = found.info = null
  if (statusAddr !== 0) {
    scratchView.setInt32(0, status, true)
    if (task.mm.copyResult(task, statusAddr, scratch, 0, 4) < 0) return -EFAULT
  }
  if (rusageAddr !== 0 && copyOutRusage(task, rusageAddr, groupRusage(group!)) < 0) return -EFAULT
  return pid
}

/** waitid(2). */
export function sys_waitid(
  task: Task,
  which: number,
  id: number,
  infoAddr: number,
  options: number,
  rusageAddr: number,
): number {
  if ((options & ~WAITID_OPTIONS) !== 0) return -EINVAL
  if ((options & (WEXITED | WUNTRACED | WCONTINUED)) === 0) return -EINVAL
  request.pidfdGroup = null
  request.options = options
  if (which === P_PIDFD) {
    const group = id < 0 ? -EINVAL : pidfdGroup(task, id)
    if (typeof group === 'number') return group
    request.pidfdGroup = group
    if (pidfdNonblocking(task, id)) request.options |= WNOHANG
  } else if (which === P_PID) {
    if (id <= 0) return -EINVAL
  } else if (which === P_PGID) {
    if (id < 0) return -EINVAL
  } else if (which !== P_ALL) return -EINVAL
  request.type = which
  request.id = id
  const n = waitForChild(task, request, found)
  // A non-blocking pidfd says EAGAIN where WNOHANG would say 0.
  if (n === 0 && request.options !== options) return -EAGAIN
  if (n === -EBLOCKED) return n
  // Linux writes the siginfo, of zeros, when there is no child, too: a bad address is noticed first.
  const copied = copyOutWaitid(task, n, infoAddr, rusageAddr)
  return n < 0 && copied === 0 ? n : copied
}

/** Nothing found with WNOHANG shows as a siginfo of zeros. */
function copyOutWaitid(task: Task, pid: number, infoAddr: number, rusageAddr: number): number {
  const { scratch, scratchView } = task.kernel
  const { group, info } = found
  found.group = found.info = null
  if (pid > 0 && rusageAddr !== 0 && copyOutRusage(task, rusageAddr, groupRusage(group!)) < 0)
    return -EFAULT
  if (infoAddr === 0) return 0
  scratch.fill(0, 0, 128)
  if (pid > 0) {
    info!.signo = SIGCHLD
    writeSigInfo(scratchView, 0, info!)
  } else writeSigInfo(scratchView, 0, sigInfo(0, 0))
  // Only the fields of SIGCHLD are written, up to si_status.
  return task.mm.copyResult(task, infoAddr, scratch, 0, 28)
}
