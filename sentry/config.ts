// What runsc tells the sentry to be: written by runsc as JSON to an inherited pipe, read once at start.

/** Numbers of the descriptors that the sentry inherits; 0, 1 and 2 are the program's own. */
export const SENTRY_FDS = {
  /** SandboxConfig as JSON, read to its end. */
  config: 3,
  /** SOCK_SEQPACKET to the gofer. */
  gofer: 4,
  /** Listening unix socket for runsc's commands. */
  control: 5,
  /** The stub's executable. */
  stub: 6,
  /** One line of BootReport as JSON, then closed. */
  report: 7,
  /** Debug log and strace, or /dev/null. */
  log: 8,
  /** The other side of the program's terminal: a stream of raw bytes, a socket or a pseudo-terminal; only with `terminal`. */
  terminal: 9,
  /** Stream socket to the process that stands for the first one on the host: see boot/stand-in.ts. */
  standIn: 10,
} as const

/** The first line on the report pipe. */
export type BootReport = { ok: true } | { ok: false; error: string; exitStatus: number }

/** process.rlimits; Infinity does not survive JSON, so "unlimited" is null. */
export interface RlimitConfig {
  resource: number
  soft: number | null
  hard: number | null
}

/** Capability sets as two u32 words each. */
export interface CapabilityConfig {
  bounding: [number, number]
  effective: [number, number]
  inheritable: [number, number]
  permitted: [number, number]
  ambient: [number, number]
}

/** `count` ids of the container from `first` on are those of the host from `kernelFirst` on. */
export interface IdRangeConfig {
  first: number
  kernelFirst: number
  count: number
}

/** A hook that runs inside the sandbox. */
export interface HookConfig {
  path: string
  args: string[]
  env: string[]
  /** Seconds. */
  timeout: number | null
}

/** process.scheduler. */
export interface SchedulerConfig {
  policy: number
  priority: number
  nice: number
  resetOnFork: boolean
}

/** The container's seccomp profile. */
export interface SeccompConfig {
  /** struct sock_filter[] in base64. */
  filter: string
  /** SECCOMP_FILTER_FLAG_*. */
  flags: number
  /** Numbers of calls that the profile does not always allow, and that the platform must not run by itself. */
  trapped: number[]
}

export interface ProcessConfig {
  /** Strings are latin1: one char per byte. */
  args: string[]
  env: string[]
  cwd: string
  uid: number
  gid: number
  groups: number[]
  umask: number
  capabilities: CapabilityConfig
  rlimits: RlimitConfig[]
  noNewPrivileges: boolean
  oomScoreAdj: number
  /** sched_setattr(2) and ioprio_set(2) values; null where the configuration has none. */
  scheduler: SchedulerConfig | null
  ioprio: number | null
  /** The CPUs that it is to use, a list like 0-2,7; null for all of its container. */
  affinity: string | null
  /** personality(2). */
  personality: number
  /** stdin, stdout and stderr are a terminal of the sandbox, whose other side is SENTRY_FDS.terminal. */
  terminal: boolean
  /** Lines of that terminal end in CR LF (ONLCR), as whatever shows them wants; in LF for a file or a pipe. */
  onlcr: boolean
  rows: number
  columns: number
  /** Its numbers of further descriptors, which come behind those of its terminal or streams. */
  passedFds: number[]
}

export interface MountConfig {
  /** Paths and options are latin1. */
  destination: string
  /** proc, sysfs, tmpfs, devtmpfs, devpts, mqueue, cgroup or bind. */
  type: string
  source: string
  /** MS_* of the mount. */
  flags: number
  /** The file system's own options, with commas between them. */
  data: string
  /** MS_PRIVATE and the like, or 0. */
  propagation: number
  /** A tmpfs starts with a copy of what it covers. */
  copyUp: boolean
  /** The mountpoint was made for this mount: its mode says nothing. */
  fresh: boolean
  /** bind: the gofer's attach point, and whether its source is a directory. */
  attach?: number
  directory?: boolean
  /** bind: others may change the files as well. */
  shared?: boolean
  /** bind: what is written stays in the sandbox; null or missing: it reaches the source. */
  overlay?: OverlayConfig | null
}

/** Where the upper layer of an overlay is. */
export interface OverlayConfig {
  /** Bytes that it may take; null: half of the memory, or what the store has. */
  size: number | null
  /** The attach point that large files are kept in; null: memory. */
  store: number | null
}

/** A device node, FIFO or socket to make. */
export interface DeviceConfig {
  path: string
  /** S_IFCHR, S_IFBLK or S_IFIFO, and permissions. */
  mode: number
  major: number
  minor: number
  uid: number
  gid: number
}

/** The part of linux.resources that this kernel keeps or shows itself; null for no limit. */
export interface SandboxLimits {
  /** Tasks of the program. */
  pids: number | null
  memoryBytes: number | null
  /** CPUs that may be used, as "0-2,7". */
  cpus: string | null
}

/** The container's cgroup on the host. */
export interface CgroupConfig {
  version: 1 | 2
  /** Directories by controller; version 2 has one, "". Read before the root directory is left. */
  paths: Readonly<Record<string, string>>
  /** Descriptors of cgroup.procs files: the sentry enters by writing "0". */
  join: number[]
  limits: SandboxLimits
}

/** The answer to a `start` that another one has come before: nothing is wrong with the container. */
export const ALREADY_RUNNING = 'cannot start an already running container'

/** What --strace shows. */
export interface StraceConfig {
  /** Numbers of calls; null for all. */
  calls: number[] | null
  /** Bytes of a buffer. */
  bytes: number
}

/** One container: the first of a sandbox, or a further one of a pod. */
export interface ContainerConfig {
  id: string
  /** Loopback only, or sockets of the host in the sentry's own network namespace. */
  network: 'none' | 'host'
  hostname: string
  domainname: string
  process: ProcessConfig
  /** The root is attach point 0 of the gofer. */
  root: { readonly: boolean; shared: boolean; overlay: OverlayConfig | null }
  /** MS_SHARED and the like, with MS_REC, of the root; 0: private. */
  rootPropagation: number
  mounts: MountConfig[]
  devices: DeviceConfig[]
  maskedPaths: string[]
  readonlyPaths: string[]
  /** Paths below /proc/sys and values. */
  sysctls: [path: string, value: string][]
  seccomp: SeccompConfig | null
  startHooks: HookConfig[]
  /** What hooks read: the state as JSON. */
  hookState: string
  /** Start at once, or when the control socket says so (create and start). */
  waitForStart: boolean
  strace: StraceConfig | null
}

export interface SandboxConfig extends ContainerConfig {
  /** The container's ids and the host's, where they differ. */
  idMaps: { uids: IdRangeConfig[]; gids: IdRangeConfig[] } | null
  platform: 'systrap' | 'ptrace'
  /** Low word of the capabilities that the sentry keeps for the host's network, as far as the program has them. */
  networkCapabilities: number
  /** Somebody reads the log: a failure of the sentry's own is told with all its stack. */
  debug: boolean
  cgroup: CgroupConfig | null
  /** Inherited descriptors for `process.passedFds`. */
  passed: number[]
  /** oom_score_adj of the processes that run program code. */
  oomScoreAdj: number
  /** What the host has, as the sandbox may know it. */
  host: {
    cpus: number
    memoryBytes: number
    /** The sentry's own process runs under this user and group; null: it stays who it is, and has no rights any more. */
    uid: number | null
    gid: number
  }
}
