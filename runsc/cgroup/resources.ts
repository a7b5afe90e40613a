// linux.resources of config.json, which `runsc update` takes as well: shapes, ranges, merging.
// Source: OCI runtime specification 1.2, config-linux.md#control-groups. Zero and "" mean "leave as it is", as runc
// has it, and -1 "no limit".

import * as v from 'valibot'
import { CliError } from '../errors.ts'

/** The kernel counts memory and most else as signed 64-bit numbers; JSON's doubles reach as far, in steps. */
const INT64_MAX = 2 ** 63
const MAX_DEVICES = 1024

const whole = v.pipe(v.number('expected a number'), v.integer('expected a whole number'))
const range = (min: number, max: number) =>
  v.pipe(
    whole,
    v.check(n => n >= min && n <= max, `expected a number from ${min} to ${max}`),
  )
const limit = v.pipe(
  whole,
  v.check(n => n >= -1 && n < INT64_MAX, 'expected -1 (no limit) or a number of at most 2^63-1'),
)
const count = v.pipe(
  whole,
  v.check(n => n >= 0 && n < 2 * INT64_MAX, 'expected a number from 0 to 2^64-1'),
)
const orZero = (min: number, max: number) =>
  v.pipe(
    whole,
    v.check(n => n === 0 || (n >= min && n <= max), `expected 0 or a number from ${min} to ${max}`),
  )
const list = v.pipe(
  v.string('expected a string'),
  v.regex(/^(\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*)?$/, 'expected a list like 0-2,7'),
)
const device = { major: range(0, 2 ** 32 - 1), minor: range(0, 2 ** 32 - 1) }
const weight = orZero(10, 1000)
const rates = v.optional(
  v.pipe(v.array(v.object({ ...device, rate: count })), v.maxLength(MAX_DEVICES)),
)

const memorySchema = v.object({
  limit: v.optional(limit),
  reservation: v.optional(limit),
  swap: v.optional(limit),
  kernel: v.optional(limit),
  kernelTCP: v.optional(limit),
  // Docker's "unset" is -1, as is runc's.
  swappiness: v.optional(
    v.pipe(
      whole,
      v.check(n => (n >= -1 && n <= 100) || n === 2 ** 64, 'expected a number from 0 to 100'),
    ),
  ),
  disableOOMKiller: v.optional(v.boolean()),
  useHierarchy: v.optional(v.boolean()),
  checkBeforeUpdate: v.optional(v.boolean()),
})

const cpuSchema = v.object({
  shares: v.optional(orZero(2, 262144)),
  quota: v.optional(
    v.pipe(
      whole,
      v.check(
        n => n === 0 || n === -1 || (n >= 1000 && n < 2 ** 44),
        'expected -1 (no limit), 0 or at least 1000 microseconds',
      ),
    ),
  ),
  burst: v.optional(range(0, 2 ** 44)),
  period: v.optional(orZero(1000, 1_000_000)),
  realtimeRuntime: v.optional(range(-1, 2 ** 44)),
  realtimePeriod: v.optional(range(0, 2 ** 44)),
  cpus: v.optional(list),
  mems: v.optional(list),
  idle: v.optional(range(0, 1)),
})

const blockIOSchema = v.object({
  weight: v.optional(weight),
  leafWeight: v.optional(weight),
  weightDevice: v.optional(
    v.pipe(
      v.array(
        v.object({ ...device, weight: v.optional(weight, 0), leafWeight: v.optional(weight, 0) }),
      ),
      v.maxLength(MAX_DEVICES),
    ),
  ),
  throttleReadBpsDevice: rates,
  throttleWriteBpsDevice: rates,
  throttleReadIOPSDevice: rates,
  throttleWriteIOPSDevice: rates,
})

const deviceRuleSchema = v.object({
  allow: v.boolean('expected true or false'),
  type: v.optional(v.picklist(['a', 'b', 'c', 'u', 'p', ''], 'expected a, b or c'), 'a'),
  major: v.optional(v.nullable(v.pipe(whole, v.minValue(-1), v.maxValue(2 ** 32 - 1)))),
  minor: v.optional(v.nullable(v.pipe(whole, v.minValue(-1), v.maxValue(2 ** 32 - 1)))),
  access: v.optional(v.pipe(v.string(), v.regex(/^[rwm]*$/, 'expected letters of rwm')), 'rwm'),
})

const hugepageSchema = v.object({
  pageSize: v.pipe(v.string(), v.regex(/^[1-9]\d{0,6}[KMG]B$/, 'expected a size like 2MB')),
  limit: count,
})

/** A file of a cgroup v2 directory. */
const unifiedKey = v.pipe(
  v.string(),
  v.regex(/^[a-z_]+(\.[A-Za-z0-9_]+)+$/, 'expected the name of a cgroup v2 file'),
  v.maxLength(128),
)

/** Objects here may be null or missing, as Go's pointers. */
const optional = <T extends v.GenericSchema>(schema: T) =>
  v.pipe(
    v.optional(v.nullable(schema)),
    v.transform(value => value ?? undefined),
  )

