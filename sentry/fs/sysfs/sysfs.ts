// sysfs: the few parts that programs ask: CPUs, memory nodes, huge pages, network devices. There are no
// other devices.

import { SYSFS_MAGIC } from '../../../syscall-table/flags.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Task } from '../../kernel/task.ts'
import type { HostNetwork } from '../../net/host/network.ts'
import { registerFileSystem } from '../../vfs/super.ts'
import { cpuList, cpuMask } from '../proc/task-stat.ts'
import { PseudoFs, PseudoLink, StaticDirectory } from '../pseudo.ts'
import { SysfsFile } from './file.ts'
import { addHostNetwork } from './host-network.ts'

type Text = (kernel: Kernel) => string

function addFile(directory: StaticDirectory, name: string, text: Text): void {
  const { sb } = directory
  directory.add(name, new SysfsFile(sb, 0o444, () => `${text(sb.kernel)}\n`))
}

function addLink(directory: StaticDirectory, name: string, target: string): void {
  directory.add(name, new PseudoLink(directory.sb, () => target))
}

/** The directory at `path` below `from`. */
function at(from: StaticDirectory, path: string): StaticDirectory {
  let directory = from
  for (const name of path.split('/')) directory = directory.directory(name)
  return directory
}

const allCpus: Text = kernel => cpuList(kernel.cpus, null)

/** /sys/devices/system/cpu: what sysconf(3), lscpu(1) and language runtimes read. */
function addCpus(root: StaticDirectory): void {
  const { kernel } = root.sb
  const cpus = at(root, 'devices/system/cpu')
  for (const name of ['online', 'possible', 'present']) addFile(cpus, name, allCpus)
  addFile(cpus, 'offline', () => '')
  addFile(cpus, 'isolated', () => '')
  addFile(cpus, 'kernel_max', ({ cpus: count }) => `${count - 1}`)
  addFile(at(cpus, 'smt'), 'active', () => '0')
  addFile(at(cpus, 'smt'), 'control', () => 'notsupported')
  for (let cpu = 0; cpu < kernel.cpus; cpu++) {
    const directory = at(cpus, `cpu${cpu}`)
    addLink(directory, 'node0', '../../node/node0')
    // The boot CPU cannot be taken offline and so has no such file.
    if (cpu > 0) addFile(directory, 'online', () => '1')
    addTopology(at(directory, 'topology'), cpu)
  }
}

function addTopology(topology: StaticDirectory, cpu: number): void {
  const own = (width: number): Uint8Array =>
    Uint8Array.from({ length: width }, (_, i) => Number(i === cpu))
  addFile(topology, 'core_id', () => `${cpu}`)
  addFile(topology, 'physical_package_id', () => '0')
  addFile(topology, 'die_id', () => '0')
  for (const name of ['core_cpus', 'thread_siblings']) {
    addFile(topology, name, kernel => cpuMask(kernel.cpus, own(kernel.cpus)))
    addFile(topology, `${name}_list`, () => `${cpu}`)
  }
  for (const name of ['package_cpus', 'core_siblings']) {
    addFile(topology, name, kernel => cpuMask(kernel.cpus, null))
    addFile(topology, `${name}_list`, allCpus)
  }
}

/** /sys/devices/system/node: one node with all CPUs and all memory. */
function addNodes(root: StaticDirectory): void {
  const { kernel } = root.sb
  const nodes = at(root, 'devices/system/node')
  for (const name of ['online', 'possible', 'has_cpu', 'has_memory', 'has_normal_memory']) {
    addFile(nodes, name, () => '0')
  }
  const node = at(nodes, 'node0')
  addFile(node, 'cpulist', allCpus)
  addFile(node, 'cpumap', ({ cpus }) => cpuMask(cpus, null))
  addFile(node, 'distance', () => '10')
  const kib = (name: string, value: number): string =>
    `Node 0 ${`${name}:`.padEnd(15)} ${`${value}`.padStart(8)} kB`
  const total = Math.floor(kernel.memoryBytes / 1024)
  addFile(node, 'meminfo', () =>
    [kib('MemTotal', total), kib('MemFree', total), kib('MemUsed', 0)].join('\n'),
  )
  for (let cpu = 0; cpu < kernel.cpus; cpu++) addLink(node, `cpu${cpu}`, `../../cpu/cpu${cpu}`)
}

function addKernel(root: StaticDirectory): void {
  const huge = at(root, 'kernel/mm/transparent_hugepage')
  addFile(huge, 'enabled', () => 'always [madvise] never')
  addFile(huge, 'defrag', () => 'always defer defer+madvise [madvise] never')
  addFile(huge, 'shmem_enabled', () => 'always within_size advise [never] deny force')
  addFile(huge, 'hpage_pmd_size', () => '2097152')
  addFile(huge, 'use_zero_page', () => '1')
  at(root, 'kernel/mm/hugepages')
  at(root, 'kernel/security')
  at(root, 'kernel/debug')
}

/** /sys/class/net/lo: the loopback interface as ip(8) and ethtool(8) find it. */
function addNetwork(root: StaticDirectory, host: HostNetwork | null): void {
  if (host !== null) return addHostNetwork(host, at(root, 'devices/virtual'), at(root, 'class'))
  const lo = at(root, 'devices/virtual/net/lo')
  const values: Record<string, string> = {
    addr_assign_type: '0',
    addr_len: '6',
    address: '00:00:00:00:00:00',
    broadcast: '00:00:00:00:00:00',
    carrier: '1',
    dev_id: '0x0',
    dormant: '0',
    flags: '0x9',
    ifalias: '',
    ifindex: '1',
    iflink: '1',
    link_mode: '0',
    mtu: '65536',
    operstate: 'unknown',
    tx_queue_len: '1000',
    type: '772',
  }
  for (const [name, value] of Object.entries(values)) addFile(lo, name, () => value)
  const statistics = at(lo, 'statistics')
  for (const direction of ['rx', 'tx']) {
    for (const what of ['bytes', 'packets', 'errors', 'dropped'])
      addFile(statistics, `${direction}_${what}`, () => '0')
  }
  addLink(lo, 'subsystem', '../../../../class/net')
  addLink(at(root, 'class/net'), 'lo', '../../devices/virtual/net/lo')
}

/** A new sysfs over the kernel's state. */
export function mountSysfs(
  kernel: Kernel,
  task: Task | null,
  _source: string,
  _data: string,
): PseudoFs {
  // As in Linux, it is of the network namespace of whoever mounts it.
  const { host } = task?.nsproxy.net ?? kernel.namespaces.net
  // Interfaces of the host come and go.
  const fs = new PseudoFs(kernel, 'sysfs', SYSFS_MAGIC, host === null)
  const root = new StaticDirectory(fs)
  fs.root = root
  for (const name of [
    'block',
    'bus',
    'class',
    'dev/block',
    'dev/char',
    'devices',
    'firmware',
    'fs',
    'module',
    'power',
  ]) {
    at(root, name)
  }
  // Where cgroup file systems are mounted.
  at(root, 'fs/cgroup')
  addCpus(root)
  addNodes(root)
  addKernel(root)
  addNetwork(root, host)
  return fs
}

registerFileSystem('sysfs', mountSysfs)
