// /proc/config.gz: the options that a Linux kernel would have been built with to offer what this one offers. Test
// suites and installers decide by it what they may expect: an option stands here when its system calls, files or
// file systems are there, and as "not set" when they answer as without it.

import { gzipSync } from 'node:zlib'

const BUILT_IN: readonly string[] = [
  ...['X86', 'X86_64', '64BIT', 'SMP', 'MMU', 'MULTIUSER', 'PRINTK', 'BUG', 'COREDUMP', 'ELF_CORE'],
  ...['BINFMT_ELF', 'BINFMT_SCRIPT', 'IKCONFIG', 'IKCONFIG_PROC'],
  // Processes, time and memory.
  ...['POSIX_TIMERS', 'HIGH_RES_TIMERS', 'FUTEX', 'FUTEX_PI', 'RSEQ', 'MEMBARRIER', 'KCMP'],
  ...['EPOLL', 'SIGNALFD', 'TIMERFD', 'EVENTFD', 'AIO', 'SHMEM', 'ADVISE_SYSCALLS'],
  ...[
    'CROSS_MEMORY_ATTACH',
    'NUMA',
    'ARCH_HAS_PKEYS',
    'SECCOMP',
    'SECCOMP_FILTER',
    'RELOCATABLE',
    'KEYS',
    'SECURITY',
    'SECURITY_LANDLOCK',
  ],
  ...['SYSVIPC', 'SYSVIPC_SYSCTL', 'POSIX_MQUEUE', 'POSIX_MQUEUE_SYSCTL', 'SYSCTL'],
  ...['MEMFD_CREATE', 'ANON_VMA_NAME', 'CHECKPOINT_RESTORE', 'HAVE_ARCH_SECCOMP_FILTER'],
  // Namespaces and control groups.
  ...['NAMESPACES', 'UTS_NS', 'IPC_NS', 'USER_NS', 'PID_NS', 'NET_NS', 'CGROUPS', 'CGROUP_PIDS'],
  // Files.
  ...['FILE_LOCKING', 'INOTIFY_USER', 'FS_POSIX_ACL', 'PROC_FS', 'PROC_SYSCTL', 'SYSFS', 'TMPFS'],
  ...['TMPFS_XATTR', 'TMPFS_POSIX_ACL', 'TASK_IO_ACCOUNTING', 'UNIX98_PTYS', 'TTY'],
  // Sockets.
  ...['NET', 'UNIX', 'INET', 'IPV6', 'PACKET', 'IP_MULTICAST', 'NETLINK_DIAG'],
]

const ABSENT: readonly string[] = [
  ...['MODULES', 'KEXEC', 'KEXEC_FILE', 'SWAP', 'HIBERNATION', 'BSD_PROCESS_ACCT', 'QUOTA'],
  ...['AUDIT', 'BPF_SYSCALL', 'PERF_EVENTS', 'KPROBES'],
  ...['IO_URING', 'USERFAULTFD', 'SECRETMEM', 'KSM', 'HUGETLBFS', 'HUGETLB_PAGE', 'FANOTIFY'],
  ...['FANOTIFY_ACCESS_PERMISSIONS', 'FHANDLE', 'MODIFY_LDT_SYSCALL', 'SYSFS_SYSCALL', 'USELIB'],
  ...['NUMA_BALANCING', 'OVERLAY_FS', 'SCHED_AUTOGROUP', 'IA32_EMULATION', 'X86_X32_ABI'],
  ...['LEGACY_PTYS', 'LEGACY_TIOCSTI', 'BLK_DEV', 'BLK_DEV_LOOP', 'TUN', 'BINFMT_MISC'],
  ...['TIME_NS', 'PREEMPT_RT', 'FAULT_INJECTION', 'KASAN', 'LOCKDEP', 'PROVE_LOCKING'],
]

let compressed: Uint8Array | undefined

/** The text as make writes .config, compressed once. */
export function configGz(): Uint8Array {
  if (compressed !== undefined) return compressed
  const lines = [
    ...BUILT_IN.map(name => `CONFIG_${name}=y`),
    'CONFIG_HZ=250',
    'CONFIG_NODES_SHIFT=0',
    ...ABSENT.map(name => `# CONFIG_${name} is not set`),
  ]
  compressed = gzipSync(`${lines.join('\n')}\n`)
  return compressed
}
