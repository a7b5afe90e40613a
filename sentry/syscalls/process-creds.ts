// User and group ids, and capabilities: credentials(7), capabilities(7), kernel/sys.c, security/commoncap.c.

import { EFAULT, EINVAL, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import {
  _LINUX_CAPABILITY_VERSION_1,
  _LINUX_CAPABILITY_VERSION_2,
  _LINUX_CAPABILITY_VERSION_3,
  CAP_CHOWN,
  CAP_DAC_OVERRIDE,
  CAP_DAC_READ_SEARCH,
  CAP_FOWNER,
  CAP_FSETID,
  CAP_LINUX_IMMUTABLE,
  CAP_MAC_OVERRIDE,
  CAP_MKNOD,
  CAP_SETGID,
  CAP_SETPCAP,
  CAP_SETUID,
  SECBIT_KEEP_CAPS,
  SECBIT_NO_SETUID_FIXUP,
} from '../../syscall-table/flags.ts'
import { type CapSet, type Creds, capSet, FULL_CAPS, NO_CAPS } from '../kernel/creds.ts'
import type { Task } from '../kernel/task.ts'

/** (uid_t)-1: leave as it is. */
const KEEP = 0xffffffff
const NGROUPS_MAX = 65536
/** Capabilities that follow the file-system uid: CAP_FS_SET. */
const FS_CAPS_LO =
  ((1 << CAP_CHOWN) |
    (1 << CAP_DAC_OVERRIDE) |
    (1 << CAP_DAC_READ_SEARCH) |
    (1 << CAP_FOWNER) |
    (1 << CAP_FSETID) |
    (1 << CAP_LINUX_IMMUTABLE) |
    (1 << CAP_MKNOD)) >>>
  0
const FS_CAPS_HI = 1 << (CAP_MAC_OVERRIDE - 32)

/** Give the task changed credentials: a process whose ids changed cannot be dumped or traced any more. */
function commit(task: Task, creds: Creds): number {
  const old = task.creds
  task.creds = creds
  const gained = (creds.permitted.lo & ~old.permitted.lo) | (creds.permitted.hi & ~old.permitted.hi)
  if (
    creds.euid !== old.euid ||
    creds.egid !== old.egid ||
    creds.fsuid !== old.fsuid ||
    creds.fsgid !== old.fsgid ||
    gained !== 0
  ) {
    task.group.dumpable = 0
    task.group.parentDeathSignal = 0
  }
  return 0
}

/** Uids have changed: capabilities follow root in and out (SECBIT_NO_SETUID_FIXUP: not). */
function fixupUids(creds: Creds, old: Creds): void {
  creds.fsuid = creds.euid
  if ((creds.securebits & SECBIT_NO_SETUID_FIXUP) !== 0) return
  const root = old.userNs.uid(0)
  const wasRoot = old.uid === root || old.euid === root || old.suid === root
  const isRoot = creds.uid === root || creds.euid === root || creds.suid === root
  if (wasRoot && !isRoot) {
    if ((creds.securebits & SECBIT_KEEP_CAPS) === 0) {
      creds.permitted = NO_CAPS
      creds.effective = NO_CAPS
    }
    creds.ambient = NO_CAPS
  }
  if (old.euid === root && creds.euid !== root) creds.effective = NO_CAPS
  if (old.euid !== root && creds.euid === root) creds.effective = creds.permitted
}

/** An id that the user namespace does not have: -1 alone means no change. */
const lacks = (given: number, id: number): boolean => id === KEEP && given !== KEEP

/** setuid(2). */
export function sys_setuid(task: Task, id: number): number {
  const old = task.creds
  const uid = old.userNs.uid(id)
  if (uid === KEEP) return -EINVAL
  const creds = old.copy()
  if (old.holds(CAP_SETUID)) creds.uid = creds.suid = uid
  else if (uid !== old.uid && uid !== old.suid) return -EPERM
  creds.euid = uid
  fixupUids(creds, old)
  return commit(task, creds)
}

/** setreuid(2). */
export function sys_setreuid(task: Task, realId: number, effectiveId: number): number {
  const old = task.creds
  const ruid = old.userNs.uid(realId)
  const euid = old.userNs.uid(effectiveId)
  if (lacks(realId, ruid) || lacks(effectiveId, euid)) return -EINVAL
  const creds = old.copy()
  const privileged = old.holds(CAP_SETUID)
  if (ruid !== KEEP) {
    if (ruid !== old.uid && ruid !== old.euid && !privileged) return -EPERM
    creds.uid = ruid
  }
  if (euid !== KEEP) {
    if (euid !== old.uid && euid !== old.euid && euid !== old.suid && !privileged) return -EPERM
    creds.euid = euid
  }
  if (ruid !== KEEP || (euid !== KEEP && euid !== old.uid)) creds.suid = creds.euid
  fixupUids(creds, old)
  return commit(task, creds)
}

/** setresuid(2). */
export function sys_setresuid(
  task: Task,
  realId: number,
  effectiveId: number,
  savedId: number,
): number {
  const old = task.creds
  const ruid = old.userNs.uid(realId)
  const euid = old.userNs.uid(effectiveId)
  const suid = old.userNs.uid(savedId)
  if (lacks(realId, ruid) || lacks(effectiveId, euid) || lacks(savedId, suid)) return -EINVAL
  const mine = (id: number): boolean =>
    id === KEEP || id === old.uid || id === old.euid || id === old.suid
  if (!(mine(ruid) && mine(euid) && mine(suid)) && !old.holds(CAP_SETUID)) return -EPERM
  const creds = old.copy()
  if (ruid !== KEEP) creds.uid = ruid
  if (euid !== KEEP) creds.euid = euid
  if (suid !== KEEP) creds.suid = suid
  fixupUids(creds, old)
  return commit(task, creds)
}

/** setfsuid(2). Always returns the old value; errors do not show. */
export function sys_setfsuid(task: Task, id: number): number {
  const old = task.creds
  const uid = old.userNs.uid(id)
  const before = old.userNs.showUid(old.fsuid)
  const allowed = uid === old.uid || uid === old.euid || uid === old.suid || uid === old.fsuid
  if (uid === KEEP || (!allowed && !old.holds(CAP_SETUID)) || uid === old.fsuid) return before
  const creds = old.copy()
  creds.fsuid = uid
  if ((old.securebits & SECBIT_NO_SETUID_FIXUP) === 0) {
    const { lo, hi } = creds.effective
    const root = old.userNs.uid(0)
    if (old.fsuid === root) creds.effective = capSet(lo & ~FS_CAPS_LO, hi & ~FS_CAPS_HI)
    else if (uid === root) {
      creds.effective = capSet(
        lo | (creds.permitted.lo & FS_CAPS_LO),
        hi | (creds.permitted.hi & FS_CAPS_HI),
      )
    }
  }
  void commit(task, creds)
  return before
}

/** setgid(2). */
export function sys_setgid(task: Task, id: number): number {
  const old = task.creds
  const gid = old.userNs.gid(id)
  if (gid === KEEP) return -EINVAL
  const creds = old.copy()
  if (old.holds(CAP_SETGID)) creds.gid = creds.sgid = gid
  else if (gid !== old.gid && gid !== old.sgid) return -EPERM
  creds.egid = creds.fsgid = gid
  return commit(task, creds)
}

/** setregid(2). */
export function sys_setregid(task: Task, realId: number, effectiveId: number): number {
  const old = task.creds
  const rgid = old.userNs.gid(realId)
  const egid = old.userNs.gid(effectiveId)
  if (lacks(realId, rgid) || lacks(effectiveId, egid)) return -EINVAL
  const creds = old.copy()
  const privileged = old.holds(CAP_SETGID)
  if (rgid !== KEEP) {
    if (rgid !== old.gid && rgid !== old.egid && !privileged) return -EPERM
    creds.gid = rgid
  }
  if (egid !== KEEP) {
    if (egid !== old.gid && egid !== old.egid && egid !== old.sgid && !privileged) return -EPERM
    creds.egid = egid
  }
  if (rgid !== KEEP || (egid !== KEEP && egid !== old.gid)) creds.sgid = creds.egid
  creds.fsgid = creds.egid
  return commit(task, creds)
}

/** setresgid(2). */
export function sys_setresgid(
  task: Task,
  realId: number,
  effectiveId: number,
  savedId: number,
): number {
  const old = task.creds
  const rgid = old.userNs.gid(realId)
  const egid = old.userNs.gid(effectiveId)
  const sgid = old.userNs.gid(savedId)
  if (lacks(realId, rgid) || lacks(effectiveId, egid) || lacks(savedId, sgid)) return -EINVAL
  const mine = (id: number): boolean =>
    id === KEEP || id === old.gid || id === old.egid || id === old.sgid
  if (!(mine(rgid) && mine(egid) && mine(sgid)) && !old.holds(CAP_SETGID)) return -EPERM
  const creds = old.copy()
  if (rgid !== KEEP) creds.gid = rgid
  if (egid !== KEEP) creds.egid = egid
  if (sgid !== KEEP) creds.sgid = sgid
  creds.fsgid = creds.egid
  return commit(task, creds)
}

/** setfsgid(2). */
export function sys_setfsgid(task: Task, id: number): number {
  const old = task.creds
  const gid = old.userNs.gid(id)
  const before = old.userNs.showGid(old.fsgid)
  const allowed = gid === old.gid || gid === old.egid || gid === old.sgid || gid === old.fsgid
  if (gid === KEEP || (!allowed && !old.holds(CAP_SETGID)) || gid === old.fsgid) return before
  const creds = old.copy()
  creds.fsgid = gid
  void commit(task, creds)
  return before
}

function copyOutIds(
  task: Task,
  a: number,
  x: number,
  b: number,
  y: number,
  c: number,
  z: number,
): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, x, true)
  scratchView.setUint32(4, y, true)
  scratchView.setUint32(8, z, true)
  const { mm } = task
  const failed = [a, b, c].some((addr, i) => mm.copyOut(task, addr, scratch, i * 4, 4) < 0)
  return failed ? -EFAULT : 0
}