const resourcesSchema = v.object({
  devices: optional(v.pipe(v.array(deviceRuleSchema), v.maxLength(4 * MAX_DEVICES))),
  memory: optional(memorySchema),
  cpu: optional(cpuSchema),
  pids: optional(v.object({ limit: v.optional(limit) })),
  blockIO: optional(blockIOSchema),
  hugepageLimits: optional(v.pipe(v.array(hugepageSchema), v.maxLength(64))),
  network: optional(
    v.object({
      classID: v.optional(range(0, 2 ** 32 - 1)),
      priorities: v.optional(
        v.array(
          v.object({
            name: v.pipe(v.string(), v.regex(/^[^\s/]{1,15}$/, 'expected an interface name')),
            priority: range(0, 2 ** 32 - 1),
          }),
        ),
      ),
    }),
  ),
  rdma: optional(v.record(v.string(), v.unknown())),
  unified: optional(
    v.record(
      unifiedKey,
      v.pipe(
        v.string(),
        v.maxLength(4096),
        v.check(s => !s.includes('\0'), 'expected a string without NUL'),
      ),
    ),
  ),
})

export type Resources = v.InferOutput<typeof resourcesSchema>
export type DeviceRule = v.InferOutput<typeof deviceRuleSchema>

/** Check `value`; a failure names the field below `where` and what was expected there. */
export function parseResources(value: unknown, where: string): Resources {
  const result = v.safeParse(resourcesSchema, dropNulls(value ?? {}), { abortPipeEarly: true })
  if (!result.success) {
    const issue = result.issues[0]
    const field = v.getDotPath(issue)
    const got = issue.received === 'undefined' ? '' : `, not ${issue.received.slice(0, 40)}`
    throw new CliError(`${where}${field === null ? '' : `.${field}`}: ${issue.message}${got}`)
  }
  checkTogether(result.output, where)
  return result.output
}

/** Go's encoders write null for a pointer that is not set. */
function dropNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([key, inner]) => [key, key === 'unified' ? inner : dropNulls(inner)]),
  )
}

/** What no single field tells. */
function checkTogether({ memory, cpu }: Resources, where: string): void {
  const { limit: memoryLimit = 0, swap = 0, reservation = 0 } = memory ?? {}
  if (swap > 0 && memoryLimit <= 0 && memory?.limit !== undefined && memoryLimit === -1)
    throw new CliError(`${where}.memory.swap: a limit of ${swap} needs a memory.limit, not -1`)
  if (swap > 0 && memoryLimit > swap)
    throw new CliError(
      `${where}.memory.swap: memory and swap together (${swap}) are less than memory.limit (${memoryLimit})`,
    )
  if (reservation > 0 && memoryLimit > 0 && reservation > memoryLimit)
    throw new CliError(
      `${where}.memory.reservation: ${reservation} is more than memory.limit (${memoryLimit})`,
    )
  const { quota = 0, burst = 0 } = cpu ?? {}
  if (burst > 0 && quota > 0 && burst > quota)
    throw new CliError(`${where}.cpu.burst: ${burst} is more than cpu.quota (${quota})`)
}

/** What is set in `change`, over `base`: what a container has after an update. */
export function mergeResources(base: Resources, change: Resources): Resources {
  const pick = <T extends object>(from: T | undefined, to: T | undefined): T | undefined => {
    if (to === undefined) return from
    const set = Object.entries(to).filter(([, value]) => value !== 0 && value !== '')
    return { ...from, ...Object.fromEntries(set) } as T
  }
  return {
    ...base,
    memory: pick(base.memory, change.memory),
    cpu: pick(base.cpu, change.cpu),
    pids: pick(base.pids, change.pids),
    blockIO: pick(base.blockIO, change.blockIO),
    hugepageLimits: change.hugepageLimits ?? base.hugepageLimits,
    unified: pick(base.unified, change.unified),
  }
}

/** The fields that this host or this runtime does nothing about, to warn of. */
export function ignoredResources(resources: Resources): string[] {
  const ignored: string[] = []
  if (resources.rdma !== undefined && Object.keys(resources.rdma).length > 0) ignored.push('rdma')
  if (resources.memory?.kernel) ignored.push('memory.kernel')
  if (resources.memory?.kernelTCP) ignored.push('memory.kernelTCP')
  if (resources.network?.classID) ignored.push('network.classID')
  if (resources.network?.priorities?.length) ignored.push('network.priorities')
  return ignored
}

/** Whether anything is asked for that takes a cgroup to enforce. */
export function hasLimits(resources: Resources): boolean {
  const { memory, cpu, pids, blockIO, hugepageLimits, unified } = resources
  return [memory, cpu, pids, blockIO, unified, hugepageLimits].some(
    part =>
      part !== undefined &&
      Object.values(part).some(value => value !== undefined && value !== 0 && value !== ''),
  )
}

/** A number as the kernel reads it: exact beyond 2^53, where JavaScript would round what it prints. */
export const decimal = (n: number): string => BigInt(n).toString()
