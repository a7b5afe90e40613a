// The namespaces of a task: struct nsproxy. One object is shared by all tasks that live in the same ones; a change
// replaces it. The user namespace is part of the credentials instead.

import { IpcNamespace } from '../ipc/namespace.ts'
import type { HostNetwork } from '../net/host/network.ts'
import type { MountNamespace } from '../vfs/mount.ts'
import { Changes } from './changes.ts'
import type { Kernel } from './kernel.ts'
import { INITIAL_INO, Namespace, newNamespaceIno } from './namespace.ts'
import type { PidNamespace } from './pid-namespace.ts'
import { INITIAL_USER_NAMESPACE, type UserNamespace } from './user-namespace.ts'

/** Host and NIS domain name: uts_namespaces(7). */
export class UtsNamespace extends Namespace {
  nodename: string
  domainname: string
  readonly nodenameChanges = new Changes()
  readonly domainnameChanges = new Changes()

  constructor(owner: UserNamespace, nodename: string, domainname: string, ino = newNamespaceIno()) {
    super('uts', ino, owner)
    this.nodename = nodename
    this.domainname = domainname
  }

  setNodename(name: string): void {
    this.nodename = name
    this.nodenameChanges.note()
  }

  setDomainname(name: string): void {
    this.domainname = name
    this.domainnameChanges.note()
  }
}

/** Sockets, ports and interfaces: what they keep is found by this object. */
export class NetNamespace extends Namespace {
  readonly kernel: Kernel
  /** The namespace of the host that it is; null for one of this kernel's own. */
  host: HostNetwork | null = null
  /** Somebody has given lo its address; in the sandbox's own it has one from the start. */
  loopbackNamed: boolean

  constructor(kernel: Kernel, owner: UserNamespace, ino = newNamespaceIno()) {
    super('net', ino, owner)
    this.kernel = kernel
    this.loopbackNamed = ino === INITIAL_INO.net
  }

  protected override released(): void {
    this.host?.release()
  }
}

/** The root of what /proc/PID/cgroup shows. */
export class CgroupNamespace extends Namespace {
  constructor(owner: UserNamespace, ino = newNamespaceIno()) {
    super('cgroup', ino, owner)
  }
}

/**
 * time_namespaces(7). LIMIT: the offsets of a time namespace are zero, because programs read the clocks in the
 * host's vDSO, which knows of none.
 */
export class TimeNamespace extends Namespace {
  constructor(owner: UserNamespace, ino = newNamespaceIno()) {
    super('time', ino, owner)
  }
}

/** The members, by the name that /proc/PID/ns has for them. */
export interface Namespaces {
  uts: UtsNamespace
  ipc: IpcNamespace
  mnt: MountNamespace
  net: NetNamespace
  cgroup: CgroupNamespace
  time: TimeNamespace
  timeForChildren: TimeNamespace
  /** Where children are made; the task's own is that of its pid. */
  pidForChildren: PidNamespace
}

export class NsProxy implements Namespaces {
  readonly uts: UtsNamespace
  readonly ipc: IpcNamespace
  readonly mnt: MountNamespace
  readonly net: NetNamespace
  readonly cgroup: CgroupNamespace
  readonly time: TimeNamespace
  readonly timeForChildren: TimeNamespace
  readonly pidForChildren: PidNamespace
  /** Tasks. */
  #users = 0

  constructor(of: Namespaces) {
    this.uts = of.uts
    this.ipc = of.ipc
    this.mnt = of.mnt
    this.net = of.net
    this.cgroup = of.cgroup
    this.time = of.time
    this.timeForChildren = of.timeForChildren
    this.pidForChildren = of.pidForChildren
    for (const ns of this.#all()) ns.ref()
  }

  ref(): this {
    this.#users++
    return this
  }

  unref(): void {
    if (--this.#users === 0) for (const ns of this.#all()) ns.unref()
  }

  /** The same with some replaced; nobody uses it yet. */
  with(changes: Partial<Namespaces>): NsProxy {
    return new NsProxy({ ...this.#members(), ...changes })
  }

  #members(): Namespaces {
    const { uts, ipc, mnt, net, cgroup, time, timeForChildren, pidForChildren } = this
    return { uts, ipc, mnt, net, cgroup, time, timeForChildren, pidForChildren }
  }

  #all(): Namespace[] {
    return Object.values(this.#members())
  }
}

/** The namespaces that a sandbox begins with. */
export function initialNamespaces(
  kernel: Kernel,
  mnt: MountNamespace,
  pid: PidNamespace,
  nodename: string,
  domainname: string,
): NsProxy {
  const owner = INITIAL_USER_NAMESPACE
  const time = new TimeNamespace(owner, INITIAL_INO.time)
  return new NsProxy({
    uts: new UtsNamespace(owner, nodename, domainname, INITIAL_INO.uts),
    ipc: new IpcNamespace(owner, INITIAL_INO.ipc),
    mnt,
    net: new NetNamespace(kernel, owner, INITIAL_INO.net),
    cgroup: new CgroupNamespace(owner, INITIAL_INO.cgroup),
    time,
    timeForChildren: time,
    pidForChildren: pid,
  }).ref()
}
