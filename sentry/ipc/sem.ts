// System V semaphores: ipc/sem.c. Who changes a set also finishes the sleepers whose operations have become possible,
// in the order of their arrival, so that a semaphore never goes to someone else in between.

import { EAGAIN, EIDRM, ENOMEM, ERANGE } from '../../syscall-table/errno.ts'
import { IPC_NOWAIT, SEM_UNDO, SEMVMX } from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { RestartResource, Task } from '../kernel/task.ts'
import { IpcObject, seconds } from './ids.ts'
import type { IpcNamespace } from './namespace.ts'

/** Largest value that an undo entry can count to: SEMAEM. */
const SEMAEM = SEMVMX
/** Over all sets and all undo entries: Linux charges the memory to cgroups instead. */
const SEMAPHORES_MAX = 4 << 20
const UNDO_MAX = 4 << 20
let undoOverall = 0
let semaphoresOverall = 0

/** One operation of semop(2). */
export interface SemOp {
  num: number
  op: number
  flags: number
}

/** The operations of a sleeping task. */
export class PendingOps implements RestartResource {
  readonly set: SemaphoreSet
  readonly task: Task
  readonly ops: readonly SemOp[]
  readonly undo: Undo | null
  /** The operation that could not be done: what GETNCNT and GETZCNT count. */
  blocking: SemOp
  done = false
  result = 0

  constructor(
    set: SemaphoreSet,
    task: Task,
    ops: readonly SemOp[],
    undo: Undo | null,
    blocking: SemOp,
  ) {
    this.set = set
    this.task = task
    this.ops = ops
    this.undo = undo
    this.blocking = blocking
  }

  finish(result: number): void {
    this.done = true
    this.result = result
    this.task.wakeUp()
  }

  abandon(): void {
    if (!this.done) this.set.pending.delete(this)
  }
}

/** What the end of a process takes back from one set: struct sem_undo. */
export class Undo {
  readonly set: SemaphoreSet
  readonly list: UndoList
  readonly adjust: Int16Array

  constructor(set: SemaphoreSet, list: UndoList) {
    this.set = set
    this.list = list
    this.adjust = new Int16Array(set.count)
    undoOverall += set.count
  }

  drop(): void {
    undoOverall -= this.adjust.length
    this.set.undos.delete(this)
    this.list.bySet.delete(this.set)
  }
}

/** The undo entries of a process, shared by the tasks that were made with CLONE_SYSVSEM. */
export class UndoList {
  users = 1
  readonly bySet = new Map<SemaphoreSet, Undo>()
}

/** The undo list of a task, to be shared with a new one. */
export function shareUndoList(task: Task): UndoList {
  task.semUndo ??= new UndoList()
  task.semUndo.users++
  return task.semUndo
}

/** exit_sem: the task leaves its undo list; the last one to do so has everything taken back. */
export function leaveUndoList(task: Task): void {
  const list = task.semUndo
  if (list === null) return
  task.semUndo = null
  if (--list.users > 0) return
  for (const undo of [...list.bySet.values()]) {
    undo.drop()
    undo.set.takeBack(undo.adjust, task.group.tgid)
  }
}

/** The semaphore where the last `tryOps` had to wait. */
let blockedAt: SemOp

/** struct sem_array. */
export class SemaphoreSet extends IpcObject {
  readonly values: Int32Array
  /** sempid: who changed a semaphore last. */
  readonly pids: Int32Array
  otime = 0
  /** Sleepers, in order of arrival. */
  readonly pending = new Set<PendingOps>()
  readonly undos = new Set<Undo>()
  readonly #kernel: Kernel
  readonly #namespace: IpcNamespace

  static create(
    task: Task,
    namespace: IpcNamespace,
    count: number,
    mode: number,
  ): SemaphoreSet | number {
    if (semaphoresOverall + count > SEMAPHORES_MAX) return -ENOMEM
    return new SemaphoreSet(task, namespace, count, mode)
  }

  constructor(task: Task, namespace: IpcNamespace, count: number, mode: number) {
    super(task.kernel, task.creds, mode)
    this.#kernel = task.kernel
    this.#namespace = namespace
    this.values = new Int32Array(count)
    this.pids = new Int32Array(count)
    namespace.semaphores += count
    semaphoresOverall += count
  }

  get count(): number {
    return this.values.length
  }

