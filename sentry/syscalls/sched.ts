// Scheduling parameters: sched(7), getpriority(2), ioprio_set(2). The host decides who runs; what a program
// asks for is checked as Linux checks it, stored and reported.
// DIFFERS: policies, priorities and nice values have no effect on the host's scheduling.

import { E2BIG, EACCES, EFAULT, EINVAL, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_ADMIN,
  CAP_SYS_NICE,
  IOPRIO_CLASS_BE,
  IOPRIO_CLASS_IDLE,
  IOPRIO_CLASS_NONE,
  IOPRIO_CLASS_RT,
  IOPRIO_CLASS_SHIFT,
  IOPRIO_WHO_PROCESS,
  PRIO_PROCESS,
  RLIMIT_NICE,
  RLIMIT_RTPRIO,
  SCHED_ATTR_SIZE_VER0,
  SCHED_BATCH,
  SCHED_DEADLINE,
  SCHED_EXT,
  SCHED_FIFO,
  SCHED_FLAG_KEEP_PARAMS,
  SCHED_FLAG_KEEP_POLICY,
  SCHED_FLAG_RESET_ON_FORK,
  SCHED_IDLE,
  SCHED_NORMAL,
  SCHED_RESET_ON_FORK,
  SCHED_RR,
} from '../../syscall-table/flags.ts'
import {
  readSchedAttr,
  type SchedAttr,
  SIZEOF_SCHED_ATTR,
  writeSchedAttr,
} from '../../syscall-table/structs.gen.ts'
import { allowedCpus, bindToCpus, setAffinity } from '../kernel/limits.ts'
import type { SchedState } from '../kernel/sched-state.ts'
import type { Task } from '../kernel/task.ts'
import { writeTimespec } from './time-values.ts'

const MIN_NICE = -20
const MAX_NICE = 19
const MAX_RT_PRIORITY = 99
/** A time slice of the fair class. */
const FAIR_SLICE_NS = 4_000_000
const IOPRIO_LEVELS = 8

/** Times of SCHED_DEADLINE are whole units of 2^10 ns, and less than 2^63 ns. */
const DEADLINE_LEAST = 1024
const DEADLINE_MOST = 2 ** 63
/** kernel.sched_deadline_period_min_us and its max. */
const PERIOD_LEAST = 100_000
const PERIOD_MOST = 4_194_304_000

const isRealtimePolicy = (policy: number): boolean => policy === SCHED_FIFO || policy === SCHED_RR
const isFairPolicy = (policy: number): boolean =>
  policy === SCHED_NORMAL || policy === SCHED_BATCH || policy === SCHED_IDLE

/** sched_yield(2): whoever calls goes to the back of the host's queue by having made a call. */
export function sys_sched_yield(_task: Task): number {
  return 0
}

function findTask(task: Task, pid: number): Task | number {
  if (pid < 0) return -EINVAL
  return pid === 0 ? task : (task.pidNs.task(pid) ?? -ESRCH)
}

function mayChange(task: Task, target: Task): boolean {
  const { euid } = task.creds
  return (
    euid === target.creds.euid ||
    euid === target.creds.uid ||
    task.creds.capableIn(target.creds.userNs, CAP_SYS_NICE)
  )
}

/** The tasks that `which` and `who` of getpriority(2) and ioprio_get(2) name. */
function selectTasks(task: Task, which: number, who: number, base: number): Task[] | number {
  const { kernel } = task
  if (which === base) {
    const target = who === 0 ? task : task.pidNs.task(who)
    return target === undefined ? [] : [target]
  }
  if (which === base + 1) {
    const pgrp = who === 0 ? task.group.pgrp : task.pidNs.processGroup(who)
    return pgrp === undefined ? [] : [...pgrp.members].flatMap(group => group.tasks)
  }
  if (which !== base + 2) return -EINVAL
  const uid = who === 0 ? task.creds.uid : who
  return [...kernel.tasks].filter(t => t.creds.uid === uid && !t.group.zombie)
}

