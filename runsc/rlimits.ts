// Resource limit names of config.json and their numbers. Source: asm-generic/resource.h.

import type { RlimitConfig } from '../sentry/config.ts'
import { CliError } from './errors.ts'
import type { SpecProcess } from './spec-schema.ts'

const NAMES = [
  'CPU',
  'FSIZE',
  'DATA',
  'STACK',
  'CORE',
  'RSS',
  'NPROC',
  'NOFILE',
  'MEMLOCK',
  'AS',
  'LOCKS',
  'SIGPENDING',
  'MSGQUEUE',
  'NICE',
  'RTPRIO',
  'RTTIME',
]

/** From here on a JSON number is no longer exact: RLIM_INFINITY (2^64 - 1) arrives as 2^64. */
const UNLIMITED = 2 ** 63

/** process.rlimits as the sentry takes them. */
export function rlimitConfig(rlimits: SpecProcess['rlimits']): RlimitConfig[] {
  return rlimits.map(({ type, soft, hard }) => {
    const resource = !type.startsWith('RLIMIT_') ? -1 : NAMES.indexOf(type.replace(/^RLIMIT_/, ''))
    if (resource < 0)
      throw new CliError(`config.json: process.rlimits: there is no limit "${type}"`)
    if (soft > hard)
      throw new CliError(
        `config.json: process.rlimits: ${type}: soft ${soft} is above hard ${hard}`,
      )
    return {
      resource,
      soft: soft >= UNLIMITED ? null : soft,
      hard: hard >= UNLIMITED ? null : hard,
    }
  })
}
