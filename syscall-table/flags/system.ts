// The whole machine: reboot(2), syslog(2), getrandom(2), System V IPC, and calls few programs make.

// getrandom(2).
export const GRND_NONBLOCK = 0x1
export const GRND_RANDOM = 0x2
export const GRND_INSECURE = 0x4

// reboot(2).
export const LINUX_REBOOT_MAGIC1 = 0xfee1dead
export const LINUX_REBOOT_MAGIC2 = 0x28121969
export const LINUX_REBOOT_CMD_RESTART = 0x1234567
export const LINUX_REBOOT_CMD_HALT = 0xcdef0123
export const LINUX_REBOOT_CMD_CAD_ON = 0x89abcdef
export const LINUX_REBOOT_CMD_CAD_OFF = 0
export const LINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc
export const LINUX_REBOOT_CMD_RESTART2 = 0xa1b2c3d4
export const LINUX_REBOOT_CMD_SW_SUSPEND = 0xd000fce2
export const LINUX_REBOOT_CMD_KEXEC = 0x45584543

// syslog(2).
export const SYSLOG_ACTION_CLOSE = 0
export const SYSLOG_ACTION_OPEN = 1
export const SYSLOG_ACTION_READ = 2
export const SYSLOG_ACTION_READ_ALL = 3
export const SYSLOG_ACTION_READ_CLEAR = 4
export const SYSLOG_ACTION_CLEAR = 5
export const SYSLOG_ACTION_CONSOLE_OFF = 6
export const SYSLOG_ACTION_CONSOLE_ON = 7
export const SYSLOG_ACTION_CONSOLE_LEVEL = 8
export const SYSLOG_ACTION_SIZE_UNREAD = 9
export const SYSLOG_ACTION_SIZE_BUFFER = 10

// personality(2).
export const PER_LINUX = 0
export const PER_LINUX32 = 0x8
export const PER_MASK = 0xff
export const ADDR_NO_RANDOMIZE = 0x40000
export const MMAP_PAGE_ZERO = 0x100000
export const ADDR_COMPAT_LAYOUT = 0x200000
export const READ_IMPLIES_EXEC = 0x400000
export const ADDR_LIMIT_32BIT = 0x800000
export const SHORT_INODE = 0x1000000
export const WHOLE_SECONDS = 0x2000000
export const STICKY_TIMEOUTS = 0x4000000
export const ADDR_LIMIT_3GB = 0x8000000
export const UNAME26 = 0x20000
export const FDPIC_FUNCPTRS = 0x80000

// System V IPC.
export const IPC_CREAT = 0o1000
export const IPC_EXCL = 0o2000
export const IPC_NOWAIT = 0o4000
export const IPC_PRIVATE = 0
export const IPC_RMID = 0
export const IPC_SET = 1
export const IPC_STAT = 2
export const IPC_INFO = 3
export const SHM_RDONLY = 0o10000
export const SHM_RND = 0o20000
export const SHM_REMAP = 0o40000
export const SHM_EXEC = 0o100000
export const SHM_HUGETLB = 0o4000
export const SHM_NORESERVE = 0o10000
export const SHM_LOCK = 11
export const SHM_UNLOCK = 12
export const SHM_STAT = 13
export const SHM_INFO = 14
export const SHM_STAT_ANY = 15
export const SHM_DEST = 0o1000
export const SHM_LOCKED = 0o2000
export const SHMMNI = 4096
export const SHMMIN = 1
export const SEM_UNDO = 0x1000
export const SEM_STAT = 18
export const SEM_INFO = 19
export const SEM_STAT_ANY = 20
export const GETPID = 11
export const GETVAL = 12
export const GETALL = 13
export const GETNCNT = 14
export const GETZCNT = 15
export const SETVAL = 16
export const SETALL = 17
export const SEMMNI = 32000
export const SEMMSL = 32000
export const SEMOPM = 500
export const SEMVMX = 32767
export const MSG_NOERROR = 0o10000
export const MSG_EXCEPT = 0o20000
export const MSG_COPY = 0o40000
export const MSG_STAT = 11
export const MSG_INFO = 12
export const MSG_STAT_ANY = 13
export const MSGMAX = 8192
export const MSGMNB = 16384
export const MSGMNI = 32000

// keyctl(2), the commands that shells and libraries probe.
export const KEYCTL_GET_KEYRING_ID = 0
export const KEYCTL_JOIN_SESSION_KEYRING = 1
export const KEYCTL_UPDATE = 2
export const KEYCTL_REVOKE = 3
export const KEYCTL_CHOWN = 4
export const KEYCTL_SETPERM = 5
export const KEYCTL_DESCRIBE = 6
export const KEYCTL_CLEAR = 7
export const KEYCTL_LINK = 8
export const KEYCTL_UNLINK = 9
export const KEYCTL_SEARCH = 10
export const KEYCTL_READ = 11
export const KEYCTL_INSTANTIATE = 12
export const KEYCTL_NEGATE = 13
export const KEYCTL_SET_REQKEY_KEYRING = 14
export const KEYCTL_SET_TIMEOUT = 15
export const KEYCTL_ASSUME_AUTHORITY = 16
export const KEYCTL_GET_SECURITY = 17
export const KEYCTL_SESSION_TO_PARENT = 18
export const KEYCTL_REJECT = 19
export const KEYCTL_INSTANTIATE_IOV = 20
export const KEYCTL_INVALIDATE = 21
export const KEYCTL_GET_PERSISTENT = 22
export const KEYCTL_DH_COMPUTE = 23
export const KEYCTL_PKEY_QUERY = 24
export const KEYCTL_PKEY_ENCRYPT = 25
export const KEYCTL_PKEY_DECRYPT = 26
export const KEYCTL_PKEY_SIGN = 27
export const KEYCTL_PKEY_VERIFY = 28
export const KEYCTL_RESTRICT_KEYRING = 29
export const KEYCTL_MOVE = 30
export const KEYCTL_CAPABILITIES = 31
export const KEYCTL_WATCH_KEY = 32

// bpf(2), perf_event_open(2), io_uring, userfaultfd(2).
export const PERF_FLAG_FD_NO_GROUP = 0x1
export const PERF_FLAG_FD_OUTPUT = 0x2
export const PERF_FLAG_PID_CGROUP = 0x4
export const PERF_FLAG_FD_CLOEXEC = 0x8
export const UFFD_USER_MODE_ONLY = 0x1
