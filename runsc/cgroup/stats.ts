// What a container has used, in the form of `runc events`: read from the files of its cgroup.

import type { ContainerCgroup } from './container-cgroup.ts'
import { parseList } from './cpu-list.ts'
import { readNumber, readTable, readText } from './files.ts'

/** No limit, as version 1 has it: the largest multiple of a page. */
const UNLIMITED = 2 ** 63 - 4096
const TICK_NS = 1e7

export interface MemoryUse {
  limit: number
  usage: number
  max: number
  failcnt: number
}

interface BlkioEntry {
  major: number
  minor: number
  op: string
  value: number
}

/** The "data" of a "stats" event. `tasks` is the number that the sentry counts, when it can be asked. */
export function readStats(cgroup: ContainerCgroup, tasks: number | null): Record<string, unknown> {
  const read = cgroup.version === 1 ? readV1(cgroup.paths) : readV2(cgroup.paths['']!)
  const { limit } = cgroup.resources.pids ?? {}
  return {
    ...read,
    pids: {
      current: tasks ?? read.hostTasks,
      ...(limit !== undefined && limit > 0 ? { limit } : {}),
    },
    hostTasks: undefined,
    intel_rdt: {},
    network_interfaces: null,
  }
}

type Paths = Readonly<Record<string, string>>

function readV1(paths: Paths) {
  const { memory = '', cpu = '', cpuacct = '', cpuset = '', blkio = '', pids = '' } = paths
  const ticks = readTable(cpuacct, 'cpuacct.stat')
  const perCpu = (readText(cpuacct, 'cpuacct.usage_all') ?? '').trim().split('\n').slice(1)
  const column = (i: number) => perCpu.map(line => Number(line.split(' ')[i]))
  const bandwidth = readTable(cpu, 'cpu.stat')
  return {
    cpu: {
      usage: {
        total: readNumber(cpuacct, 'cpuacct.usage'),
        percpu: numbers(readText(cpuacct, 'cpuacct.usage_percpu')),
        percpu_kernel: column(2),
        percpu_user: column(1),
        kernel: (ticks.system ?? 0) * TICK_NS,
        user: (ticks.user ?? 0) * TICK_NS,
      },
      throttling: throttling(bandwidth, bandwidth.throttled_time ?? 0),
    },
    cpuset: cpusetV1(cpuset),
    memory: memoryV1(memory),
    hostTasks: readNumber(pids, 'pids.current'),
    blkio: blkioV1(blkio),
    hugetlb: {},
  }
}

const numbers = (text: string | null) =>
  (text ?? '').trim().split(/\s+/).filter(Boolean).map(Number)

/** As Go's "omitempty" leaves them out. */
function throttling(stat: Record<string, number>, throttledNs: number): Record<string, number> {
  const { nr_periods: periods = 0, nr_throttled: throttledPeriods = 0 } = stat
  const all = { periods, throttledPeriods, throttledTime: throttledNs }
  return Object.fromEntries(Object.entries(all).filter(([, n]) => n !== 0))
}

const CPUSET_FLAGS = [
  'cpu_exclusive',
  'mem_hardwall',
  'mem_exclusive',
  'memory_migrate',
  'memory_spread_page',
  'memory_spread_slab',
  'memory_pressure',
  'sched_load_balance',
  'sched_relax_domain_level',
]

function cpusetV1(path: string): Record<string, unknown> {
  const flags = CPUSET_FLAGS.map(name => [name, readNumber(path, `cpuset.${name}`)] as const)
  return {
    cpus: parseList(readText(path, 'cpuset.cpus') ?? ''),
    mems: parseList(readText(path, 'cpuset.mems') ?? ''),
    ...Object.fromEntries(flags),
  }
}

function memoryV1(path: string): Record<string, unknown> {
  const use = (prefix: string): MemoryUse => ({
    limit: readNumber(path, `${prefix}.limit_in_bytes`, UNLIMITED),
    usage: readNumber(path, `${prefix}.usage_in_bytes`),
    max: readNumber(path, `${prefix}.max_usage_in_bytes`),
    failcnt: readNumber(path, `${prefix}.failcnt`),
  })
  const raw = readTable(path, 'memory.stat')
  return {
    cache: raw.cache ?? 0,
    usage: use('memory'),
    swap: use('memory.memsw'),
    kernel: use('memory.kmem'),
    kernelTCP: use('memory.kmem.tcp'),
    raw,
  }
}

