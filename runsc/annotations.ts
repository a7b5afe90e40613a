// Flags that a container's own annotations set: dev.portcullis.flag.NAME, and dev.gvisor.flag.NAME as gVisor has it.
// Who writes a container's annotations is often not who set the host up: only harmless flags can be set, unless
// --allow-flag-override says otherwise.

import { CliError } from './errors.ts'
import { type GlobalOptions, globalOptions } from './options.ts'

const OWN = 'dev.portcullis.flag.'
const GVISOR = 'dev.gvisor.flag.'

/** Flags that show more, but allow nothing. */
const HARMLESS = ['debug', 'strace']
/** Flags of gVisor that a container may set there, and that have no counterpart here. */
const GVISOR_ONLY =
  'allow-connected-on-save debug-command debug-to-user-log host-uds mount-cgroup-v2 net-disconnect-ok oci-seccomp overlay2 pause-external-networking qdisc qdisc-tbf-burst qdisc-tbf-rate reproduce-nftables strace-event strace-log-size strace-syscalls'.split(
    ' ',
  )
/** Where state and logs go is never a container's business. */
const NEVER = ['root', 'log', 'log-format', 'allow-flag-override']

/** Annotations that change how we run a container, for `runsc features`. */
export const UNSAFE_ANNOTATIONS: readonly string[] = [OWN, GVISOR]

/** The options with those of the annotations in them. Throws for a flag that may not be set. */
export function withAnnotations<T extends GlobalOptions>(
  options: T,
  annotations: Readonly<Record<string, string>>,
  warn: (message: string) => void,
): T {
  const changed: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(annotations)) {
    const prefix = [OWN, GVISOR].find(p => key.startsWith(p))
    if (prefix === undefined) continue
    const name = key.slice(prefix.length)
    const option = globalOptions().find(o => o.long === `--${name}`)
    if (option === undefined) {
      if (prefix === GVISOR && GVISOR_ONLY.includes(name)) {
        warn(`annotation ${key}: gVisor's flag "${name}" has no meaning here`)
        continue
      }
      throw new CliError(`annotation ${key}: there is no flag "${name}"`)
    }
    const allowed = HARMLESS.includes(name) || options.allowFlagOverride
    if (!allowed || NEVER.includes(name))
      throw new CliError(
        `annotation ${key}: this flag can be set by the host only${NEVER.includes(name) ? '' : ' (--allow-flag-override lets containers set it)'}`,
      )
    changed[option.attributeName()] = parse(key, value, option)
  }
  return { ...options, ...changed }
}

function parse(
  key: string,
  value: string,
  option: ReturnType<typeof globalOptions>[number],
): unknown {
  if (option.isBoolean()) {
    if (!/^(true|false|1|0)$/.test(value))
      throw new CliError(`annotation ${key}: expected true or false, not "${value}"`)
    return value === 'true' || value === '1'
  }
  const choices = option.argChoices
  if (choices !== undefined && !choices.includes(value))
    throw new CliError(`annotation ${key}: expected one of ${choices.join(', ')}, not "${value}"`)
  return value
}
