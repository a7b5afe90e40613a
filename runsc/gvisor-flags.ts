// Global flags of gVisor's runsc, and of runc, that have no counterpart here. Those that tune what this runtime does not
// have are taken, and the debug log tells so; those that ask for something are refused, unless they ask for nothing.

import { CliError } from './errors.ts'
import { truth } from './options.ts'

/** Flags that are taken, or refused, for the same reason. */
export interface Group {
  /** On or off (`flag`), or with a value. */
  flag: boolean
  why: string
  /** Values that ask for nothing, in a group that is refused; undefined: each is taken. */
  off?: readonly string[]
  names: string
}

export const GO = 'it concerns Go or gVisor itself'
const NETSTACK = "there is no network stack of our own: sockets are the host's, or a loopback"
const OBSOLETE = 'gVisor itself ignores it'
export const SAVE = 'sandboxes are not saved'
export const NO_USER_LOG = 'there is no user log'
const METRICS = 'there are no such metrics'
const DEVICES = 'devices of the host are out of reach'
const HOST_CGROUP = "cgroups in the sandbox are of the host's version"

const GROUPS: readonly Group[] = [
  {
    flag: false,
    why: GO,
    names:
      'control-rpc-stop-timeout host-settings panic-log panic-signal ref-leak-mode sidecar-release-enforcement-policy sidecar-usage-policy traceback watchdog-action',
  },
  {
    flag: true,
    why: GO,
    names: 'kvm-use-cpu-nums systrap-disable-fast-path systrap-disable-syscall-patching',
  },
  {
    flag: true,
    why: OBSOLETE,
    names: 'buffer-pooling cgroupfs fuse lisafs save-restore-netstack vfs2',
  },
  { flag: false, why: 'the debug log has one form', names: 'debug-log-format' },
  { flag: true, why: NO_USER_LOG, names: 'debug-to-user-log' },
  {
    flag: true,
    why: NETSTACK,
    names: 'gso gvisor-gro rx-checksum-offload software-gso tx-checksum-offload',
  },
  {
    flag: false,
    why: NETSTACK,
    names:
      'network-processors-per-channel num-network-channels qdisc qdisc-tbf-burst qdisc-tbf-rate',
  },
  {
    flag: true,
    why: "the rules of the host's network namespace hold for its sockets",
    names: 'reproduce-nat reproduce-nftables',
  },
  {
    flag: true,
    why: SAVE,
    names:
      'allow-connected-on-save allow-live-tcp-migration net-disconnect-ok pause-external-networking',
  },
  { flag: false, why: SAVE, names: 'criu restore-spec-validation' },
  { flag: false, why: 'caches have sizes of their own', names: 'dcache fdlimit' },
  { flag: true, why: 'open files come from the gofer, and are used directly', names: 'directfs' },
  { flag: true, why: "memory is the host's", names: 'app-huge-pages' },
  { flag: true, why: 'programs see the CPUs of their cpuset', names: 'cpu-num-from-quota' },
  { flag: false, why: 'each gofer has an empty one', names: 'gofer-network-namespace' },
  { flag: false, why: HOST_CGROUP, names: 'in-sandbox-cgroup' },
  { flag: true, why: HOST_CGROUP, names: 'mount-cgroup-v2' },
  {
    flag: false,
    off: [''],
    why: METRICS,
    names:
      'coverage-report final-metrics-log metric-server profiling-metrics profiling-metrics-log',
  },
  { flag: false, off: ['1000'], why: METRICS, names: 'profiling-metrics-rate-us' },
  { flag: false, off: [''], why: NETSTACK, names: 'network-proxy-path pcap-log' },
  { flag: true, off: ['false'], why: NETSTACK, names: 'log-packets' },
  { flag: false, off: ['off'], why: NETSTACK, names: 'EXPERIMENTAL-xdp' },
  { flag: true, off: ['true', 'false'], why: NETSTACK, names: 'EXPERIMENTAL-xdp-need-wakeup' },
  { flag: true, off: ['false'], why: GO, names: 'profile strace-event' },
  {
    flag: false,
    off: ['', '0', '0s'],
    why: GO,
    names: 'profile-block profile-cpu profile-gc-interval profile-heap profile-mutex trace',
  },
  { flag: false, off: [''], why: 'there are no trace sessions', names: 'pod-init-config' },
  { flag: false, off: [''], why: 'no platform has a device', names: 'platform_device_path' },
  {
    flag: true,
    off: ['false'],
    why: DEVICES,
    names: 'nvproxy nvproxy-allow-unsupported-driver nvproxy-docker rdmaproxy tpuproxy',
  },
  {
    flag: false,
    off: [''],
    why: DEVICES,
    names: 'nvproxy-allowed-driver-capabilities nvproxy-driver-version',
  },
  {
    flag: false,
    off: ['emulated-only', 'prefer-emulated'],
    why: DEVICES,
    names: 'character-device-policy',
  },
  { flag: false, off: ['none'], why: 'FIFOs of the host are out of reach', names: 'host-fifo' },
  {
    flag: true,
    off: ['false'],
    why: 'core scheduling is not supported',
    names: 'enable-core-tags',
  },
  {
    flag: true,
    off: ['false'],
    why: 'there are no packet sockets',
    names: 'allow-packet-socket-write',
  },
  {
    flag: true,
    off: ['true'],
    why: 'set-user-ID programs work as on Linux: process.noNewPrivileges stops them',
    names: 'allow-suid',
  },
  {
    flag: false,
    off: ['linux'],
    why: "a container's first process is as on Linux",
    names: 'signal-unkillable-policy',
  },
  {
    flag: true,
    off: ['false'],
    why: 'a root cannot come from an archive',
    names: 'allow-rootfs-tar-annotation',
  },
  { flag: true, off: ['false'], why: 'this is not gVisor', names: 'gvisor-marker-file' },
  {
    flag: false,
    off: [''],
    why: 'bind a file over it in config.json',
    names: 'override-procs',
  },
  { flag: true, off: ['false'], why: 'io_uring is not supported', names: 'iouring' },
  { flag: true, off: ['false'], why: 'use --overlay2=all:memory', names: 'overlay' },
  { flag: true, off: ['false'], why: 'use --host-uds=open', names: 'fsgofer-host-uds' },
]

