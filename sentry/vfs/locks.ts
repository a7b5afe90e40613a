// File locks: flock(2), POSIX record locks and open file description locks (fs/locks.c). The three kinds of
// an inode are kept apart as on Linux: flock never conflicts with the other two, which conflict with each
// other when their owners differ.

import { EAGAIN, EDEADLK, ENOLCK } from '../../syscall-table/errno.ts'
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX } from '../../syscall-table/flags.ts'
import type { FdTable } from '../kernel/fdtable.ts'
import type { Pid } from '../kernel/pid-namespace.ts'
import type { Task } from '../kernel/task.ts'
import { WaitQueue } from '../kernel/wait-queue.ts'
import type { File } from './file.ts'
import type { Inode } from './inode.ts'
import type { Lease } from './leases.ts'

/** Who holds a lock: a process's descriptor table (POSIX), or an open file (OFD and flock). */
export type LockOwner = FdTable | File

/** A record lock on [start, end); `end` is Infinity for "to the end of the file". */
export interface RecordLock {
  type: number
  start: number
  end: number
  owner: LockOwner
  /** F_GETLK's l_pid: the process, or null for an OFD lock. */
  pid: Pid | null
}

/** Record locks of one inode above which setting fails with ENOLCK: bounds the kernel's memory and time. */
const RECORD_LOCKS_MAX = 4096

/** flock(2): LOCK_SH or LOCK_EX, and which process took it. */
interface Flock {
  readonly type: number
  readonly pid: Pid
}

/** The inodes that have locks: /proc/locks. */
const held = new Set<InodeLocks>()

/** All locks of one inode. */
export class InodeLocks {
  readonly inode: Inode
  /** Woken whenever a lock goes away. */
  readonly queue = new WaitQueue()
  records: RecordLock[] = []
  /** flock(2), per open file. */
  readonly flocks = new Map<File, Flock>()
  /** F_SETLEASE: vfs/leases.ts. */
  leases: Lease[] = []

  constructor(inode: Inode) {
    this.inode = inode
  }

  /** A lock has come or gone: keep the list of those that have any. */
  noteHeld(): void {
    if (this.records.length + this.flocks.size + this.leases.length > 0) held.add(this)
    else held.delete(this)
  }

  /** The last reference of an open file is gone: its flock and OFD locks end. */
  releaseFile(file: File): void {
    if (this.flocks.delete(file)) this.queue.wake(0)
    this.releaseLease(file)
    this.releaseOwner(file)
    this.noteHeld()
  }

  /** Whether the open file had a lease. */
  releaseLease(file: File): boolean {
    const { length } = this.leases
    if (length === 0) return false
    this.leases = this.leases.filter(lease => lease.file !== file)
    if (this.leases.length === length) return false
    this.noteHeld()
    this.queue.wake(0)
    return true
  }

  /** A process closes a descriptor of this inode, or an open file ends: all its record locks end. */
  releaseOwner(owner: LockOwner): void {
    const { length } = this.records
    if (length === 0) return
    this.records = this.records.filter(lock => lock.owner !== owner)
    if (this.records.length === length) return
    this.noteHeld()
    this.queue.wake(0)
  }
}

/** For each inode that has locks, in the order in which they came to have some. */
export function forEachLockedInode(show: (inode: Inode, locks: InodeLocks) => void): void {
  for (const locks of held) show(locks.inode, locks)
}

/** The locks of an inode, made on first use. */
export function locksOf(inode: Inode): InodeLocks {
  inode.locks ??= new InodeLocks(inode)
  return inode.locks
}

/** Take, convert or drop (`type` 0) the flock of an open file: 0, or -EAGAIN when another holds it. */
export function setFlock(file: File, type: number, pid: Pid): number {
  if (type === 0) {
    if (file.inode.locks !== null) dropFlock(file.inode.locks, file)
    return 0
  }
  const locks = locksOf(file.inode)
  const own = locks.flocks.get(file)
  if (own?.type === type) return 0
  // Conversion is not atomic: the old lock goes first, as flock(2) says.
  if (own !== undefined) dropFlock(locks, file)
  for (const other of locks.flocks.values()) {
    if (type === LOCK_EX || other.type === LOCK_EX) return -EAGAIN
  }
  locks.flocks.set(file, { type, pid })
  locks.noteHeld()
  return 0
}

