// Credentials: struct cred. Immutable by convention: a change replaces the task's object (`copy`), so that
// tasks and open files may share one.

import { CAP_LAST_CAP } from '../../syscall-table/flags.ts'
import { INITIAL_USER_NAMESPACE, type UserNamespace } from './user-namespace.ts'

/** A capability set as two u32 words. */
export interface CapSet {
  lo: number
  hi: number
}

export const capSet = (lo: number, hi: number): CapSet => ({ lo: lo >>> 0, hi: hi >>> 0 })
export const FULL_CAPS: CapSet = capSet(0xffffffff, 2 ** (CAP_LAST_CAP - 31) - 1)
export const NO_CAPS: CapSet = capSet(0, 0)

export class Creds {
  uid = 0
  euid = 0
  suid = 0
  fsuid = 0
  gid = 0
  egid = 0
  sgid = 0
  fsgid = 0
  groups: readonly number[] = []
  permitted: CapSet = FULL_CAPS
  effective: CapSet = FULL_CAPS
  inheritable: CapSet = NO_CAPS
  bounding: CapSet = FULL_CAPS
  ambient: CapSet = NO_CAPS
  securebits = 0
  noNewPrivs = false
  /** Where the capabilities count. */
  userNs: UserNamespace = INITIAL_USER_NAMESPACE

  copy(): Creds {
    return Object.assign(new Creds(), this)
  }

  /** Whether CAP_`cap` is held over the whole sandbox: capable(). */
  capable(cap: number): boolean {
    return this.userNs.parent === null && this.holds(cap)
  }

  /** Whether the effective set holds CAP_`cap`, for what belongs to the user namespace of these credentials. */
  holds(cap: number): boolean {
    return ((cap < 32 ? this.effective.lo >>> cap : this.effective.hi >>> (cap - 32)) & 1) === 1
  }

  /** ns_capable(): who made a user namespace has all capabilities in it, from outside. */
  capableIn(target: UserNamespace, cap: number): boolean {
    for (let ns = target; ; ns = ns.parent!) {
      if (ns === this.userNs) return this.holds(cap)
      if (ns.level <= this.userNs.level) return false
      if (ns.parent === this.userNs && ns.ownerUid === this.euid) return true
    }
  }

  /** capable_wrt_inode_uidgid(): over a file whose owners the user namespace knows. */
  capableOver(inode: { uid: number; gid: number }, cap: number): boolean {
    return this.holds(cap) && this.userNs.hasUid(inode.uid) && this.userNs.hasGid(inode.gid)
  }

  inGroup(gid: number): boolean {
    return this.fsgid === gid || this.groups.includes(gid)
  }
}
