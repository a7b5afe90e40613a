// The systemd driver: systemd makes the container's cgroup as a transient scope, so that it knows of it and keeps its hands
// off what is below. Names are "slice:prefix:name" of linux.cgroupsPath. Source: systemd.slice(5),
// org.freedesktop.systemd1(5); runc's docs/systemd.md.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from '../errors.ts'
import { DBus, type Target, type Variant } from './dbus.ts'
import type { Resources } from './resources.ts'
import { weightOfShares } from './v2.ts'

export interface Unit {
  slice: string
  unit: string
  /** The unit's cgroup, from the root of the hierarchy. */
  path: string
}

/** Split linux.cgroupsPath for the systemd driver. */
export function parseUnit(cgroupsPath: string, id: string): Unit {
  const parts = (cgroupsPath === '' ? `system.slice:runsc:${id}` : cgroupsPath).split(':')
  if (parts.length !== 3)
    throw new CliError(
      `linux.cgroupsPath: with --systemd-cgroup, expected "slice:prefix:name", not "${cgroupsPath}"`,
    )
  const [sliceGiven = '', prefix = '', name = ''] = parts
  const slice = sliceGiven === '' ? 'system.slice' : sliceGiven
  if (name === '' || /[/\0]/.test(prefix + name))
    throw new CliError(
      `linux.cgroupsPath: "${cgroupsPath}": expected a name without slashes after the last colon`,
    )
  // A name that is a slice itself is one; everything else is a scope.
  const unit = name.endsWith('.slice') ? name : `${prefix === '' ? '' : `${prefix}-`}${name}.scope`
  return { slice, unit, path: join(slicePath(slice), unit) }
}

/** "a-b.slice" lies in "/a.slice/a-b.slice". */
export function slicePath(slice: string): string {
  if (slice === '-.slice') return '/'
  const name = slice.slice(0, -'.slice'.length)
  if (!slice.endsWith('.slice') || name === '' || /\/|--|^-|-$/.test(name))
    throw new CliError(`linux.cgroupsPath: "${slice}" is no name of a systemd slice`)
  let path = '/'
  let prefix = ''
  for (const part of name.split('-')) {
    prefix += prefix === '' ? part : `-${part}`
    path = join(path, `${prefix}.slice`)
  }
  return path
}

/** sd_booted(3). */
export const systemdRuns = () => existsSync('/run/systemd/system')

const MANAGER: Target = {
  destination: 'org.freedesktop.systemd1',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
}
const BUS: Target = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
}
/** systemd's own socket serves root without a bus. */
const PRIVATE_SOCKET = '/run/systemd/private'
const BUS_SOCKET = '/run/dbus/system_bus_socket'

/** Where tests have a systemd of their own. */
export interface SystemdSockets {
  private: string
  bus: string
}
const SOCKETS: SystemdSockets = { private: PRIVATE_SOCKET, bus: BUS_SOCKET }

async function connect({ private: own, bus: shared }: SystemdSockets): Promise<DBus> {
  if (existsSync(own)) return await DBus.connect(own)
  const bus = await DBus.connect(shared)
  await bus.call(BUS, 'Hello', '')
  const rule = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"
  await bus.call(BUS, 'AddMatch', 's', rule)
  return bus
}

async function withSystemd<T>(
  step: string,
  sockets: SystemdSockets,
  use: (bus: DBus) => Promise<T>,
): Promise<T> {
  let bus: DBus | undefined
  try {
    bus = await connect(sockets)
    return await use(bus)
  } catch (cause) {
    throw new CliError(`--systemd-cgroup: ${step}: ${(cause as Error).message}`, { cause })
  } finally {
    bus?.close()
  }
}

/** Call a method that starts a job, and wait for its end. */
async function job(
  bus: DBus,
  member: string,
  signature: string,
  ...body: unknown[]
): Promise<void> {
  await bus.call(MANAGER, 'Subscribe', '')
  const [path] = await bus.call(MANAGER, member, signature, ...body)
  const [, , , result] = await bus.signal('JobRemoved', ([, removed]) => removed === path)
  if (result !== 'done') throw new Error(`the job ended with "${String(result)}"`)
}