/** getresuid(2). */
export function sys_getresuid(task: Task, ruid: number, euid: number, suid: number): number {
  const { creds } = task
  const show = (uid: number) => creds.userNs.showUid(uid)
  return copyOutIds(task, ruid, show(creds.uid), euid, show(creds.euid), suid, show(creds.suid))
}

/** getresgid(2). */
export function sys_getresgid(task: Task, rgid: number, egid: number, sgid: number): number {
  const { creds } = task
  const show = (gid: number) => creds.userNs.showGid(gid)
  return copyOutIds(task, rgid, show(creds.gid), egid, show(creds.egid), sgid, show(creds.sgid))
}

/** getgroups(2). */
export function sys_getgroups(task: Task, size: number, list: number): number {
  const { groups, userNs } = task.creds
  if (size < 0) return -EINVAL
  if (size === 0) return groups.length
  if (groups.length > size) return -EINVAL
  const bytes = Uint32Array.from(groups, gid => userNs.showGid(gid))
  const out = new Uint8Array(bytes.buffer)
  return task.mm.copyResult(task, list, out, 0, out.length) < 0 ? -EFAULT : groups.length
}

/** setgroups(2). */
export function sys_setgroups(task: Task, size: number, list: number): number {
  const { userNs } = task.creds
  // Else dropping a group could give access that the group was to deny.
  const mapped = userNs.maps.gid.extents.length > 0 && userNs.setgroupsAllowed
  if (!mapped || !task.creds.holds(CAP_SETGID)) return -EPERM
  if (size < 0 || size > NGROUPS_MAX) return -EINVAL
  const words = new Uint32Array(size)
  const bytes = new Uint8Array(words.buffer)
  if (size > 0 && task.mm.copyIn(task, list, bytes, 0, bytes.length) < 0) return -EFAULT
  const gids = Array.from(words, gid => userNs.gid(gid))
  if (gids.includes(KEEP)) return -EINVAL
  const creds = task.creds.copy()
  creds.groups = gids.sort((a, b) => a - b)
  return commit(task, creds)
}

