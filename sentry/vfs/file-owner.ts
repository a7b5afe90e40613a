// Who is told of a file's events: F_SETOWN of fcntl(2), SIOCSPGRP of sockets.

import { EFAULT, EINVAL, ESRCH } from '../../syscall-table/errno.ts'
import { F_OWNER_PGRP, F_OWNER_PID } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from './file.ts'

/** Largest process id that can be asked for: INT_MIN has no negative. */
const INT_MIN = -0x80000000

/** Negative numbers mean process groups. */
export function setOwner(task: Task, file: File, id: number): number {
  if (id === INT_MIN) return -EINVAL
  const type = id < 0 ? F_OWNER_PGRP : F_OWNER_PID
  return assignOwner(task, file, type, Math.abs(id))
}

/** F_OWNER_*, and a number in the caller's terms; 0 is nobody. */
export function assignOwner(task: Task, file: File, type: number, id: number): number {
  const pid = task.pidNs.pids.get(id)
  const known = type === F_OWNER_PGRP ? pid?.pgrp : type === F_OWNER_PID ? pid?.group : pid?.task
  if (id !== 0 && !known) return -ESRCH
  file.ownerType = type
  file.owner = pid ?? null
  file.ownerCreds = task.creds
  // Some files look for events only once somebody has asked, and SIGURG needs no O_ASYNC.
  file.ops.poll(file)
  return 0
}

/** 0 when there is no owner, or none that the caller can see. */
export function ownerNumber(task: Task, file: File): number {
  return file.owner?.numberIn(task.pidNs) ?? 0
}

/** FIOSETOWN, SIOCSPGRP: the int at `arg`. */
export function setOwnerAt(task: Task, file: File, arg: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, arg, scratch, 0, 4) < 0) return -EFAULT
  return setOwner(task, file, scratchView.getInt32(0, true))
}

/** FIOGETOWN, SIOCGPGRP. */
export function tellOwnerAt(task: Task, file: File, arg: number): number {
  const { scratch, scratchView } = task.kernel
  const number = ownerNumber(task, file)
  scratchView.setInt32(0, file.ownerType === F_OWNER_PGRP ? -number : number, true)
  return task.mm.copyResult(task, arg, scratch, 0, 4)
}
