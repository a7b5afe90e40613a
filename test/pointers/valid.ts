// What the calls of test/pointers.test.ts need besides the bad pointer, by call and argument. Descriptors are
// those of calls.c (FILE_FD 100 …).

const DIR_FD = 101
const PIPE_R = 102
const PIPE_W = 103
const STREAM = 104
const DGRAM = 106
const DGRAM_PEER = 107
const LISTENER = 108
const EPOLL = 109
const TIMER = 111
const TTY = 113
const SIGSET = 8

export type Valid = Readonly<Record<string, number | string>>

/** Calls that cannot be tried this way, and why. */
export const SKIPPED: Readonly<Record<string, string>> = {
  clone: 'a child without a stack',
  futex_waitv: 'not there yet',
  munmap: 'no pointer is read',
  brk: 'no pointer is read',
  mmap: 'no pointer is read, and addresses are hints',
  mremap: 'no pointer is read',
  mbind: 'one memory node',
  get_mempolicy: 'one memory node',
  set_mempolicy: 'one memory node',
  set_tid_address: 'the pointer is used at the end of the thread',
  ioctl: 'see EXTRA',
  fcntl: 'see EXTRA',
  prctl: 'see EXTRA',
  futex: 'see EXTRA',
  sethostname: 'belongs to the machine',
  setdomainname: 'belongs to the machine',
  syslog: 'belongs to the machine',
  settimeofday: 'belongs to the machine',
  clock_settime: 'belongs to the machine',
  adjtimex: 'belongs to the machine',
  clock_adjtime: 'belongs to the machine',
}

const word = (...numbers: number[]) =>
  numbers
    .map(n => String.fromCharCode(n & 0xff, (n >> 8) & 0xff, (n >> 16) & 0xff, (n >>> 24) & 0xff))
    .join('')

const unixAddress = '\x01\x00\x00pointers-none'

export const VALID: Readonly<Record<string, Valid>> = {
  rename: { newpath: 'g' },
  renameat: { newpath: 'g' },
  renameat2: { newpath: 'g' },
  link: { newpath: 'g' },
  linkat: { newpath: 'g' },
  symlink: { linkpath: 'g' },
  symlinkat: { linkpath: 'g' },
  mkdir: { path: 'g' },
  mkdirat: { path: 'g' },
  mknod: { path: 'g', mode: 0o10644 },
  mknodat: { path: 'g', mode: 0o10644 },
  readlink: { path: '/proc/self/exe', bufsiz: 64 },
  readlinkat: { path: '/proc/self/exe', bufsiz: 64 },
  getcwd: { size: 4096 },
  chroot: { path: '/' },
  chdir: { path: '/' },
  openat2: { size: 24 },
  sendfile: { outFd: PIPE_W, count: 8 },
  splice: { fdIn: 100, fdOut: PIPE_W, offOut: 0, len: 8 },
  vmsplice: { fd: PIPE_W, nrSegs: 1 },
  getdents: { fd: DIR_FD, count: 512 },
  getdents64: { fd: DIR_FD, count: 512 },
  read: { count: 32 },
  write: { count: 32 },
  pread64: { count: 32 },
  pwrite64: { count: 32 },
  readv: { iovcnt: 1 },
  writev: { iovcnt: 1 },
  preadv: { iovcnt: 1 },
  pwritev: { iovcnt: 1 },
  preadv2: { iovcnt: 1 },
  pwritev2: { iovcnt: 1 },
  copy_file_range: { fdOut: 100, len: 4 },
  poll: { nfds: 2 },
  ppoll: { nfds: 2, sigsetsize: SIGSET },
  select: { nfds: 70 },
  pselect6: { nfds: 70 },
  epoll_wait: { epfd: EPOLL, maxevents: 2 },
  epoll_pwait: { epfd: EPOLL, maxevents: 2, sigsetsize: SIGSET },
  epoll_pwait2: { epfd: EPOLL, maxevents: 2, sigsetsize: SIGSET },
  epoll_ctl: { epfd: EPOLL, op: 1, fd: STREAM },
  rt_sigaction: { signum: 10, sigsetsize: SIGSET },
  rt_sigprocmask: { sigsetsize: SIGSET },
  rt_sigpending: { sigsetsize: SIGSET },
  rt_sigtimedwait: { sigsetsize: SIGSET, set: word(1 << 11) },
  rt_sigsuspend: { sigsetsize: SIGSET },
  signalfd: { fd: -1, sizemask: SIGSET },
  signalfd4: { fd: -1, sizemask: SIGSET },
  connect: { sockfd: DGRAM, addr: unixAddress, addrlen: 16 },
  bind: { sockfd: DGRAM, addr: unixAddress, addrlen: 16 },
  accept: { sockfd: LISTENER, addrlen: word(64) },
  accept4: { sockfd: LISTENER, addrlen: word(64) },
  sendto: { sockfd: DGRAM, len: 16, addrlen: 0 },
  recvfrom: { sockfd: DGRAM, len: 16, addrlen: word(64) },
  sendmsg: { sockfd: DGRAM },
  recvmsg: { sockfd: DGRAM },
  sendmmsg: { sockfd: DGRAM, vlen: 1 },
  recvmmsg: { sockfd: DGRAM, vlen: 1 },
  getsockname: { sockfd: LISTENER, addrlen: word(64) },
  getpeername: { sockfd: STREAM, addrlen: word(64) },
  socketpair: { domain: 1, type: 1 },
  setsockopt: { sockfd: STREAM, level: 1, optname: 7, optlen: 4 },
  getsockopt: { sockfd: STREAM, level: 1, optname: 7, optlen: word(4) },
  wait4: { pid: -1 },
  waitid: { options: 4 },
  getrlimit: { resource: 7 },
  setrlimit: { resource: 7 },
  prlimit64: { resource: 7 },
  getgroups: { size: 16 },
  setgroups: { size: 4 },
  clone3: { size: 88 },
  arch_prctl: { option: 0x1003 },
  seccomp: { operation: 1 },
  rseq: { rseqLen: 32 },
  set_robust_list: { len: 24 },
  sched_getattr: { size: 48 },
  sched_setaffinity: { len: 8, mask: word(1) },
  sched_getaffinity: { len: 128 },
  mincore: { length: 4096 },
  msync: { length: 4096, flags: 4 },
  madvise: { length: 4096 },
  mlock: { length: 4096 },
  munlock: { length: 4096 },
  mlock2: { length: 4096 },
  mprotect: { length: 4096, prot: 1 },
  process_vm_readv: { liovcnt: 1, riovcnt: 1 },
  process_vm_writev: { liovcnt: 1, riovcnt: 1 },
  timer_create: {},
  timerfd_settime: { fd: TIMER },
  timerfd_gettime: { fd: TIMER },
  nanosleep: {},
  futex_waitv: { nrFutexes: 1 },
  statfs: { path: '/' },
  mount: { target: '/nowhere', source: 'none', type: 'tmpfs' },
  umount2: { target: '/nowhere' },
  execve: { envp: 0 },
  execveat: { envp: 0 },
}

