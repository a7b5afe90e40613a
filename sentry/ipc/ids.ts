// What the three kinds of System V IPC have in common: identifiers, keys and permissions. ipc/util.c.

import { EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_IPC_OWNER,
  CAP_SYS_ADMIN,
  IPC_CREAT,
  IPC_EXCL,
  IPC_PRIVATE,
} from '../../syscall-table/flags.ts'
import type { IpcPerm } from '../../syscall-table/structs.gen.ts'
import type { Creds } from '../kernel/creds.ts'
import type { Kernel } from '../kernel/kernel.ts'

/** IPCMNI: indexes into the table; the rest of an identifier counts how often the table went round. */
export const IPCMNI = 32768
const SEQ_MAX = 0x7fffffff >>> 15
/** What an IpcPerm has of `mode`. */
const PERMISSIONS = 0o777

const now = { sec: 0, nsec: 0 }

/** Seconds since 1970, as the time stamps of IPC objects count. */
export function seconds(kernel: Kernel): number {
  kernel.clock.realtime(now)
  return now.sec
}

/** struct kern_ipc_perm. */
export abstract class IpcObject {
  id = -1
  key = 0
  uid: number
  gid: number
  readonly cuid: number
  readonly cgid: number
  /** Permission bits; those of shared memory also hold SHM_DEST and SHM_LOCKED. */
  mode: number
  /** Seconds since 1970 of the creation or of the last IPC_SET. */
  ctime: number
  /** IPC_RMID: sleepers get -EIDRM. */
  removed = false

  constructor(kernel: Kernel, creds: Creds, mode: number) {
    this.uid = this.cuid = creds.euid
    this.gid = this.cgid = creds.egid
    this.mode = mode & PERMISSIONS
    this.ctime = seconds(kernel)
  }

  /** Whether the caller may do what `wanted` (permission bits, of any class) asks for: 0 or -EACCES. */
  permission(creds: Creds, wanted: number): number {
    const asked = ((wanted >> 6) | (wanted >> 3) | wanted) & 7
    let granted = this.mode
    if (creds.euid === this.cuid || creds.euid === this.uid) granted >>= 6
    else if (creds.inGroup(this.cgid) || creds.inGroup(this.gid)) granted >>= 3
    return (asked & ~granted) !== 0 && !creds.capable(CAP_IPC_OWNER) ? -EACCES : 0
  }

  /** Whether the caller may change or remove the object: 0 or -EPERM. */
  ownership(creds: Creds): number {
    if (creds.euid === this.cuid || creds.euid === this.uid) return 0
    return creds.capable(CAP_SYS_ADMIN) ? 0 : -EPERM
  }

  fillPerm(perm: IpcPerm): void {
    perm.key = this.key
    perm.uid = this.uid
    perm.gid = this.gid
    perm.cuid = this.cuid
    perm.cgid = this.cgid
    perm.mode = this.mode
    perm.seq = this.id >>> 15
  }

  /** IPC_SET. An id of -1 is none that anyone could have. */
  setPerm(kernel: Kernel, perm: IpcPerm): number {
    if (perm.uid === 0xffffffff || perm.gid === 0xffffffff) return -EINVAL
    this.uid = perm.uid
    this.gid = perm.gid
    this.mode = (this.mode & ~PERMISSIONS) | (perm.mode & PERMISSIONS)
    this.ctime = seconds(kernel)
    return 0
  }
}

/** The objects of one kind: struct ipc_ids. */
export class IpcIds<T extends IpcObject> {
  readonly #byIndex = new Map<number, T>()
  readonly #byKey = new Map<number, T>()
  #last = -1
  #seq = 0
  /** The identifier that the next object gets if its index is free: kernel.*_next_id; -1 for the usual. */
  nextId = -1

  get size(): number {
    return this.#byIndex.size
  }

  values(): Iterable<T> {
    return this.#byIndex.values()
  }

  /** In the order of /proc/sysvipc. */
  sorted(): T[] {
    return [...this.#byIndex].sort((a, b) => a[0] - b[0]).map(([, object]) => object)
  }

  /** Highest index in use, or 0. */
  get maxIndex(): number {
    let max = 0
    for (const index of this.#byIndex.keys()) max = Math.max(max, index)
    return max
  }

  /** The object of an identifier, or -EINVAL. */
  get(id: number): T | number {
    if (id < 0) return -EINVAL
    const object = this.#byIndex.get(id % IPCMNI)
    return object === undefined || object.id !== id ? -EINVAL : object
  }

  byIndex(index: number): T | number {
    return this.#byIndex.get(index % IPCMNI) ?? -EINVAL
  }

  /**
   * The object of `key` as the get calls want it, or -errno; `create` makes one where there is none, and
   * `fits` says whether the one that is there is large enough.
   */
  find(
    creds: Creds,
    key: number,
    flags: number,
    most: number,
    fits: (object: T) => boolean,
    create: () => T | number,
  ): number {
    const known = key === IPC_PRIVATE ? undefined : this.#byKey.get(key)
    if (known === undefined) {
      if (key !== IPC_PRIVATE && (flags & IPC_CREAT) === 0) return -ENOENT
      if (this.size >= Math.min(most, IPCMNI)) return -ENOSPC
      const made = create()
      return typeof made === 'number' ? made : this.#add(made, key)
    }
    if ((flags & IPC_CREAT) !== 0 && (flags & IPC_EXCL) !== 0) return -EEXIST
    if (!fits(known)) return -EINVAL
    return known.permission(creds, flags) || known.id
  }

  /** Indexes go up and round, so that a stale identifier does not soon mean another object. */
  #add(object: T, key: number): number {
    const wanted = this.nextId
    this.nextId = -1
    if (wanted >= 0 && !this.#byIndex.has(wanted % IPCMNI)) return this.#put(object, key, wanted)
    let index = this.#last
    do {
      index = index + 1 === IPCMNI ? 0 : index + 1
      if (index === 0 && this.#last >= 0) this.#seq = this.#seq === SEQ_MAX ? 0 : this.#seq + 1
    } while (this.#byIndex.has(index))
    this.#last = index
    return this.#put(object, key, this.#seq * IPCMNI + index)
  }

  #put(object: T, key: number, id: number): number {
    object.id = id
    object.key = key
    this.#byIndex.set(id % IPCMNI, object)
    if (key !== IPC_PRIVATE) this.#byKey.set(key, object)
    return id
  }

  /** The key is free for another object; the identifier stays. */
  forgetKey(object: T): void {
    if (object.key !== IPC_PRIVATE) this.#byKey.delete(object.key)
    object.key = IPC_PRIVATE
  }

  remove(object: T): void {
    if (object.removed) return
    object.removed = true
    this.forgetKey(object)
    this.#byIndex.delete(object.id % IPCMNI)
  }
}