/** The counters of the scheduler that the host has, or else of throttling, which sees all requests too. */
function blkioV1(path: string): Record<string, BlkioEntry[]> {
  const counters = (...files: string[]) => {
    for (const file of files) {
      const entries = blkioEntries(readText(path, file) ?? '')
      if (entries.length > 0) return entries
    }
    return []
  }
  const all = {
    ioServiceBytesRecursive: counters(
      'blkio.bfq.io_service_bytes_recursive',
      'blkio.throttle.io_service_bytes_recursive',
    ),
    ioServicedRecursive: counters(
      'blkio.bfq.io_serviced_recursive',
      'blkio.throttle.io_serviced_recursive',
    ),
  }
  return Object.fromEntries(Object.entries(all).filter(([, entries]) => entries.length > 0))
}

function blkioEntries(text: string): BlkioEntry[] {
  return text.split('\n').flatMap(line => {
    const match = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line)
    if (match === null) return []
    const [, major, minor, op, value] = match
    return [{ major: Number(major), minor: Number(minor), op: op!, value: Number(value) }]
  })
}

function readV2(path: string) {
  const cpu = readTable(path, 'cpu.stat')
  return {
    cpu: {
      usage: {
        total: (cpu.usage_usec ?? 0) * 1000,
        kernel: (cpu.system_usec ?? 0) * 1000,
        user: (cpu.user_usec ?? 0) * 1000,
      },
      throttling: throttling(cpu, (cpu.throttled_usec ?? 0) * 1000),
    },
    cpuset: {
      cpus: parseList(readText(path, 'cpuset.cpus.effective') ?? ''),
      mems: parseList(readText(path, 'cpuset.mems.effective') ?? ''),
    },
    memory: memoryV2(path),
    hostTasks: readNumber(path, 'pids.current'),
    blkio: blkioV2(readText(path, 'io.stat') ?? ''),
    hugetlb: {},
  }
}

function memoryV2(path: string): Record<string, unknown> {
  const raw = readTable(path, 'memory.stat')
  const events = readTable(path, 'memory.events')
  const limit = readNumber(path, 'memory.max', UNLIMITED)
  const swapLimit = readNumber(path, 'memory.swap.max', UNLIMITED)
  const usage = readNumber(path, 'memory.current')
  const swap = readNumber(path, 'memory.swap.current')
  return {
    cache: raw.file ?? 0,
    usage: { limit, usage, max: readNumber(path, 'memory.peak'), failcnt: events.max ?? 0 },
    // Memory and swap together, as in version 1.
    swap: {
      limit: Math.min(limit + swapLimit, UNLIMITED),
      usage: usage + swap,
      max: 0,
      failcnt: 0,
    },
    kernel: { limit: UNLIMITED, usage: raw.kernel ?? 0, max: 0, failcnt: 0 },
    kernelTCP: { limit: UNLIMITED, usage: raw.sock ?? 0, max: 0, failcnt: 0 },
    raw,
  }
}

/** Lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …". */
function blkioV2(text: string): Record<string, BlkioEntry[]> {
  const bytes: BlkioEntry[] = []
  const requests: BlkioEntry[] = []
  for (const line of text.split('\n')) {
    const match = /^(\d+):(\d+) (.*)$/.exec(line)
    if (match === null) continue
    const device = { major: Number(match[1]), minor: Number(match[2]) }
    for (const field of match[3]!.split(' ')) {
      const [key = '', value = '0'] = field.split('=')
      const op = key.startsWith('r') ? 'Read' : 'Write'
      const list = /^[rw]bytes$/.test(key) ? bytes : /^[rw]ios$/.test(key) ? requests : null
      list?.push({ ...device, op, value: Number(value) })
    }
  }
  const all = { ioServiceBytesRecursive: bytes, ioServicedRecursive: requests }
  return Object.fromEntries(Object.entries(all).filter(([, entries]) => entries.length > 0))
}

/** How often the host killed a process of the container for lack of memory. */
export function oomKills(cgroup: ContainerCgroup): number {
  const { version, paths } = cgroup
  return version === 1
    ? (readTable(paths.memory ?? '', 'memory.oom_control').oom_kill ?? 0)
    : (readTable(paths['']!, 'memory.events').oom_kill ?? 0)
}