/** getpriority(2). The result is 20 - nice, so that it is not negative. */
export function sys_getpriority(task: Task, which: number, who: number): number {
  const tasks = selectTasks(task, which, who, PRIO_PROCESS)
  if (typeof tasks === 'number') return tasks
  let best = -ESRCH
  for (const t of tasks) best = Math.max(best, 20 - t.sched.nice)
  return best
}

/** setpriority(2). */
export function sys_setpriority(task: Task, which: number, who: number, prio: number): number {
  const tasks = selectTasks(task, which, who, PRIO_PROCESS)
  if (typeof tasks === 'number') return tasks
  const nice = Math.min(Math.max(prio, MIN_NICE), MAX_NICE)
  let result = -ESRCH
  for (const target of tasks) {
    const n = setNice(task, target, nice)
    if (n < 0) result = n
    else if (result === -ESRCH) result = 0
  }
  return result
}

function setNice(task: Task, target: Task, nice: number): number {
  const { euid } = task.creds
  const privileged = task.creds.capable(CAP_SYS_NICE)
  if (euid !== target.creds.uid && euid !== target.creds.euid && !privileged) return -EPERM
  if (nice < target.sched.nice && !privileged && !niceAllowed(target, nice)) return -EACCES
  target.sched.nice = nice
  return 0
}

/** RLIMIT_NICE counts 20 - nice. */
function niceAllowed(task: Task, nice: number): boolean {
  return 20 - nice <= task.group.rlimits[RLIMIT_NICE]!.cur
}

/** The times of SCHED_DEADLINE that sched_setattr(2) brings: __checkparam_dl. */
function deadlineFits({ runtime, deadline, period }: DeadlineTimes): boolean {
  if (deadline === 0 || runtime < DEADLINE_LEAST) return false
  if (runtime >= DEADLINE_MOST || deadline >= DEADLINE_MOST || period >= DEADLINE_MOST) return false
  const length = period === 0 ? deadline : period
  if (length < deadline || deadline < runtime) return false
  return length >= PERIOD_LEAST && length <= PERIOD_MOST
}

interface DeadlineTimes {
  runtime: number
  deadline: number
  period: number
}
const NO_TIMES: DeadlineTimes = { runtime: 0, deadline: 0, period: 0 }

/** A policy change as sched_setscheduler(2) and sched_setattr(2) check it. */
function setPolicy(
  task: Task,
  target: Task,
  policy: number,
  priority: number,
  nice: number,
  resetOnFork: boolean,
  times = NO_TIMES,
): number {
  const byDeadline = policy === SCHED_DEADLINE
  if (!isRealtimePolicy(policy) && !isFairPolicy(policy) && !byDeadline) return -EINVAL
  if (priority < 0 || priority > MAX_RT_PRIORITY || isRealtimePolicy(policy) !== priority > 0)
    return -EINVAL
  if (byDeadline && !deadlineFits(times)) return -EINVAL
  const { sched } = target
  if (!task.creds.capable(CAP_SYS_NICE)) {
    const denied = unprivilegedPolicy(task, target, policy, priority, nice, resetOnFork)
    if (denied < 0) return denied
  }
  sched.policy = policy
  sched.priority = priority
  sched.resetOnFork = resetOnFork
  sched.runtime = byDeadline ? times.runtime : 0
  sched.deadline = byDeadline ? times.deadline : 0
  sched.period = byDeadline ? times.period || times.deadline : 0
  if (isFairPolicy(policy)) sched.nice = Math.min(Math.max(nice, MIN_NICE), MAX_NICE)
  return 0
}

function unprivilegedPolicy(
  task: Task,
  target: Task,
  policy: number,
  priority: number,
  nice: number,
  resetOnFork: boolean,
): number {
  const { sched, group } = target
  if (isFairPolicy(policy) && nice < sched.nice && !niceAllowed(target, nice)) return -EPERM
  if (isRealtimePolicy(policy)) {
    const limit = group.rlimits[RLIMIT_RTPRIO]!.cur
    if (policy !== sched.policy && limit === 0) return -EPERM
    if (priority > sched.priority && priority > limit) return -EPERM
  }
  if (policy === SCHED_DEADLINE) return -EPERM
  if (sched.policy === SCHED_IDLE && policy !== SCHED_IDLE && !niceAllowed(target, sched.nice))
    return -EPERM
  const { euid } = task.creds
  if (euid !== target.creds.euid && euid !== target.creds.uid) return -EPERM
  return sched.resetOnFork && !resetOnFork ? -EPERM : 0
}