  /** The undo entry of the task's process, made at first use; or -ENOMEM. */
  undoOf(task: Task): Undo | number {
    task.semUndo ??= new UndoList()
    const list = task.semUndo
    let undo = list.bySet.get(this)
    if (undo === undefined) {
      if (undoOverall + this.count > UNDO_MAX) return -ENOMEM
      undo = new Undo(this, list)
      list.bySet.set(this, undo)
      this.undos.add(undo)
    }
    return undo
  }

  /**
   * perform_atomic_semop: do all of `ops` or none. Returns 0, -ERANGE, -EAGAIN for who does not wait, or 1
   * when the caller has to (`blocked` tells at what).
   */
  tryOps(ops: readonly SemOp[], undo: Undo | null, tgid: number): number {
    const { values } = this
    let done = 0
    let result = 0
    for (; done < ops.length; done++) {
      const op = ops[done]!
      const value = values[op.num]! + op.op
      if ((op.op === 0 && value !== 0) || value < 0) {
        blockedAt = op
        result = (op.flags & IPC_NOWAIT) !== 0 ? -EAGAIN : 1
      } else if (value > SEMVMX) result = -ERANGE
      else if ((op.flags & SEM_UNDO) !== 0 && undo !== null) {
        const adjust = undo.adjust[op.num]! - op.op
        if (adjust < -SEMAEM - 1 || adjust > SEMAEM) result = -ERANGE
        else undo.adjust[op.num] = adjust
      }
      if (result !== 0) break
      values[op.num] = value
    }
    if (result !== 0) {
      while (--done >= 0) {
        const op = ops[done]!
        values[op.num]! -= op.op
        if ((op.flags & SEM_UNDO) !== 0 && undo !== null) undo.adjust[op.num]! += op.op
      }
      return result
    }
    for (const op of ops) this.pids[op.num] = tgid
    this.otime = seconds(this.#kernel)
    return 0
  }

  /** The operation where the last `tryOps` had to wait. */
  get blocked(): SemOp {
    return blockedAt
  }

  /** Values have changed: finish the operations of sleepers that are possible now. */
  update(): void {
    // Those that wait for zero change nothing, so that all of them come first, as in Linux.
    for (const changes of [false, true]) {
      let again = true
      while (again) {
        again = false
        for (const pending of this.pending) {
          if (changesValues(pending.ops) !== changes) continue
          const result = this.tryOps(pending.ops, pending.undo, pending.task.group.tgid)
          if (result > 0) {
            pending.blocking = blockedAt
            continue
          }
          this.pending.delete(pending)
          pending.finish(result)
          if (result < 0 || !changes) continue
          // The new values may let an earlier sleeper go on.
          this.#finishZeroWaiters()
          again = true
          break
        }
      }
    }
  }

  #finishZeroWaiters(): void {
    for (const pending of this.pending) {
      if (changesValues(pending.ops)) continue
      const result = this.tryOps(pending.ops, pending.undo, pending.task.group.tgid)
      if (result > 0) continue
      this.pending.delete(pending)
      pending.finish(result)
    }
  }

  /** SETVAL and SETALL: what processes would take back no longer makes sense. */
  set(num: number, value: number, tgid: number): void {
    this.values[num] = value
    this.pids[num] = tgid
    for (const undo of this.undos) undo.adjust[num] = 0
  }

  /** SETVAL and SETALL are over. */
  wasSet(): void {
    this.ctime = seconds(this.#kernel)
    this.update()
  }

  /** A process has ended. Values stay within their limits, whatever it would take back. */
  takeBack(adjust: Int16Array, tgid: number): void {
    let changed = false
    for (let num = 0; num < adjust.length; num++) {
      if (adjust[num] === 0) continue
      this.values[num] = Math.min(Math.max(this.values[num]! + adjust[num]!, 0), SEMVMX)
      this.pids[num] = tgid
      changed = true
    }
    if (!changed) return
    this.otime = seconds(this.#kernel)
    this.update()
  }

  /** How many sleep until `num` gets larger (GETNCNT), or zero (GETZCNT). */
  waiters(num: number, kind: 'larger' | 'zero'): number {
    let n = 0
    for (const { blocking } of this.pending) {
      if (blocking.num === num && (blocking.op === 0) === (kind === 'zero')) n++
    }
    return n
  }

  remove(): void {
    this.#namespace.sem.remove(this)
    this.#namespace.semaphores -= this.count
    semaphoresOverall -= this.count
    for (const undo of [...this.undos]) undo.drop()
    for (const pending of this.pending) pending.finish(-EIDRM)
    this.pending.clear()
  }
}

export function changesValues(ops: readonly SemOp[]): boolean {
  return ops.some(op => op.op !== 0)
}