interface Extra {
  readonly call: string
  readonly label: string
  readonly tested: string
  readonly valid: Valid
}

const ioctl = (label: string, fd: number, request: number): Extra => ({
  call: 'ioctl',
  label,
  tested: 'arg',
  valid: { fd, request },
})
const fcntl = (label: string, cmd: number): Extra => ({
  call: 'fcntl',
  label,
  tested: 'arg',
  valid: { fd: 100, cmd },
})
const prctl = (label: string, option: number, tested = 'arg2'): Extra => ({
  call: 'prctl',
  label,
  tested,
  valid: { option, arg2: 0, arg3: 0, arg4: 0, arg5: 0 },
})
const futex = (label: string, tested: string, op: number, valid: Valid = {}): Extra => ({
  call: 'futex',
  label,
  tested,
  valid: { op, val: 0, ...valid },
})

/** Calls whose pointers depend on a command. */
export const EXTRA: readonly Extra[] = [
  ioctl('TCGETS', TTY, 0x5401),
  ioctl('TCSETS', TTY, 0x5402),
  ioctl('TIOCGPGRP', TTY, 0x540f),
  ioctl('TIOCGWINSZ', TTY, 0x5413),
  ioctl('TIOCSWINSZ', TTY, 0x5414),
  ioctl('FIONREAD', PIPE_R, 0x541b),
  ioctl('FIONBIO', PIPE_R, 0x5421),
  ioctl('FIONREAD socket', STREAM, 0x541b),
  ioctl('SIOCGIFCONF', STREAM, 0x8912),
  fcntl('F_GETLK', 5),
  fcntl('F_SETLK', 6),
  fcntl('F_OFD_GETLK', 36),
  fcntl('F_GETOWN_EX', 16),
  fcntl('F_SETOWN_EX', 15),
  prctl('PR_SET_NAME', 15),
  prctl('PR_GET_NAME', 16),
  prctl('PR_GET_PDEATHSIG', 2),
  prctl('PR_GET_CHILD_SUBREAPER', 37),
  prctl('PR_GET_TID_ADDRESS', 40),
  futex('WAIT', 'uaddr', 0, { val: 1 }),
  futex('WAKE', 'uaddr', 1),
  futex('WAKE private', 'uaddr', 129),
  futex('REQUEUE', 'uaddr2', 3, { timeout: 1 }),
  futex('CMP_REQUEUE', 'uaddr', 4, { timeout: 1 }),
  futex('CMP_REQUEUE', 'uaddr2', 4, { timeout: 1 }),
  futex('WAKE_OP', 'uaddr2', 5),
  futex('WAIT', 'timeout', 0, { val: 0 }),
  {
    call: 'sendto',
    label: 'to',
    tested: 'destAddr',
    valid: { sockfd: DGRAM_PEER, len: 4, addrlen: 16 },
  },
  {
    call: 'getsockopt',
    label: 'SO_PEERCRED',
    tested: 'optval',
    valid: { sockfd: STREAM, level: 1, optname: 17, optlen: word(12) },
  },
  {
    call: 'getsockopt',
    label: 'SO_TYPE',
    tested: 'optlen',
    valid: { sockfd: STREAM, level: 1, optname: 3 },
  },
  {
    call: 'setsockopt',
    label: 'SO_RCVTIMEO',
    tested: 'optval',
    valid: { sockfd: STREAM, level: 1, optname: 20, optlen: 16 },
  },
  { call: 'read', label: 'directory', tested: 'buf', valid: { fd: DIR_FD, count: 8 } },
  { call: 'read', label: 'pipe', tested: 'buf', valid: { fd: PIPE_R, count: 8 } },
  { call: 'write', label: 'pipe', tested: 'buf', valid: { fd: PIPE_W, count: 8 } },
  { call: 'read', label: 'stream', tested: 'buf', valid: { fd: STREAM, count: 8 } },
  { call: 'write', label: 'stream', tested: 'buf', valid: { fd: STREAM, count: 8 } },
  { call: 'read', label: 'datagram', tested: 'buf', valid: { fd: DGRAM, count: 8 } },
  { call: 'write', label: 'datagram', tested: 'buf', valid: { fd: DGRAM, count: 8 } },
  { call: 'read', label: 'eventfd', tested: 'buf', valid: { fd: 110, count: 8 } },
  { call: 'write', label: 'eventfd', tested: 'buf', valid: { fd: 110, count: 8 } },
  { call: 'read', label: 'timerfd', tested: 'buf', valid: { fd: TIMER, count: 8 } },
  { call: 'read', label: 'signalfd', tested: 'buf', valid: { fd: 112, count: 128 } },
  { call: 'write', label: 'terminal', tested: 'buf', valid: { fd: TTY, count: 8 } },
]

