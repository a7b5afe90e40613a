import { expect, it } from 'vitest'
import type { Kernel } from './kernel.ts'
import { LoadAverages } from './load.ts'

/** A kernel with one process that has used so much CPU time, at such a moment. */
function kernelAt(seconds: number, usedSeconds: number): Kernel {
  const group = {
    tasks: [],
    endedUtimeNs: usedSeconds * 1e9,
    endedStimeNs: 0,
    childUtimeNs: 0,
    childStimeNs: 0,
    shownCpu: { userNs: 0, systemNs: 0 },
  }
  return {
    clock: { monotonicNs: () => seconds * 1e9 },
    groups: new Set([group]),
  } as unknown as Kernel
}

it('averages the CPUs in use over one, five and fifteen minutes', () => {
  const load = new LoadAverages(0)
  expect(load.update(kernelAt(1, 1))).toEqual([0, 0, 0])
  // Two CPUs are busy for a minute: 2 (1 - 1/e).
  const [one, five, fifteen] = load.update(kernelAt(60, 120)) as [number, number, number]
  expect(one).toBeCloseTo(1.264, 2)
  expect(five).toBeCloseTo(0.363, 2)
  expect(fifteen).toBeCloseTo(0.129, 2)
  // Then none, for ten minutes.
  const later = load.update(kernelAt(660, 120))
  expect(later[0]).toBeLessThan(0.01)
  expect(later[2]).toBeGreaterThan(0.05)
})
