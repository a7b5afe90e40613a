// What the files of cgroup directories have in common: moving processes, numbers, settings that are read back.

import { EACCES, EINVAL, ENOENT, EPERM, ESRCH } from '../../../syscall-table/errno.ts'
import { PAGE_SIZE } from '../../../syscall-table/flags.ts'
import { groupCpu } from '../../kernel/accounting.ts'
import { type Cgroup, cgroupOf, moveGroup } from '../../kernel/cgroup.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { allotmentOf } from '../../kernel/limits.ts'
import type { Pid } from '../../kernel/pid-namespace.ts'
import type { Task } from '../../kernel/task.ts'
import type { ThreadGroup } from '../../kernel/thread-group.ts'
import { residentPages } from '../proc/memory-use.ts'

export interface CgroupFile {
  readonly name: string
  readonly mode: number
  readonly read: ((cgroup: Cgroup, kernel: Kernel, task: Task) => string | number) | null
  /** `text` is trimmed. Returns 0 or -errno. */
  readonly write: ((cgroup: Cgroup, text: string, kernel: Kernel, task: Task) => number) | null
}

export const readOnly = (
  name: string,
  read: (cgroup: Cgroup, kernel: Kernel) => string | number,
): CgroupFile => ({ name, mode: 0o444, read, write: null })

/** The container's own limits are the host's to set: as with nsdelegate, nothing inside may change them. */
export const guarded =
  (write: NonNullable<CgroupFile['write']>): NonNullable<CgroupFile['write']> =>
  (cgroup, text, kernel, task) =>
    cgroup.parent === null ? -EPERM : write(cgroup, text, kernel, task)

/** The value of the container's cgroup on the host; of a group that programs made, what they wrote. */
export function stored(
  name: string,
  controller: string,
  initial: string,
  valid: RegExp,
): CgroupFile {
  return {
    name,
    mode: 0o644,
    read: cgroup => {
      const host = cgroup.parent === null ? cgroup.hierarchy.system.host(controller, name) : null
      return host ?? `${cgroup.settings.get(name) ?? initial}\n`
    },
    write: guarded((cgroup, text) => {
      if (!valid.test(text)) return -EINVAL
      cgroup.settings.set(name, text)
      return 0
    }),
  }
}

/** A counter of the host for the container; computed for groups below. */
export function counted(
  name: string,
  controller: string,
  compute: (cgroup: Cgroup, kernel: Kernel) => string,
): CgroupFile {
  return readOnly(
    name,
    (cgroup, kernel) =>
      (cgroup.parent === null ? cgroup.hierarchy.system.host(controller, name) : null) ??
      compute(cgroup, kernel),
  )
}

/** cgroup.procs, and `tasks`, which here moves whole processes as well. */
export function processFile(name: string, ids: (group: ThreadGroup) => Pid[]): CgroupFile {
  return {
    name,
    mode: 0o644,
    read: (cgroup, kernel, reader) =>
      cgroup
        .members(kernel)
        .flatMap(ids)
        .map(pid => pid.numberIn(reader.pidNs))
        .sort((a, b) => a - b)
        .map(id => `${id}\n`)
        .join(''),
    write: (cgroup, text, _kernel, task) => attach(cgroup, text, task),
  }
}

export const processIds = (group: ThreadGroup): Pid[] => [group.pid]
export const threadIds = (group: ThreadGroup): Pid[] => group.tasks.map(task => task.pid)

function attach(cgroup: Cgroup, text: string, task: Task): number {
  if (!/^\d{1,10}$/.test(text)) return -EINVAL
  const id = Number(text)
  const group = id === 0 ? task.group : task.pidNs.groupOf(id)
  if (group === undefined) return -ESRCH
  if (cgroup.removed) return -ENOENT
  // Of another container of the pod: both are shown where the other's groups are not.
  if (allotmentOf(group).cgroups !== cgroup.hierarchy.system) return -EACCES
  if (cgroupOf(group, cgroup.hierarchy) !== cgroup) moveGroup(group, cgroup)
  return 0
}

/** Processes in the group and below it. */
export function processesBelow(cgroup: Cgroup, kernel: Kernel): ThreadGroup[] {
  return [...kernel.groups.values()].filter(group => cgroup.holds(group))
}

/** Resident memory of the group's processes, as an estimate: each address space once. */
export function memoryBytes(cgroup: Cgroup, kernel: Kernel): number {
  const spaces = new Set(
    processesBelow(cgroup, kernel)
      .filter(group => !group.zombie)
      .map(group => group.leader.mm),
  )
  let pages = 0
  for (const mm of spaces) pages += residentPages(mm)
  return pages * PAGE_SIZE
}

/** CPU time of the group's processes that live. */
export function cpuNs(cgroup: Cgroup, kernel: Kernel): { user: number; system: number } {
  let user = 0
  let system = 0
  for (const group of processesBelow(cgroup, kernel)) {
    const used = groupCpu(group)
    user += used.userNs + group.childUtimeNs
    system += used.systemNs + group.childStimeNs
  }
  return { user, system }
}

/** pids.max of either version. */
export const pidsMax: CgroupFile = {
  name: 'pids.max',
  mode: 0o644,
  read: ({ pidsMax: max }) => `${max === Number.POSITIVE_INFINITY ? 'max' : max}\n`,
  write: guarded((cgroup, text) => {
    if (text !== 'max' && !/^\d{1,10}$/.test(text)) return -EINVAL
    cgroup.pidsMax = text === 'max' ? Number.POSITIVE_INFINITY : Number(text)
    return 0
  }),
}

/** The other files of the pids controller. */
export const pidsFiles: readonly CgroupFile[] = [
  readOnly('pids.current', (cgroup, kernel) => `${cgroup.countTasks(kernel)}\n`),
  readOnly('pids.events', ({ pidsFailed }) => `max ${pidsFailed}\n`),
  readOnly(
    'pids.peak',
    (cgroup, kernel) => `${Math.max(cgroup.pidsPeak, cgroup.countTasks(kernel))}\n`,
  ),
]
