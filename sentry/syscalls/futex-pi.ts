// FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI of futex(2).

import {
  EAGAIN,
  EDEADLK,
  EFAULT,
  EINVAL,
  EPERM,
  ERESTARTNOINTR,
  ESRCH,
  ETIMEDOUT,
} from '../../syscall-table/errno.ts'
import { FUTEX_OWNER_DIED, FUTEX_WAITERS } from '../../syscall-table/flags.ts'
import { NS_PER_SEC } from '../kernel/clocks.ts'
import { type OpsContinuation, stopAfterOps } from '../kernel/ops-barrier.ts'
import {
  Arrival,
  findPiState,
  grant,
  grantToFirst,
  ownerOf,
  type PiState,
  PiWaiter,
  piStateOf,
  readWord,
  wouldDeadlock,
  writeWord,
} from '../kernel/pi-futex.ts'
import { signalPending } from '../kernel/signal.ts'
import { type Task, ZOMBIE } from '../kernel/task.ts'

const WORD_SIZE = 4
const now = { sec: 0, nsec: 0 }

/** The absolute time at `addr` as a deadline on the kernel's clock; 0 for none. Returns -EFAULT or -EINVAL. */
function readDeadline(task: Task, addr: number, realtime: boolean): number {
  if (addr === 0) return 0
  const { scratch, scratchView, clock } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 16) < 0) return -EFAULT
  const sec = scratchView.getInt32(4, true) * 2 ** 32 + scratchView.getUint32(0, true)
  const nsec = scratchView.getInt32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
  if (sec < 0 || nsec < 0 || nsec >= NS_PER_SEC) return -EINVAL
  const monotonic = clock.monotonicNs()
  if (!realtime) return Math.max(1, sec * NS_PER_SEC + nsec)
  clock.realtime(now)
  return Math.max(1, monotonic + (sec - now.sec) * NS_PER_SEC + (nsec - now.nsec))
}

/** FUTEX_LOCK_PI, FUTEX_LOCK_PI2 and, with `trying`, FUTEX_TRYLOCK_PI. */
export function lockPi(
  task: Task,
  addr: number,
  shared: boolean,
  timeout: number,
  realtime: boolean,
  trying: boolean,
): number {
  const { restart } = task
  if (restart.resource instanceof PiWaiter) return waitForLock(task, restart.resource)
  if (addr % WORD_SIZE !== 0) return -EINVAL
  const deadline = trying ? 0 : readDeadline(task, timeout, realtime)
  if (deadline < 0) return deadline
  const word = readWord(task, addr)
  if (word < 0) return -EFAULT
  if (ownerOf(word) === task.tid) return -EDEADLK
  return announce(task, addr, shared, state => take(task, state, addr, shared, deadline, trying))
}

/** Set FUTEX_WAITERS in the word, and go on with `next`. */
function announce(
  task: Task,
  addr: number,
  shared: boolean,
  next: (state: PiState) => number,
): number {
  const arrival = new Arrival(piStateOf(task, addr, shared))
  task.restart.resource = arrival
  task.kernel.platform.ops(task.thread).futexSetWaiters(addr)
  const continuation: OpsContinuation = {
    afterOps: () => {
      task.restart.resource = null
      // What follows may end the state; `arrival` keeps FUTEX_WAITERS in the word until then.
      const n = next(arrival.state)
      arrival.abandon()
      return n
    },
    opsFailed: (_, errno) => {
      task.restart.clear()
      return -errno
    },
  }
  stopAfterOps(task, continuation)
  return 0
}

/** Nobody but the kernel changes the word now. Take the lock if it is free: futex_lock_pi_atomic. */
function take(
  task: Task,
  state: PiState,
  addr: number,
  shared: boolean,
  deadline: number,
  trying: boolean,
): number {
  const word = readWord(task, addr)
  if (word < 0 || (word & FUTEX_WAITERS) === 0) return -EFAULT
  if (ownerOf(word) === 0 && state.waiters.length === 0)
    return writeWord(task, addr, ownWord(task, state, word))
  const owner = ownerFor(task, state, word)
  if (typeof owner === 'number') return giveUp(task, state, addr, word, owner)
  if (owner === task) return giveUp(task, state, addr, word, -EDEADLK)
  if (trying) return giveUp(task, state, addr, word, -EAGAIN)
  if (wouldDeadlock(task, owner)) return giveUp(task, state, addr, word, -EDEADLK)
  state.setOwner(owner)
  const waiter = new PiWaiter(task, addr, shared)
  waiter.enqueue(state)
  task.restart.resource = waiter
  task.restart.deadline = deadline
  return waitForLock(task, waiter)
}

/** The word of a lock that `task` has taken. The own arrival does not count. */
function ownWord(task: Task, state: PiState, word: number): number {
  const waiters = state.waiters.length > 0 || state.arriving > 1 ? FUTEX_WAITERS : 0
  return waiters | (word & FUTEX_OWNER_DIED) | task.tid
}

