// Credentials of a new program: set-user-ID bits, file capabilities, and the transformation of capabilities.
// execve(2), capabilities(7), security/commoncap.c cap_bprm_creds_from_file.

import { EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_SETUID,
  MS_NOSUID,
  S_ISGID,
  S_ISUID,
  S_IXGRP,
  SECBIT_KEEP_CAPS,
  SECBIT_NOROOT,
} from '../../syscall-table/flags.ts'
import type { File } from '../vfs/file.ts'
import { type CapSet, type Creds, capSet, NO_CAPS } from './creds.ts'
import type { Task } from './task.ts'
import type { UserNamespace } from './user-namespace.ts'

/** Revisions of the security.capability attribute. */
const VFS_CAP_REVISION_2 = 0x02000000
const VFS_CAP_REVISION_3 = 0x03000000
const VFS_CAP_REVISION_MASK = 0xff000000
const VFS_CAP_EFFECTIVE = 1

export interface ExecCreds {
  creds: Creds
  /** AT_SECURE. */
  secure: boolean
}

interface FileCaps {
  permitted: CapSet
  inheritable: CapSet
  effective: boolean
}

const and = (a: CapSet, b: CapSet): CapSet => capSet(a.lo & b.lo, a.hi & b.hi)
const or = (a: CapSet, b: CapSet): CapSet => capSet(a.lo | b.lo, a.hi | b.hi)
const subset = (a: CapSet, b: CapSet): boolean => (a.lo & ~b.lo) === 0 && (a.hi & ~b.hi) === 0
const isEmpty = (a: CapSet): boolean => a.lo === 0 && a.hi === 0

/** What `task` becomes by executing `file`. -EPERM when the file demands capabilities it cannot be given. */
export function execCreds(task: Task, file: File): ExecCreds | number {
  const old = task.creds
  const creds = old.copy()
  const root = old.userNs.uid(0)
  const { sb, flags } = file.mount
  const privileged = (flags & MS_NOSUID) === 0 && !old.noNewPrivs && old.userNs.isWithin(sb.userNs)
  if (privileged) applyIdBits(creds, file)
  const caps = privileged ? readFileCaps(file, old.userNs) : null
  let effective = caps?.effective ?? false
  creds.permitted =
    caps === null
      ? NO_CAPS
      : or(and(caps.permitted, old.bounding), and(caps.inheritable, old.inheritable))
  // A program that does not know of capabilities must get all of its file's, or not run at all.
  if (caps !== null && effective && !subset(caps.permitted, creds.permitted)) return -EPERM
  const rootGains =
    (old.securebits & SECBIT_NOROOT) === 0 &&
    !(caps !== null && creds.uid !== root && creds.euid === root)
  if (rootGains) {
    if (creds.euid === root || creds.uid === root)
      creds.permitted = or(old.bounding, old.inheritable)
    if (creds.euid === root) effective = true
  }
  const setId = creds.euid !== old.uid || creds.egid !== old.gid
  if ((setId || !subset(creds.permitted, old.permitted)) && isUnsafe(task)) restrict(creds, old)
  creds.suid = creds.fsuid = creds.euid
  creds.sgid = creds.fsgid = creds.egid
  if (caps !== null || setId) creds.ambient = NO_CAPS
  creds.permitted = or(creds.permitted, creds.ambient)
  creds.effective = effective ? creds.permitted : creds.ambient
  creds.securebits &= ~SECBIT_KEEP_CAPS
  const grew = !subset(creds.permitted, creds.ambient)
  return {
    creds,
    secure: setId || (creds.uid !== root && (effective || grew) && !isEmpty(creds.permitted)),
  }
}

function applyIdBits(creds: Creds, file: File): void {
  const { mode, uid, gid } = file.inode
  const { userNs } = creds
  // Owners that the user namespace does not know give nothing away.
  if (!userNs.hasUid(uid) || !userNs.hasGid(gid)) return
  if ((mode & S_ISUID) !== 0) creds.euid = uid
  // Without group execute the bit marks mandatory locking.
  if ((mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP)) creds.egid = gid
}

/** Another process shares the working directory, so it could redirect a privileged program; or NO_NEW_PRIVS. */
function isUnsafe(task: Task): boolean {
  if (task.creds.noNewPrivs) return true
  for (const other of task.kernel.tasks) {
    if (other.fs === task.fs && other.group !== task.group) return true
  }
  return false
}

function restrict(creds: Creds, old: Creds): void {
  if (!old.holds(CAP_SETUID) || old.noNewPrivs) {
    creds.euid = old.uid
    creds.egid = old.gid
  }
  creds.permitted = and(creds.permitted, old.permitted)
}

/** Whether `rootUid` is the root of the user namespace or of one above: rootid_owns_currentns. */
function ownsCaps(rootUid: number, userNs: UserNamespace): boolean {
  for (let ns: UserNamespace | null = userNs; ns !== null; ns = ns.parent)
    if (ns.uid(0) === rootUid) return true
  return false
}

/** The security.capability attribute: struct vfs_ns_cap_data. Malformed ones count as absent. */
function readFileCaps(file: File, userNs: UserNamespace): FileCaps | null {
  const value = file.inode.getxattr('security.capability')
  if (typeof value === 'number' || value.length < 20) return null
  const v = new DataView(value.buffer, value.byteOffset, value.length)
  const magic = v.getUint32(0, true)
  const revision = (magic & VFS_CAP_REVISION_MASK) >>> 0
  if (revision !== VFS_CAP_REVISION_2 && revision !== VFS_CAP_REVISION_3) return null
  // Revision 3 names the root of the user namespace it is for; revision 2 is for the first one.
  if (revision === VFS_CAP_REVISION_3 && value.length < 24) return null
  const rootUid = revision === VFS_CAP_REVISION_3 ? v.getUint32(20, true) : 0
  if (!ownsCaps(rootUid, userNs)) return null
  return {
    permitted: capSet(v.getUint32(4, true), v.getUint32(12, true)),
    inheritable: capSet(v.getUint32(8, true), v.getUint32(16, true)),
    effective: (magic & VFS_CAP_EFFECTIVE) !== 0,
  }
}
