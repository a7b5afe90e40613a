// process_vm_readv(2) and process_vm_writev(2): copies between two programs of the sandbox.

import { EFAULT, EINVAL, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import { BY_REALCREDS, ptraceAccess } from '../kernel/ptrace-access.ts'
import { STARTING, type Task, ZOMBIE } from '../kernel/task.ts'
import { UIO_MAXIOV } from '../mm/io.ts'
import { TASK_SIZE } from '../mm/mm.ts'
import { waitForEvent } from '../mm/pending-ranges.ts'

/** The segments of the other process, loaded before anything is copied: (address, length) pairs. */
const remote = new Float64Array(UIO_MAXIOV * 2)

/** process_vm_readv(2). */
export function sys_process_vm_readv(
  task: Task,
  pid: number,
  local: number,
  localCount: number,
  remoteAt: number,
  remoteCount: number,
  flags: number,
): number {
  return transfer(task, pid, local, localCount, remoteAt, remoteCount, flags, false)
}

/** process_vm_writev(2). */
export function sys_process_vm_writev(
  task: Task,
  pid: number,
  local: number,
  localCount: number,
  remoteAt: number,
  remoteCount: number,
  flags: number,
): number {
  return transfer(task, pid, local, localCount, remoteAt, remoteCount, flags, true)
}

function transfer(
  task: Task,
  pid: number,
  local: number,
  localCount: number,
  remoteAt: number,
  remoteCount: number,
  flags: number,
  writing: boolean,
): number {
  if (flags !== 0 || localCount > UIO_MAXIOV || remoteCount > UIO_MAXIOV) return -EINVAL
  const loaded = task.io.vector(local, localCount)
  if (loaded < 0) return loaded
  if (task.io.remaining === 0) return 0
  const n = loadRemote(task, remoteAt, remoteCount)
  if (n < 0) return n
  const target = task.pidNs.task(pid)
  if (target === undefined || target.state >= ZOMBIE) return -ESRCH
  if (ptraceAccess(task, target, BY_REALCREDS) < 0) return -EPERM
  // A new child's memory is not there before its host process is.
  if (target.state === STARTING) return waitForEvent(task, target)
  return copy(task, target, remoteCount, writing)
}

function loadRemote(task: Task, addr: number, count: number): number {
  const { scratch, scratchView } = task.kernel
  if (count > 0 && task.mm.copyIn(task, addr, scratch, 0, count * 16) < 0) return -EFAULT
  for (let i = 0; i < 2 * count; i++) {
    const value =
      scratchView.getUint32(i * 8 + 4, true) * 2 ** 32 + scratchView.getUint32(i * 8, true)
    if ((i & 1) === 1 && value >= 2 ** 63) return -EINVAL
    remote[i] = value
  }
  return 0
}

function copy(task: Task, target: Task, count: number, writing: boolean): number {
  const { bounce } = task.kernel
  const { io } = task
  for (let i = 0; i < count; i++) {
    let addr = remote[2 * i]!
    let left = remote[2 * i + 1]!
    while (left > 0 && io.remaining > 0) {
      const want = Math.min(left, io.remaining, bounce.length)
      if (addr + want > TASK_SIZE) return io.finish(-EFAULT)
      const n = writing ? give(task, target, addr, want) : fetch(task, target, addr, want)
      if (n <= 0) return io.finish(-EFAULT)
      addr += n
      left -= n
      if (n < want) return io.finish(-EFAULT)
    }
  }
  return io.done
}

function fetch(task: Task, target: Task, addr: number, want: number): number {
  const { bounce } = task.kernel
  const n = target.mm.copyInPartial(target, addr, bounce, 0, want)
  return n <= 0 ? n : task.io.put(bounce, 0, n)
}

/** What could be taken from the caller but not given to the target must not count. */
function give(task: Task, target: Task, addr: number, want: number): number {
  const { bounce } = task.kernel
  const { io } = task
  const n = io.take(bounce, 0, want)
  if (n <= 0) return n
  const given = target.mm.copyOutPartial(target, addr, bounce, 0, n)
  io.done -= n - Math.max(0, given)
  return given
}
