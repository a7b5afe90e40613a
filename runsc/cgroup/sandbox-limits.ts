// The part of linux.resources that the sentry keeps.

import type { SandboxLimits } from '../../sentry/config.ts'
import type { Resources } from './resources.ts'

/** What the sentry enforces or shows itself. */
export function sandboxLimits({ memory, pids, cpu }: Resources): SandboxLimits {
  const positive = (n: number | undefined) => (n !== undefined && n > 0 ? n : null)
  return {
    pids: positive(pids?.limit),
    memoryBytes: positive(memory?.limit),
    cpus: cpu?.cpus || null,
  }
}
