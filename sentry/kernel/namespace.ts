// What all kinds of namespaces have in common: namespaces(7), struct ns_common. A namespace is kept by counted
// references (sets of namespaces of tasks, files that name it, bind mounts of those); at zero it is released.

import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from '../../syscall-table/flags.ts'
import type { UserNamespace } from './user-namespace.ts'

/** Names as /proc/PID/ns shows them, and the flag that makes one. */
export const NAMESPACE_FLAGS = {
  cgroup: CLONE_NEWCGROUP,
  ipc: CLONE_NEWIPC,
  mnt: CLONE_NEWNS,
  net: CLONE_NEWNET,
  pid: CLONE_NEWPID,
  time: CLONE_NEWTIME,
  user: CLONE_NEWUSER,
  uts: CLONE_NEWUTS,
} as const

export type NamespaceType = keyof typeof NAMESPACE_FLAGS

/** Inode numbers of the namespaces that exist from the start: PROC_*_INIT_INO and the first dynamic ones. */
export const INITIAL_INO: Readonly<Record<NamespaceType, number>> = {
  time: 4026531834,
  cgroup: 4026531835,
  pid: 4026531836,
  user: 4026531837,
  uts: 4026531838,
  ipc: 4026531839,
  net: 4026531840,
  mnt: 4026531841,
}
let lastIno = 4026531841

/** A number for a new namespace; they are never given twice. */
export function newNamespaceIno(): number {
  return ++lastIno
}

/** Most namespaces of one type that the users of one user namespace may have: /proc/sys/user/max_*_namespaces. */
export const NAMESPACES_MAX = 4096

export abstract class Namespace {
  readonly type: NamespaceType
  readonly ino: number
  /** The user namespace whose capabilities count here; of a user namespace its parent, null for the first. */
  readonly owner: UserNamespace | null
  #refs = 0

  constructor(type: NamespaceType, ino: number, owner: UserNamespace | null) {
    this.type = type
    this.ino = ino
    this.owner = owner
    owner?.ref()
    for (let ns = owner; ns !== null; ns = ns.owner) ns.owned[type]++
  }

  ref(): this {
    this.#refs++
    return this
  }

  unref(): void {
    if (--this.#refs > 0) return
    for (let ns = this.owner; ns !== null; ns = ns.owner) ns.owned[this.type]--
    this.released()
    this.owner?.unref()
  }

  /** The last reference is gone. */
  protected released(): void {}
}
