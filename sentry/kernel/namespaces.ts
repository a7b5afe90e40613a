// Making, leaving and entering namespaces: clone(2)'s CLONE_NEW*, unshare(2), setns(2); kernel/nsproxy.c.

import { EINVAL, ENOSPC, EPERM, EUSERS } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_ADMIN,
  CAP_SYS_CHROOT,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  CLONE_SYSVSEM,
  CLONE_VM,
} from '../../syscall-table/flags.ts'
import { IpcNamespace } from '../ipc/namespace.ts'
import { MountNamespace, topOf } from '../vfs/mount.ts'
import { copyMountNamespace } from '../vfs/mounting.ts'
import { type Creds, FULL_CAPS, NO_CAPS } from './creds.ts'
import type { Namespace, NamespaceType } from './namespace.ts'
import {
  CgroupNamespace,
  type Namespaces,
  NetNamespace,
  type NsProxy,
  TimeNamespace,
  UtsNamespace,
} from './nsproxy.ts'
import { PID_LEVEL_MAX, PidNamespace } from './pid-namespace.ts'
import type { Task } from './task.ts'
import { USER_LEVEL_MAX, UserNamespace } from './user-namespace.ts'

/** Namespaces whose making needs CAP_SYS_ADMIN in the user namespace. */
const PRIVILEGED =
  CLONE_NEWNS |
  CLONE_NEWCGROUP |
  CLONE_NEWUTS |
  CLONE_NEWIPC |
  CLONE_NEWPID |
  CLONE_NEWNET |
  CLONE_NEWTIME
export const ALL_NAMESPACES = PRIVILEGED | CLONE_NEWUSER

/** What a task lives in. */
export interface Surroundings {
  creds: Creds
  nsproxy: NsProxy
}

/** What the child of clone(2) with `flags` lives in. */
export function cloneNamespaces(task: Task, flags: number): Surroundings | number {
  if ((flags & (CLONE_NEWIPC | CLONE_SYSVSEM)) === (CLONE_NEWIPC | CLONE_SYSVSEM)) return -EINVAL
  const made = makeNamespaces(task, flags)
  if (typeof made === 'number') return made
  const { time, timeForChildren } = made.nsproxy
  // A process of its own memory enters the time namespace that its parent has chosen.
  if ((flags & CLONE_VM) !== 0 || time === timeForChildren) return made
  return { creds: made.creds, nsproxy: made.nsproxy.with({ time: timeForChildren }) }
}

/** unshare(2) of namespaces; the descriptor table and such are the caller's business. */
export function unshareNamespaces(task: Task, flags: number): number {
  if ((flags & ALL_NAMESPACES) === 0) return 0
  const made = makeNamespaces(task, flags)
  if (typeof made === 'number') return made
  if ((flags & CLONE_NEWNS) !== 0) made.nsproxy.mnt.enterCopy(task.fs)
  moveTo(task, made.creds, made.nsproxy)
  return 0
}

function moveTo(task: Task, creds: Creds, nsproxy: NsProxy): void {
  const { nsproxy: old, creds: oldCreds } = task
  if (creds !== oldCreds) {
    creds.userNs.ref()
    task.creds = creds
    oldCreds.userNs.unref()
  }
  if (nsproxy === old) return
  task.nsproxy = nsproxy.ref()
  old.unref()
}

function makeNamespaces(task: Task, flags: number): Surroundings | number {
  const { nsproxy: old } = task
  if ((flags & ALL_NAMESPACES) === 0) return { creds: task.creds, nsproxy: old }
  let { creds } = task
  if ((flags & CLONE_NEWUSER) !== 0) {
    const made = newUserCreds(task)
    if (typeof made === 'number') return made
    creds = made
  }
  if ((flags & PRIVILEGED) === 0) return { creds, nsproxy: old }
  const owner = creds.userNs
  if (!creds.holds(CAP_SYS_ADMIN)) return -EPERM
  const error = checkRoom(task, owner, flags)
  if (error < 0) return error
  const changes: Partial<Namespaces> = {}
  if ((flags & CLONE_NEWNS) !== 0) {
    changes.mnt = new MountNamespace(owner)
    const copied = copyMountNamespace(old.mnt, changes.mnt)
    if (copied < 0) return copied
  }
  if ((flags & CLONE_NEWUTS) !== 0)
    changes.uts = new UtsNamespace(owner, old.uts.nodename, old.uts.domainname)
  if ((flags & CLONE_NEWIPC) !== 0) changes.ipc = new IpcNamespace(owner)
  if ((flags & CLONE_NEWPID) !== 0)
    changes.pidForChildren = new PidNamespace(old.pidForChildren, owner)
  if ((flags & CLONE_NEWCGROUP) !== 0) changes.cgroup = new CgroupNamespace(owner)
  if ((flags & CLONE_NEWNET) !== 0) changes.net = new NetNamespace(task.kernel, owner)
  if ((flags & CLONE_NEWTIME) !== 0) changes.timeForChildren = new TimeNamespace(owner)
  return { creds, nsproxy: old.with(changes) }
}

