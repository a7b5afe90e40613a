// The form of config.json, field by field: what runc's decoder takes, this takes, and fails where it fails. A key
// that is null counts as absent and unknown keys are ignored, as Go's JSON decoder has it.
// Source: OCI runtime specification 1.2, config.md and config-linux.md.

import * as v from 'valibot'

/** PATH_MAX without its NUL. */
const PATH_BYTES = 4095
const INT64 = 2 ** 63
const UINT64 = 2 ** 64

const text = v.pipe(
  v.string(),
  v.check(s => !s.includes('\0'), 'expected a string without NUL'),
)
const path = v.pipe(text, v.maxBytes(PATH_BYTES, `expected a path of at most ${PATH_BYTES} bytes`))
const absolutePath = v.pipe(path, v.startsWith('/', 'expected an absolute path'))

const whole = (min: number, max: number) => {
  const message = `expected an integer from ${min} to ${max}`
  return v.pipe(v.number(), v.integer(message), v.minValue(min, message), v.maxValue(max, message))
}
const u32 = whole(0, 2 ** 32 - 1)
const i64 = whole(-INT64, INT64)
/** 2^64 - 1 arrives rounded, as 2^64. */
const u64 = whole(0, UINT64)
const UINT64_MESSAGE = 'expected an integer from 0 to 2^64 - 1'
/** Seccomp compares all 64 bits: larger numbers than a double holds come as bigint, see `parseJson`. */
const exact64 = v.union(
  [
    v.pipe(v.number(), v.safeInteger(UINT64_MESSAGE), v.minValue(0, UINT64_MESSAGE)),
    v.pipe(v.bigint(), v.maxValue(2n ** 64n - 1n, UINT64_MESSAGE)),
  ],
  UINT64_MESSAGE,
)
const strings = v.array(text)
const variable = v.pipe(
  text,
  v.check(s => s.indexOf('=') > 0, 'expected NAME=VALUE'),
)
const cpuList = v.pipe(
  v.string(),
  v.trim(),
  v.regex(/^(\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?){0,500})?$/, 'expected a list like 0-2,7'),
)

/** An array has keys too, but it is none. */
const plain = v.custom<Record<string, unknown>>(
  value => typeof value === 'object' && value !== null && !Array.isArray(value),
  'expected an object',
)
const object = <const T extends v.ObjectEntries>(entries: T) => v.pipe(plain, v.object(entries))
const members = <T extends v.GenericSchema>(schema: T) =>
  v.pipe(plain, v.record(v.string(), schema))
const anything = v.pipe(plain, v.looseObject({}))
const oneOf = <const T extends readonly string[]>(values: T) =>
  v.picklist(values, `expected one of ${values.join(', ')}`)

/** A hook: a program of the host. */
export const hookSchema = object({
  path: absolutePath,
  args: v.optional(strings, []),
  env: v.optional(strings, []),
  timeout: v.optional(v.pipe(i64, v.minValue(1, 'expected a number of seconds above 0'))),
})

const hooksSchema = object({
  prestart: v.optional(v.array(hookSchema), []),
  createRuntime: v.optional(v.array(hookSchema), []),
  createContainer: v.optional(v.array(hookSchema), []),
  startContainer: v.optional(v.array(hookSchema), []),
  poststart: v.optional(v.array(hookSchema), []),
  poststop: v.optional(v.array(hookSchema), []),
})

const userSchema = object({
  uid: v.optional(u32, 0),
  gid: v.optional(u32, 0),
  umask: v.optional(whole(0, 0o777)),
  additionalGids: v.optional(v.array(u32), []),
})

export const SCHEDULER_POLICIES = [
  'SCHED_OTHER',
  'SCHED_FIFO',
  'SCHED_RR',
  'SCHED_BATCH',
  'SCHED_ISO',
  'SCHED_IDLE',
  'SCHED_DEADLINE',
] as const
export const SCHEDULER_FLAGS = [
  'SCHED_FLAG_RESET_ON_FORK',
  'SCHED_FLAG_RECLAIM',
  'SCHED_FLAG_DL_OVERRUN',
  'SCHED_FLAG_KEEP_POLICY',
  'SCHED_FLAG_KEEP_PARAMS',
  'SCHED_FLAG_UTIL_CLAMP_MIN',
  'SCHED_FLAG_UTIL_CLAMP_MAX',
] as const
export const IO_PRIORITY_CLASSES = [
  'IOPRIO_CLASS_RT',
  'IOPRIO_CLASS_BE',
  'IOPRIO_CLASS_IDLE',
] as const

const rlimitSchema = object({ type: v.pipe(text, v.nonEmpty()), soft: u64, hard: u64 })