const header = { words: 0, pid: 0 }

/** Read the header; an unknown version is answered with the preferred one. */
function readCapHeader(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 8) < 0) return -EFAULT
  const version = scratchView.getUint32(0, true)
  header.pid = scratchView.getInt32(4, true)
  if (version === _LINUX_CAPABILITY_VERSION_1) header.words = 1
  else if (version === _LINUX_CAPABILITY_VERSION_2 || version === _LINUX_CAPABILITY_VERSION_3)
    header.words = 2
  else {
    scratchView.setUint32(0, _LINUX_CAPABILITY_VERSION_3, true)
    return task.mm.copyResult(task, addr, scratch, 0, 4) < 0 ? -EFAULT : -EINVAL
  }
  return 0
}

/** capget(2). A null data pointer only asks for the version. */
export function sys_capget(task: Task, headerAddr: number, data: number): number {
  const error = readCapHeader(task, headerAddr)
  if (error < 0) return data === 0 && error === -EINVAL ? 0 : error
  if (header.pid < 0) return -EINVAL
  const target = header.pid === 0 ? task : task.pidNs.task(header.pid)
  if (target === undefined) return -ESRCH
  if (data === 0) return 0
  const { effective, permitted, inheritable } = target.creds
  const { scratch, scratchView } = task.kernel
  const sets = [effective, permitted, inheritable]
  sets.forEach((set, i) => {
    scratchView.setUint32(i * 4, set.lo, true)
    scratchView.setUint32(12 + i * 4, set.hi, true)
  })
  return task.mm.copyResult(task, data, scratch, 0, header.words * 12)
}

