// Files of version 2 directories. Documentation/admin-guide/cgroup-v2.rst.
// LIMIT: in groups that programs make, only pids.max is enforced; other limits are stored and read back.

import { EBUSY, EINVAL, ENOENT } from '../../../syscall-table/errno.ts'
import { SIGKILL } from '../../../syscall-table/flags.ts'
import type { Cgroup } from '../../kernel/cgroup.ts'
import { groupExit } from '../../kernel/exit.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { allotmentWith } from '../../kernel/limits.ts'
import { cpuList } from '../proc/task-stat.ts'
import {
  type CgroupFile,
  counted,
  cpuNs,
  memoryBytes,
  pidsFiles,
  pidsMax,
  processesBelow,
  processFile,
  processIds,
  readOnly,
  stored,
  threadIds,
} from './cgroup-file.ts'

const SUBTREE = 'cgroup.subtree_control'
/** Controllers that cannot be given on by a group with processes of its own. */
const DOMAIN = new Set(['memory', 'io'])
const LIMIT = /^(max|\d{1,19}[kKmMgG]?)$/
const LIST = /^[\d,-]*$/

/** What a group may give on: all at the root, below it what its parent gives. */
export function controllersOf(cgroup: Cgroup): readonly string[] {
  return cgroup.parent === null ? cgroup.hierarchy.controllers : givenOn(cgroup.parent)
}

const givenOn = (cgroup: Cgroup): string[] =>
  (cgroup.settings.get(SUBTREE) ?? '').split(' ').filter(name => name !== '')

const line = (names: readonly string[]): string =>
  names.length === 0 ? '' : `${names.join(' ')}\n`

/** "+memory -pids": all of it or nothing. */
function changeSubtree(cgroup: Cgroup, text: string, kernel: Kernel): number {
  const given = new Set(givenOn(cgroup))
  for (const word of text.split(/\s+/).filter(part => part !== '')) {
    const name = word.slice(1)
    if (!/^[+-]/.test(word)) return -EINVAL
    if (word.startsWith('+')) {
      if (!controllersOf(cgroup).includes(name)) return -ENOENT
      if (!given.has(name) && DOMAIN.has(name) && cgroup.members(kernel).length > 0) return -EBUSY
      given.add(name)
    } else {
      for (const child of cgroup.children.values()) if (givenOn(child).includes(name)) return -EBUSY
      given.delete(name)
    }
  }
  // In the controllers' own order.
  cgroup.settings.set(
    SUBTREE,
    cgroup.hierarchy.controllers.filter(name => given.has(name)).join(' '),
  )
  return 0
}

/** A group that gives on memory or io has no processes of its own: those go to its children. */
function enterable(file: CgroupFile): CgroupFile {
  return {
    ...file,
    write: (cgroup, text, kernel, task) =>
      givenOn(cgroup).some(name => DOMAIN.has(name))
        ? -EBUSY
        : file.write!(cgroup, text, kernel, task),
  }
}

const descendants = (cgroup: Cgroup): number =>
  [...cgroup.children.values()].reduce((sum, child) => sum + 1 + descendants(child), 0)

const CORE: readonly CgroupFile[] = [
  readOnly('cgroup.controllers', cgroup => line(controllersOf(cgroup))),
  readOnly('cgroup.events', (cgroup, kernel) => {
    const alive = processesBelow(cgroup, kernel).some(group => !group.zombie)
    return `populated ${alive ? 1 : 0}\nfrozen 0\n`
  }),
  {
    name: 'cgroup.kill',
    mode: 0o200,
    read: null,
    write: (cgroup, text, kernel) => {
      if (text !== '1') return -EINVAL
      for (const group of processesBelow(cgroup, kernel)) groupExit(group, SIGKILL)
      return 0
    },
  },
  stored('cgroup.max.depth', '', 'max', /^(max|\d{1,10})$/),
  stored('cgroup.max.descendants', '', 'max', /^(max|\d{1,10})$/),
  enterable(processFile('cgroup.procs', processIds)),
  readOnly(
    'cgroup.stat',
    cgroup => `nr_descendants ${descendants(cgroup)}\nnr_dying_descendants 0\n`,
  ),
  {
    name: SUBTREE,
    mode: 0o644,
    read: cgroup => line(givenOn(cgroup)),
    write: changeSubtree,
  },
  enterable(processFile('cgroup.threads', threadIds)),
  stored('cgroup.type', '', 'domain', /^$/),
]

const bytes = (cgroup: Cgroup, kernel: Kernel): string => `${memoryBytes(cgroup, kernel)}\n`
const EVENTS = 'low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n'

const memory: readonly CgroupFile[] = [
  counted('memory.current', '', bytes),
  counted('memory.events', '', () => EVENTS),
  stored('memory.high', '', 'max', LIMIT),
  stored('memory.low', '', '0', LIMIT),
  stored('memory.max', '', 'max', LIMIT),
  stored('memory.min', '', '0', LIMIT),
  stored('memory.oom.group', '', '0', /^[01]$/),
  counted('memory.peak', '', bytes),
  counted(
    'memory.stat',
    '',
    (cgroup, kernel) => `anon ${memoryBytes(cgroup, kernel)}\nfile 0\nkernel 0\nshmem 0\n`,
  ),
  counted('memory.swap.current', '', () => '0\n'),
  stored('memory.swap.max', '', 'max', LIMIT),
]

/** cpu.stat has its times with and without the controller. */
const cpuStat = counted('cpu.stat', '', (cgroup, kernel) => {
  const { user, system } = cpuNs(cgroup, kernel)
  const us = (ns: number) => Math.floor(ns / 1000)
  return (
    `usage_usec ${us(user) + us(system)}\nuser_usec ${us(user)}\nsystem_usec ${us(system)}\n` +
    'nr_periods 0\nnr_throttled 0\nthrottled_usec 0\n'
  )
})

const cpu: readonly CgroupFile[] = [
  stored('cpu.idle', '', '0', /^[01]$/),
  stored('cpu.max', '', 'max 100000', /^(max|\d{4,15})( \d{4,7})?$/),
  stored('cpu.max.burst', '', '0', /^\d{1,15}$/),
  stored('cpu.weight', '', '100', /^([1-9]\d{0,3}|10000)$/),
]

const effective = ({ hierarchy }: Cgroup, kernel: Kernel): string =>
  `${cpuList(kernel.cpus, allotmentWith(kernel, hierarchy.system).cpuset)}\n`

const cpuset: readonly CgroupFile[] = [
  stored('cpuset.cpus', '', '', LIST),
  readOnly('cpuset.cpus.effective', effective),
  stored('cpuset.mems', '', '', LIST),
  readOnly('cpuset.mems.effective', () => '0\n'),
]

const io: readonly CgroupFile[] = [
  stored('io.max', '', '', /^[^\0]*$/),
  counted('io.stat', '', () => ''),
  stored('io.weight', '', 'default 100', /^[^\0]*$/),
]

const CONTROLLERS: Readonly<Record<string, readonly CgroupFile[]>> = {
  memory,
  cpu,
  cpuset,
  io,
  pids: [pidsMax, ...pidsFiles],
}

/** The files of a group: those of the controllers that its parent gives it. */
export function filesV2(cgroup: Cgroup): readonly CgroupFile[] {
  return [...CORE, cpuStat, ...controllersOf(cgroup).flatMap(name => CONTROLLERS[name] ?? [])]
}
