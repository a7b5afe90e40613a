// semget(2), semop(2), semtimedop(2), semctl(2).

import {
  E2BIG,
  EAGAIN,
  EFAULT,
  EFBIG,
  EINTR,
  EINVAL,
  ENOSPC,
  ERANGE,
} from '../../syscall-table/errno.ts'
import {
  GETALL,
  GETNCNT,
  GETPID,
  GETVAL,
  GETZCNT,
  IPC_INFO,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
  SEM_INFO,
  SEM_STAT,
  SEM_STAT_ANY,
  SEM_UNDO,
  SEMVMX,
  SETALL,
  SETVAL,
} from '../../syscall-table/flags.ts'
import {
  newSembuf,
  newSemidDs,
  newSeminfo,
  readSembuf,
  readSemidDs,
  SIZEOF_SEMBUF,
  SIZEOF_SEMID_DS,
  SIZEOF_SEMINFO,
  writeSemidDs,
  writeSeminfo,
} from '../../syscall-table/structs.gen.ts'
import { ipcOf } from '../ipc/namespace.ts'
import { changesValues, PendingOps, SemaphoreSet, type SemOp } from '../ipc/sem.ts'
import { signalPending } from '../kernel/signal.ts'
import type { Task } from '../kernel/task.ts'
import { isError, readTimeout, setDeadline } from './poll-timeout.ts'

const ds = newSemidDs()
const info = newSeminfo()
const one = newSembuf()

/** semget(2). */
export function sys_semget(task: Task, key: number, count: number, flags: number): number {
  const namespace = ipcOf(task)
  const { limits } = namespace
  if (count < 0 || count > limits.semmsl) return -EINVAL
  const create = (): SemaphoreSet | number => {
    if (count === 0) return -EINVAL
    if (namespace.semaphores + count > limits.semmns) return -ENOSPC
    return SemaphoreSet.create(task, namespace, count, flags)
  }
  const fits = (set: SemaphoreSet): boolean => set.count >= count
  return namespace.sem.find(task.creds, key, flags, limits.semmni, fits, create)
}

/** semop(2): semtimedop without a timeout. */
export function sys_semop(task: Task, id: number, sops: number, count: number): number {
  return sys_semtimedop(task, id, sops, count, 0)
}

/** semtimedop(2). */
export function sys_semtimedop(
  task: Task,
  id: number,
  sops: number,
  count: number,
  timeout: number,
): number {
  const { restart } = task
  if (restart.resource instanceof PendingOps) return goOnWaiting(task, restart.resource)
  const timeoutNs = readTimeout(task, timeout)
  if (isError(timeoutNs)) return timeoutNs
  const namespace = ipcOf(task)
  if (count > namespace.limits.semopm) return -E2BIG
  if (count < 1) return -EINVAL
  const ops = readOps(task, sops, count)
  if (typeof ops === 'number') return ops
  if (id < 0) return -EINVAL
  const set = namespace.sem.get(id)
  if (typeof set === 'number') return set
  if (ops.some(op => op.num >= set.count)) return -EFBIG
  const denied = set.permission(task.creds, changesValues(ops) ? 0o222 : 0o444)
  if (denied < 0) return denied
  const undo = ops.some(op => (op.flags & SEM_UNDO) !== 0) ? set.undoOf(task) : null
  if (typeof undo === 'number') return undo
  const n = set.tryOps(ops, undo, task.group.tgid)
  if (n === 0 && changesValues(ops)) set.update()
  if (n <= 0) return n
  if (timeoutNs === 0) return -EAGAIN
  if (task.work && signalPending(task)) return -EINTR
  setDeadline(task, timeoutNs)
  const pending = new PendingOps(set, task, ops, undo, set.blocked)
  set.pending.add(pending)
  restart.resource = pending
  return task.block(null, 0)
}

/** Whoever changed the set has finished the operations, or something else has woken the task. */
function goOnWaiting(task: Task, pending: PendingOps): number {
  const { restart } = task
  let result = pending.result
  if (!pending.done) {
    if (restart.timedOut) result = -EAGAIN
    else if (task.work && signalPending(task)) result = -EINTR
    else return task.block(null, 0)
    // A stopped task must not be given anything that its result does not tell of.
    pending.abandon()
  }
  restart.resource = null
  return result
}

function readOps(task: Task, addr: number, count: number): SemOp[] | number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, count * SIZEOF_SEMBUF) < 0) return -EFAULT
  const ops: SemOp[] = []
  for (let i = 0; i < count; i++) {
    readSembuf(scratchView, i * SIZEOF_SEMBUF, one)
    ops.push({ num: one.num, op: one.op, flags: one.flg })
  }
  return ops
}