function readPriority(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (addr === 0) return -EINVAL
  return task.mm.copyIn(task, addr, scratch, 0, 4) < 0 ? -EFAULT : scratchView.getInt32(0, true)
}

/** sched_setscheduler(2). */
export function sys_sched_setscheduler(
  task: Task,
  pid: number,
  policy: number,
  param: number,
): number {
  if (policy < 0 || param === 0) return -EINVAL
  const priority = readPriority(task, param)
  if (priority < 0) return priority === -EFAULT ? -EFAULT : -EINVAL
  const target = findTask(task, pid)
  if (typeof target === 'number') return target
  const reset = (policy & SCHED_RESET_ON_FORK) !== 0
  return setPolicy(task, target, policy & ~SCHED_RESET_ON_FORK, priority, target.sched.nice, reset)
}

/** sched_getscheduler(2). */
export function sys_sched_getscheduler(task: Task, pid: number): number {
  const target = findTask(task, pid)
  if (typeof target === 'number') return target
  return target.sched.policy | (target.sched.resetOnFork ? SCHED_RESET_ON_FORK : 0)
}

/** sched_setparam(2). */
export function sys_sched_setparam(task: Task, pid: number, param: number): number {
  const priority = readPriority(task, param)
  if (priority < 0) return priority === -EFAULT ? -EFAULT : -EINVAL
  const target = findTask(task, pid)
  if (typeof target === 'number') return target
  const { sched } = target
  return setPolicy(task, target, sched.policy, priority, sched.nice, sched.resetOnFork)
}

/** sched_getparam(2). */
export function sys_sched_getparam(task: Task, pid: number, param: number): number {
  if (param === 0) return -EINVAL
  const target = findTask(task, pid)
  if (typeof target === 'number') return target
  const { scratch, scratchView } = task.kernel
  scratchView.setInt32(0, target.sched.priority, true)
  return task.mm.copyResult(task, param, scratch, 0, 4)
}

/** Policies without priorities, whether or not they are offered. */
const isUnprioritized = (policy: number): boolean =>
  isFairPolicy(policy) || policy === SCHED_DEADLINE || policy === SCHED_EXT

/** sched_get_priority_max(2). */
export function sys_sched_get_priority_max(_task: Task, policy: number): number {
  if (isRealtimePolicy(policy)) return MAX_RT_PRIORITY
  return isUnprioritized(policy) ? 0 : -EINVAL
}

/** sched_get_priority_min(2). */
export function sys_sched_get_priority_min(_task: Task, policy: number): number {
  if (isRealtimePolicy(policy)) return 1
  return isUnprioritized(policy) ? 0 : -EINVAL
}

/** sched_rr_get_interval(2). */
export function sys_sched_rr_get_interval(task: Task, pid: number, addr: number): number {
  const target = findTask(task, pid)
  if (typeof target === 'number') return target
  const { policy } = target.sched
  if (policy === SCHED_RR) {
    const ms = task.kernel.tunables.rrSliceMs
    return writeTimespec(task, addr, Math.floor(ms / 1000), (ms % 1000) * 1e6)
  }
  return writeTimespec(task, addr, 0, policy === SCHED_FIFO ? 0 : FAIR_SLICE_NS)
}

