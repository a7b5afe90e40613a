// shmget(2), shmat(2), shmdt(2), shmctl(2).

import { EEXIST, EFAULT, EINVAL, ENOMEM, ENOSPC } from '../../syscall-table/errno.ts'
import {
  IPC_INFO,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  SHM_EXEC,
  SHM_HUGETLB,
  SHM_INFO,
  SHM_LOCK,
  SHM_RDONLY,
  SHM_REMAP,
  SHM_RND,
  SHM_STAT,
  SHM_STAT_ANY,
  SHM_UNLOCK,
  SHMMIN,
} from '../../syscall-table/flags.ts'
import {
  newShmInfo,
  newShmidDs,
  newShminfo,
  readShmidDs,
  SIZEOF_SHM_INFO,
  SIZEOF_SHMID_DS,
  SIZEOF_SHMINFO,
  writeShmInfo,
  writeShmidDs,
  writeShminfo,
} from '../../syscall-table/structs.gen.ts'
import { ipcOf } from '../ipc/namespace.ts'
import { actForProcess, detach, Segment } from '../ipc/shm.ts'
import type { Task } from '../kernel/task.ts'
import { pageCeil, pageFloor } from '../mm/vma.ts'
import { hugeSize } from './mm.ts'

/** Files of the host cannot be larger. */
const LARGEST = 2 ** 47

const ds = newShmidDs()
const limits = newShminfo()
const usage = newShmInfo()

/** shmget(2). The sandbox has no huge pages of its own to give. */
export function sys_shmget(task: Task, key: number, size: number, flags: number): number {
  const namespace = ipcOf(task)
  const { shm } = namespace
  const create = (): Segment | number => {
    if (size < SHMMIN || size > namespace.limits.shmmax) return -EINVAL
    if ((flags & SHM_HUGETLB) !== 0) return hugeSize(flags) ? -ENOMEM : -EINVAL
    if (size > LARGEST) return -ENOMEM
    if (namespace.shmPages + pageCeil(size) / PAGE_SIZE > namespace.limits.shmall) return -ENOSPC
    return Segment.create(task, namespace, key, size, flags)
  }
  const fits = (segment: Segment): boolean => segment.size >= size
  const id = shm.find(task.creds, key, flags, namespace.limits.shmmni, fits, create)
  const segment = shm.get(id)
  if (typeof segment !== 'number') segment.named()
  return id
}

/** shmat(2). */
export function sys_shmat(task: Task, id: number, address: number, flags: number): number {
  if (id < 0) return -EINVAL
  let addr = address
  if (addr !== 0) {
    if (addr % PAGE_SIZE !== 0) {
      if ((flags & SHM_RND) === 0) return -EINVAL
      addr = pageFloor(addr)
      if (addr === 0 && (flags & SHM_REMAP) !== 0) return -EINVAL
    }
  } else if ((flags & SHM_REMAP) !== 0) return -EINVAL
  const readonly = (flags & SHM_RDONLY) !== 0
  const exec = (flags & SHM_EXEC) !== 0
  const segment = ipcOf(task).shm.get(id)
  if (typeof segment === 'number') return segment
  const wanted = 0o400 | (readonly ? 0 : 0o200) | (exec ? 0o100 : 0)
  const denied = segment.permission(task.creds, wanted)
  if (denied < 0) return denied
  const prot = PROT_READ | (readonly ? 0 : PROT_WRITE) | (exec ? PROT_EXEC : 0)
  let how = MAP_SHARED
  if (addr !== 0) how |= (flags & SHM_REMAP) !== 0 ? MAP_FIXED : MAP_FIXED_NOREPLACE
  actForProcess(task.group.tgid)
  const file = segment.open(readonly ? 1 : 0)
  const n = task.mm.map(task, addr, segment.size, prot, how, file, 0)
  file.handOver()
  return n === -EEXIST ? -EINVAL : n
}

