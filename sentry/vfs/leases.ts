// Leases: fcntl(2), F_SETLEASE; fs/locks.c. Who holds one on a file is told by a signal when somebody else is about
// to open the file in a way that conflicts, and has some time to give it up before that open goes on without asking.

import { EACCES, EAGAIN, EINVAL } from '../../syscall-table/errno.ts'
import {
  CAP_LEASE,
  F_OWNER_PID,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  POLL_MSG,
} from '../../syscall-table/flags.ts'
import type { Pid } from '../kernel/pid-namespace.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from './file.ts'
import { MSG_BAND, signalOwner } from './file-signal.ts'
import type { Inode } from './inode.ts'
import { locksOf } from './locks.ts'

const NS_PER_SEC = 1e9

/** A lease of an open file; the file's descriptor goes with the signal. */
export interface Lease {
  readonly file: File
  readonly fd: number
  /** The process that took it. */
  readonly pid: Pid
  type: number
  /** What it must become, F_RDLCK or F_UNLCK, and when it does so by itself; `type` while nobody asks. */
  target: number
  breakAtNs: number
}

/** F_GETLEASE: the type, or what it is on the way to. */
export function leaseType(file: File): number {
  return findLease(file)?.target ?? F_UNLCK
}

function findLease(file: File): Lease | undefined {
  return file.inode.locks?.leases.find(lease => lease.file === file)
}

/** F_SETLEASE. */
export function setLease(task: Task, file: File, fd: number, type: number): number {
  const { inode } = file
  if (inode.uid !== task.creds.fsuid && !task.creds.capableIn(inode.sb.userNs, CAP_LEASE))
    return -EACCES
  if (!inode.isRegular) return -EINVAL
  if (type === F_UNLCK) return dropLease(file)
  if (type !== F_RDLCK && type !== F_WRLCK) return -EINVAL
  const conflict = conflictingOpen(file, type)
  if (conflict < 0) return conflict
  const locks = locksOf(inode)
  const others = locks.leases.filter(lease => lease.file !== file)
  if (others.some(lease => type === F_WRLCK || lease.target === F_UNLCK)) return -EAGAIN
  const own = findLease(file)
  if (own === undefined)
    locks.leases.push({
      file,
      fd,
      pid: task.group.pid,
      type,
      target: type,
      breakAtNs: Number.POSITIVE_INFINITY,
    })
  else {
    own.type = own.target = type
    own.breakAtNs = Number.POSITIVE_INFINITY
  }
  if (file.owner === null) {
    file.ownerType = F_OWNER_PID
    file.owner = task.group.pid
    file.ownerCreds = task.creds
  }
  locks.noteHeld()
  locks.queue.wake(0)
  return 0
}

function dropLease(file: File): number {
  const { locks } = file.inode
  return locks?.releaseLease(file) ? 0 : -EAGAIN
}

/** Whether the file is open already as a holder of the lease must hear of it: check_conflicting_open. */
function conflictingOpen(file: File, type: number): number {
  const { inode } = file
  if (type === F_RDLCK) return inode.writers > 0 ? -EAGAIN : 0
  const writers = file.writable ? 1 : 0
  const readers = file.readable && !file.writable ? 1 : 0
  return inode.writers !== writers || inode.readers !== readers ? -EAGAIN : 0
}

/**
 * Somebody is about to open the file, or to truncate it. Tells the holders of leases that this conflicts with, and
 * waits for them, unless `waits` is false: 0, -EAGAIN or -EBLOCKED. break_lease.
 */
export function breakLeases(task: Task, inode: Inode, writes: boolean, waits: boolean): number {
  const { locks } = inode
  if (locks === null || locks.leases.length === 0) return 0
  const now = task.kernel.clock.monotonicNs()
  let until = 0
  for (const lease of [...locks.leases]) {
    if (!writes && lease.type === F_RDLCK) continue
    const target = writes ? F_UNLCK : F_RDLCK
    if (lease.target === lease.type || (target === F_UNLCK && lease.target !== F_UNLCK)) {
      const told = lease.target !== lease.type
      lease.target = target
      if (!told) {
        lease.breakAtNs = now + task.kernel.tunables.leaseBreakTime * NS_PER_SEC
        signalOwner(lease.file, lease.fd, POLL_MSG, MSG_BAND)
      }
    }
    if (now < lease.breakAtNs) until = Math.max(until, lease.breakAtNs)
    else expire(lease)
  }
  if (until === 0) return 0
  if (!waits) return -EAGAIN
  task.restart.deadline = until
  return task.block(locks.queue, 0)
}

/** Its holder has had its time. */
function expire(lease: Lease): void {
  if (lease.target === F_UNLCK) {
    lease.file.inode.locks?.releaseLease(lease.file)
    return
  }
  lease.type = lease.target
  lease.breakAtNs = Number.POSITIVE_INFINITY
}
