// The process object of config.json (or of `exec --process`) as the sentry takes it.

import type { ProcessConfig, SchedulerConfig } from '../sentry/config.ts'
import {
  IOPRIO_CLASS_BE,
  IOPRIO_CLASS_IDLE,
  IOPRIO_CLASS_RT,
  IOPRIO_CLASS_SHIFT,
  SCHED_BATCH,
  SCHED_FIFO,
  SCHED_IDLE,
  SCHED_NORMAL,
  SCHED_RR,
} from '../syscall-table/flags.ts'
import { capabilityConfig } from './capabilities.ts'
import { CliError } from './errors.ts'
import { latin1 } from './latin1.ts'
import { terminalSize } from './output.ts'
import type { PassedFd } from './passed-fds.ts'
import { rlimitConfig } from './rlimits.ts'
import type { Warn } from './spec-check.ts'
import type { Spec, SpecProcess } from './spec-schema.ts'

const PER_LINUX32 = 8
const POLICIES: Readonly<Record<string, number>> = {
  SCHED_OTHER: SCHED_NORMAL,
  SCHED_FIFO,
  SCHED_RR,
  SCHED_BATCH,
  SCHED_IDLE,
}
const IO_CLASSES: Readonly<Record<string, number>> = {
  IOPRIO_CLASS_RT,
  IOPRIO_CLASS_BE,
  IOPRIO_CLASS_IDLE,
}
/** Flags that SchedState can keep. */
const RESET_ON_FORK = 'SCHED_FLAG_RESET_ON_FORK'

/** Translate and check a process; `domain` is linux.personality.domain. */
export function processConfig(
  p: SpecProcess,
  domain: string,
  warn: Warn,
  passed: readonly PassedFd[] = [],
  consoleSocket?: string,
): ProcessConfig {
  const own = p.terminal && p.consoleSize === undefined ? terminalSize(1) : null
  return {
    args: p.args.map(latin1),
    env: p.env.map(latin1),
    cwd: latin1(p.cwd),
    uid: p.user.uid,
    gid: p.user.gid,
    // Engines may name one twice; runc gives it once.
    groups: [...new Set(p.user.additionalGids)],
    umask: p.user.umask ?? 0o022,
    capabilities: capabilityConfig(p.capabilities, warn),
    rlimits: rlimitConfig(p.rlimits),
    noNewPrivileges: p.noNewPrivileges,
    oomScoreAdj: p.oomScoreAdj ?? 0,
    scheduler: schedulerConfig(p.scheduler),
    ioprio: ioprio(p.ioPriority),
    affinity: null,
    personality: domain === 'LINUX32' ? PER_LINUX32 : 0,
    terminal: p.terminal,
    // What we relay goes to our stdout; runc has no carriage returns in files and pipes either.
    onlcr: consoleSocket !== undefined || terminalSize(1) !== null,
    rows: p.consoleSize?.height ?? own?.rows ?? 0,
    columns: p.consoleSize?.width ?? own?.columns ?? 0,
    passedFds: passed.map(({ guest }) => guest),
  }
}

/** Whether a process that `exec` has from a file takes something of its container's configuration as well. */
export const isModel = ({ linux, process }: Spec): boolean =>
  (linux.personality?.domain ?? 'LINUX') !== 'LINUX' || Boolean(process.execCPUAffinity?.final)

function schedulerConfig(scheduler: SpecProcess['scheduler']): SchedulerConfig | null {
  if (scheduler === undefined) return null
  const policy = POLICIES[scheduler.policy]
  const fail = (field: string, why: string): never => {
    throw new CliError(`config.json: process.scheduler.${field}: ${why}`)
  }
  if (policy === undefined) return fail('policy', `${scheduler.policy} is not supported`)
  const other = scheduler.flags.find(flag => flag !== RESET_ON_FORK)
  if (other !== undefined) fail('flags', `${other} is not supported`)
  const realtime = policy === SCHED_FIFO || policy === SCHED_RR
  if (realtime !== scheduler.priority > 0)
    fail('priority', `${scheduler.priority} does not go with ${scheduler.policy}`)
  if (scheduler.runtime > 0 || scheduler.deadline > 0 || scheduler.period > 0)
    fail('runtime', `runtime, deadline and period do not go with ${scheduler.policy}`)
  return {
    policy,
    priority: scheduler.priority,
    nice: scheduler.nice,
    resetOnFork: scheduler.flags.length > 0,
  }
}

const ioprio = (io: SpecProcess['ioPriority']): number | null =>
  io === undefined ? null : (IO_CLASSES[io.class]! << IOPRIO_CLASS_SHIFT) | io.priority
