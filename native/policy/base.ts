// What every policy here is built from: rule lists by system call name, and the calls that a running Node.js
// needs once it has loaded its code. Found with strace over garbage collection, JIT compilation, timers,
// the thread pool, streams on sockets and a worker thread.

import {
  ALLOW,
  type ArgTest,
  anyOf32,
  compare,
  eq32,
  errno,
  KILL_PROCESS,
  maskedEq,
  onlyBits,
  type Rule,
} from 'seccomp-bpf-compiler'
import { numberOf } from './numbers.ts'

/** Rules by system call name. Later entries replace earlier ones. */
export type Rules = Readonly<Record<string, readonly Rule[]>>

const EPERM = 1
const ENOSYS = 38

export const allowed: readonly Rule[] = [{ when: [], action: ALLOW }]
export const killed: readonly Rule[] = [{ when: [], action: KILL_PROCESS }]
/** For calls that a library probes and has a fallback for. */
export const missing: readonly Rule[] = [{ when: [], action: errno(ENOSYS) }]
/** What an unlisted call of the Sentry or the Gofer gets: Node.js probes some of them and goes on. */
export const REFUSED = errno(EPERM)

/** Allowed when all tests hold. */
export const allowedIf = (...when: ArgTest[]): readonly Rule[] => [{ when, action: ALLOW }]

/** Allowed when the 32-bit argument is one of the values. */
export const allowedFor = (arg: number, values: readonly number[]): readonly Rule[] =>
  anyOf32(arg, values, ALLOW)

/** The same rules for several calls, named in a string. */
export function each(names: string, rules: readonly Rule[]): Rules {
  return Object.fromEntries(words(names).map(name => [name, rules]))
}

/** Rules as the compiler takes them. */
export function byNumber(rules: Rules): Map<number, readonly Rule[]> {
  return new Map(Object.entries(rules).map(([name, list]) => [numberOf(name), list]))
}

const words = (names: string): string[] => names.trim().split(/\s+/)

const PROT_EXEC = 4
const MAP_ANONYMOUS = 0x20
const PR_SET_NAME = 15
const PR_GET_NAME = 16
const PR_SET_VMA = 0x53564d41
const AT_EMPTY_PATH = 0x1000
const PROT_ALL = 7

/** Exactly pthread_create's flags, so never a process and never a namespace. */
const THREAD_FLAGS = 0x3d0f00

/** F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, pipe sizes, F_ADD_SEALS, F_GET_SEALS. */
const FCNTL = [0, 1, 2, 3, 4, 1030, 1031, 1032, 1033, 1034]

/** FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: what libuv does with its fds. */
export const FD_IOCTLS = [0x541b, 0x5421, 0x5450, 0x5451]

/** Node.js at run time, on fds it already has. */
export const nodeRuntime: Rules = {
  // Memory. V8 makes its code space executable with mprotect, so W^X cannot be had with the JIT on; what can
  // is that no file is ever mapped executable.
  ...each('munmap madvise mremap brk mincore membarrier pkey_alloc pkey_free', allowed),
  mmap: [
    ...allowedIf(maskedEq(2, PROT_EXEC, 0)),
    ...allowedIf(maskedEq(3, MAP_ANONYMOUS, MAP_ANONYMOUS)),
  ],
  ...each('mprotect pkey_mprotect', allowedIf(onlyBits(2, PROT_ALL))),

  // Threads. The flags of clone3 are in memory, out of a filter's reach; glibc falls back to clone.
  clone: [...allowedIf(compare(0, 'eq', THREAD_FLAGS)), ...killed],
  clone3: missing,
  ...each(
    'futex set_robust_list get_robust_list rseq set_tid_address gettid getpid getppid',
    allowed,
  ),
  ...each('sched_yield sched_getaffinity sched_getparam sched_getscheduler', allowed),
  ...each('exit exit_group restart_syscall', allowed),
  prctl: allowedFor(0, [PR_SET_NAME, PR_GET_NAME, PR_SET_VMA]),

  // Signals to itself.
  ...each('rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait', allowed),
  sigaltstack: allowed,

  // Files it has.
  ...each('read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2', allowed),
  ...each('lseek fstat ftruncate fallocate fsync fdatasync close close_range dup dup3', allowed),
  flistxattr: allowed,
  ...each('dup2 pipe2 eventfd2 memfd_create', allowed),
  newfstatat: allowedIf(maskedEq(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
  statx: allowedIf(maskedEq(2, AT_EMPTY_PATH, AT_EMPTY_PATH)),
  fcntl: allowedFor(1, FCNTL),
  ioctl: allowedFor(1, FD_IOCTLS),

  // Waiting.
  ...each('poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait', allowed),
  ...each('epoll_pwait2 timerfd_create timerfd_settime timerfd_gettime signalfd4', allowed),
  ...each('nanosleep clock_nanosleep', allowed),

  // Sockets it has: no call here makes, names or reaches a new one.
  ...each('sendmsg recvmsg shutdown getsockname getpeername getsockopt', allowed),
  sendto: allowedIf(compare(4, 'eq', 0), eq32(5, 0)),
  recvfrom: allowedIf(compare(4, 'eq', 0)),

  // Facts about itself and the clock.
  ...each('clock_gettime clock_getres gettimeofday time times getcpu getrusage getrandom', allowed),
  ...each('uname sysinfo getrlimit getuid geteuid getgid getegid getresuid getresgid', allowed),
  ...each('getgroups getpriority capget getcwd', allowed),
  prlimit64: allowedIf(eq32(0, 0), compare(2, 'eq', 0)),

  // libuv tries for a ring with every new event loop.
  io_uring_setup: missing,
}

/** Calls that no honest Sentry or Gofer makes: one of them means that it was taken over. */
export const neverHonest: Rules = {
  ...each('execve execveat fork vfork ptrace process_vm_readv process_vm_writev kcmp', killed),
  ...each('socket socketpair connect bind listen accept setsockopt sendmmsg recvmmsg', killed),
  ...each('open_by_handle_at name_to_handle_at mount umount2 pivot_root chroot move_mount', killed),
  ...each('open_tree fsopen fsconfig fsmount fspick mount_setattr unshare setns', killed),
  // A ring's operations pass no filter: it would open files and sockets past this one.
  ...each('io_uring_enter io_uring_register bpf perf_event_open userfaultfd seccomp', killed),
  ...each('init_module finit_module delete_module kexec_load kexec_file_load reboot', killed),
  ...each('add_key request_key keyctl iopl ioperm modify_ldt personality capset', killed),
  ...each('swapon swapoff quotactl acct syslog settimeofday clock_settime clock_adjtime', killed),
  ...each('adjtimex sethostname setdomainname fanotify_init process_madvise vhangup', killed),
  ...each('migrate_pages move_pages', killed),
}