/** sched_setaffinity(2). At least one CPU that exists must be left. */
export function sys_sched_setaffinity(
  task: Task,
  pid: number,
  length: number,
  addr: number,
): number {
  const { kernel } = task
  const bytes = Math.ceil(kernel.cpus / 8)
  const { scratch } = kernel
  scratch.fill(0, 0, bytes)
  if (task.mm.copyIn(task, addr, scratch, 0, Math.min(length, bytes)) < 0) return -EFAULT
  const target = findTask(task, pid)
  if (typeof target === 'number') return target === -EINVAL ? -ESRCH : target
  if (!mayChange(task, target)) return -EPERM
  const affinity = new Uint8Array(kernel.cpus)
  for (let cpu = 0; cpu < kernel.cpus; cpu++) affinity[cpu] = (scratch[cpu >> 3]! >> (cpu & 7)) & 1
  const error = setAffinity(target, affinity)
  if (error === 0) bindToCpus(target)
  return error
}

/** sched_getaffinity(2). Returns the bytes that the kernel's own mask takes: a multiple of 8. */
export function sys_sched_getaffinity(
  task: Task,
  pid: number,
  length: number,
  addr: number,
): number {
  const { kernel } = task
  const bytes = Math.ceil(kernel.cpus / 64) * 8
  if (length * 8 < kernel.cpus || length % 8 !== 0) return -EINVAL
  const target = findTask(task, pid)
  if (typeof target === 'number') return target === -EINVAL ? -ESRCH : target
  const affinity = allowedCpus(target)
  const { scratch } = kernel
  scratch.fill(0, 0, bytes)
  for (let cpu = 0; cpu < kernel.cpus; cpu++) {
    if (affinity === null || affinity[cpu] === 1) scratch[cpu >> 3]! |= 1 << (cpu & 7)
  }
  const size = Math.min(length, bytes)
  return task.mm.copyResult(task, addr, scratch, 0, size) < 0 ? -EFAULT : size
}

const attr: SchedAttr = {
  size: 0,
  policy: 0,
  flags: 0,
  nice: 0,
  priority: 0,
  runtime: 0,
  deadline: 0,
  period: 0,
  utilMin: 0,
  utilMax: 0,
}

/** Read a struct sched_attr of any version: bytes beyond what is known must be zero. */
function readAttr(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 4) < 0) return -EFAULT
  const size = scratchView.getUint32(0, true) || SCHED_ATTR_SIZE_VER0
  if (size < SCHED_ATTR_SIZE_VER0 || size > 4096) return tooBig(task, addr)
  scratch.fill(0, 0, SIZEOF_SCHED_ATTR)
  if (task.mm.copyIn(task, addr, scratch, 0, size) < 0) return -EFAULT
  for (let i = SIZEOF_SCHED_ATTR; i < size; i++) if (scratch[i] !== 0) return tooBig(task, addr)
  readSchedAttr(scratchView, 0, attr)
  return 0
}

/** E2BIG tells the size that the kernel knows. */
function tooBig(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, SIZEOF_SCHED_ATTR, true)
  return task.mm.copyResult(task, addr, scratch, 0, 4) < 0 ? -EFAULT : -E2BIG
}

/** sched_setattr(2). */
export function sys_sched_setattr(task: Task, pid: number, addr: number, flags: number): number {
  if (addr === 0 || flags !== 0 || pid < 0) return -EINVAL
  const error = readAttr(task, addr)
  if (error < 0) return error
  if (attr.policy > 0x7fffffff) return -EINVAL
  const target = findTask(task, pid)
  if (typeof target === 'number') return target
  const known = SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS
  if ((attr.flags & ~known) !== 0) return -EINVAL
  const { sched } = target
  const keepParams = (attr.flags & SCHED_FLAG_KEEP_PARAMS) !== 0
  const policy = (attr.flags & SCHED_FLAG_KEEP_POLICY) !== 0 ? sched.policy : attr.policy
  const reset = (attr.flags & SCHED_FLAG_RESET_ON_FORK) !== 0
  const priority = keepParams ? sched.priority : attr.priority
  const nice = keepParams ? sched.nice : attr.nice
  return setPolicy(task, target, policy, priority, nice, reset, keepParams ? sched : attr)
}

