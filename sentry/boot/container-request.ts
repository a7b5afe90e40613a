// A ContainerConfig that came over the control socket: its form is checked, what it means is not.

import type { ContainerConfig } from '../config.ts'
import type { Shares } from './pod.ts'
import { isWhole, parseProcess } from './process-request.ts'

const U32 = 2 ** 32 - 1
const ROWS_MAX = 1 << 16

type Fields = { [key: string]: unknown }
type Check = (value: unknown) => boolean

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isBoolean: Check = value => typeof value === 'boolean'
const isU32: Check = value => isWhole(value, 0, U32)
const isText: Check = value =>
  typeof value === 'string' && !value.includes('\0') && !/[^\0-\u00ff]/.test(value)
const isPath: Check = value => isText(value) && (value as string).startsWith('/')

const optional =
  (check: Check): Check =>
  value =>
    value === undefined || check(value)

const list =
  (check: Check): Check =>
  value =>
    Array.isArray(value) && value.length <= ROWS_MAX && value.every(check)

const shape =
  (checks: Readonly<Record<string, Check>>): Check =>
  value =>
    isObject(value) && Object.entries(checks).every(([field, check]) => check(value[field]))

const isOverlay: Check = value =>
  value === null ||
  shape({
    size: size => size === null || isWhole(size, 0, Number.MAX_SAFE_INTEGER),
    store: store => store === null || isWhole(store, 0, ROWS_MAX),
  })(value)

const hasMountFields = shape({
  destination: isPath,
  type: isText,
  source: isText,
  flags: value => isWhole(value, -(2 ** 31), U32),
  data: isText,
  propagation: value => isWhole(value, -(2 ** 31), U32),
  copyUp: isBoolean,
  fresh: isBoolean,
  attach: optional(value => isWhole(value, 0, ROWS_MAX)),
  directory: optional(isBoolean),
  shared: optional(isBoolean),
  overlay: optional(isOverlay),
})

const isMount: Check = value =>
  hasMountFields(value) &&
  ((value as Fields).type !== 'bind' || (value as Fields).attach !== undefined)

const isDevice = shape({
  path: isPath,
  mode: isU32,
  major: isU32,
  minor: isU32,
  uid: isU32,
  gid: isU32,
})

const isHook = shape({
  path: isPath,
  args: list(isText),
  env: list(isText),
  timeout: value => value === null || isWhole(value, 1, U32),
})

const isSysctl: Check = value => list(isText)(value) && (value as unknown[]).length === 2

const isSeccomp: Check = value =>
  value === null ||
  shape({
    filter: text => typeof text === 'string' && /^[A-Za-z0-9+/=]*$/.test(text),
    flags: isU32,
    trapped: list(isU32),
  })(value)

const CHECKS: { [K in Exclude<keyof ContainerConfig, 'process'>]: Check } = {
  id: value => isText(value) && value !== '',
  network: value => value === 'none' || value === 'host',
  hostname: isText,
  domainname: isText,
  root: shape({ readonly: isBoolean, shared: isBoolean, overlay: isOverlay }),
  rootPropagation: value => isWhole(value, 0, U32),
  mounts: list(isMount),
  devices: list(isDevice),
  maskedPaths: list(isPath),
  readonlyPaths: list(isPath),
  sysctls: list(isSysctl),
  seccomp: isSeccomp,
  startHooks: list(isHook),
  hookState: value => typeof value === 'string',
  waitForStart: isBoolean,
  strace: value =>
    value === null ||
    shape({ calls: calls => calls === null || list(isU32)(calls), bytes: isU32 })(value),
}

const isShares = shape({ pid: isBoolean, ipc: isBoolean, uts: isBoolean, network: isBoolean })

/** The container and what it shares with its pod, or the name of the first field that is wrong. */
export function parseContainer(
  request: Fields,
): { config: ContainerConfig; shares: Shares } | string {
  const { config, shares } = request
  if (!isObject(config)) return 'config'
  for (const [field, check] of Object.entries(CHECKS))
    if (!check(config[field])) return `config.${field}`
  const process = parseProcess(config.process)
  if (typeof process === 'string') return `config.${process}`
  if (!isShares(shares)) return 'shares'
  return { config: config as unknown as ContainerConfig, shares: shares as Shares }
}