function dropFlock(locks: InodeLocks, file: File): void {
  if (!locks.flocks.delete(file)) return
  locks.noteHeld()
  locks.queue.wake(0)
}

/** The first lock that keeps `wanted` from being set, or null. */
export function conflictingLock(locks: InodeLocks | null, wanted: RecordLock): RecordLock | null {
  if (locks === null) return null
  for (const lock of locks.records) {
    if (lock.owner === wanted.owner || lock.start >= wanted.end || lock.end <= wanted.start)
      continue
    if (lock.type === F_WRLCK || wanted.type === F_WRLCK) return lock
  }
  return null
}

/** The first lock in the range of `asked` that its owner holds, or null. */
export function ownLock(locks: InodeLocks | null, asked: RecordLock): RecordLock | null {
  const own = locks?.records.find(
    lock => lock.owner === asked.owner && lock.start < asked.end && lock.end > asked.start,
  )
  return own ?? null
}

/** Set or clear a record lock. Returns 0, -EAGAIN (a conflict) or -ENOLCK. */
export function setRecordLock(inode: Inode, wanted: RecordLock): number {
  if (wanted.type === F_UNLCK && inode.locks === null) return 0
  const locks = locksOf(inode)
  if (wanted.type !== F_UNLCK && conflictingLock(locks, wanted) !== null) return -EAGAIN
  if (locks.records.length >= RECORD_LOCKS_MAX && wanted.type !== F_UNLCK) return -ENOLCK
  locks.records = withLock(locks.records, wanted)
  locks.noteHeld()
  locks.queue.wake(0)
  return 0
}

/** The owner's ranges around `wanted` are cut, and equal neighbours merged with it. */
function withLock(records: RecordLock[], wanted: RecordLock): RecordLock[] {
  const result: RecordLock[] = []
  const merged = { ...wanted }
  for (const lock of records) {
    if (lock.owner !== wanted.owner || lock.end < wanted.start || lock.start > wanted.end) {
      result.push(lock)
    } else if (lock.type === wanted.type) {
      merged.start = Math.min(merged.start, lock.start)
      merged.end = Math.max(merged.end, lock.end)
    } else {
      if (lock.start < wanted.start) result.push({ ...lock, end: Math.min(lock.end, wanted.start) })
      if (lock.end > wanted.end) result.push({ ...lock, start: Math.max(lock.start, wanted.end) })
    }
  }
  if (wanted.type !== F_UNLCK) result.push(merged)
  return result
}

/** Processes that wait for a POSIX lock: what they want, and where. */
const waiting = new Map<FdTable, { inode: Inode; lock: RecordLock; task: Task }>()

/**
 * Wait until a record lock may be set. POSIX waiters are checked for a cycle (-EDEADLK); OFD locks are not,
 * as on Linux. The handler runs again when a lock of the inode has gone.
 */
export function waitForRecordLock(task: Task, inode: Inode, wanted: RecordLock): number {
  const { owner } = wanted
  if (owner === task.files) {
    if (wouldDeadlock(inode, wanted)) return -EDEADLK
    waiting.set(task.files, { inode, lock: wanted, task })
  }
  return task.block(locksOf(inode).queue, 0)
}

/** A task's attempt is over, in one way or another. */
export function stopWaitingForLock(task: Task): void {
  if (waiting.size > 0 && waiting.get(task.files)?.task === task) waiting.delete(task.files)
}

/** Follow from holder to what the holder waits for; as many steps as there are waiters at most. */
function wouldDeadlock(inode: Inode, wanted: RecordLock): boolean {
  let at: { inode: Inode; lock: RecordLock } = { inode, lock: wanted }
  for (let steps = waiting.size; steps >= 0; steps--) {
    const holder = conflictingLock(at.inode.locks, at.lock)?.owner
    if (holder === undefined) return false
    if (holder === wanted.owner) return true
    const next = waiting.get(holder as FdTable)
    // An entry of a call that has ended by a signal is stale: its task is not parked there any more.
    if (next === undefined || next.task.syscallNr < 0) return false
    at = next
  }
  return false
}

/** Lock types as fcntl(2) has them, for the handlers' checks. */
export function isLockType(type: number): boolean {
  return type === F_RDLCK || type === F_WRLCK || type === F_UNLCK
}