/** capset(2): only for the caller itself. */
export function sys_capset(task: Task, headerAddr: number, data: number): number {
  const error = readCapHeader(task, headerAddr)
  if (error < 0) return error
  if (header.pid !== 0 && header.pid !== task.tid) return -EPERM
  const { scratch, scratchView } = task.kernel
  scratch.fill(0, 0, 24)
  if (task.mm.copyIn(task, data, scratch, 0, header.words * 12) < 0) return -EFAULT
  const read = (i: number): CapSet =>
    capSet(
      scratchView.getUint32(i * 4, true),
      scratchView.getUint32(12 + i * 4, true) & FULL_CAPS.hi,
    )
  return setCaps(task, read(0), read(1), read(2))
}

function subset(a: CapSet, lo: number, hi: number): boolean {
  return (a.lo & ~lo) === 0 && (a.hi & ~hi) === 0
}

function setCaps(task: Task, effective: CapSet, permitted: CapSet, inheritable: CapSet): number {
  const old = task.creds
  const { inheritable: oldI, permitted: oldP, bounding } = old
  // Without CAP_SETPCAP nothing may become inheritable that is not held.
  if (!old.holds(CAP_SETPCAP) && !subset(inheritable, oldI.lo | oldP.lo, oldI.hi | oldP.hi))
    return -EPERM
  if (!subset(inheritable, oldI.lo | bounding.lo, oldI.hi | bounding.hi)) return -EPERM
  if (!subset(permitted, oldP.lo, oldP.hi) || !subset(effective, permitted.lo, permitted.hi))
    return -EPERM
  const creds = old.copy()
  creds.effective = effective
  creds.permitted = permitted
  creds.inheritable = inheritable
  const { lo, hi } = old.ambient
  creds.ambient = capSet(lo & permitted.lo & inheritable.lo, hi & permitted.hi & inheritable.hi)
  return commit(task, creds)
}