/** One of them. */
export interface ForeignFlag {
  name: string
  flag: boolean
  /** It is refused when it asks for something. */
  refused: boolean
  why: string
  /** What is to be told of it when it has this value, if anything. Throws when it is refused. */
  note(value: string): string[]
}

const flagIn = ({ flag, off, why }: Group, name: string): ForeignFlag => ({
  name,
  flag,
  refused: off !== undefined,
  why,
  note(value) {
    const given = flag ? String(truth(value)) : value
    if (off === undefined) return [`--${name}=${value} has no effect: ${why}`]
    if (!off.includes(given)) throw new CliError(`--${name}=${value} is not supported: ${why}`)
    return []
  },
})

/** How to take the flag of this name; null when it is none of them. */
export function foreignFlag(groups: readonly Group[], name: string): ForeignFlag | null {
  const group = groups.find(({ names }) => names.split(' ').includes(name))
  return group === undefined ? null : flagIn(group, name)
}

/** All of them, by name. */
export const foreignFlags = (groups: readonly Group[]): ForeignFlag[] =>
  groups
    .flatMap(group => group.names.split(' ').map(name => flagIn(group, name)))
    .sort((a, b) => (a.name < b.name ? -1 : 1))

/** How to take a global flag of gVisor's or runc's; null when it is none, or has a counterpart. */
export const gvisorFlag = (name: string): ForeignFlag | null => foreignFlag(GROUPS, name)

/** All of them, by name. */
export const gvisorFlags = (): ForeignFlag[] => foreignFlags(GROUPS)