/** The process object: also what `exec --process` reads. */
export const processSchema = object({
  terminal: v.optional(v.boolean(), false),
  consoleSize: v.optional(object({ height: whole(0, 65535), width: whole(0, 65535) })),
  user: v.optional(userSchema, {}),
  args: v.pipe(strings, v.minLength(1, 'expected at least one argument, the program')),
  env: v.optional(v.array(variable), []),
  cwd: absolutePath,
  capabilities: v.optional(
    object({
      bounding: v.optional(strings, []),
      effective: v.optional(strings, []),
      inheritable: v.optional(strings, []),
      permitted: v.optional(strings, []),
      ambient: v.optional(strings, []),
    }),
  ),
  rlimits: v.optional(v.array(rlimitSchema), []),
  noNewPrivileges: v.optional(v.boolean(), false),
  apparmorProfile: v.optional(text, ''),
  oomScoreAdj: v.optional(whole(-1000, 1000)),
  selinuxLabel: v.optional(text, ''),
  scheduler: v.optional(
    object({
      policy: oneOf(SCHEDULER_POLICIES),
      nice: v.optional(whole(-20, 19), 0),
      priority: v.optional(whole(0, 99), 0),
      flags: v.optional(v.array(oneOf(SCHEDULER_FLAGS)), []),
      runtime: v.optional(u64, 0),
      deadline: v.optional(u64, 0),
      period: v.optional(u64, 0),
    }),
  ),
  ioPriority: v.optional(
    object({ class: oneOf(IO_PRIORITY_CLASSES), priority: v.optional(whole(0, 7), 0) }),
  ),
  execCPUAffinity: v.optional(
    object({ initial: v.optional(cpuList, ''), final: v.optional(cpuList, '') }),
  ),
})

const idMapping = object({
  containerID: u32,
  hostID: u32,
  size: whole(1, 2 ** 32 - 1),
})
const idMappings = v.pipe(
  v.array(idMapping),
  v.maxLength(340, 'expected at most 340 mappings, as the kernel takes'),
)

const mountSchema = object({
  destination: v.pipe(path, v.nonEmpty('expected a path')),
  type: v.optional(text, ''),
  source: v.optional(path, ''),
  options: v.optional(strings, []),
  uidMappings: v.optional(idMappings, []),
  gidMappings: v.optional(idMappings, []),
})

export const NAMESPACE_TYPES = [
  'pid',
  'network',
  'mount',
  'ipc',
  'uts',
  'user',
  'cgroup',
  'time',
] as const

const deviceSchema = object({
  path: absolutePath,
  type: oneOf(['c', 'b', 'u', 'p']),
  major: v.optional(i64, 0),
  minor: v.optional(i64, 0),
  fileMode: v.optional(u32),
  uid: v.optional(u32),
  gid: v.optional(u32),
})

const seccompSchema = object({
  defaultAction: v.string(),
  defaultErrnoRet: v.optional(u32),
  architectures: v.optional(strings, []),
  flags: v.optional(strings, []),
  listenerPath: v.optional(text, ''),
  listenerMetadata: v.optional(text, ''),
  syscalls: v.optional(
    v.array(
      object({
        names: v.optional(strings, []),
        action: v.string(),
        errnoRet: v.optional(u32),
        args: v.optional(
          v.array(
            object({
              index: v.optional(u32, 0),
              value: v.optional(exact64, 0),
              valueTwo: v.optional(exact64),
              op: v.string(),
            }),
          ),
          [],
        ),
      }),
    ),
    [],
  ),
})

const linuxSchema = object({
  uidMappings: v.optional(idMappings, []),
  gidMappings: v.optional(idMappings, []),
  sysctl: v.optional(members(text), {}),
  /** Looked at by the cgroup code. */
  resources: v.optional(anything, {}),
  cgroupsPath: v.optional(path, ''),
  namespaces: v.optional(
    v.array(object({ type: oneOf(NAMESPACE_TYPES), path: v.optional(path, '') })),
    [],
  ),
  devices: v.optional(v.array(deviceSchema), []),
  seccomp: v.optional(seccompSchema),
  rootfsPropagation: v.optional(text, ''),
  maskedPaths: v.optional(v.array(path), []),
  readonlyPaths: v.optional(v.array(path), []),
  mountLabel: v.optional(text, ''),
  intelRdt: v.optional(anything),
  personality: v.optional(
    object({ domain: oneOf(['LINUX', 'LINUX32']), flags: v.optional(strings, []) }),
  ),
  timeOffsets: v.optional(
    members(object({ secs: v.optional(i64, 0), nanosecs: v.optional(u32, 0) })),
    {},
  ),
})

export const specSchema = object({
  ociVersion: v.pipe(v.string(), v.regex(/^1\.\d+\.\d+/, 'expected version 1.x')),
  process: processSchema,
  root: object({
    path: v.pipe(path, v.nonEmpty('expected a path')),
    readonly: v.optional(v.boolean(), false),
  }),
  hostname: v.optional(v.pipe(text, v.maxBytes(64, 'expected at most 64 bytes')), ''),
  domainname: v.optional(v.pipe(text, v.maxBytes(64, 'expected at most 64 bytes')), ''),
  mounts: v.optional(v.array(mountSchema), []),
  hooks: v.optional(hooksSchema, {}),
  annotations: v.optional(members(v.string()), {}),
  linux: v.optional(linuxSchema, {}),
})

export type Spec = v.InferOutput<typeof specSchema>
export type SpecProcess = Spec['process']
export type SpecMount = Spec['mounts'][number]
export type SpecHook = v.InferOutput<typeof hookSchema>
export type SpecSeccomp = v.InferOutput<typeof seccompSchema>
export type IdMapping = v.InferOutput<typeof idMapping>