/** Limits, before anything is made. */
function checkRoom(task: Task, owner: UserNamespace, flags: number): number {
  const wanted: readonly (readonly [number, NamespaceType])[] = [
    [CLONE_NEWNS, 'mnt'],
    [CLONE_NEWUTS, 'uts'],
    [CLONE_NEWIPC, 'ipc'],
    [CLONE_NEWPID, 'pid'],
    [CLONE_NEWCGROUP, 'cgroup'],
    [CLONE_NEWNET, 'net'],
    [CLONE_NEWTIME, 'time'],
  ]
  for (const [flag, type] of wanted)
    if ((flags & flag) !== 0 && !hasRoom(owner, type)) return -ENOSPC
  if ((flags & CLONE_NEWPID) === 0) return 0
  const { pidForChildren } = task.nsproxy
  if (pidForChildren !== task.pidNs) return -EINVAL
  return pidForChildren.level + 1 > PID_LEVEL_MAX ? -ENOSPC : 0
}

/** One more counts against the limits of all user namespaces above: inc_ucount. */
function hasRoom(owner: UserNamespace, type: NamespaceType): boolean {
  for (let ns: UserNamespace | null = owner; ns !== null; ns = ns.parent)
    if (ns.owned[type] >= ns.limits[type]) return false
  return true
}

/** create_user_ns: its maker has all capabilities in it. */
function newUserCreds(task: Task): Creds | number {
  const { creds } = task
  const { userNs } = creds
  if (userNs.level + 1 > USER_LEVEL_MAX || !hasRoom(userNs, 'user')) return -ENOSPC
  if (isChrooted(task)) return -EPERM
  // Else nobody could say who made it.
  if (!userNs.hasUid(creds.euid) || !userNs.hasGid(creds.egid)) return -EPERM
  return fullCreds(creds, new UserNamespace(userNs, creds))
}

/** set_cred_user_ns. */
function fullCreds(old: Creds, userNs: UserNamespace): Creds {
  const creds = old.copy()
  creds.userNs = userNs
  creds.securebits = 0
  creds.permitted = creds.effective = creds.bounding = FULL_CAPS
  creds.inheritable = creds.ambient = NO_CAPS
  return creds
}

/** A task in a chroot could escape from it as root of a user namespace: current_chrooted. */
function isChrooted(task: Task): boolean {
  const { root } = task.fs
  const top = topOf({ mount: task.nsproxy.mnt.root, dentry: task.nsproxy.mnt.root.root })
  return root.mount !== top.mount || root.dentry !== top.dentry
}

/** Whether other tasks share the root and working directory. */
function sharesFs(task: Task): boolean {
  for (const other of task.kernel.tasks) if (other !== task && other.fs === task.fs) return true
  return false
}

/** setns(2): enter all of `entered`, or none. */
export function enterNamespaces(task: Task, entered: readonly Namespace[]): number {
  let { creds } = task
  const changes: Partial<Namespaces> = {}
  // The user namespace first: its capabilities open the others.
  for (const ns of entered) {
    if (!(ns instanceof UserNamespace)) continue
    const error = mayEnterUser(task, ns)
    if (error < 0) return error
    creds = fullCreds(creds, ns)
  }
  for (const ns of entered) {
    if (ns instanceof UserNamespace) continue
    const error = enter(task, creds, ns, changes)
    if (error < 0) return error
  }
  if (changes.mnt !== undefined) {
    const { root } = changes.mnt
    const top = topOf({ mount: root, dentry: root.root })
    task.fs.root = { ...top }
    task.fs.cwd = { ...top }
  }
  moveTo(
    task,
    creds,
    entered.every(ns => ns.type === 'user') ? task.nsproxy : task.nsproxy.with(changes),
  )
  return 0
}

function mayEnterUser(task: Task, ns: UserNamespace): number {
  if (ns === task.creds.userNs || task.group.tasks.length > 1 || sharesFs(task)) return -EINVAL
  return task.creds.capableIn(ns, CAP_SYS_ADMIN) ? 0 : -EPERM
}

function enter(task: Task, creds: Creds, ns: Namespace, changes: Partial<Namespaces>): number {
  if (!creds.capableIn(ns.owner!, CAP_SYS_ADMIN) || !creds.holds(CAP_SYS_ADMIN)) return -EPERM
  if (ns instanceof MountNamespace) {
    if (!creds.holds(CAP_SYS_CHROOT)) return -EPERM
    if (sharesFs(task)) return -EINVAL
    changes.mnt = ns
  } else if (ns instanceof PidNamespace) {
    // Out of a pid namespace there is no way.
    if (!ns.isWithin(task.pidNs)) return -EINVAL
    changes.pidForChildren = ns
  } else if (ns instanceof TimeNamespace) {
    if (task.group.tasks.length > 1) return -EUSERS
    changes.time = changes.timeForChildren = ns
  } else if (ns instanceof UtsNamespace) changes.uts = ns
  else if (ns instanceof IpcNamespace) changes.ipc = ns
  else if (ns instanceof NetNamespace) changes.net = ns
  else if (ns instanceof CgroupNamespace) changes.cgroup = ns
  else return -EINVAL
  return 0
}

/** The namespace of a type that a task lives in (`children`: that its children will). */
export function namespaceOf(task: Task, name: string): Namespace {
  const { nsproxy } = task
  switch (name) {
    case 'user':
      return task.creds.userNs
    case 'pid':
      return task.pidNs
    case 'pid_for_children':
      return nsproxy.pidForChildren
    case 'time_for_children':
      return nsproxy.timeForChildren
    default:
      return nsproxy[name as 'uts' | 'ipc' | 'mnt' | 'net' | 'cgroup' | 'time']
  }
}
