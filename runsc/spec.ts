// The OCI bundle: reads and validates config.json, and makes the starter that `runsc spec` writes.
// Source: OCI runtime specification 1.2, config.md and config-linux.md.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { readHierarchy } from './cgroup/hierarchy.ts'
import { CliError } from './errors.ts'
import { checkSpec, type Warn } from './spec-check.ts'
import { processSchema, type Spec, type SpecProcess, specSchema } from './spec-schema.ts'
import { OCI_VERSION } from './version.ts'

export type { Spec, SpecProcess } from './spec-schema.ts'

/** Larger configurations are refused unread. */
const MAX_CONFIG_BYTES = 16 << 20
/** What is read at a time where the size is not known. */
const CHUNK = 64 << 10
/** Nothing in a config.json is nested nearly as deep. */
const MAX_DEPTH = 64
/** Longest part of a wrong value in a message. */
const SHOWN_LENGTH = 80

/** Check a parsed config.json; a failure names the first field that is wrong, its value and what was expected. */
export function validateSpec(value: unknown, file: string): Spec {
  return validate(specSchema, value, file)
}

/** Check a process object, as `exec --process` reads it. */
export function validateProcess(value: unknown, file: string): SpecProcess {
  return validate(processSchema, value, file)
}

function validate<T extends v.GenericSchema>(
  schema: T,
  value: unknown,
  file: string,
): v.InferOutput<T> {
  const result = v.safeParse(schema, withoutNulls(value, 0), { abortEarly: true })
  if (result.success) return result.output
  throw new CliError(`${file}: ${describeIssue(result.issues[0])}`)
}

function describeIssue(issue: v.BaseIssue<unknown>): string {
  const field = v.getDotPath(issue) ?? '(the whole document)'
  if (issue.received === 'undefined') return `${field}: is missing`
  // Messages of our own tell what was expected only.
  const value = issue.message.startsWith('expected') ? `, not ${shown(issue.input)}` : ''
  return `${field}: ${issue.message}${value}`
}

/** A value for a message: JSON, cut where it is long. */
function shown(value: unknown): string {
  const json = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? 'undefined')
  return json.length > SHOWN_LENGTH ? `${json.slice(0, SHOWN_LENGTH)}…` : json
}

/** Members that are null are absent, as for runc. */
function withoutNulls(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH)
    throw new CliError(`config.json: nested more than ${MAX_DEPTH} levels deep`)
  if (Array.isArray(value)) return value.map(item => withoutNulls(item, depth + 1))
  const kept: Record<string, unknown> = {}
  for (const [key, member] of Object.entries(value)) {
    // A key like any other for the decoder, but not for an object of ours.
    if (member !== null && key !== '__proto__') kept[key] = withoutNulls(member, depth + 1)
  }
  return kept
}

/**
 * Read a bundle's config.json, and check what its fields say together. `ignored` is told of fields that nobody
 * knows, which runc ignores too.
 */
export function readSpec(bundle: string, warn: Warn, ignored?: (field: string) => void): Spec {
  const file = join(bundle, 'config.json')
  const json = readJson(file)
  const spec = validateSpec(json, file)
  checkSpec(spec, file, warn)
  if (ignored !== undefined) unknownFields(json, spec, '', ignored)
  return spec
}

/** What of `given` is not in `kept`, the part of it that has a meaning. */
function unknownFields(
  given: unknown,
  kept: unknown,
  path: string,
  told: (field: string) => void,
): void {
  if (typeof given !== 'object' || given === null || typeof kept !== 'object' || kept === null)
    return
  for (const [key, value] of Object.entries(given)) {
    const field = path === '' ? key : `${path}.${key}`
    if (Object.hasOwn(kept, key)) unknownFields(value, (kept as never)[key], field, told)
    else if (value !== null) told(field)
  }
}

/** Read a file of JSON of bounded size. */
export function readJson(file: string): unknown {
  try {
    return parseJson(readBounded(file))
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') {
      throw new CliError(
        `${file} does not exist: give the bundle with --bundle, or make one with \`runsc spec\``,
      )
    }
    throw new CliError(`${file}: ${message}`, { cause })
  }
}

/** TypeScript does not know the third argument of a reviver yet. */
type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown

