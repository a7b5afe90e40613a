// What linux.resources means for this kernel: how many tasks there may be, which CPUs they may use, how much memory they
// are told of. The host enforces CPUs and memory.

import { EINVAL } from '../../syscall-table/errno.ts'
import type { SandboxLimits } from '../config.ts'
import type { CgroupSystem } from './cgroup.ts'
import type { Kernel } from './kernel.ts'
import type { Task } from './task.ts'
import type { ThreadGroup } from './thread-group.ts'

/** What a container has of the machine, as its programs are told: the kernel's own is that of its first container. */
export interface Allotment {
  /** Physical memory, in bytes. */
  memoryBytes: number
  /** CPUs that may be used, one byte each; null for all. */
  cpuset: Uint8Array | null
  cgroups: CgroupSystem
}

/** Of the container that a process belongs to. */
export const allotmentOf = ({ kernel, container }: ThreadGroup): Allotment =>
  kernel.allotments.get(container) ?? kernel

/** The one that a tree of control groups belongs to. */
export function allotmentWith(kernel: Kernel, cgroups: CgroupSystem): Allotment {
  for (const allotment of kernel.allotments.values())
    if (allotment.cgroups === cgroups) return allotment
  return kernel
}

/** Take over the limits of a container, at boot and at each `runsc update`. */
export function applyLimits(
  to: Allotment,
  limits: SandboxLimits,
  host: { cpus: number; memoryBytes: number },
): void {
  to.cgroups.pids.root.pidsMax = limits.pids ?? Number.POSITIVE_INFINITY
  to.memoryBytes = Math.min(limits.memoryBytes ?? host.memoryBytes, host.memoryBytes)
  to.cpuset = cpuMaskOf(limits.cpus, host.cpus)
}

/** One byte per CPU; null for all of them, also when the list names none that is there. */
function cpuMaskOf(list: string | null, cpus: number): Uint8Array | null {
  if (list === null) return null
  const mask = cpuMask(list, cpus)
  return mask.includes(1) && mask.includes(0) ? mask : null
}

/** One byte for each of `cpus` CPUs, of a list like 0-2,7. */
export function cpuMask(list: string, cpus: number): Uint8Array {
  const mask = new Uint8Array(cpus)
  for (const part of list.split(',')) {
    const [first = 0, last = first] = part.split('-').map(Number)
    for (let cpu = first; cpu <= last && cpu < cpus; cpu++) mask[cpu] = 1
  }
  return mask
}

/** Let the task use the CPUs of a mask only; -EINVAL when its container has none of them. */
export function setAffinity({ group, sched }: Task, mask: Uint8Array): number {
  const { cpuset } = allotmentOf(group)
  if (!mask.some((allowed, cpu) => allowed === 1 && cpuset?.[cpu] !== 0)) return -EINVAL
  sched.affinity = mask.includes(0) ? mask : null
  return 0
}

/** The CPUs that a task may use: what it asked for, as far as the cpuset has it, else all of the cpuset. */
export function allowedCpus({ group, sched: { affinity } }: Task): Uint8Array | null {
  const { cpuset } = allotmentOf(group)
  if (cpuset === null || affinity === null) return affinity ?? cpuset
  const both = affinity.map((allowed, cpu) => allowed & cpuset[cpu]!)
  return both.includes(1) ? both : cpuset
}

/** Bind the task's host thread to the CPUs that the task may use. */
export function bindToCpus(task: Task): void {
  const { kernel } = task
  const allowed = allowedCpus(task)
  const mask = new Uint8Array(Math.ceil(kernel.cpus / 64) * 8)
  for (let cpu = 0; cpu < kernel.cpus; cpu++)
    if (allowed === null || allowed[cpu] === 1) mask[cpu >> 3]! |= 1 << (cpu & 7)
  // The host may have taken those CPUs away, or the thread may have ended: then there is nothing to bind.
  void kernel.platform.setAffinity?.(task.thread, mask)
}

/** Limits that came over the control socket. */
export function parseLimits(value: { [key: string]: unknown }): SandboxLimits | null {
  const { pids = null, memoryBytes = null, cpus = null } = value
  const count = (n: unknown): n is number | null =>
    n === null || (typeof n === 'number' && Number.isInteger(n) && n > 0)
  if (!count(pids) || !count(memoryBytes)) return null
  if (cpus !== null && (typeof cpus !== 'string' || !/^[0-9][0-9,-]{0,4095}$/.test(cpus)))
    return null
  return { pids, memoryBytes, cpus }
}