/** sched_getattr(2). */
export function sys_sched_getattr(
  task: Task,
  pid: number,
  addr: number,
  size: number,
  flags: number,
): number {
  if (addr === 0 || flags !== 0 || size < SCHED_ATTR_SIZE_VER0 || size > 4096) return -EINVAL
  const target = findTask(task, pid)
  if (typeof target === 'number') return target
  const { sched, kernel } = target
  const length = Math.min(size, SIZEOF_SCHED_ATTR)
  attr.size = length
  attr.policy = sched.policy
  attr.flags = sched.resetOnFork ? SCHED_FLAG_RESET_ON_FORK : 0
  attr.nice = isFairPolicy(sched.policy) ? sched.nice : 0
  attr.priority = sched.priority
  attr.runtime = sched.runtime
  attr.deadline = sched.deadline
  attr.period = sched.period
  attr.utilMin = sched.utilMin
  attr.utilMax = sched.utilMax
  writeSchedAttr(kernel.scratchView, 0, attr)
  return task.mm.copyResult(task, addr, kernel.scratch, 0, length)
}

/** ioprio_set(2). */
export function sys_ioprio_set(task: Task, which: number, who: number, ioprio: number): number {
  const cls = (ioprio >> IOPRIO_CLASS_SHIFT) & 7
  const level = ioprio & (IOPRIO_LEVELS - 1)
  if (
    cls === IOPRIO_CLASS_RT &&
    !task.creds.capable(CAP_SYS_NICE) &&
    !task.creds.capable(CAP_SYS_ADMIN)
  )
    return -EPERM
  if (
    cls === IOPRIO_CLASS_NONE
      ? level !== 0
      : cls !== IOPRIO_CLASS_RT && cls !== IOPRIO_CLASS_BE && cls !== IOPRIO_CLASS_IDLE
  ) {
    return -EINVAL
  }
  const tasks = selectTasks(task, which, who, IOPRIO_WHO_PROCESS)
  if (typeof tasks === 'number') return tasks
  if (tasks.length === 0) return -ESRCH
  for (const target of tasks) {
    if (
      task.creds.uid !== target.creds.uid &&
      task.creds.euid !== target.creds.uid &&
      !task.creds.capable(CAP_SYS_NICE)
    ) {
      return -EPERM
    }
    target.sched.ioprio = ioprio & 0xffff
  }
  return 0
}

/** The priority that a task has when it has none of its own: by its policy and niceness. */
function effectiveIoprio({ ioprio, policy, nice }: SchedState): number {
  if (ioprio >> IOPRIO_CLASS_SHIFT !== IOPRIO_CLASS_NONE) return ioprio
  const cls =
    policy === SCHED_IDLE
      ? IOPRIO_CLASS_IDLE
      : isRealtimePolicy(policy)
        ? IOPRIO_CLASS_RT
        : IOPRIO_CLASS_BE
  return (cls << IOPRIO_CLASS_SHIFT) | Math.floor((nice + 20) / 5)
}

/** ioprio_get(2). The highest of those selected: the lowest value. A single task tells what was set. */
export function sys_ioprio_get(task: Task, which: number, who: number): number {
  const tasks = selectTasks(task, which, who, IOPRIO_WHO_PROCESS)
  if (typeof tasks === 'number') return tasks
  if (tasks.length === 0) return -ESRCH
  if (which === IOPRIO_WHO_PROCESS) return tasks[0]!.sched.ioprio
  return Math.min(...tasks.map(({ sched }) => effectiveIoprio(sched)))
}

/** getcpu(2), when it does not run in the vDSO: the first allowed CPU, on the only node. */
export function sys_getcpu(task: Task, cpuAddr: number, nodeAddr: number, _cache: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, Math.max(allowedCpus(task)?.indexOf(1) ?? 0, 0), true)
  scratchView.setUint32(4, 0, true)
  if (cpuAddr !== 0 && task.mm.copyResult(task, cpuAddr, scratch, 0, 4) < 0) return -EFAULT
  return nodeAddr === 0 ? 0 : task.mm.copyResult(task, nodeAddr, scratch, 4, 4)
}