/** semctl(2). */
export function sys_semctl(
  task: Task,
  id: number,
  num: number,
  command: number,
  arg: number,
): number {
  if (id < 0) return -EINVAL
  const { sem } = ipcOf(task)
  switch (command) {
    case IPC_INFO:
    case SEM_INFO:
      return copyInfo(task, command, arg)
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY: {
      const set = command === IPC_STAT ? sem.get(id) : sem.byIndex(id)
      if (typeof set === 'number') return set
      const denied = command === SEM_STAT_ANY ? 0 : set.permission(task.creds, 0o444)
      return denied < 0 ? denied : copyStat(task, set, command, arg)
    }
    case IPC_SET: {
      const { scratch, scratchView } = task.kernel
      if (task.mm.copyIn(task, arg, scratch, 0, SIZEOF_SEMID_DS) < 0) return -EFAULT
      readSemidDs(scratchView, 0, ds)
      const set = sem.get(id)
      if (typeof set === 'number') return set
      return set.ownership(task.creds) || set.setPerm(task.kernel, ds.perm)
    }
    case IPC_RMID: {
      const set = sem.get(id)
      if (typeof set === 'number') return set
      const denied = set.ownership(task.creds)
      if (denied < 0) return denied
      set.remove()
      return 0
    }
    case SETVAL:
      return setValue(task, id, num, arg | 0)
    case GETALL:
    case SETALL: {
      const set = sem.get(id)
      if (typeof set === 'number') return set
      const denied = set.permission(task.creds, command === GETALL ? 0o444 : 0o222)
      if (denied < 0) return denied
      return command === GETALL ? getAll(task, set, arg) : setAll(task, set, arg)
    }
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
      return getOne(task, id, num, command)
    default:
      return -EINVAL
  }
}

function setValue(task: Task, id: number, num: number, value: number): number {
  if (value < 0 || value > SEMVMX) return -ERANGE
  const set = ipcOf(task).sem.get(id)
  if (typeof set === 'number') return set
  if (num < 0 || num >= set.count) return -EINVAL
  const denied = set.permission(task.creds, 0o222)
  if (denied < 0) return denied
  set.set(num, value, task.group.tgid)
  set.wasSet()
  return 0
}

function getOne(task: Task, id: number, num: number, command: number): number {
  const set = ipcOf(task).sem.get(id)
  if (typeof set === 'number') return set
  const denied = set.permission(task.creds, 0o444)
  if (denied < 0) return denied
  if (num < 0 || num >= set.count) return -EINVAL
  if (command === GETVAL) return set.values[num]!
  if (command === GETPID) return set.pids[num]!
  return set.waiters(num, command === GETNCNT ? 'larger' : 'zero')
}

/** All values are unsigned shorts: at most 64000 bytes, which the scratch buffer holds. */
function getAll(task: Task, set: SemaphoreSet, addr: number): number {
  const { scratch, scratchView } = task.kernel
  for (let i = 0; i < set.count; i++) scratchView.setUint16(i * 2, set.values[i]!, true)
  return task.mm.copyOut(task, addr, scratch, 0, set.count * 2)
}

function setAll(task: Task, set: SemaphoreSet, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, set.count * 2) < 0) return -EFAULT
  for (let i = 0; i < set.count; i++) {
    if (scratchView.getUint16(i * 2, true) > SEMVMX) return -ERANGE
  }
  for (let i = 0; i < set.count; i++)
    set.set(i, scratchView.getUint16(i * 2, true), task.group.tgid)
  set.wasSet()
  return 0
}

function copyStat(task: Task, set: SemaphoreSet, command: number, addr: number): number {
  set.fillPerm(ds.perm)
  ds.otime = set.otime
  ds.ctime = set.ctime
  ds.nsems = set.count
  const { scratch, scratchView } = task.kernel
  writeSemidDs(scratchView, 0, ds)
  const error = task.mm.copyResult(task, addr, scratch, 0, SIZEOF_SEMID_DS)
  if (error < 0) return error
  return command === IPC_STAT ? 0 : set.id
}

function copyInfo(task: Task, command: number, addr: number): number {
  const namespace = ipcOf(task)
  const { limits, sem } = namespace
  info.semmni = limits.semmni
  info.semmns = info.semmnu = info.semmap = limits.semmns
  info.semmsl = limits.semmsl
  info.semopm = info.semume = limits.semopm
  info.semvmx = SEMVMX
  // SEM_INFO tells here how many sets and semaphores there are.
  info.semusz = command === SEM_INFO ? sem.size : 20
  info.semaem = command === SEM_INFO ? namespace.semaphores : SEMVMX
  const { scratch, scratchView } = task.kernel
  writeSeminfo(scratchView, 0, info)
  return task.mm.copyResult(task, addr, scratch, 0, SIZEOF_SEMINFO) || sem.maxIndex
}
