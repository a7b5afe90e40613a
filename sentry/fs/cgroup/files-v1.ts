// Files of version 1 directories. Documentation/admin-guide/cgroup-v1.
// LIMIT: in groups that programs make, only pids.max is enforced; other limits are stored and read back.

import { EINVAL, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import type { Cgroup } from '../../kernel/cgroup.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { allotmentWith } from '../../kernel/limits.ts'
import { cpuList } from '../proc/task-stat.ts'
import {
  type CgroupFile,
  counted,
  cpuNs,
  guarded,
  memoryBytes,
  pidsFiles,
  pidsMax,
  processFile,
  processIds,
  readOnly,
  stored,
  threadIds,
} from './cgroup-file.ts'

/** The largest limit: a multiple of a page below 2^63. */
const NO_LIMIT = '9223372036854771712'
const NS_PER_TICK = 1e7
const NUMBER = /^\d{1,19}$/
const SIGNED = /^-?\d{1,19}$/
const BYTES = /^(-1|\d{1,19}[kKmMgG]?)$/
const LIST = /^[\d,\n-]*$/
const ANY = /^[^\0]*$/

const CORE: readonly CgroupFile[] = [
  stored('cgroup.clone_children', '', '0', /^[01]$/),
  processFile('cgroup.procs', processIds),
  stored('notify_on_release', '', '0', /^[01]$/),
  processFile('tasks', threadIds),
]

const bytes = (cgroup: Cgroup, kernel: Kernel): string => `${memoryBytes(cgroup, kernel)}\n`

const memory: readonly CgroupFile[] = [
  counted('memory.failcnt', 'memory', () => '0\n'),
  limitFile('memory.limit_in_bytes'),
  counted('memory.max_usage_in_bytes', 'memory', bytes),
  counted('memory.oom_control', 'memory', () => 'oom_kill_disable 0\nunder_oom 0\noom_kill 0\n'),
  limitFile('memory.soft_limit_in_bytes'),
  counted('memory.stat', 'memory', memoryStat),
  stored('memory.swappiness', 'memory', '60', /^\d{1,3}$/),
  counted('memory.usage_in_bytes', 'memory', bytes),
  readOnly('memory.use_hierarchy', () => '1\n'),
  ...['failcnt', 'limit_in_bytes', 'max_usage_in_bytes', 'usage_in_bytes'].map(swapFile),
]

/** Limits take suffixes, and -1 for none; they are read back as bytes. */
function limitFile(name: string): CgroupFile {
  const file = stored(name, 'memory', NO_LIMIT, BYTES)
  return {
    ...file,
    write: guarded((cgroup, text, kernel, task) =>
      BYTES.test(text) ? file.write!(cgroup, toBytes(text), kernel, task) : -EINVAL,
    ),
  }
}

function toBytes(text: string): string {
  if (text === '-1') return NO_LIMIT
  const shift = { k: 10n, m: 20n, g: 30n }[text.at(-1)!.toLowerCase()] ?? 0n
  const value = BigInt(text.replace(/\D$/, '')) << shift
  const largest = BigInt(NO_LIMIT)
  return String(value > largest ? largest : value & ~4095n)
}

function swapFile(name: string): CgroupFile {
  const full = `memory.memsw.${name}`
  if (name === 'limit_in_bytes') return limitFile(full)
  return counted(full, 'memory', name === 'failcnt' ? () => '0\n' : bytes)
}

function memoryStat(cgroup: Cgroup, kernel: Kernel): string {
  const rss = memoryBytes(cgroup, kernel)
  const own = `cache 0\nrss ${rss}\nrss_huge 0\nshmem 0\nmapped_file 0\ndirty 0\nwriteback 0\npgfault 0\npgmajfault 0\n`
  const limit = cgroup.settings.get('memory.limit_in_bytes') ?? NO_LIMIT
  return `${own}hierarchical_memory_limit ${limit}\ntotal_cache 0\ntotal_rss ${rss}\n`
}

const allCpus = ({ hierarchy }: Cgroup, kernel: Kernel): string =>
  cpuList(kernel.cpus, allotmentWith(kernel, hierarchy.system).cpuset)

const cpuset: readonly CgroupFile[] = [
  cpusetFile('cpuset.cpus', allCpus),
  readOnly('cpuset.effective_cpus', (cgroup, kernel) => `${allCpus(cgroup, kernel)}\n`),
  readOnly('cpuset.effective_mems', () => '0\n'),
  cpusetFile('cpuset.mems', () => '0'),
]

/** What the host's cpuset allows; a group that was made here starts empty, as Linux has it. */
function cpusetFile(name: string, all: typeof allCpus): CgroupFile {
  const file = stored(name, '', '', LIST)
  return {
    ...file,
    read: (cgroup, kernel, task) =>
      cgroup.parent === null ? `${all(cgroup, kernel)}\n` : file.read!(cgroup, kernel, task),
  }
}

const cpu: readonly CgroupFile[] = [
  stored('cpu.cfs_burst_us', 'cpu', '0', NUMBER),
  stored('cpu.cfs_period_us', 'cpu', '100000', NUMBER),
  stored('cpu.cfs_quota_us', 'cpu', '-1', SIGNED),
  stored('cpu.idle', 'cpu', '0', /^[01]$/),
  stored('cpu.shares', 'cpu', '1024', NUMBER),
  counted('cpu.stat', 'cpu', () => 'nr_periods 0\nnr_throttled 0\nthrottled_time 0\n'),
]

const total = (cgroup: Cgroup, kernel: Kernel): number => {
  const { user, system } = cpuNs(cgroup, kernel)
  return Math.round(user + system)
}

const cpuacct: readonly CgroupFile[] = [
  counted('cpuacct.stat', 'cpuacct', (cgroup, kernel) => {
    const { user, system } = cpuNs(cgroup, kernel)
    return `user ${Math.floor(user / NS_PER_TICK)}\nsystem ${Math.floor(system / NS_PER_TICK)}\n`
  }),
  counted('cpuacct.usage', 'cpuacct', (cgroup, kernel) => `${total(cgroup, kernel)}\n`),
  counted('cpuacct.usage_percpu', 'cpuacct', (cgroup, kernel) => {
    const each = Math.round(total(cgroup, kernel) / kernel.cpus)
    return `${Array.from({ length: kernel.cpus }, () => each).join(' ')} \n`
  }),
  counted(
    'cpuacct.usage_sys',
    'cpuacct',
    (cgroup, kernel) => `${Math.round(cpuNs(cgroup, kernel).system)}\n`,
  ),
  counted(
    'cpuacct.usage_user',
    'cpuacct',
    (cgroup, kernel) => `${Math.round(cpuNs(cgroup, kernel).user)}\n`,
  ),
]

const blkio: readonly CgroupFile[] = [
  counted('blkio.throttle.io_service_bytes', 'blkio', () => 'Total 0\n'),
  counted('blkio.throttle.io_serviced', 'blkio', () => 'Total 0\n'),
  ...['read_bps', 'read_iops', 'write_bps', 'write_iops'].map(name =>
    storedEmpty(`blkio.throttle.${name}_device`, 'blkio'),
  ),
]

/** A file without a line until something is written. */
function storedEmpty(name: string, controller: string): CgroupFile {
  const file = stored(name, controller, '', ANY)
  return {
    ...file,
    read: (cgroup, kernel, task) => {
      const text = file.read!(cgroup, kernel, task)
      return text === '\n' ? '' : text
    },
  }
}

const devices: readonly CgroupFile[] = [
  { name: 'devices.allow', mode: 0o200, read: null, write: guarded(() => 0) },
  { name: 'devices.deny', mode: 0o200, read: null, write: guarded(() => -EOPNOTSUPP) },
  readOnly('devices.list', () => 'a *:* rwm\n'),
]

const freezer: readonly CgroupFile[] = [
  readOnly('freezer.parent_freezing', () => '0\n'),
  readOnly('freezer.self_freezing', () => '0\n'),
  {
    name: 'freezer.state',
    mode: 0o644,
    read: () => 'THAWED\n',
    // LIMIT: groups cannot be frozen.
    write: (_cgroup, text) => (text === 'THAWED' ? 0 : text === 'FROZEN' ? -EOPNOTSUPP : -EINVAL),
  },
]

const CONTROLLERS: Readonly<Record<string, readonly CgroupFile[]>> = {
  memory,
  cpuset,
  cpu,
  cpuacct,
  blkio,
  devices,
  // The root of the freezer has no state.
  freezer,
  pids: [pidsMax, ...pidsFiles],
}

/** The files of a group. */
export function filesV1({ hierarchy }: Cgroup): readonly CgroupFile[] {
  return [...CORE, ...hierarchy.controllers.flatMap(name => CONTROLLERS[name] ?? [])]
}
