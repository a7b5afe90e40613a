// A ProcessConfig that came over the control socket: its form is checked, what it means is not.

import type { CapabilityConfig, ProcessConfig } from '../config.ts'

const U32 = 2 ** 32 - 1
const MAX_STRINGS = 1 << 17
const MAX_GROUPS = 65536
const MAX_LIMITS = 16
const MAX_PASSED = 200
const CPU_LIST = /^\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?){0,500}$/

type Fields = { [key: string]: unknown }

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const isWhole = (value: unknown, min: number, max: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max

const isLatin1 = (value: unknown): value is string =>
  typeof value === 'string' && !value.includes('\0') && !/[^\0-\u00ff]/.test(value)

const all = (value: unknown, max: number, test: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.length <= max && value.every(test)

const isU32 = (value: unknown) => isWhole(value, 0, U32)

const isCapabilities = (value: unknown): value is CapabilityConfig =>
  isObject(value) &&
  ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'].every(
    set => all(value[set], 2, isU32) && (value[set] as unknown[]).length === 2,
  )

const isLimit = (value: unknown) =>
  value === null || (typeof value === 'number' && value >= 0 && !Number.isNaN(value))

const isRlimit = (value: unknown) =>
  isObject(value) &&
  isWhole(value.resource, 0, MAX_LIMITS - 1) &&
  isLimit(value.soft) &&
  isLimit(value.hard)

const isScheduler = (value: unknown) =>
  value === null ||
  (isObject(value) &&
    isWhole(value.policy, 0, 7) &&
    isWhole(value.priority, 0, 99) &&
    isWhole(value.nice, -20, 19) &&
    typeof value.resetOnFork === 'boolean')

const CHECKS: { [K in keyof ProcessConfig]: (value: unknown) => boolean } = {
  args: value => all(value, MAX_STRINGS, isLatin1) && (value as unknown[]).length > 0,
  env: value => all(value, MAX_STRINGS, isLatin1),
  cwd: value => isLatin1(value) && value.startsWith('/'),
  uid: isU32,
  gid: isU32,
  groups: value => all(value, MAX_GROUPS, isU32),
  umask: value => isWhole(value, 0, 0o777),
  capabilities: isCapabilities,
  rlimits: value => all(value, MAX_LIMITS, isRlimit),
  noNewPrivileges: value => typeof value === 'boolean',
  oomScoreAdj: value => isWhole(value, -1000, 1000),
  scheduler: isScheduler,
  ioprio: value => value === null || isU32(value),
  affinity: value => value === null || (typeof value === 'string' && CPU_LIST.test(value)),
  personality: isU32,
  terminal: value => typeof value === 'boolean',
  onlcr: value => typeof value === 'boolean',
  rows: value => isWhole(value, 0, 65535),
  columns: value => isWhole(value, 0, 65535),
  passedFds: value =>
    all(value, MAX_PASSED, fd => isWhole(fd, 3, 65535)) &&
    new Set(value as number[]).size === (value as number[]).length,
}

/** The process, or the name of the first field that is wrong. */
export function parseProcess(value: unknown): ProcessConfig | string {
  if (!isObject(value)) return 'process'
  for (const [field, check] of Object.entries(CHECKS))
    if (!check(value[field])) return `process.${field}`
  return value as unknown as ProcessConfig
}
