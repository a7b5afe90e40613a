// /proc/sys: the tunables that programs look for. proc_sys_kernel(5), proc_sys_fs(5), proc_sys_vm(5). Only what
// has an effect can be written; everything else has the value that is in force.

import { EACCES, EINVAL, ENOENT, EPERM } from '../../../syscall-table/errno.ts'
import {
  CAP_LAST_CAP,
  CAP_SYS_RESOURCE,
  O_ACCMODE,
  O_RDONLY,
  O_WRONLY,
  PAGE_SIZE,
  SEMMSL,
} from '../../../syscall-table/flags.ts'
import { IPCMNI } from '../../ipc/ids.ts'
import type { IpcLimits } from '../../ipc/namespace.ts'
import { NR_OPEN } from '../../kernel/fdtable.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { NAMESPACE_FLAGS, NAMESPACES_MAX, type NamespaceType } from '../../kernel/namespace.ts'
import { PID_MAX } from '../../kernel/pid-namespace.ts'
import { randomBytes } from '../../kernel/random.ts'
import type { Task } from '../../kernel/task.ts'
import type { FileOps } from '../../vfs/file.ts'
import type { MqueueLimits } from '../mqueue/limits.ts'
import { PIPE_MAX_SIZE } from '../pipe.ts'
import {
  GeneratedFile,
  type Polled,
  type PseudoFs,
  type StaticDirectory,
  valuePolled,
} from '../pseudo.ts'
import { FIXED } from './sysctl-fixed.ts'
import { KERNEL, VM } from './sysctl-kernel.ts'
import {
  integer,
  line,
  numberRow,
  type Row,
  type Store,
  type Value,
  type Watched,
} from './sysctl-values.ts'

/** A tunable. Reading-only ones refuse even root at open, as proc_sys_permission does. */
class SysctlFile extends GeneratedFile {
  readonly #readable: boolean
  readonly #writable: boolean
  readonly #watched: Watched | undefined

  constructor(sb: PseudoFs, value: Value, store: Store | null, watched?: Watched) {
    const { kernel } = sb
    super(
      sb,
      value === null ? 0o200 : store === null ? 0o444 : 0o644,
      reader => `${typeof value === 'function' ? value(kernel, reader) : value}\n`,
      store,
    )
    this.#readable = value !== null
    this.#writable = store !== null
    this.#watched = watched
  }

  protected override polled(task: Task): Polled | null {
    return this.#watched === undefined ? super.polled(task) : valuePolled(this.#watched(task))
  }