/** Have systemd make the unit's scope, with the process `pid` in it. A slice is made empty. */
export async function startUnit(
  { slice, unit }: Unit,
  id: string,
  pid: number,
  properties: readonly Property[],
  sockets: SystemdSockets = SOCKETS,
): Promise<void> {
  const own: Property[] = [
    ['Description', ['s', `runsc container ${id}`]],
    ['DefaultDependencies', ['b', false]],
    ['MemoryAccounting', ['b', true]],
    ['CPUAccounting', ['b', true]],
    ['TasksAccounting', ['b', true]],
  ]
  if (unit.endsWith('.slice')) own.push(['Wants', ['as', [slice]]])
  else own.push(['Slice', ['s', slice]], ['Delegate', ['b', true]], ['PIDs', ['au', [pid]]])
  await withSystemd(`start ${unit}`, sockets, async bus => {
    const all = [...own, ...properties]
    await job(bus, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', unit, 'replace', all, [])
  })
}

/** Change limits, so that systemd does not put back the old ones when it reloads. */
export async function setUnit(
  unit: string,
  properties: readonly Property[],
  sockets: SystemdSockets = SOCKETS,
): Promise<void> {
  if (properties.length === 0) return
  await withSystemd(`change ${unit}`, sockets, async bus => {
    await bus.call(MANAGER, 'SetUnitProperties', 'sba(sv)', unit, true, properties)
  })
}

/** Have systemd forget the unit. One that is gone is fine: a scope goes with its last process. */
export async function stopUnit(unit: string, sockets: SystemdSockets = SOCKETS): Promise<void> {
  await withSystemd(`stop ${unit}`, sockets, async bus => {
    try {
      await job(bus, 'StopUnit', 'ss', unit, 'replace')
    } catch (error) {
      if (!isNoSuchUnit(error)) throw error
    }
    try {
      await bus.call(MANAGER, 'ResetFailedUnit', 's', unit)
    } catch {
      // It has not failed.
    }
  })
}

const isNoSuchUnit = (error: unknown): boolean =>
  (error as { errorName?: string }).errorName === 'org.freedesktop.systemd1.NoSuchUnit'

export type Property = readonly [name: string, value: Variant]

/** systemd's "infinity". */
const UNLIMITED = 2n ** 64n - 1n
const limit = (n: number): Variant => ['t', n < 0 ? UNLIMITED : BigInt(n)]
/** systemd refuses CPU quotas in finer steps than 1 % of a CPU, in microseconds per second. */
const QUOTA_STEP_US = 10_000

/** The limits that systemd has properties for, in the terms of the host's cgroup version. */
export function unitProperties(
  version: 1 | 2,
  { memory, cpu, pids, blockIO }: Resources,
  tasks: (limit: number) => number,
): Property[] {
  const found: Property[] = []
  if (memory?.limit) found.push([version === 1 ? 'MemoryLimit' : 'MemoryMax', limit(memory.limit)])
  if (version === 2 && memory?.reservation) found.push(['MemoryLow', limit(memory.reservation)])
  if (cpu?.shares) {
    const name = version === 1 ? 'CPUShares' : 'CPUWeight'
    found.push([name, limit(version === 1 ? cpu.shares : weightOfShares(cpu.shares))])
  }
  if (cpu?.quota) found.push(['CPUQuotaPerSecUSec', limit(quotaPerSecond(cpu.quota, cpu.period))])
  if (version === 1 && blockIO?.weight) found.push(['BlockIOWeight', limit(blockIO.weight)])
  if (pids?.limit) found.push(['TasksMax', limit(pids.limit < 0 ? -1 : tasks(pids.limit))])
  return found
}

function quotaPerSecond(quota: number, period = 0): number {
  if (quota < 0) return -1
  const perSecond = (quota * 1_000_000) / (period || 100_000)
  return Math.ceil(perSecond / QUOTA_STEP_US) * QUOTA_STEP_US
}
