// A config.json with everything in it, and what can be wrong with it: for the tests that put that in.

import type { Config } from '../run.ts'

/** Ids of the container's users on the host. */
export const map = { containerID: 0, hostID: 100000, size: 65536 }
const hook = { path: '/bin/true', args: ['true'], env: ['A=b'], timeout: 1 }
const caps = ['CAP_KILL']

/** A document with everything in it. */
export const full = (): Config =>
  JSON.parse(
    JSON.stringify({
      ociVersion: '1.2.0',
      process: {
        terminal: true,
        consoleSize: { height: 24, width: 80 },
        user: { uid: 1, gid: 2, umask: 0o22, additionalGids: [3] },
        args: ['sh', '-c', 'true'],
        env: ['PATH=/bin', 'A=b'],
        cwd: '/bin',
        capabilities: {
          bounding: caps,
          effective: caps,
          inheritable: caps,
          permitted: caps,
          ambient: caps,
        },
        rlimits: [{ type: 'RLIMIT_NOFILE', soft: 100, hard: 200 }],
        noNewPrivileges: true,
        apparmorProfile: 'some',
        oomScoreAdj: 10,
        selinuxLabel: '',
        scheduler: {
          policy: 'SCHED_BATCH',
          nice: 5,
          priority: 0,
          flags: ['SCHED_FLAG_RESET_ON_FORK'],
        },
        ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 3 },
      },
      root: { path: 'rootfs', readonly: true },
      hostname: 'box',
      domainname: 'domain',
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid'] },
        {
          destination: '/link/x',
          type: 'tmpfs',
          source: 'tmpfs',
          options: ['size=1m', 'tmpcopyup'],
        },
        { destination: '/b', type: 'bind', source: 'source', options: ['rbind', 'rro', 'rslave'] },
      ],
      hooks: {
        prestart: [hook],
        createRuntime: [hook],
        createContainer: [hook],
        startContainer: [hook],
        poststart: [hook],
        poststop: [hook],
      },
      annotations: { 'dev.portcullis.flag.strace': 'true', other: 'x' },
      linux: {
        uidMappings: [map],
        gidMappings: [map],
        sysctl: { 'net.core.somaxconn': '1' },
        cgroupsPath: '/a/b',
        namespaces: ['pid', 'network', 'mount', 'ipc', 'uts', 'user', 'cgroup'].map(type => ({
          type,
          path: '',
        })),
        devices: [
          { path: '/dev/x', type: 'c', major: 1, minor: 3, fileMode: 0o600, uid: 0, gid: 0 },
        ],
        seccomp: {
          defaultAction: 'SCMP_ACT_ERRNO',
          defaultErrnoRet: 1,
          architectures: ['SCMP_ARCH_X86_64'],
          flags: ['SECCOMP_FILTER_FLAG_LOG'],
          listenerPath: '',
          syscalls: [
            {
              names: ['read', 'execve'],
              action: 'SCMP_ACT_ALLOW',
              errnoRet: 1,
              args: [{ index: 0, value: 1, valueTwo: 2, op: 'SCMP_CMP_MASKED_EQ' }],
            },
          ],
        },
        rootfsPropagation: 'rprivate',
        maskedPaths: ['/proc/kcore'],
        readonlyPaths: ['/proc/sys'],
        mountLabel: '',
        personality: { domain: 'LINUX', flags: [] },
        timeOffsets: {},
      },
    }),
  )

/** Values that few fields take. */
export const WRONG: unknown[] = [
  ...[null, true, 0, -1, 1.5, 7, 2 ** 31, 2 ** 53, 2 ** 64, 1e300, '', 'x', '\0', 'a\nb', '..'],
  ...['/../../..', '/link/../../x', '/proc/self/root', '-1', [], [[]], [null], {}, { a: 1 }],
]

/** The way to a member. */
export type Path = (string | number)[]

/** Every place in a document, containers before what is in them. */
export function places(value: unknown, path: Path = []): Path[] {
  const below =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, member]) =>
          places(member, [...path, Array.isArray(value) ? Number(key) : key]),
        )
      : []
  return path.length > 0 ? [path, ...below] : below
}

/** Replace a member. */
export function put(document: Config, path: Path, value: unknown): void {
  const parent = path.slice(0, -1).reduce<Config>((at, key) => at[key], document)
  parent[path.at(-1)!] = value
}

/** A member. */
export const get = (document: Config, path: Path): unknown =>
  path.reduce<unknown>((at, key) => (at as Config)[key], document)
