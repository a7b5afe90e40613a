// Processes made from a configuration rather than by clone: the first one of the sandbox, and those of
// `runsc exec`.

import { EACCES, EIO, ENOENT, ENOTDIR, errnoMessage } from '../../syscall-table/errno.ts'
import { AT_FDCWD, O_NONBLOCK, O_RDONLY, RLIMIT_CPU } from '../../syscall-table/flags.ts'
import type { CapabilityConfig, ProcessConfig } from '../config.ts'
import { becomeReaper } from '../kernel/clone.ts'
import { Creds, capSet } from '../kernel/creds.ts'
import { bootProgram } from '../kernel/exec.ts'
import { FdTable } from '../kernel/fdtable.ts'
import { watchCpuLimit } from '../kernel/itimer.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { cpuMask, setAffinity } from '../kernel/limits.ts'
import type { NsProxy } from '../kernel/nsproxy.ts'
import { newSession } from '../kernel/pid.ts'
import { defaultRlimits } from '../kernel/rlimit.ts'
import type { SeccompState } from '../kernel/seccomp-filter.ts'
import { SigHandlers } from '../kernel/signal-state.ts'
import { Task } from '../kernel/task.ts'
import { ThreadGroup } from '../kernel/thread-group.ts'
import { readPart } from '../loader/read-file.ts'
import { Mm } from '../mm/mm.ts'
import { FsContext } from '../vfs/fs-context.ts'
import { topOf } from '../vfs/mount.ts'
import { openPath } from '../vfs/open.ts'
import { WALK_DIRECTORY, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { BootError } from './boot-error.ts'
import { enterSeccomp } from './seccomp.ts'

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** What shells say of a command that is not there, or cannot be executed. */
const EXIT_NOT_FOUND = 127
const EXIT_NOT_EXECUTABLE = 126

/** Make a container's first process as root with all capabilities; `prepareProgram` makes it the program's user. */
export function createInit(kernel: Kernel, namespaces: NsProxy, container: string): Task {
  const task = createProcess(kernel, namespaces, container)
  if (typeof task === 'number') throw new BootError(`make the first thread: ${errnoMessage(-task)}`)
  becomeReaper(task.group)
  return task
}

/** A process without a parent, in the root directory of the container and a session of its own. */
export function createProcess(
  kernel: Kernel,
  namespaces: NsProxy,
  container: string,
): Task | number {
  const thread = kernel.platform.newThread()
  if (typeof thread === 'number') return thread
  const pid = namespaces.pidForChildren.newPid([])
  if (typeof pid === 'number') {
    kernel.platform.release(thread)
    return pid
  }
  const pgrp = newSession(pid)
  const group = new ThreadGroup(kernel, pid, null, pgrp, new SigHandlers(), defaultRlimits())
  const root = topOf({ mount: namespaces.mnt.root, dentry: namespaces.mnt.root.root })
  const fs = new FsContext({ ...root }, { ...root })
  const task = new Task(
    kernel,
    pid,
    group,
    thread,
    Mm.create(kernel),
    new FdTable(),
    fs,
    new Creds(),
    namespaces,
  )
  group.container = container
  group.leader = task
  group.tasks.push(task)
  pgrp.session.leader = group
  pid.task = task
  pid.group = group
  kernel.tasks.add(task)
  kernel.groups.add(group)
  kernel.taskOfThread[thread.id] = task
  return task
}

/** Give the process its user, limits and directory. Returns the file of its program `name`, which exists. */
export function prepareProgram(
  task: Task,
  config: ProcessConfig,
  seccomp: SeccompState | null,
  name = config.args[0] ?? '',
): string {
  setLimits(task, config)
  setScheduling(task, config)
  // As runc does: a directory that root may enter need not be open to the program's user.
  const entered = enterDirectory(task, config.cwd) === 0
  task.creds = credsOf(config)
  task.group.oomScoreAdj = config.oomScoreAdj
  task.personality = config.personality
  task.fs.umask = config.umask
  const error = entered ? 0 : enterDirectory(task, config.cwd)
  if (error < 0)
    throw new BootError(
      `chdir to cwd ("${config.cwd}") set in config.json failed: ${errnoMessage(-error).toLowerCase()}`,
    )
  const file = findProgram(task, config, name)
  enterSeccomp(task, seccomp)
  return file
}

/** Let it execute `file`. */
export function startProgram(task: Task, config: ProcessConfig, file: string): void {
  const env = environment(task, config)
  const error = bootProgram(task, { dfd: AT_FDCWD, path: file, flags: 0 }, config.args, env)
  if (error < 0) throw execError(`exec ${file}`, error)
  const { platform } = task.kernel
  const spawned = platform.spawn(task.thread)
  if (spawned < 0) throw new BootError(`start the process: ${errnoMessage(-spawned)}`)
}

function setLimits(task: Task, config: ProcessConfig): void {
  for (const { resource, soft, hard } of config.rlimits) {
    const limit = task.group.rlimits[resource]
    if (limit === undefined)
      throw new BootError(`process.rlimits: there is no limit number ${resource}`)
    limit.cur = soft ?? Number.POSITIVE_INFINITY
    limit.max = hard ?? Number.POSITIVE_INFINITY
    if (resource === RLIMIT_CPU) watchCpuLimit(task.group)
  }
}

function setScheduling(task: Task, { scheduler, ioprio, affinity }: ProcessConfig): void {
  if (ioprio !== null) task.sched.ioprio = ioprio
  if (affinity !== null && setAffinity(task, cpuMask(affinity, task.kernel.cpus)) < 0)
    throw new BootError(`process.execCPUAffinity: of the CPUs ${affinity} there is none`)
  if (scheduler === null) return
  task.sched.policy = scheduler.policy
  task.sched.priority = scheduler.priority
  task.sched.nice = scheduler.nice
  task.sched.resetOnFork = scheduler.resetOnFork
}

function credsOf(config: ProcessConfig): Creds {
  const creds = new Creds()
  creds.uid = creds.euid = creds.suid = creds.fsuid = config.uid
  creds.gid = creds.egid = creds.sgid = creds.fsgid = config.gid
  // As setgroups(2) leaves them.
  creds.groups = config.groups.toSorted((a, b) => a - b)
  const { bounding, effective, inheritable, permitted, ambient }: CapabilityConfig =
    config.capabilities
  creds.bounding = capSet(...bounding)
  creds.effective = capSet(...effective)
  creds.inheritable = capSet(...inheritable)
  creds.permitted = capSet(...permitted)
  creds.ambient = capSet(...ambient)
  creds.noNewPrivs = config.noNewPrivileges
  return creds
}

function enterDirectory(task: Task, cwd: string): number {
  const n = walkPath(task, AT_FDCWD, cwd, WALK_FOLLOW | WALK_DIRECTORY)
  if (n === 0) task.fs.cwd = { mount: walk.mount, dentry: walk.dentry }
  return n
}

/**
 * The environment as runc has it: each variable once, as it is given last; a HOME that is missing or empty comes from the
 * container's own user list, "/" when that has none either.
 */
function environment(task: Task, config: ProcessConfig): string[] {
  const last = new Map(config.env.map((entry, i) => [variable(entry), i]))
  const env = config.env.filter((entry, i) => last.get(variable(entry)) === i && entry !== 'HOME=')
  if (env.some(entry => entry.startsWith('HOME='))) return env
  const line = readText(task, '/etc/passwd')
    .split('\n')
    .find(entry => entry.split(':')[2] === String(config.uid))
  return [...env, `HOME=${line?.split(':')[5] || '/'}`]
}

const variable = (entry: string): string => entry.slice(0, entry.indexOf('=') + 1) || entry

/** The beginning of a file of the container; nothing when it cannot be read. */
function readText(task: Task, path: string): string {
  const file = openPath(task, AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, 0)
  if (typeof file === 'number') return ''
  const { bounce } = task.kernel
  const n = file.inode.isRegular ? readPart(task, file, bounce, 0, bounce.length) : 0
  file.unref()
  return n > 0 ? Buffer.from(bounce.buffer, bounce.byteOffset, n).toString('latin1') : ''
}

/** execvp(3): a name without a slash is looked for in the program's own PATH. */
function findProgram(task: Task, config: ProcessConfig, name: string): string {
  if (name.includes('/')) {
    const error = checkProgram(task, name)
    if (error < 0) throw execError(`exec: "${name}"`, error)
    return name
  }
  const path = config.env.findLast(entry => entry.startsWith('PATH='))?.slice(5) ?? DEFAULT_PATH
  let denied = false
  for (const directory of path.split(':')) {
    const file = `${directory === '' ? '.' : directory}/${name}`
    const n = walkPath(task, AT_FDCWD, file, WALK_FOLLOW)
    // The files are out of reach: that says nothing of the program.
    if (n === -EIO) throw new BootError(`exec: "${name}": ${errnoMessage(EIO)}`)
    if (n === -EACCES) denied = true
    if (n < 0 || !walk.dentry.inode!.isRegular) continue
    if ((walk.dentry.inode!.mode & 0o111) !== 0) return file
    denied = true
  }
  if (denied) throw new BootError(`exec: "${name}": permission denied`, EXIT_NOT_EXECUTABLE)
  throw new BootError(`exec: "${name}": executable file not found in $PATH`, EXIT_NOT_FOUND)
}

/** What can be told before the program is to run: it is there, and a file that somebody may execute. */
function checkProgram(task: Task, file: string): number {
  const n = walkPath(task, AT_FDCWD, file, WALK_FOLLOW)
  if (n < 0) return n
  const { isRegular, mode } = walk.dentry.inode!
  return isRegular && (mode & 0o111) !== 0 ? 0 : -EACCES
}

/** `what` is `exec: "FILE"` where the program is looked for, and `exec FILE` where it cannot run, as runc tells them apart. */
function execError(what: string, error: number): BootError {
  // Its gofer has gone: that says nothing of the program.
  if (error === -EIO) return new BootError(`${what}: ${errnoMessage(EIO).toLowerCase()}`)
  const missing = error === -ENOENT || error === -ENOTDIR
  const reason = missing
    ? 'no such file or directory'
    : error === -EACCES
      ? 'permission denied'
      : errnoMessage(-error).toLowerCase()
  return new BootError(`${what}: ${reason}`, missing ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE)
}
