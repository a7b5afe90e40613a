// Limits in cgroup version 2: Documentation/admin-guide/cgroup-v2.rst of Linux. The configuration speaks version 1;
// what it says is converted as runc and crun do.

import { dirname } from 'node:path'
import { CliError } from '../errors.ts'
import { ancestors, hasFile, makeDirectory, readNumber, readText, writeValue } from './files.ts'
import { decimal, type Resources } from './resources.ts'

/** Make the container's directory, with every controller that there is. */
export function makeV2(root: string, path: string): void {
  enableControllers(root)
  for (const directory of ancestors(root, path)) {
    makeDirectory(directory)
    if (directory !== path) enableControllers(directory)
  }
}

/** Give a cgroup's children all controllers that it has itself. */
function enableControllers(directory: string): void {
  const has = words(readText(directory, 'cgroup.controllers'))
  const enabled = new Set(words(readText(directory, 'cgroup.subtree_control')))
  for (const name of has) {
    if (enabled.has(name)) continue
    // One at a time: a controller that cannot be enabled must not keep the others away. Its limits fail later.
    try {
      writeValue(directory, 'cgroup.subtree_control', `+${name}`)
    } catch {}
  }
}

const words = (text: string | null) => (text ?? '').split(/\s+/).filter(word => word !== '')

/** Shares 2…262144 as a weight 1…10000. */
export const weightOfShares = (shares: number): number =>
  1 + Math.floor(((shares - 2) * 9999) / 262142)

/** A block I/O weight 10…1000 as 1…10000. */
export const ioWeight = (weight: number): number => 1 + Math.floor(((weight - 10) * 9999) / 990)

/** memory.swap is memory and swap together in the configuration, and swap alone in version 2. */
export function swapAlone(memory: number, swap: number): number {
  if (swap === -1) return -1
  if (memory <= 0)
    throw new CliError(
      `linux.resources.memory.swap: ${swap} is memory and swap together: it needs a memory.limit`,
    )
  return swap - memory
}

const orMax = (n: number) => (n === -1 ? 'max' : decimal(n))

/** Write what `resources` sets. `before` is what was set until now, of which a part may be needed. */
export function setV2(
  path: string,
  resources: Resources,
  before: Resources,
  hostPids: (limit: number) => string,
): void {
  const write = (field: string, file: string, value: string) => {
    if (!hasFile(path, file))
      throw new CliError(
        `linux.resources.${field}: ${path} has no ${file}: this kernel, or the cgroup ${dirname(path)}, lacks the controller`,
      )
    writeValue(path, file, value)
  }
  setMemory(resources, before, write)
  setCpu(path, resources, before, write)
  const { cpu, pids, blockIO, hugepageLimits, unified } = resources
  if (cpu?.cpus) write('cpu.cpus', 'cpuset.cpus', cpu.cpus)
  if (cpu?.mems) write('cpu.mems', 'cpuset.mems', cpu.mems)
  if (pids?.limit) write('pids', 'pids.max', hostPids(pids.limit))
  if (blockIO !== undefined) setIo(path, blockIO, write)
  for (const { pageSize, limit } of hugepageLimits ?? []) {
    write('hugepageLimits', `hugetlb.${pageSize}.max`, decimal(limit))
    const reserved = `hugetlb.${pageSize}.rsvd.max`
    if (hasFile(path, reserved)) writeValue(path, reserved, decimal(limit))
  }
  for (const [file, value] of Object.entries(unified ?? {})) write(`unified.${file}`, file, value)
}

type Write = (field: string, file: string, value: string) => void

function setMemory({ memory }: Resources, before: Resources, write: Write): void {
  if (memory === undefined) return
  const { limit = 0, swap = 0, reservation = 0 } = memory
  if (swap !== 0) {
    const alone = swapAlone(limit || (before.memory?.limit ?? 0), swap)
    write('memory.swap', 'memory.swap.max', orMax(alone))
  } else if (limit === -1) write('memory.limit', 'memory.swap.max', 'max')
  if (limit !== 0) write('memory.limit', 'memory.max', orMax(limit))
  if (reservation !== 0) write('memory.reservation', 'memory.low', orMax(reservation))
}

function setCpu(path: string, { cpu }: Resources, before: Resources, write: Write): void {
  if (cpu === undefined) return
  const { shares, quota = 0, period = 0, burst, idle } = cpu
  if (idle !== undefined && (idle !== 0 || readNumber(path, 'cpu.idle') !== 0))
    write('cpu.idle', 'cpu.idle', decimal(idle))
  // An idle group has no weight of its own.
  if (shares && !idle) write('cpu.shares', 'cpu.weight', decimal(weightOfShares(shares)))
  if (quota !== 0 || period !== 0) {
    const whole = period || before.cpu?.period || 100_000
    const part = quota || before.cpu?.quota || -1
    write('cpu.quota', 'cpu.max', `${orMax(part)} ${whole}`)
  }
  if (burst) write('cpu.burst', 'cpu.max.burst', decimal(burst))
}

function setIo(path: string, blockIO: NonNullable<Resources['blockIO']>, write: Write): void {
  const { weight, weightDevice } = blockIO
  const bfq = hasFile(path, 'io.bfq.weight')
  if (weight) {
    if (bfq) write('blockIO.weight', 'io.bfq.weight', decimal(weight))
    else write('blockIO.weight', 'io.weight', `default ${ioWeight(weight)}`)
  }
  for (const device of weightDevice ?? []) {
    if (device.weight === 0) continue
    const name = `${device.major}:${device.minor}`
    if (bfq) write('blockIO.weightDevice', 'io.bfq.weight', `${name} ${device.weight}`)
    else write('blockIO.weightDevice', 'io.weight', `${name} ${ioWeight(device.weight)}`)
  }
  for (const [list, key] of [
    [blockIO.throttleReadBpsDevice, 'rbps'],
    [blockIO.throttleWriteBpsDevice, 'wbps'],
    [blockIO.throttleReadIOPSDevice, 'riops'],
    [blockIO.throttleWriteIOPSDevice, 'wiops'],
  ] as const) {
    for (const { major, minor, rate } of list ?? [])
      write('blockIO', 'io.max', `${major}:${minor} ${key}=${rate === 0 ? 'max' : decimal(rate)}`)
  }
}
