// Control groups as programs see them: the tree below the container's own cgroup, which is their root (cgroup namespaces).
// The limits of the root are the host's to keep, all but the number of tasks: the host counts our own threads, too.
// Groups that programs make below it bound tasks; their other limits are stored.

import { EAGAIN, EBUSY, EEXIST, EINVAL, ENOENT } from '../../syscall-table/errno.ts'
import type { Kernel } from './kernel.ts'
import { allotmentOf } from './limits.ts'
import type { Task } from './task.ts'
import type { ThreadGroup } from './thread-group.ts'

/** cgroup.max.descendants: a bound on what programs make us remember. */
const MAX_CGROUPS = 1024
const NAME_MAX = 255

/** Reads a file of the container's cgroup on the host; null when the host has none of this name. */
export type HostValue = (controller: string, file: string) => string | null

/** One group: struct cgroup. */
export class Cgroup {
  readonly hierarchy: CgroupHierarchy
  readonly name: string
  readonly parent: Cgroup | null
  readonly children = new Map<string, Cgroup>()
  /** pids.max, Infinity for "max". */
  pidsMax = Number.POSITIVE_INFINITY
  /** How often a fork failed here for it. */
  pidsFailed = 0
  pidsPeak = 0
  /** What was written to files whose effect is to be read back, by file name. */
  readonly settings = new Map<string, string>()
  removed = false

  constructor(hierarchy: CgroupHierarchy, name: string, parent: Cgroup | null) {
    this.hierarchy = hierarchy
    this.name = name
    this.parent = parent
  }

  get path(): string {
    if (this.parent === null) return '/'
    const above = this.parent.path
    return above === '/' ? `/${this.name}` : `${above}/${this.name}`
  }

  /** Make a child. */
  make(name: string): Cgroup | number {
    if (this.removed) return -ENOENT
    if (name.length > NAME_MAX || name.includes('\n')) return -EINVAL
    if (this.children.has(name)) return -EEXIST
    if (this.hierarchy.count >= MAX_CGROUPS) return -EAGAIN
    const child = new Cgroup(this.hierarchy, name, this)
    this.children.set(name, child)
    this.hierarchy.count++
    return child
  }

  /** Remove this group, in which nothing may be left. Zombies do not keep it. */
  remove(kernel: Kernel): number {
    if (this.parent === null || this.children.size > 0) return -EBUSY
    for (const group of kernel.groups.values()) {
      if (!this.isPlaceOf(group)) continue
      if (!group.zombie) return -EBUSY
      moveGroup(group, this.parent)
    }
    this.parent.children.delete(this.name)
    this.hierarchy.count--
    this.removed = true
    return 0
  }

  /** This group or one below it. */
  contains(other: Cgroup): boolean {
    for (let at: Cgroup | null = other; at !== null; at = at.parent) if (at === this) return true
    return false
  }

  /** Whether a process is directly in it. Those of the pod's other containers are in groups of their own. */
  isPlaceOf(group: ThreadGroup): boolean {
    return (
      allotmentOf(group).cgroups === this.hierarchy.system &&
      cgroupOf(group, this.hierarchy) === this
    )
  }

  /** Whether a process is in it or below it. */
  holds(group: ThreadGroup): boolean {
    return (
      allotmentOf(group).cgroups === this.hierarchy.system &&
      this.contains(cgroupOf(group, this.hierarchy))
    )
  }

  /** The processes directly in it, zombies left out. */
  members(kernel: Kernel): ThreadGroup[] {
    return [...kernel.groups.values()].filter(group => !group.zombie && this.isPlaceOf(group))
  }

  /** Tasks in it and below it. */
  countTasks(kernel: Kernel): number {
    if (this.parent === null && kernel.allotments.size === 0) return kernel.tasks.size
    let count = 0
    for (const task of kernel.tasks.values()) if (this.holds(task.group)) count++
    return count
  }
}

/** A tree of groups with its controllers: version 1 has several, version 2 one. */
export class CgroupHierarchy {
  readonly id: number
  readonly controllers: readonly string[]
  /** A version 1 hierarchy without controllers has a name. */
  readonly name: string
  readonly root: Cgroup
  readonly system: CgroupSystem
  count = 1

  constructor(system: CgroupSystem, id: number, controllers: readonly string[], name: string) {
    this.system = system
    this.id = id
    this.controllers = controllers
    this.name = name
    this.root = new Cgroup(this, '', null)
  }
}

const V1 = ['cpuset', 'cpu', 'cpuacct', 'blkio', 'memory', 'devices', 'freezer', 'pids']
const V2 = ['cpuset', 'cpu', 'io', 'memory', 'pids']

/** All hierarchies of a container. */
export class CgroupSystem {
  readonly version: 1 | 2
  readonly hierarchies: readonly CgroupHierarchy[]
  readonly host: HostValue

  constructor(version: 1 | 2, host: HostValue) {
    this.version = version
    this.host = host
    this.hierarchies =
      version === 2
        ? [new CgroupHierarchy(this, 0, V2, '')]
        : [
            ...V1.map((controller, i) => new CgroupHierarchy(this, i + 1, [controller], '')),
            new CgroupHierarchy(this, V1.length + 1, [], 'systemd'),
            new CgroupHierarchy(this, 0, [], ''),
          ]
  }

  /** The hierarchy that bounds tasks. */
  get pids(): CgroupHierarchy {
    return this.of('pids')!
  }

  of(controller: string): CgroupHierarchy | undefined {
    return this.hierarchies.find(({ controllers }) => controllers.includes(controller))
  }
}

/** Where a process is in a hierarchy. */
export function cgroupOf(group: ThreadGroup, hierarchy: CgroupHierarchy): Cgroup {
  return group.cgroups?.get(hierarchy) ?? hierarchy.root
}

/** Move a process. Processes share their map until one of them moves. */
export function moveGroup(group: ThreadGroup, to: Cgroup): void {
  const cgroups = new Map(group.cgroups)
  if (to.parent === null) cgroups.delete(to.hierarchy)
  else cgroups.set(to.hierarchy, to)
  group.cgroups = cgroups.size === 0 ? null : cgroups
  notePeak(group.kernel, to)
}

function notePeak(kernel: Kernel, cgroup: Cgroup): void {
  for (let at: Cgroup | null = cgroup; at !== null; at = at.parent)
    if (at.parent !== null) at.pidsPeak = Math.max(at.pidsPeak, at.countTasks(kernel))
}

/** May `task` make one more task? -EAGAIN where a limit is reached: pids_can_fork. */
export function checkPids(task: Task): number {
  const { kernel, group } = task
  const { pids } = allotmentOf(group).cgroups
  for (let at: Cgroup | null = cgroupOf(group, pids); at !== null; at = at.parent) {
    if (at.pidsMax === Number.POSITIVE_INFINITY) {
      if (at.parent === null) at.pidsPeak = Math.max(at.pidsPeak, at.countTasks(kernel) + 1)
      continue
    }
    const count = at.countTasks(kernel)
    if (count >= at.pidsMax) {
      at.pidsFailed++
      return -EAGAIN
    }
    at.pidsPeak = Math.max(at.pidsPeak, count + 1)
  }
  return 0
}
