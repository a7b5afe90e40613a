// Files of /proc that tell of the whole system: fs/proc/{meminfo,stat,uptime,loadavg,version,…}.c. All of it
// comes from the sandbox's own state; nothing of the host shows.

import { groupCpu } from '../../kernel/accounting.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { allotmentOf } from '../../kernel/limits.ts'
import type { PidNamespace } from '../../kernel/pid-namespace.ts'
import { BLOCKED, RUNNING, type Task } from '../../kernel/task.ts'
import { commitLimitPages, committedPages } from '../../mm/commit.ts'
import { fileSystemNames } from '../../vfs/super.ts'
import { GeneratedFile, type PseudoFs, StaticDirectory } from '../pseudo.ts'
import { cpuinfoText } from './cpuinfo.ts'
import { configGz } from './kernel-config.ts'
import { keysText, keyUsersText } from './keys.ts'
import { locksText } from './locks.ts'
import { usedKb } from './memory-use.ts'
import { msgText, semText, shmText } from './sysvipc.ts'

const NS_PER_TICK = 1e7

/** Put the files into the root of a procfs. */
export function addSystemFiles(root: StaticDirectory, pidNs: PidNamespace): void {
  const { kernel } = root.sb
  const file = (
    name: string,
    read: (kernel: Kernel, reader: Task) => string,
    permissions = 0o444,
  ): void => {
    root.add(name, new GeneratedFile(root.sb, permissions, reader => read(kernel, reader)))
  }
  file('cgroups', cgroupsText)
  file('cmdline', () => '\n')
  root.add('config.gz', new GeneratedFile(root.sb, 0o444, configGz))
  file('cpuinfo', cpuinfoText)
  file('devices', devicesText)
  file('diskstats', () => '')
  file('filesystems', filesystemsText)
  file('execdomains', () => '0-0\tLinux           \t[kernel]\n')
  file('interrupts', interruptsText)
  file('loadavg', loadavgText)
  root.add('meminfo', new GeneratedFile(root.sb, 0o444, meminfoText))
  root.add('key-users', new GeneratedFile(root.sb, 0o444, keyUsersText))
  root.add('keys', new GeneratedFile(root.sb, 0o444, keysText))
  root.add('locks', new GeneratedFile(root.sb, 0o444, () => locksText(pidNs)))
  file('misc', () => '')
  file('modules', () => '')
  file('partitions', () => 'major minor  #blocks  name\n\n')
  file('softirqs', softirqsText)
  file('stat', statText)
  file('swaps', () => 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n')
  file('uptime', uptimeText)
  file('version', versionText)
  root.add('vmstat', new GeneratedFile(root.sb, 0o444, vmstatText))
  const ipc = root.directory('sysvipc')
  for (const [name, read] of Object.entries({ msg: msgText, sem: semText, shm: shmText }))
    ipc.add(name, new GeneratedFile(root.sb, 0o444, reader => read(reader)))
  const tty = root.directory('tty')
  tty.add('drivers', new GeneratedFile(root.sb, 0o444, () => TTY_DRIVERS))
  tty.add('ldiscs', new GeneratedFile(root.sb, 0o444, () => 'n_tty       0\n'))
  root.add('portcullis', sandboxDirectory(root.sb))
}

/** What only this kernel has: /proc/portcullis. */
function sandboxDirectory(sb: PseudoFs): StaticDirectory {
  const directory = new StaticDirectory(sb)
  directory.add('platform', new GeneratedFile(sb, 0o444, () => `${sb.kernel.platform.name}\n`))
  return directory
}

/** The controllers, and the hierarchy of each. */
function cgroupsText({ cgroups }: Kernel): string {
  const lines = cgroups.hierarchies.flatMap(({ controllers, id, count }) =>
    controllers.map(name => `${name}\t${id}\t${count}\t1\n`),
  )
  return `#subsys_name\thierarchy\tnum_cgroups\tenabled\n${lines.join('')}`
}

/** Types with a device would stand without "nodev"; there are none. */
function filesystemsText(): string {
  return fileSystemNames()
    .map(name => `nodev\t${name}\n`)
    .join('')
}

function devicesText(): string {
  return (
    'Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n128 ptm\n136 pts\n\n' +
    'Block devices:\n'
  )
}

/** As ps(1) reads it, to name terminals by their numbers. */
const TTY_DRIVERS = [
  '/dev/tty             /dev/tty        5       0 system:/dev/tty',
  '/dev/console         /dev/console    5       1 system:console',
  '/dev/ptmx            /dev/ptmx       5       2 system',
  'pty_slave            /dev/pts      136 0-1048575 pty:slave',
  'pty_master           /dev/ptm      128 0-1048575 pty:master',
  '',
].join('\n')

const SOFTIRQS = [
  'HI',
  'TIMER',
  'NET_TX',
  'NET_RX',
  'BLOCK',
  'IRQ_POLL',
  'TASKLET',
  'SCHED',
  'HRTIMER',
  'RCU',
]

/** Interrupts are the host's: none have come. */
function softirqsText({ cpus }: Kernel): string {
  let text = '                    '
  for (let cpu = 0; cpu < cpus; cpu++) text += `CPU${`${cpu}`.padEnd(8)}`
  text += '\n'
  for (const name of SOFTIRQS) {
    text += `${name.padStart(12)}:`
    for (let cpu = 0; cpu < cpus; cpu++) text += ` ${'0'.padStart(10)}`
    text += '\n'
  }
  return text
}

/** The header alone: programs have no interrupts. */
function interruptsText(kernel: Kernel): string {
  let header = '           '
  for (let cpu = 0; cpu < kernel.cpus; cpu++) header += `CPU${cpu}       `
  return `${header.trimEnd()}\n`
}

function loadavgText(kernel: Kernel, reader: Task): string {
  const { running, total } = countTasks(kernel)
  const averages = kernel.load.update(kernel).map(value => value.toFixed(2))
  return `${averages.join(' ')} ${running}/${total} ${reader.pidNs.lastPid}\n`
}

function countTasks(kernel: Kernel): { running: number; blocked: number; total: number } {
  let running = 0
  let blocked = 0
  for (const task of kernel.tasks) {
    if (task.state === RUNNING) running++
    else if (task.state === BLOCKED && task.unsignalable) blocked++
  }
  return { running: Math.max(running, 1), blocked, total: kernel.tasks.size }
}

const memLine = (name: string, kb: number): string =>
  `${`${name}:`.padEnd(16)}${`${Math.floor(kb)}`.padStart(8)} kB\n`

/** As free(1) and the runtimes of languages read it; field order is Linux's. */
function meminfoText(reader: Task): string {
  const { memoryBytes } = allotmentOf(reader.group)
  const total = memoryBytes / 1024
  const used = usedKb(reader, memoryBytes)
  const free = total - used
  const rows: [string, number][] = [
    ['MemTotal', total],
    ['MemFree', free],
    ['MemAvailable', free],
    ['Buffers', 0],
    ['Cached', 0],
    ['SwapCached', 0],
    ['Active', used],
    ['Inactive', 0],
    ['Active(anon)', used],
    ['Inactive(anon)', 0],
    ['Active(file)', 0],
    ['Inactive(file)', 0],
    ['Unevictable', 0],
    ['Mlocked', 0],
    ['SwapTotal', 0],
    ['SwapFree', 0],
    ['Dirty', 0],
    ['Writeback', 0],
    ['AnonPages', used],
    ['Mapped', 0],
    ['Shmem', 0],
    ['KReclaimable', 0],
    ['Slab', 0],
    ['SReclaimable', 0],
    ['SUnreclaim', 0],
    ['KernelStack', 0],
    ['PageTables', 0],
    ['SecPageTables', 0],
    ['NFS_Unstable', 0],
    ['Bounce', 0],
    ['WritebackTmp', 0],
    ['CommitLimit', commitLimitPages(reader.kernel) * 4],
    ['Committed_AS', committedPages(reader.kernel) * 4],
    ['VmallocTotal', 34359738367],
    ['VmallocUsed', 0],
    ['VmallocChunk', 0],
    ['Percpu', 0],
    ['AnonHugePages', 0],
    ['ShmemHugePages', 0],
    ['ShmemPmdMapped', 0],
    ['FileHugePages', 0],
    ['FilePmdMapped', 0],
  ]
  let text = ''
  for (const [name, kb] of rows) text += memLine(name, kb)
  for (const name of ['Total', 'Free', 'Rsvd', 'Surp']) text += `HugePages_${name}:       0\n`
  return `${text}${memLine('Hugepagesize', 2048)}${memLine('Hugetlb', 0)}`
}

interface CpuUse {
  userTicks: number
  systemTicks: number
  idleTicks: number
}

/** CPU time of all processes that are there or have been reaped by one that is. */
function cpuUse(kernel: Kernel): CpuUse {
  let userNs = 0
  let systemNs = 0
  for (const group of kernel.groups) {
    const used = groupCpu(group)
    userNs += used.userNs
    systemNs += used.systemNs
  }
  const { init } = kernel
  if (init !== undefined) {
    userNs += init.childUtimeNs
    systemNs += init.childStimeNs
  }
  const allNs = (kernel.clock.monotonicNs() - kernel.bootNs) * kernel.cpus
  return {
    userTicks: Math.floor(userNs / NS_PER_TICK),
    systemTicks: Math.floor(systemNs / NS_PER_TICK),
    idleTicks: Math.max(0, Math.floor((allNs - userNs - systemNs) / NS_PER_TICK)),
  }
}

const wallClock = { sec: 0, nsec: 0 }

function statText(kernel: Kernel): string {
  const { userTicks, systemTicks, idleTicks } = cpuUse(kernel)
  let text = `cpu  ${userTicks} 0 ${systemTicks} ${idleTicks} 0 0 0 0 0 0\n`
  for (let cpu = 0; cpu < kernel.cpus; cpu++) {
    // Which CPU ran what is the host's business: each gets an equal share.
    const share = (ticks: number) => Math.floor(ticks / kernel.cpus)
    text += `cpu${cpu} ${share(userTicks)} 0 ${share(systemTicks)} ${share(idleTicks)} 0 0 0 0 0 0\n`
  }
  kernel.clock.realtime(wallClock)
  const uptimeSec = (kernel.clock.monotonicNs() - kernel.bootNs) / 1e9
  const bootTime = Math.floor(wallClock.sec + wallClock.nsec / 1e9 - uptimeSec)
  const { running, blocked } = countTasks(kernel)
  return (
    `${text}intr 0\nctxt 0\nbtime ${bootTime}\nprocesses ${kernel.namespaces.pidForChildren.lastPid}\nprocs_running ${running}\n` +
    `procs_blocked ${blocked}\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n`
  )
}

function uptimeText(kernel: Kernel): string {
  const uptime = (kernel.clock.monotonicNs() - kernel.bootNs) / 1e9
  return `${uptime.toFixed(2)} ${(cpuUse(kernel).idleTicks / 100).toFixed(2)}\n`
}

function versionText(kernel: Kernel): string {
  const { sysname, release, version } = kernel.system
  return `${sysname} version ${release} (portcullis) ${version}\n`
}

const VMSTAT_ZEROS = [
  'nr_dirty',
  'nr_writeback',
  'nr_mapped',
  'nr_slab_reclaimable',
  'nr_slab_unreclaimable',
  'pgpgin',
  'pgpgout',
  'pswpin',
  'pswpout',
  'pgfault',
  'pgmajfault',
  'pgfree',
  'pgsteal_kswapd',
  'pgscan_kswapd',
  'oom_kill',
]

function vmstatText(reader: Task): string {
  const { memoryBytes } = allotmentOf(reader.group)
  const freePages = Math.floor((memoryBytes / 1024 - usedKb(reader, memoryBytes)) / 4)
  return `nr_free_pages ${freePages}\n${VMSTAT_ZEROS.map(name => `${name} 0\n`).join('')}`
}
