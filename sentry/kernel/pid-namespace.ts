// Process ids: pid_namespaces(7), kernel/pid.c. A Pid is the name of a task, process, process group or session;
// it has a number in the namespace where it was made and one in each namespace above.

import { EAGAIN, EEXIST, ENOMEM } from '../../syscall-table/errno.ts'
import { Namespace, newNamespaceIno } from './namespace.ts'
import type { Task } from './task.ts'
import type { ProcessGroup, Session, ThreadGroup } from './thread-group.ts'
import type { UserNamespace } from './user-namespace.ts'

/** Largest pid + 1: Linux's default on 64-bit machines. */
export const PID_MAX = 4194304
/** Where allocation goes on after a wrap-around: RESERVED_PIDS. */
const RESERVED_PIDS = 300
/** The least that kernel.pid_max can be. */
export const PID_MAX_MIN = RESERVED_PIDS + 1
/** Deepest nesting of pid namespaces: MAX_PID_NS_LEVEL. */
export const PID_LEVEL_MAX = 32

export class Pid {
  readonly ns: PidNamespace
  /** In `ns`. */
  readonly number: number
  /** By level: the outermost namespace's first, `number` last. */
  readonly numbers: readonly number[]
  // What bears this name; it is free again when all are gone.
  task: Task | null = null
  group: ThreadGroup | null = null
  pgrp: ProcessGroup | null = null
  session: Session | null = null

  constructor(ns: PidNamespace, numbers: readonly number[]) {
    this.ns = ns
    this.numbers = numbers
    this.number = numbers[ns.level]!
  }

  /** The number as seen from `ns`; 0 where it cannot be seen: pid_nr_ns. */
  numberIn(ns: PidNamespace): number {
    if (ns === this.ns) return this.number
    return this.ns.isWithin(ns) ? this.numbers[ns.level]! : 0
  }

  /** The numbers from that in `ns` inwards; none where it cannot be seen. */
  numbersFrom(ns: PidNamespace): readonly number[] {
    return this.ns.isWithin(ns) ? this.numbers.slice(ns.level) : []
  }

  /** Free the name if nothing bears it any more. */
  release(): void {
    if (this.task !== null || this.group !== null || this.pgrp !== null || this.session !== null)
      return
    for (let ns: PidNamespace | null = this.ns; ns !== null; ns = ns.parent) {
      if (ns.pids.get(this.numbers[ns.level]!) === this) ns.pids.delete(this.numbers[ns.level]!)
    }
    this.ns.unref()
  }
}

export class PidNamespace extends Namespace {
  readonly parent: PidNamespace | null
  readonly level: number
  readonly pids = new Map<number, Pid>()
  /** Process 1: it gets the orphans, and everything here ends with it. */
  reaper: ThreadGroup | null = null
  /** Process 1 has ended: no more processes. */
  dead = false
  /** Most recently given number, for /proc/loadavg. */
  lastPid = 0
  /** Largest number + 1: kernel.pid_max. */
  max = PID_MAX

  /** Without a parent it is a first one: each container begins with one of those. */
  constructor(parent: PidNamespace | null, owner: UserNamespace, ino = newNamespaceIno()) {
    super('pid', ino, owner)
    this.parent = parent?.ref() ?? null
    this.level = parent === null ? 0 : parent.level + 1
  }

  isWithin(other: PidNamespace): boolean {
    let ns: PidNamespace | null = this
    while (ns !== null && ns.level > other.level) ns = ns.parent
    return ns === other
  }

  /** The namespaces from `outer` inwards to this one; none when it is not within. */
  from(outer: PidNamespace): readonly PidNamespace[] {
    const chain: PidNamespace[] = []
    for (let ns: PidNamespace | null = this; ns !== null; ns = ns.parent) {
      chain.unshift(ns)
      if (ns === outer) return chain
    }
    return []
  }

  task(number: number): Task | undefined {
    return this.pids.get(number)?.task ?? undefined
  }
  group(number: number): ThreadGroup | undefined {
    return this.pids.get(number)?.group ?? undefined
  }
  /** The process of a task or process of that number. */
  groupOf(number: number): ThreadGroup | undefined {
    const pid = this.pids.get(number)
    return pid?.group ?? pid?.task?.group
  }
  processGroup(number: number): ProcessGroup | undefined {
    return this.pids.get(number)?.pgrp ?? undefined
  }

  /** The processes that can be seen here. */
  groups(): ThreadGroup[] {
    const found: ThreadGroup[] = []
    for (const { group } of this.pids.values()) if (group !== null) found.push(group)
    return found
  }

  /**
   * A new name. `wanted` are numbers asked for by clone3's set_tid, innermost first. Returns the name, -EEXIST,
   * -ENOMEM in a namespace that has lost its init, or -EAGAIN when there is no number left.
   */
  newPid(wanted: readonly number[]): Pid | number {
    for (let ns: PidNamespace | null = this; ns !== null; ns = ns.parent)
      if (ns.dead) return -ENOMEM
    const numbers: number[] = []
    let depth = 0
    for (let ns: PidNamespace | null = this; ns !== null; ns = ns.parent) {
      const asked = wanted[depth++]
      if (asked !== undefined && ns.pids.has(asked)) return -EEXIST
      const number = asked ?? ns.#freeNumber()
      if (number === 0) return -EAGAIN
      numbers[ns.level] = number
    }
    const pid = new Pid(this.ref(), numbers)
    for (let ns: PidNamespace | null = this; ns !== null; ns = ns.parent)
      ns.pids.set(numbers[ns.level]!, pid)
    return pid
  }

  /** A free number, in rising order with wrap-around as Linux gives them; 0 when none is left. */
  #freeNumber(): number {
    for (let i = 0; i < this.max; i++) {
      this.lastPid = this.lastPid + 1 >= this.max ? RESERVED_PIDS : this.lastPid + 1
      if (!this.pids.has(this.lastPid)) return this.lastPid
    }
    return 0
  }

  protected override released(): void {
    this.parent?.unref()
  }
}
