// Limits in cgroup version 1: Documentation/admin-guide/cgroup-v1 of Linux. Files and their order are those
// that engines know from runc.

import { CliError } from '../errors.ts'
import {
  ancestors,
  errorCode,
  hasFile,
  makeDirectory,
  readNumber,
  readText,
  writeOnly,
  writeValue,
} from './files.ts'
import { type DeviceRule, decimal, type Resources } from './resources.ts'

/** Directories by controller. */
export type Paths = Readonly<Record<string, string>>

/** What a program may always do with devices, below what the configuration says: runc's list. */
const DEFAULT_DEVICES = [
  'c *:* m',
  'b *:* m',
  'c 1:3 rwm',
  'c 1:8 rwm',
  'c 1:7 rwm',
  'c 5:0 rwm',
  'c 1:5 rwm',
  'c 1:9 rwm',
  'c 136:* rwm',
  'c 5:2 rwm',
]

/** Make the container's directories, each usable by processes. */
export function makeV1(roots: Paths, paths: Paths): void {
  for (const [name, path] of Object.entries(paths)) {
    if (name === 'cpuset') continue
    makeDirectory(path)
  }
  if (paths.cpuset !== undefined) makeCpuset(roots.cpuset!, paths.cpuset)
}

/** A new cpuset is empty, and processes cannot enter it: it gets its parent's CPUs and memory nodes. */
function makeCpuset(root: string, path: string): void {
  let parent = root
  for (const directory of ancestors(root, path)) {
    makeDirectory(directory)
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if ((readText(directory, file) ?? '').trim() !== '') continue
      writeValue(directory, file, (readText(parent, file) ?? '').trim())
    }
    parent = directory
  }
}

/** The directory of a controller that a limit needs. */
function need(paths: Paths, controller: string, field: string): string {
  const path = paths[controller]
  if (path === undefined)
    throw new CliError(
      `linux.resources.${field}: this host has no cgroup controller "${controller}" mounted`,
    )
  return path
}

const isSet = (value: number | string | undefined): value is number | string =>
  value !== undefined && value !== 0 && value !== ''

/** Write what `resources` sets. */
export function setV1(
  paths: Paths,
  resources: Resources,
  hostPids: (limit: number) => string,
): void {
  setMemory(paths, resources)
  setCpu(paths, resources)
  setCpuset(paths, resources)
  const { pids, hugepageLimits, blockIO, unified } = resources
  if (isSet(pids?.limit))
    writeValue(need(paths, 'pids', 'pids'), 'pids.max', hostPids(pids!.limit!))
  if (blockIO !== undefined) setBlockIo(paths, blockIO)
  for (const { pageSize, limit } of hugepageLimits ?? []) {
    const path = need(paths, 'hugetlb', 'hugepageLimits')
    writeValue(path, `hugetlb.${pageSize}.limit_in_bytes`, decimal(limit))
    const reserved = `hugetlb.${pageSize}.rsvd.limit_in_bytes`
    if (hasFile(path, reserved)) writeValue(path, reserved, decimal(limit))
  }
  if (unified !== undefined && Object.keys(unified).length > 0)
    throw new CliError(
      'invalid configuration: linux.resources.unified: this host has cgroup version 1, and these are names of version 2',
    )
}

function setMemory(paths: Paths, { memory }: Resources): void {
  if (memory === undefined) return
  const { limit = 0, reservation = 0, swappiness, disableOOMKiller, swap = 0 } = memory
  const any = limit || swap || reservation || disableOOMKiller || (swappiness ?? -1) > 0
  if (!any && swappiness === undefined) return
  const path = () => need(paths, 'memory', 'memory')
  if (limit !== 0 || swap !== 0) setMemoryAndSwap(path(), limit, swap)
  if (reservation !== 0) writeValue(path(), 'memory.soft_limit_in_bytes', decimal(reservation))
  if (disableOOMKiller === true) writeValue(path(), 'memory.oom_control', '1')
  if (swappiness !== undefined && swappiness >= 0 && swappiness <= 100)
    writeValue(path(), 'memory.swappiness', decimal(swappiness))
}

const MEMORY = 'memory.limit_in_bytes'
const MEMORY_AND_SWAP = 'memory.memsw.limit_in_bytes'

/** The kernel keeps memory <= memory+swap at every moment, so the order depends on what is there. */
function setMemoryAndSwap(path: string, memory: number, swapGiven: number): void {
  // Without a limit on memory, one on memory and swap together makes no sense.
  const swap = memory === -1 && swapGiven === 0 && hasFile(path, MEMORY_AND_SWAP) ? -1 : swapGiven
  const writeMemory = () => memory !== 0 && limitMemory(path, MEMORY, memory)
  const writeSwap = () => swap !== 0 && limitMemory(path, MEMORY_AND_SWAP, swap)
  const current = hasFile(path, MEMORY_AND_SWAP) ? readNumber(path, MEMORY_AND_SWAP) : 0
  if (memory !== 0 && swap !== 0 && (swap === -1 || current < memory)) {
    writeSwap()
    writeMemory()
  } else {
    writeMemory()
    writeSwap()
  }
}

