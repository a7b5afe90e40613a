// The OCI bundle: reads and validates config.json, and makes the starter that `runsc spec` writes.
// Source: OCI runtime specification 1.2, config.md and config-linux.md.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { CliError } from './errors.ts'

/** The OCI runtime specification that we follow. */
export const OCI_VERSION = '1.2.0'
/** Larger configurations are refused unread. */
const MAX_CONFIG_BYTES = 16 << 20

/** PATH_MAX without its NUL. */
const PATH_BYTES = 4095

const absolutePath = v.pipe(
  v.string(),
  v.startsWith('/', 'expected an absolute path'),
  v.check(path => !path.includes('\0'), 'expected a path without NUL'),
  v.maxBytes(PATH_BYTES, `expected a path of at most ${PATH_BYTES} bytes`),
)
const text = v.pipe(
  v.string(),
  v.check(s => !s.includes('\0'), 'expected a string without NUL'),
)
const u32 = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 32 - 1))
const count = v.pipe(v.number(), v.integer(), v.minValue(0))
const strings = v.array(text)
const capabilities = v.array(
  v.pipe(v.string(), v.regex(/^CAP_[A-Z_]+$/, 'expected a name like CAP_CHOWN')),
)

const processSchema = v.object({
  terminal: v.optional(v.boolean(), false),
  consoleSize: v.optional(v.object({ height: count, width: count })),
  user: v.optional(
    v.object({
      uid: v.optional(u32, 0),
      gid: v.optional(u32, 0),
      umask: v.optional(v.pipe(u32, v.maxValue(0o777))),
      additionalGids: v.optional(v.array(u32), []),
    }),
    {},
  ),
  args: v.pipe(strings, v.minLength(1, 'expected at least one argument, the program')),
  env: v.optional(strings, []),
  cwd: v.optional(absolutePath, '/'),
  capabilities: v.optional(
    v.object({
      bounding: v.optional(capabilities, []),
      effective: v.optional(capabilities, []),
      inheritable: v.optional(capabilities, []),
      permitted: v.optional(capabilities, []),
      ambient: v.optional(capabilities, []),
    }),
  ),
  rlimits: v.optional(
    v.array(
      v.object({ type: v.pipe(v.string(), v.regex(/^RLIMIT_[A-Z]+$/)), soft: count, hard: count }),
    ),
    [],
  ),
  noNewPrivileges: v.optional(v.boolean(), false),
  oomScoreAdj: v.optional(v.pipe(v.number(), v.integer(), v.minValue(-1000), v.maxValue(1000)), 0),
})

const mountSchema = v.object({
  destination: absolutePath,
  type: v.optional(text, 'none'),
  source: v.optional(
    v.pipe(text, v.maxBytes(PATH_BYTES, `expected at most ${PATH_BYTES} bytes`)),
    '',
  ),
  options: v.optional(strings, []),
})

const specSchema = v.object({
  ociVersion: v.pipe(v.string(), v.regex(/^1\.\d+\.\d+/, 'expected version 1.x')),
  process: processSchema,
  root: v.object({ path: v.pipe(text, v.nonEmpty()), readonly: v.optional(v.boolean(), false) }),
  hostname: v.optional(v.pipe(text, v.maxLength(64)), ''),
  domainname: v.optional(v.pipe(text, v.maxLength(64)), ''),
  mounts: v.optional(v.array(mountSchema), []),
  annotations: v.optional(v.record(v.string(), v.string()), {}),
  linux: v.optional(v.looseObject({}), {}),
})

export type Spec = v.InferOutput<typeof specSchema>
export type SpecProcess = Spec['process']

/** Check a parsed config.json; a failure names the first field that is wrong and what was expected there. */
export function validateSpec(value: unknown, file: string): Spec {
  const result = v.safeParse(specSchema, value, { abortPipeEarly: true })
  if (result.success) return result.output
  const issue = result.issues[0]
  const field = v.getDotPath(issue) ?? '(the whole document)'
  const missing =
    issue.kind === 'schema' && issue.type === 'object' && issue.received === 'undefined'
  throw new CliError(`${file}: ${field}: ${missing ? 'is missing' : issue.message}`)
}

/** Read a bundle's config.json. */
export function readSpec(bundle: string): Spec {
  const file = join(bundle, 'config.json')
  let json: unknown
  try {
    json = JSON.parse(readBounded(file))
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') {
      throw new CliError(
        `${file} does not exist: give the bundle with --bundle, or make one with \`runsc spec\``,
      )
    }
    throw new CliError(`${file}: ${message}`, { cause })
  }
  return validateSpec(json, file)
}

function readBounded(file: string): string {
  const fd = openSync(file, 'r')
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw new Error('not a regular file')
    if (stat.size > MAX_CONFIG_BYTES)
      throw new Error(`${stat.size} bytes are more than ${MAX_CONFIG_BYTES}`)
    const bytes = Buffer.alloc(stat.size)
    let length = 0
    while (length < bytes.length) {
      const n = readSync(fd, bytes, length, bytes.length - length, null)
      if (n === 0) break
      length += n
    }
    return bytes.toString('utf8', 0, length)
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

/** The starter configuration of `runsc spec`. */
export function starterSpec(args: string[], cwd: string): Record<string, unknown> {
  const caps = DEFAULT_CAPABILITIES
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
    mounts: SYSTEM_MOUNTS,
    linux: {
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map(type => ({ type })),
    },
  }
}
