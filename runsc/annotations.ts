// Flags that a container's own annotations set: dev.portcullis.flag.NAME, and dev.gvisor.flag.NAME as gVisor has it.
// Who writes a container's annotations is often not who set the host up: only harmless flags can be set, unless
// --allow-flag-override says otherwise.

import type { Option } from 'commander'
import { CliError } from './errors.ts'
import { gvisorFlag } from './gvisor-flags.ts'
import { type GlobalOptions, globalOptions, isFlag, truth } from './options.ts'

const OWN = 'dev.portcullis.flag.'
const GVISOR = 'dev.gvisor.flag.'

/** Flags that show more, or take something away: with a list, only these values of them. */
const HARMLESS: Readonly<Record<string, RegExp>> = {
  debug: /^/,
  'debug-command': /^/,
  strace: /^/,
  'strace-syscalls': /^/,
  'strace-log-size': /^/,
  'oci-seccomp': /^(true|t|1)$/i,
  'net-raw': /^(false|f|0)$/i,
  'host-uds': /^none$/,
  'file-access': /^shared$/,
  'file-access-mounts': /^shared$/,
  overlay2: /^(root|all):(memory|self)\b/,
}
/** Where state and logs go is never a container's business. */
const NEVER = ['root', 'log', 'log-format', 'debug-log', 'alsologtostderr', 'allow-flag-override']

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
      checkGvisor(prefix, key, name, value, warn)
      continue
    }
    checkAllowed(key, name, value, options.allowFlagOverride)
    changed[option.attributeName()] = parse(key, value, option)
  }
  return { ...options, ...changed }
}

function checkGvisor(
  prefix: string,
  key: string,
  name: string,
  value: string,
  warn: (message: string) => void,
): void {
  const theirs = prefix === GVISOR ? gvisorFlag(name) : null
  if (theirs === null) throw new CliError(`annotation ${key}: there is no flag "${name}"`)
  try {
    for (const note of theirs.note(value)) warn(`annotation ${key}: ${note}`)
  } catch (error) {
    throw new CliError(`annotation ${key}: ${(error as Error).message}`)
  }
}

function checkAllowed(key: string, name: string, value: string, override: boolean): void {
  const never = NEVER.includes(name)
  if (!never && (override || (Object.hasOwn(HARMLESS, name) && HARMLESS[name]!.test(value)))) return
  const what = Object.hasOwn(HARMLESS, name) ? `the value "${value}"` : 'this flag'
  throw new CliError(
    `annotation ${key}: ${what} can be set by the host only${never ? '' : ' (--allow-flag-override lets containers set it)'}`,
  )
}

function parse(key: string, value: string, option: Option): unknown {
  try {
    if (isFlag(option)) return truth(value)
    const choices = option.argChoices
    if (choices !== undefined && !choices.includes(value))
      throw new Error(`expected one of ${choices.join(', ')}`)
    return option.parseArg === undefined || choices !== undefined
      ? value
      : option.parseArg(value, undefined)
  } catch (error) {
    throw new CliError(`annotation ${key}: ${(error as Error).message}, not "${value}"`)
  }
}