function limitMemory(path: string, file: string, bytes: number): void {
  try {
    writeValue(path, file, decimal(bytes))
  } catch (error) {
    if (errorCode(error) !== 'EBUSY') throw error
    const usage = readNumber(path, 'memory.usage_in_bytes')
    const peak = readNumber(path, 'memory.max_usage_in_bytes')
    throw new CliError(
      `unable to set memory limit to ${bytes} (current usage: ${usage}, peak usage: ${peak})`,
    )
  }
}

function setCpu(paths: Paths, { cpu }: Resources): void {
  if (cpu === undefined) return
  const path = () => need(paths, 'cpu', 'cpu')
  if (isSet(cpu.shares)) writeValue(path(), 'cpu.shares', decimal(cpu.shares as number))
  if (isSet(cpu.realtimePeriod))
    writeValue(path(), 'cpu.rt_period_us', decimal(cpu.realtimePeriod as number))
  if (isSet(cpu.realtimeRuntime))
    writeValue(path(), 'cpu.rt_runtime_us', decimal(cpu.realtimeRuntime as number))
  const { burst, quota = 0, period = 0, idle } = cpu
  // A burst that is larger than the new quota is refused, and so is a quota smaller than the old burst.
  const burstFirst = burst !== undefined && burst < readNumber(paths.cpu ?? '', 'cpu.cfs_burst_us')
  if (burstFirst) writeValue(path(), 'cpu.cfs_burst_us', decimal(burst))
  setBandwidth(path, quota, period)
  if (burst && !burstFirst) writeValue(path(), 'cpu.cfs_burst_us', decimal(burst))
  if (idle !== undefined && (idle !== 0 || readNumber(paths.cpu ?? '', 'cpu.idle') !== 0))
    writeValue(path(), 'cpu.idle', decimal(idle))
}

/** A parent's bandwidth bounds the quotient, so the period may only be set before the quota or only after it. */
function setBandwidth(path: () => string, quota: number, period: number): void {
  let periodLater = false
  if (period !== 0) {
    try {
      writeValue(path(), 'cpu.cfs_period_us', decimal(period))
    } catch (error) {
      if (errorCode(error) !== 'EINVAL' || quota === 0) throw error
      periodLater = true
    }
  }
  if (quota !== 0) writeValue(path(), 'cpu.cfs_quota_us', decimal(quota))
  if (periodLater) writeValue(path(), 'cpu.cfs_period_us', decimal(period))
}

function setCpuset(paths: Paths, { cpu }: Resources): void {
  for (const [file, value] of [
    ['cpuset.cpus', cpu?.cpus],
    ['cpuset.mems', cpu?.mems],
  ] as const) {
    if (value) writeValue(need(paths, 'cpuset', 'cpu'), file, value)
  }
}

type BlockIo = NonNullable<Resources['blockIO']>

function setBlockIo(paths: Paths, blockIO: BlockIo): void {
  const path = () => need(paths, 'blkio', 'blockIO')
  // The weight belongs to an I/O scheduler, and a host has one of these or none.
  const file = (...names: string[]) => names.find(name => hasFile(path(), name)) ?? names[0]!
  if (isSet(blockIO.weight))
    writeValue(path(), file('blkio.weight', 'blkio.bfq.weight'), decimal(blockIO.weight as number))
  if (isSet(blockIO.leafWeight))
    writeValue(path(), 'blkio.leaf_weight', decimal(blockIO.leafWeight as number))
  for (const { major, minor, weight, leafWeight } of blockIO.weightDevice ?? []) {
    const device = `${major}:${minor}`
    if (weight !== 0)
      writeValue(
        path(),
        file('blkio.weight_device', 'blkio.bfq.weight_device'),
        `${device} ${weight}`,
      )
    if (leafWeight !== 0) writeValue(path(), 'blkio.leaf_weight_device', `${device} ${leafWeight}`)
  }
  for (const [list, name] of [
    [blockIO.throttleReadBpsDevice, 'read_bps'],
    [blockIO.throttleWriteBpsDevice, 'write_bps'],
    [blockIO.throttleReadIOPSDevice, 'read_iops'],
    [blockIO.throttleWriteIOPSDevice, 'write_iops'],
  ] as const) {
    for (const { major, minor, rate } of list ?? [])
      writeValue(path(), `blkio.throttle.${name}_device`, `${major}:${minor} ${decimal(rate)}`)
  }
}

/**
 * The device list. The sandbox has no devices of the host, so this is what a look at the host shows, and a second line
 * of defence for device nodes that the gofer opens. Nothing is written when nothing is asked for.
 */
export function setDevicesV1(paths: Paths, rules: readonly DeviceRule[] | undefined): void {
  if (paths.devices === undefined || rules === undefined || rules.length === 0) return
  for (const rule of rules) {
    const file = rule.allow ? 'devices.allow' : 'devices.deny'
    writeOnly(paths.devices, file, deviceLine(rule))
  }
  for (const line of DEFAULT_DEVICES) writeOnly(paths.devices, 'devices.allow', line)
}

function deviceLine({ type, major, minor, access }: DeviceRule): string {
  const number = (n: number | null | undefined) =>
    n === undefined || n === null || n < 0 ? '*' : decimal(n)
  // "u" is mknod(1)'s other word for a character device.
  const letter = type === '' ? 'a' : type === 'u' ? 'c' : type
  return `${letter} ${number(major)}:${number(minor)} ${access || 'rwm'}`
}