/** JSON.parse; operands of seccomp rules that a double cannot hold come as bigint. */
export function parseJson(text: string): unknown {
  if (!/"value(Two)?"\s*:\s*\d{16}/.test(text)) return JSON.parse(text)
  const exact: Reviver = (key, value, { source }) =>
    (key === 'value' || key === 'valueTwo') && /^\d{16,20}$/.test(source ?? '')
      ? BigInt(source!)
      : value
  return JSON.parse(text, exact as (key: string, value: unknown) => unknown)
}

function readBounded(file: string): string {
  const fd = openSync(file, 'r')
  try {
    const stat = fstatSync(fd)
    // Shells give a pipe for what a command prints; a terminal or a device would keep us waiting.
    if (!stat.isFile() && !stat.isFIFO()) throw new Error('not a regular file or a pipe')
    const chunks: Buffer[] = []
    let length = 0
    let size = stat.isFile() ? stat.size : CHUNK
    for (;;) {
      if (length + size > MAX_CONFIG_BYTES)
        throw new Error(`more than ${MAX_CONFIG_BYTES} bytes are refused`)
      const chunk = Buffer.alloc(size + 1)
      const n = readSync(fd, chunk, 0, chunk.length, null)
      if (n === 0) return Buffer.concat(chunks).toString('utf8')
      chunks.push(chunk.subarray(0, n))
      length += n
      size = CHUNK
    }
  } finally {
    closeSync(fd)
  }
}

const DEFAULT_CAPABILITIES = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE']

/** What every container has mounted. */
export const SYSTEM_MOUNTS: Record<string, unknown>[] = [
  { destination: '/proc', type: 'proc', source: 'proc' },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
  {
    destination: '/dev/mqueue',
    type: 'mqueue',
    source: 'mqueue',
    options: ['nosuid', 'noexec', 'nodev'],
  },
  {
    destination: '/sys',
    type: 'sysfs',
    source: 'sysfs',
    options: ['nosuid', 'noexec', 'nodev', 'ro'],
  },
]

const CGROUP_MOUNT = {
  destination: '/sys/fs/cgroup',
  type: 'cgroup',
  source: 'cgroup',
  options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
}

/** Paths that tell of the host or change it, where a kernel is shared; engines list them. */
const MASKED_PATHS =
  '/proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug /sys/firmware /proc/scsi'
const READONLY_PATHS = '/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger'

export interface StarterOptions {
  args: string[]
  cwd: string
  /** A network namespace to join. */
  netns?: string
  /** Users to map for someone who is not root on the host; null for none. */
  rootless: { uid: number; gid: number } | null
}

/** The starter configuration of `runsc spec`. */
export function starterSpec(options: StarterOptions): Record<string, unknown> {
  const { args, cwd, netns, rootless } = options
  const caps = DEFAULT_CAPABILITIES
  // As runc has it: programs know version 1 by the paths that they see without one.
  const own = readHierarchy()?.version === 2 ? ['cgroup'] : []
  const namespaces: Record<string, string>[] = [
    ...['pid', 'network', 'ipc', 'uts', 'mount'],
    ...own,
  ].map(type => (type === 'network' && netns !== undefined ? { type, path: netns } : { type }))
  if (rootless !== null) namespaces.push({ type: 'user' })
  const mapping = (hostID: number) => [{ containerID: 0, hostID, size: 1 }]
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args,
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd,
      capabilities: { bounding: caps, effective: caps, permitted: caps },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'runsc',
    mounts: [...SYSTEM_MOUNTS, CGROUP_MOUNT].map(rootless === null ? mount => mount : withoutIds),
    linux: {
      ...(rootless === null
        ? { resources: { devices: [{ allow: false, access: 'rwm' }] } }
        : { uidMappings: mapping(rootless.uid), gidMappings: mapping(rootless.gid) }),
      namespaces,
      maskedPaths: MASKED_PATHS.split(' '),
      readonlyPaths: READONLY_PATHS.split(' '),
    },
  }
}

/** Where one user is mapped, no other can own a file system. */
function withoutIds(mount: Record<string, unknown>): Record<string, unknown> {
  const options = mount.options as string[] | undefined
  if (options === undefined) return mount
  return { ...mount, options: options.filter(option => !/^[ug]id=/.test(option)) }
}
