// Values of /proc/sys that can be changed and have an effect. fs/proc/sysctl.ts shows and stores them.

/** RR_TIMESLICE. */
export const DEFAULT_RR_SLICE_MS = 100

export class Tunables {
  /** net.ipv4.ip_unprivileged_port_start: ports below need CAP_NET_BIND_SERVICE. */
  unprivilegedPortStart = 1024
  /** net.ipv4.ping_group_range: groups that may make ICMP echo sockets; nobody while the first is larger. */
  pingGroupFirst = 1
  pingGroupLast = 0
  /** net.ipv4.ip_local_port_range: what the kernel chooses from. */
  localPortFirst = 32768
  localPortLast = 60999
  /** net.ipv4.ip_forward, tcp_sack and tcp_recovery: kept for other networks than lo, which has no use for them. */
  ipForward = 0
  tcpSack = 1
  tcpRecovery = 1
  /** net.core.somaxconn: longest queue of connections that listen(2) gives. */
  somaxconn = 4096
  /** fs.lease-break-time: seconds that the holder of a lease has. */
  leaseBreakTime = 45
  /** fs.pipe-max-size: what pipes of the unprivileged may grow to. */
  pipeMaxSize = 1 << 20
  /** fs.protected_hardlinks and fs.protected_symlinks: see vfs/names.ts and vfs/path-walk.ts. */
  protectedHardlinks = 1
  protectedSymlinks = 1
  /** fs.protected_regular and fs.protected_fifos: see vfs/open.ts. */
  protectedRegular = 0
  protectedFifos = 0
  /** kernel.core_pattern: the name of a core dump. */
  corePattern = 'core'
  /** kernel.core_uses_pid. */
  coreUsesPid = 0
  /** kernel.auto_msgmni. */
  autoMsgmni = 0
  /** kernel.dmesg_restrict: only CAP_SYSLOG may read the kernel's log. */
  dmesgRestrict = 1
  /** kernel.printk: the level of the console, of messages without one, the lowest and the first. */
  readonly printk = [4, 4, 1, 7]
  /** The console's level before SYSLOG_ACTION_CONSOLE_OFF; -1 while it is on. */
  savedLevel = -1
  /** kernel.randomize_va_space: 0 loads programs at fixed addresses. */
  randomizeVaSpace = 2
  /** kernel.sched_rr_timeslice_ms: what sched_rr_get_interval(2) tells of SCHED_RR. */
  rrSliceMs = DEFAULT_RR_SLICE_MS
  /** kernel.sched_rt_period_us and kernel.sched_rt_runtime_us. */
  rtPeriodUs = 1_000_000
  rtRuntimeUs = 950_000
  /** vm.max_map_count: areas that one address space may have. */
  maxMapCount = 65530
  /** vm.overcommit_memory: see mm/commit.ts. */
  overcommitMemory = 0
  /** vm.overcommit_ratio: percent of all memory. */
  overcommitRatio = 50
  /** vm.overcommit_kbytes: instead of the ratio when it is not 0. */
  overcommitKbytes = 0
  /** vm.swappiness. */
  swappiness = 60
}
