// The sandbox's place on the host: its cgroup, and who is killed when memory runs out.

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type HostFd, pread } from '../../native/index.ts'
import type { HostValue } from '../kernel/cgroup.ts'

/** Enter the container's cgroup, with all threads. Our code is loaded by now and does not count for the container. */
export function enterCgroups(entrances: readonly number[]): void {
  for (const fd of entrances) {
    writeSync(fd, '0')
    closeSync(fd)
  }
}

const OOM_SCORE = '/proc/self/oom_score_adj'

/** Our own oom_score_adj, which children inherit. Opened as long as /proc is there. */
export class OomScoreFile {
  readonly #fd = openSync(OOM_SCORE, 'w')
  readonly #before = readFileSync(OOM_SCORE, 'latin1').trim()

  set(value: number): void {
    writeSync(this.#fd, String(value))
  }

  /** A score may go back to what it was also without rights. */
  restore(): void {
    writeSync(this.#fd, this.#before)
    closeSync(this.#fd)
  }
}

/** What is passed on to programs: limits and use, but no process of the host. */
const HOST_FILES: Readonly<Record<string, string>> = {
  memory:
    'memory.limit_in_bytes memory.usage_in_bytes memory.max_usage_in_bytes memory.failcnt memory.stat ' +
    'memory.soft_limit_in_bytes memory.swappiness memory.oom_control memory.memsw.limit_in_bytes ' +
    'memory.memsw.usage_in_bytes memory.memsw.max_usage_in_bytes memory.memsw.failcnt',
  cpu: 'cpu.shares cpu.cfs_quota_us cpu.cfs_period_us cpu.cfs_burst_us cpu.idle cpu.stat',
  cpuacct: 'cpuacct.usage cpuacct.usage_percpu cpuacct.usage_user cpuacct.usage_sys cpuacct.stat',
  cpuset: 'cpuset.cpus cpuset.mems cpuset.effective_cpus cpuset.effective_mems',
  blkio:
    'blkio.throttle.io_service_bytes blkio.throttle.io_serviced blkio.throttle.read_bps_device ' +
    'blkio.throttle.write_bps_device blkio.throttle.read_iops_device blkio.throttle.write_iops_device',
  '':
    'memory.max memory.current memory.high memory.low memory.min memory.peak memory.stat memory.events ' +
    'memory.swap.max memory.swap.current cpu.max cpu.weight cpu.stat cpuset.cpus cpuset.mems ' +
    'cpuset.cpus.effective cpuset.mems.effective io.max io.stat io.weight',
}
const MAX_VALUE_BYTES = 64 << 10

const CGROUP_FILES = new Set(
  Object.entries(HOST_FILES).flatMap(([controller, names]) =>
    names.split(' ').map(name => `${controller}/${name}`),
  ),
)

/** Open those of a cgroup, by "controller/name", while the host's file system is there: the sentry can only read what it has. */
export function openCgroupFiles(paths: Readonly<Record<string, string>>): Map<string, HostFd> {
  const files = new Map<string, HostFd>()
  for (const [controller, directory] of Object.entries(paths)) {
    for (const name of HOST_FILES[controller]?.split(' ') ?? []) {
      try {
        files.set(`${controller}/${name}`, openSync(join(directory, name), 'r'))
      } catch {
        // This kernel has no such file.
      }
    }
  }
  return files
}

/** Whether these are names that `openCgroupFiles` gives, each once. */
export const areCgroupFiles = (names: unknown): names is string[] =>
  Array.isArray(names) &&
  new Set(names).size === names.length &&
  names.every(name => CGROUP_FILES.has(name))

/** Reads them. */
export function hostValue(files: ReadonlyMap<string, HostFd>): HostValue {
  const bytes = new Uint8Array(MAX_VALUE_BYTES)
  return (controller, file) => {
    const fd = files.get(`${controller}/${file}`)
    const n = fd === undefined ? -1 : pread(fd, bytes, 0, bytes.length, 0)
    return n < 0 ? null : Buffer.from(bytes.buffer, 0, n).toString('latin1')
  }
}