/** The task that the word names: attach_to_pi_owner, attach_to_pi_state. */
function ownerFor(task: Task, state: PiState, word: number): Task | number {
  const tid = ownerOf(word)
  const named = tid === 0 ? undefined : task.pidNs.task(tid)
  const owner = named?.state === ZOMBIE ? undefined : named
  if (state.waiters.length > 0 && state.owner !== null)
    return owner !== undefined && owner !== state.owner ? -EINVAL : state.owner
  return owner ?? -ESRCH
}

/** The call fails: whoever owns the lock needs not know that it was made. */
function giveUp(task: Task, state: PiState, addr: number, word: number, error: number): number {
  if (state.waiters.length > 0 || state.arriving > 1) return error
  writeWord(task, addr, word & ~FUTEX_WAITERS)
  return error
}

function waitForLock(task: Task, waiter: PiWaiter): number {
  const { restart } = task
  if (waiter.granted) restart.resource = null
  else if (restart.timedOut) {
    restart.resource = null
    waiter.abandon()
  } else if (task.work && signalPending(task)) return -ERESTARTNOINTR
  else return task.block(null, 0)
  return waiter.granted ? 0 : -ETIMEDOUT
}

/** FUTEX_UNLOCK_PI. */
export function unlockPi(task: Task, addr: number, shared: boolean): number {
  const word = readWord(task, addr)
  if (word < 0) return -EFAULT
  if (ownerOf(word) !== task.tid) return -EPERM
  if (addr % WORD_SIZE !== 0) return -EINVAL
  const state = findPiState(task, addr, shared)
  if (state === undefined || state.waiters.length === 0) {
    const kept = state !== undefined && state.arriving > 0 ? FUTEX_WAITERS : 0
    return writeWord(task, addr, kept)
  }
  if (state.owner !== null && state.owner !== task) return -EINVAL
  return grantToFirst(state, 0)
}

/** FUTEX_WAIT_REQUEUE_PI. */
export function waitRequeuePi(
  task: Task,
  addr: number,
  shared: boolean,
  value: number,
  timeout: number,
  realtime: boolean,
  lock: number,
): number {
  const { restart } = task
  if (restart.resource instanceof PiWaiter) return waitForRequeue(task, restart.resource)
  if (addr === lock || addr % WORD_SIZE !== 0 || lock % WORD_SIZE !== 0) return -EINVAL
  const deadline = readDeadline(task, timeout, realtime)
  if (deadline < 0) return deadline
  const word = readWord(task, addr)
  if (word < 0 || readWord(task, lock) < 0) return -EFAULT
  if (word !== value) return -EAGAIN
  const waiter = new PiWaiter(task, lock, shared)
  waiter.sleep(piStateOf(task, addr, shared))
  restart.resource = waiter
  restart.deadline = deadline
  return waitForRequeue(task, waiter)
}

function waitForRequeue(task: Task, waiter: PiWaiter): number {
  const { restart } = task
  if (!waiter.granted && !restart.timedOut) {
    if (!(task.work && signalPending(task))) return task.block(null, 0)
    // It has left the first word, and cannot begin again there.
    if (!waiter.queued) return -ERESTARTNOINTR
  }
  restart.resource = null
  if (waiter.granted) return 0
  waiter.abandon()
  return restart.timedOut ? -ETIMEDOUT : -EAGAIN
}

/** FUTEX_CMP_REQUEUE_PI. */
export function cmpRequeuePi(
  task: Task,
  addr: number,
  shared: boolean,
  wake: number,
  requeue: number,
  lock: number,
  value: number,
): number {
  if (addr === lock || addr % WORD_SIZE !== 0 || lock % WORD_SIZE !== 0) return -EINVAL
  if (wake !== 1 || requeue < 0) return -EINVAL
  const word = readWord(task, addr)
  if (word < 0 || readWord(task, lock) < 0) return -EFAULT
  if (word !== value) return -EAGAIN
  const from = findPiState(task, addr, shared)
  if (from === undefined || from.sleepers.length === 0) return 0
  return announce(task, lock, shared, state => requeueTo(task, from, state, lock, requeue))
}

function requeueTo(task: Task, from: PiState, to: PiState, lock: number, count: number): number {
  const chosen = from.sleepers.slice(0, count + 1)
  if (chosen.some(waiter => !waiter.isMeantFor(to))) return -EINVAL
  const word = readWord(task, lock)
  if (word < 0 || (word & FUTEX_WAITERS) === 0) return -EFAULT
  let moved = 0
  if (ownerOf(word) === 0 && to.waiters.length === 0) {
    const first = chosen.shift()
    if (first === undefined) return giveUp(task, to, lock, word, 0)
    const n = writeWord(task, lock, FUTEX_WAITERS | (word & FUTEX_OWNER_DIED) | first.task.tid)
    if (n < 0) return n
    first.leave()
    first.queued = true
    for (const waiter of chosen) waiter.enqueue(to)
    grant(to, first)
    return chosen.length + 1
  }
  const owner = ownerFor(task, to, word)
  if (typeof owner === 'number') return giveUp(task, to, lock, word, owner)
  to.setOwner(owner)
  for (const waiter of chosen) {
    if (waiter.task === owner || wouldDeadlock(waiter.task, owner))
      return moved > 0 ? moved : -EDEADLK
    waiter.enqueue(to)
    moved++
  }
  return moved
}