/** Calls that check something else before they read the pointer, or after: two errors, in another order. */
const OTHER_ORDER = new Set([
  'capget',
  'capset',
  'execve',
  'execveat',
  'mount',
  'process_vm_readv',
  'process_vm_writev',
  'rt_sigqueueinfo',
  'rt_tgsigqueueinfo',
  'sched_setaffinity',
  'sendmmsg',
  'sendmsg',
])
/** Linux gives up a transfer whose page ends half way; here what was moved counts. */
const PARTIAL = /^(read|write)\((pipe|stream|signalfd|terminal)\)\.buf half/
/** Linux refuses addresses of the kernel before it looks at the descriptor. */
const CHECKED_LATER = /^read\((directory|timerfd)\)\.buf (kernel|not canonical|last byte|ones)$/
/** An address that is not a multiple of the page size by less than a double can tell. */
const ROUNDED = /^(mprotect|msync|mlock|mlock2|munlock)\.addr ones$/
const SINGLE: Readonly<Record<string, string>> = {
  'sched_getaffinity.mask half 8': 'a mask is as long as the CPUs need',
  'sched_getaffinity.mask half 16': 'a mask is as long as the CPUs need',
  'sendfile.offset string': 'files may end beyond 2^62',
  'mlock.addr no access': "the pages are the host's, which locks none",
  'mlock2.addr no access': "the pages are the host's, which locks none",
  'landlock_create_ruleset.attr string': 'what follows the first word is of a later version',
  'openat2.path null': 'as in Linux before it let an empty path stand for the directory',
  'recvmmsg.timeout read-only': 'the remaining time is not written back',
}

/** Where this kernel may say something else than Linux. */
export function accepted(linux: string, here: string): boolean {
  const [at, expected] = linux.split(': ') as [string, string]
  const [, found] = here.split(': ')
  if (SINGLE[at] !== undefined || ROUNDED.test(at)) return true
  if (CHECKED_LATER.test(at) || PARTIAL.test(at)) return true
  const errors = /^E/.test(expected) && /^E/.test(found ?? '')
  return errors && OTHER_ORDER.has(at.replace(/[(.].*/, ''))
}