  override open(task: Task, flags: number): FileOps | number {
    const mode = flags & O_ACCMODE
    if (mode !== O_RDONLY && !this.#writable) return -EACCES
    if (mode !== O_WRONLY && !this.#readable) return -EACCES
    return super.open(task, flags)
  }
}

/** __NEW_UTS_LEN. */
const UTS_LENGTH = 64

const storeHostname: Store = (text, task) => {
  task.nsproxy.uts.setNodename(line(text).slice(0, UTS_LENGTH))
  return 0
}

const storeDomainname: Store = (text, task) => {
  task.nsproxy.uts.setDomainname(line(text).slice(0, UTS_LENGTH))
  return 0
}

const PORT_MAX = 65535
const INT_MAX = 2 ** 31 - 1
const GID_MAX = 2 ** 32 - 2

const storePortStart: Store = (text, { kernel: { tunables } }) => {
  const port = integer(text, 0, PORT_MAX)
  if (port < 0) return port
  tunables.unprivilegedPortStart = port
  return 0
}

const storeSomaxconn: Store = (text, { kernel: { tunables } }) => {
  const length = integer(text, 0, INT_MAX)
  if (length < 0) return length
  tunables.somaxconn = length
  return 0
}

/** ipv4_local_port_range: both ends, or the first alone. */
const storePortRange: Store = (text, { kernel: { tunables } }) => {
  const words = line(text).trim().split(/\s+/)
  const [first = -1, last = tunables.localPortLast] = words.map(word => integer(word, 1, PORT_MAX))
  if (words.length > 2 || first < 0 || last < first) return -EINVAL
  tunables.localPortFirst = first
  tunables.localPortLast = last
  return 0
}

/** ipv4_ping_group_range: a first that is above the last stands for nobody. */
const storePingGroups: Store = (text, { kernel: { tunables } }) => {
  const words = line(text).trim().split(/\s+/)
  const [first = -1, last = -1] = words.map(word => integer(word, 0, GID_MAX))
  if (words.length !== 2 || first < 0 || last < 0) return -EINVAL
  tunables.pingGroupFirst = first > last ? 1 : first
  tunables.pingGroupLast = first > last ? 0 : last
  return 0
}

/** A random UUID, version 4. */
function uuid(): string {
  const bytes = new Uint8Array(16)
  randomBytes(bytes, 0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = Buffer.from(bytes).toString('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-')
}

const bootIds = new WeakMap<Kernel, string>()

/** The same for the whole life of a sandbox. */
function bootId(kernel: Kernel): string {
  let id = bootIds.get(kernel)
  if (id === undefined) {
    id = uuid()
    bootIds.set(kernel, id)
  }
  return id
}

const openFiles = (kernel: Kernel): number => {
  const tables = new Set([...kernel.tasks].map(task => task.files))
  let n = 0
  for (const table of tables) n += table.fds().length
  return n
}

/** user/max_*_namespaces: the limits of the reader's user namespace. */
function namespaceLimit(type: NamespaceType): [string, Value, Store] {
  return [
    `max_${type}_namespaces`,
    (_kernel, { creds }) => creds.userNs.limits[type],
    (text, { creds }) => {
      if (!creds.holds(CAP_SYS_RESOURCE)) return -EPERM
      const number = line(text).trim()
      if (!/^[0-9]{1,9}$/.test(number)) return -EINVAL
      creds.userNs.limits[type] = Math.min(Number(number), NAMESPACES_MAX)
      return 0
    },
  ]
}

/** Half of what Linux allows for this much memory, as it computes it: a thread for each 128 KiB. */
const threadsMax = (kernel: Kernel): number =>
  Math.min(PID_MAX, Math.max(20, Math.floor(kernel.memoryBytes / (8 * 16384))))

const mqueueLimits = ({ nsproxy }: Task): MqueueLimits => nsproxy.ipc.mqueueLimits

const ipcLimits = ({ nsproxy }: Task): IpcLimits => nsproxy.ipc.limits

const semLimits = (_kernel: Kernel, reader: Task): string => {
  const { semmsl, semmns, semopm, semmni } = ipcLimits(reader)
  return `${semmsl}\t${semmns}\t${semopm}\t${semmni}`
}

/** Four numbers; those that are missing stay as they are. */
const storeSemLimits: Store = (text, writer) => {
  const words = line(text).trim().split(/\s+/)
  if (words.length > 4 || !words.every(word => /^\d{1,10}$/.test(word))) return -EINVAL
  const limits = ipcLimits(writer)
  const [semmsl, semmns, semopm, semmni] = words.map(Number)
  // What one call copies at once has to fit into a buffer of the kernel.
  if (semmsl !== undefined && semmsl > SEMMSL) return -EINVAL
  if (semopm !== undefined && semopm > SEMOPM_MAX) return -EINVAL
  if (semmni !== undefined && semmni > IPCMNI) return -EINVAL
  limits.semmsl = semmsl ?? limits.semmsl
  limits.semmns = semmns ?? limits.semmns
  limits.semopm = semopm ?? limits.semopm
  limits.semmni = semmni ?? limits.semmni
  return 0
}

const SEMOPM_MAX = 10_000

const FILE_MAX = '9223372036854775807'

/** A power of two of at least a page: round_pipe_size. */
const storePipeMaxSize: Store = (text, { kernel }) => {
  const wanted = integer(text, 0, PIPE_MAX_SIZE)
  if (wanted < 0) return wanted
  let size = PAGE_SIZE
  while (size < wanted) size *= 2
  kernel.tunables.pipeMaxSize = size
  return 0
}

/** Directory, then name, value and, when it can be written, what writing does. */
const OWN: Record<string, readonly Row[]> = {
  kernel: [
    ...KERNEL,
    ['arch', kernel => kernel.system.machine],
    ['cap_last_cap', CAP_LAST_CAP],
    [
      'domainname',
      (_kernel, { nsproxy }) => nsproxy.uts.domainname,
      storeDomainname,
      ({ nsproxy }) => nsproxy.uts.domainnameChanges,
    ],
    [
      'hostname',
      (_kernel, { nsproxy }) => nsproxy.uts.nodename,
      storeHostname,
      ({ nsproxy }) => nsproxy.uts.nodenameChanges,
    ],
    ['io_uring_disabled', 2],
    ['kptr_restrict', 2],
    // The largest message passes through a buffer of the kernel.
    numberRow('msgmax', ipcLimits, 'msgmax', 1 << 19),
    numberRow('msgmnb', ipcLimits, 'msgmnb'),
    numberRow('msgmni', ipcLimits, 'msgmni', IPCMNI),
    ['ngroups_max', 65536],
    ['osrelease', kernel => kernel.system.release],
    ['ostype', kernel => kernel.system.sysname],
    ['overflowgid', 65534],
    ['overflowuid', 65534],
    ['panic', 0],
    ['panic_on_oops', 0],
    ['perf_event_paranoid', 3],
    ['sem', semLimits, storeSemLimits],
    numberRow('shmall', ipcLimits, 'shmall', 2 ** 64),
    numberRow('shmmax', ipcLimits, 'shmmax', 2 ** 64),
    numberRow('shmmni', ipcLimits, 'shmmni', IPCMNI),
    ['shm_rmid_forced', 0],
    ['tainted', 0],
    ['threads-max', threadsMax],
    ['unprivileged_bpf_disabled', 2],
    ['version', kernel => kernel.system.version],
  ],
  'kernel/random': [
    ['boot_id', bootId],
    ['entropy_avail', 256],
    ['poolsize', 256],
    ['urandom_min_reseed_secs', 60],
    ['uuid', uuid],
    ['write_wakeup_threshold', 256],
  ],
  'kernel/seccomp': [
    ['actions_avail', 'kill_process kill_thread trap errno user_notif trace log allow'],
  ],
  'kernel/pty': [
    ['max', 4096],
    ['reserve', 0],
  ],
  fs: [
    numberRow('aio-max-nr', ({ kernel }) => kernel.aio, 'most', 1 << 20),
    numberRow('lease-break-time', ({ kernel }) => kernel.tunables, 'leaseBreakTime', 0x7fffffff),
    ['aio-nr', kernel => kernel.aio.used],
    ['file-max', FILE_MAX],
    ['file-nr', kernel => `${openFiles(kernel)}\t0\t${FILE_MAX}`],
    ['mount-max', 100000],
    ['nr_open', NR_OPEN],
    ['overflowgid', 65534],
    ['overflowuid', 65534],
    ['pipe-max-size', kernel => kernel.tunables.pipeMaxSize, storePipeMaxSize],
    ['pipe-user-pages-hard', 0],
    ['pipe-user-pages-soft', 16384],
    numberRow('protected_fifos', ({ kernel }) => kernel.tunables, 'protectedFifos', 2),
    numberRow('protected_hardlinks', ({ kernel }) => kernel.tunables, 'protectedHardlinks', 1),
    numberRow('protected_regular', ({ kernel }) => kernel.tunables, 'protectedRegular', 2),
    numberRow('protected_symlinks', ({ kernel }) => kernel.tunables, 'protectedSymlinks', 1),
    ['suid_dumpable', 0],
  ],
  'fs/epoll': [['max_user_watches', 1048576]],
  'fs/inotify': [
    numberRow('max_queued_events', ({ kernel }) => kernel.inotify, 'queuedEvents'),
    numberRow('max_user_instances', ({ kernel }) => kernel.inotify, 'instances'),
    numberRow('max_user_watches', ({ kernel }) => kernel.inotify, 'watches'),
  ],
  'fs/mqueue': [
    numberRow('msg_default', mqueueLimits, 'messagesDefault', 65536),
    numberRow('msg_max', mqueueLimits, 'messages', 65536),
    numberRow('msgsize_default', mqueueLimits, 'messageSizeDefault', 16 << 20),
    numberRow('msgsize_max', mqueueLimits, 'messageSize', 16 << 20),
    numberRow('queues_max', mqueueLimits, 'queues'),
  ],
  user: (Object.keys(NAMESPACE_FLAGS) as NamespaceType[]).map(namespaceLimit),
  vm: [
    ...VM,
    ['min_free_kbytes', 0],
    ['mmap_min_addr', kernel => kernel.platform.minAddr],
    ['nr_hugepages', 0],
    ['page-cluster', 0],
    ['unprivileged_userfaultfd', 0],
  ],
  'net/core': [
    ['default_qdisc', 'noqueue'],
    ['netdev_max_backlog', 1000],
    ['optmem_max', 131072],
    ['rmem_default', 212992],
    ['rmem_max', 212992],
    ['somaxconn', kernel => kernel.tunables.somaxconn, storeSomaxconn],
    ['wmem_default', 212992],
    ['wmem_max', 212992],
  ],
  'net/unix': [['max_dgram_qlen', 10]],
  'net/ipv4': [
    numberRow('ip_forward', ({ kernel }) => kernel.tunables, 'ipForward'),
    [
      'ip_local_port_range',
      ({ tunables }) => `${tunables.localPortFirst}\t${tunables.localPortLast}`,
      storePortRange,
    ],
    ['ip_local_reserved_ports', ''],
    ['ip_nonlocal_bind', 0],
    ['ip_unprivileged_port_start', kernel => kernel.tunables.unprivilegedPortStart, storePortStart],
    [
      'ping_group_range',
      ({ tunables }) => `${tunables.pingGroupFirst}\t${tunables.pingGroupLast}`,
      storePingGroups,
    ],
    ['tcp_allowed_congestion_control', 'reno cubic'],
    ['tcp_available_congestion_control', 'reno cubic'],
    ['tcp_congestion_control', 'cubic'],
    ['tcp_fin_timeout', 60],
    ['tcp_keepalive_intvl', 75],
    ['tcp_keepalive_probes', 9],
    ['tcp_keepalive_time', 7200],
    ['tcp_max_syn_backlog', 128],
    ['tcp_mem', '8388608\t8388608\t8388608'],
    ['tcp_rmem', '4096\t131072\t6291456'],
    numberRow('tcp_recovery', ({ kernel }) => kernel.tunables, 'tcpRecovery'),
    numberRow('tcp_sack', ({ kernel }) => kernel.tunables, 'tcpSack'),
    ['tcp_syn_retries', 6],
    ['tcp_timestamps', 1],
    ['tcp_tw_reuse', 0],
    ['tcp_window_scaling', 1],
    ['tcp_wmem', '4096\t16384\t4194304'],
  ],
  'net/ipv6/conf/all': [
    ['disable_ipv6', 0],
    ['forwarding', 0],
  ],
  'net/ipv6/conf/default': [
    ['disable_ipv6', 0],
    ['forwarding', 0],
  ],
  'net/ipv6/conf/lo': [
    ['disable_ipv6', 0],
    ['forwarding', 0],
  ],
}

const SYSCTLS: Record<string, readonly Row[]> = { ...OWN }
for (const [path, rows] of Object.entries(FIXED)) SYSCTLS[path] = [...(OWN[path] ?? []), ...rows]

/** Tunables of networks that we heed ourselves also where the host's kernel has the network. */
const HEEDED = new Set([
  'net/core/somaxconn',
  'net/ipv4/ip_unprivileged_port_start',
  'net/ipv4/ping_group_range',
])

/** Whether a tunable has another value, which cannot be set, where the host's kernel has the network. */
const isOfHost = (path: string): boolean => path.startsWith('net/') && !HEEDED.has(path)

/** Tunables to learn from the host. */
export const HOST_TUNABLES: readonly string[] = Object.entries(SYSCTLS)
  .flatMap(([path, rows]) => rows.map(([name]) => `${path}/${name}`))
  .filter(isOfHost)

/** Put the tree into /proc/sys. */
export function addSysctls(sys: StaticDirectory): void {
  for (const [path, rows] of Object.entries(SYSCTLS)) {
    for (const [name, value, store, watched] of rows)
      add(sys, `${path}/${name}`, value, store ?? null, watched)
  }
  const ofHost = sys.sb.kernel.namespaces.net.host?.facts.tunables ?? []
  for (const [path, value] of ofHost) if (!isOwn(path)) add(sys, path, value, null)
}

function add(
  sys: StaticDirectory,
  path: string,
  value: Value,
  store: Store | null,
  watched?: Watched,
): void {
  const names = path.split('/')
  const name = names.pop()!
  let directory = sys
  for (const above of names) directory = directory.directory(above)
  const file = isOfHost(path)
    ? new SysctlFile(sys.sb, ofNetwork(path, value), store && ownOnly(store))
    : new SysctlFile(sys.sb, value, store, watched)
  directory.add(name, file)
}

const ownOnly =
  (store: Store): Store =>
  (text, task) =>
    task.nsproxy.net.host ? -EACCES : store(text, task)

/** What the reader's network has, where that is the host's. */
const ofNetwork =
  (path: string, value: Value): Value =>
  (kernel, reader) =>
    reader.nsproxy.net.host?.facts.tunables.get(path) ??
    (typeof value === 'function' ? value(kernel, reader) : (value ?? ''))

function isOwn(path: string): boolean {
  const slash = path.lastIndexOf('/')
  const rows = SYSCTLS[path.slice(0, slash)]
  return rows?.some(([name]) => name === path.slice(slash + 1)) === true
}

/** Set the tunable at `path` below /proc/sys, as root of the sandbox: -ENOENT, or -EACCES when it is fixed. */
export function setSysctl(task: Task, path: string, text: string): number {
  const slash = path.lastIndexOf('/')
  const directory = path.slice(0, slash)
  const rows = Object.hasOwn(SYSCTLS, directory) ? SYSCTLS[directory]! : []
  const row = rows.find(([name]) => name === path.slice(slash + 1))
  if (row === undefined) return -ENOENT
  const [, value, store] = row
  if (store !== undefined) return store(text, task)
  const fixed = String(typeof value === 'function' ? value(task.kernel, task) : value)
  return fixed.split(/\s+/).join(' ') === line(text).trim().split(/\s+/).join(' ') ? 0 : -EACCES
}
