// Futexes with priority inheritance: kernel/futex/pi.c, kernel/futex/requeue.c. The host cannot do these, because the
// word holds a thread id of the sandbox. Threads change the word without the kernel as long as nobody waits, so the
// kernel may write it only after FUTEX_WAITERS is in it: that bit is set atomically, by a host call of the thread itself.
// Priorities order the waiters; the owner's own is not raised, as the host schedules (sched.ts).

import { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS } from '../../syscall-table/flags.ts'
import type { RestartResource, Task } from './task.ts'

/** kernel.max_lock_depth. */
const MAX_CHAIN = 1024

/** What the kernel knows of one word while somebody owns it by the kernel, or waits: struct futex_pi_state. */
export class PiState {
  readonly object: object
  readonly offset: number
  owner: Task | null = null
  /** In the order in which they get the lock. */
  readonly waiters: PiWaiter[] = []
  /** Threads that are about to set FUTEX_WAITERS in the word. */
  arriving = 0
  /** Those in FUTEX_WAIT_REQUEUE_PI on this word. */
  readonly sleepers: PiWaiter[] = []

  constructor(object: object, offset: number) {
    this.object = object
    this.offset = offset
  }

  /** Whether FUTEX_WAITERS must stay in the word. */
  get wanted(): boolean {
    return this.waiters.length > 0 || this.arriving > 0
  }

  setOwner(owner: Task | null): void {
    if (this.owner !== null) this.owner.piOwned?.delete(this)
    this.owner = owner
    if (owner === null) return
    owner.piOwned ??= new Set()
    owner.piOwned.add(this)
  }
}

/** The address space or the shared file of a word, and the word in it: union futex_key. */
interface Key {
  readonly object: object
  readonly offset: number
}

const states = new WeakMap<object, Map<number, PiState>>()

/** What identifies the word at `addr` of `task`. */
function keyOf(task: Task, addr: number, shared: boolean): Key {
  const vma = shared ? task.mm.vmas.find(addr) : undefined
  if (vma?.shared && vma.file !== null)
    return { object: vma.file.inode, offset: vma.offset + (addr - vma.start) }
  return { object: task.mm, offset: addr }
}

export function findPiState(task: Task, addr: number, shared: boolean): PiState | undefined {
  const { object, offset } = keyOf(task, addr, shared)
  return states.get(object)?.get(offset)
}

export function piStateOf(task: Task, addr: number, shared: boolean): PiState {
  const { object, offset } = keyOf(task, addr, shared)
  let words = states.get(object)
  if (words === undefined) {
    words = new Map()
    states.set(object, words)
  }
  let state = words.get(offset)
  if (state === undefined) {
    state = new PiState(object, offset)
    words.set(offset, state)
  }
  return state
}

/** Forget a state that says nothing any more. */
export function dropIfIdle(state: PiState): void {
  if (state.wanted || state.sleepers.length > 0) return
  state.setOwner(null)
  const words = states.get(state.object)
  if (words?.get(state.offset) !== state) return
  words.delete(state.offset)
  if (words.size === 0) states.delete(state.object)
}

/** A thread that sets FUTEX_WAITERS in a word at this moment. */
export class Arrival implements RestartResource {
  readonly state: PiState
  constructor(state: PiState) {
    this.state = state
    state.arriving++
  }
  /** The bit is set, or never will be. */
  abandon(): void {
    this.state.arriving--
    dropIfIdle(this.state)
  }
}

/** A task that waits for a lock, or in FUTEX_WAIT_REQUEUE_PI to be made to wait for one. */
export class PiWaiter implements RestartResource {
  readonly task: Task
  /** The lock's word, in the task's own memory. */
  readonly addr: number
  readonly #lock: Key
  /** Where it waits. */
  state: PiState | null = null
  /** Waits for the lock itself. */
  queued = false
  /** Has got it. */
  granted = false

  constructor(task: Task, addr: number, shared: boolean) {
    this.task = task
    this.addr = addr
    this.#lock = keyOf(task, addr, shared)
  }

  /** Whether the lock that it will wait for is that of `state`. */
  isMeantFor(state: PiState): boolean {
    return this.#lock.object === state.object && this.#lock.offset === state.offset
  }

  /** Wait for the lock of `state`: behind those of the same priority or a higher one. */
  enqueue(state: PiState): void {
    this.leave()
    this.queued = true
    this.#insert(state, state.waiters)
  }

  /** Sleep on the word of `state` until FUTEX_CMP_REQUEUE_PI. */
  sleep(state: PiState): void {
    this.#insert(state, state.sleepers)
  }

  #insert(state: PiState, list: PiWaiter[]): void {
    this.state = state
    const { priority } = this.task.sched
    const after = list.findIndex(other => other.task.sched.priority < priority)
    list.splice(after < 0 ? list.length : after, 0, this)
  }

  leave(): void {
    const { state } = this
    if (state === null) return
    const list = this.queued ? state.waiters : state.sleepers
    const index = list.indexOf(this)
    if (index >= 0) list.splice(index, 1)
    dropIfIdle(state)
  }

  abandon(): void {
    this.leave()
  }
}

/** Read the word; -1 when it cannot be read. */
export function readWord(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 4) < 0) return -1
  return scratchView.getUint32(0, true)
}

/** Returns 0 or -EFAULT. */
export function writeWord(task: Task, addr: number, value: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, value >>> 0, true)
  return task.mm.copyOut(task, addr, scratch, 0, 4)
}

/** Give the lock to the first of its waiters, who must exist. Returns 0 or -EFAULT. */
export function grantToFirst(state: PiState, ownerDied: number): number {
  const first = state.waiters[0]!
  const n = writeWord(first.task, first.addr, FUTEX_WAITERS | ownerDied | first.task.tid)
  if (n < 0) return n
  state.waiters.shift()
  grant(state, first)
  return 0
}

/** `waiter` owns the lock from now on; the word says so already. */
export function grant(state: PiState, waiter: PiWaiter): void {
  waiter.granted = true
  state.setOwner(state.wanted ? waiter.task : null)
  waiter.task.wakeUp()
  dropIfIdle(state)
}

/** The task ends, or its memory does: exit_pi_state_list. Whoever waits for one of its locks gets that, marked. */
export function releasePiLocks(task: Task): void {
  const { piOwned } = task
  if (piOwned === null) return
  task.piOwned = null
  for (const state of piOwned) {
    state.owner = null
    if (state.waiters.length > 0) grantToFirst(state, FUTEX_OWNER_DIED)
    else dropIfIdle(state)
  }
}

/** Whether `task` owns, at the end of a chain of owners that wait, what it would wait for: rt_mutex_adjust_prio_chain. */
export function wouldDeadlock(task: Task, owner: Task): boolean {
  let at: Task | null = owner
  for (let i = 0; i < MAX_CHAIN && at !== null; i++) {
    if (at === task) return true
    const { resource }: { resource: RestartResource | null } = at.restart
    if (!(resource instanceof PiWaiter) || !resource.queued || resource.granted) return false
    at = resource.state?.owner ?? null
  }
  return at !== null
}

export function ownerOf(word: number): number {
  return word & FUTEX_TID_MASK
}
