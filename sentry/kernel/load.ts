// Load averages: /proc/loadavg and sysinfo(2). Linux counts the tasks that run or want to, every five seconds. A timer
// would wake an idle sandbox for that, so the averages are brought up to date when somebody asks.
// DIFFERS: what counts is the CPU time used since the last time, not the tasks that wait for a CPU.

import { groupCpu } from './accounting.ts'
import type { Kernel } from './kernel.ts'

/** The spans of the averages, in ns. */
const SPANS = [60e9, 300e9, 900e9]
/** More often is not worth the count: Linux's own interval. */
const INTERVAL_NS = 5e9

export class LoadAverages {
  /** Over 1, 5 and 15 minutes. */
  readonly values = [0, 0, 0]
  #atNs: number
  #usedNs = 0

  constructor(nowNs: number) {
    this.#atNs = nowNs
  }

  update(kernel: Kernel): readonly number[] {
    const now = kernel.clock.monotonicNs()
    const passed = now - this.#atNs
    if (passed < INTERVAL_NS) return this.values
    const used = usedCpuNs(kernel)
    // Processes that nobody waited for take their time with them.
    const running = Math.max(0, used - this.#usedNs) / passed
    SPANS.forEach((span, i) => {
      const kept = Math.exp(-passed / span)
      this.values[i] = this.values[i]! * kept + running * (1 - kept)
    })
    this.#atNs = now
    this.#usedNs = used
    return this.values
  }
}

function usedCpuNs(kernel: Kernel): number {
  let used = 0
  for (const group of kernel.groups) {
    const { userNs, systemNs } = groupCpu(group)
    used += userNs + systemNs + group.childUtimeNs + group.childStimeNs
  }
  return used
}