/** shmdt(2). */
export function sys_shmdt(task: Task, addr: number): number {
  actForProcess(task.group.tgid)
  return detach(task, addr)
}

/** shmctl(2). */
export function sys_shmctl(task: Task, id: number, command: number, buffer: number): number {
  if (id < 0 || command < 0) return -EINVAL
  const { shm } = ipcOf(task)
  switch (command) {
    case IPC_INFO:
      return copyLimits(task, buffer)
    case SHM_INFO:
      return copyUsage(task, buffer)
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY: {
      const segment = command === IPC_STAT ? shm.get(id) : shm.byIndex(id)
      if (typeof segment === 'number') return segment
      const denied = command === SHM_STAT_ANY ? 0 : segment.permission(task.creds, 0o444)
      return denied < 0 ? denied : copyStat(task, segment, command, buffer)
    }
    case IPC_SET:
    case IPC_RMID: {
      if (command === IPC_SET) {
        const { scratch, scratchView } = task.kernel
        if (task.mm.copyIn(task, buffer, scratch, 0, SIZEOF_SHMID_DS) < 0) return -EFAULT
        readShmidDs(scratchView, 0, ds)
      }
      const segment = shm.get(id)
      if (typeof segment === 'number') return segment
      const denied = segment.ownership(task.creds)
      if (denied < 0) return denied
      if (command === IPC_SET) return segment.setPerm(task.kernel, ds.perm)
      segment.remove()
      return 0
    }
    case SHM_LOCK:
    case SHM_UNLOCK: {
      const segment = shm.get(id)
      return typeof segment === 'number' ? segment : segment.lock(task, command)
    }
    default:
      return -EINVAL
  }
}

function copyStat(task: Task, segment: Segment, command: number, buffer: number): number {
  segment.fillPerm(ds.perm)
  ds.segsz = segment.size
  ds.atime = segment.atime
  ds.dtime = segment.dtime
  ds.ctime = segment.ctime
  ds.cpid = segment.cpid
  ds.lpid = segment.lpid
  ds.nattch = segment.nattch
  const { scratch, scratchView } = task.kernel
  writeShmidDs(scratchView, 0, ds)
  const error = task.mm.copyResult(task, buffer, scratch, 0, SIZEOF_SHMID_DS)
  if (error < 0) return error
  return command === IPC_STAT ? 0 : segment.id
}

/** Offsets in struct shminfo. */
const SHMMAX_AT = 0
const SHMALL_AT = 32

function copyLimits(task: Task, buffer: number): number {
  const { limits: l, shm } = ipcOf(task)
  limits.shmmax = l.shmmax
  limits.shmmin = SHMMIN
  limits.shmmni = limits.shmseg = l.shmmni
  limits.shmall = l.shmall
  const { scratch, scratchView } = task.kernel
  writeShminfo(scratchView, 0, limits)
  // As sysctl shows them: a double has no place for the last bit.
  if (l.shmmax >= 2 ** 63) scratchView.setBigUint64(SHMMAX_AT, BigInt(l.shmmax) - 1n, true)
  if (l.shmall >= 2 ** 63) scratchView.setBigUint64(SHMALL_AT, BigInt(l.shmall) - 1n, true)
  return task.mm.copyResult(task, buffer, scratch, 0, SIZEOF_SHMINFO) || shm.maxIndex
}

function copyUsage(task: Task, buffer: number): number {
  const namespace = ipcOf(task)
  usage.usedIds = namespace.shm.size
  usage.shmTot = namespace.shmPages
  usage.shmRss = 0
  for (const segment of namespace.shm.values())
    usage.shmRss += Math.ceil(segment.resident / PAGE_SIZE)
  const { scratch, scratchView } = task.kernel
  writeShmInfo(scratchView, 0, usage)
  return task.mm.copyResult(task, buffer, scratch, 0, SIZEOF_SHM_INFO) || namespace.shm.maxIndex
}
