// The options that stand before the command, in gVisor's spelling as well: `-debug`, `--debug=true`.

import { InvalidArgumentError, Option } from 'commander'
import { CliError } from './errors.ts'

export interface GlobalOptions {
  root: string
  platform: 'systrap' | 'ptrace'
  /** Undefined: what the configuration can use. */
  network?: 'none' | 'host'
  hostUds: 'none' | 'open'
  debug: boolean
  debugLog?: string
  log?: string
  logFormat: 'text' | 'json'
  strace: boolean
  systemdCgroup: boolean
  ignoreCgroups: boolean
  allowFlagOverride: boolean
}

const BOOLEANS = new Set([
  'debug',
  'strace',
  'systemd-cgroup',
  'ignore-cgroups',
  'allow-flag-override',
])

const defaultRoot = () =>
  process.env.XDG_RUNTIME_DIR && process.getuid?.() !== 0
    ? `${process.env.XDG_RUNTIME_DIR}/runsc`
    : '/var/run/runsc'

/** Definitions of the global options, for commander. */
export function globalOptions(): Option[] {
  return [
    new Option('--root <dir>', 'where the state of containers is kept').default(defaultRoot()),
    new Option('--platform <name>', 'how system calls are intercepted')
      .choices(['systrap', 'ptrace'])
      .default('systrap'),
    new Option(
      '--network <kind>',
      'loopback only (default of `do`), or sockets of the host in the network namespace of the container',
    ).choices(['none', 'host']),
    new Option(
      '--host-uds <kind>',
      'whether programs may connect to Unix sockets of the host in their files',
    )
      .choices(['none', 'open'])
      .default('none'),
    new Option('--log <file>', "where runsc's own errors go as well as to stderr"),
    new Option('--log-format <format>', 'form of --log').choices(['text', 'json']).default('text'),
    new Option('--debug', 'log what the sandbox does, to --debug-log').default(false),
    new Option('--debug-log <path>', 'debug log: a file, or a directory when it ends in /'),
    new Option('--strace', 'log every system call, decoded, to --debug-log or stderr').default(
      false,
    ),
    new Option(
      '--systemd-cgroup',
      "let systemd make the container's cgroup: linux.cgroupsPath is slice:prefix:name",
    ).default(false),
    new Option(
      '--allow-flag-override',
      "let a container's annotations dev.portcullis.flag.NAME set every flag, not just harmless ones",
    ).default(false),
    new Option('--rootless <mode>', 'taken for runc: it is root that makes sandboxes').choices([
      'true',
      'false',
      'auto',
    ]),
    new Option('--ignore-cgroups', 'make no cgroup and set no limits on the host').default(false),
  ]
}

/**
 * Bring the words before the command into the form that commander takes: single dashes double, and
 * booleans without a value. The command's own words stay as they are.
 */
export function normalizeArguments(argv: readonly string[]): string[] {
  const out: string[] = []
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!
    if (!word.startsWith('-') || word === '-' || word === '--') return out.concat(argv.slice(i))
    const long = /^-[a-z]{2}/.test(word) ? `-${word}` : word
    const [name = '', value] = splitOnce(long.slice(2), '=')
    if (long.startsWith('--') && BOOLEANS.has(name) && value !== undefined) {
      if (!/^(true|false|1|0)$/.test(value))
        throw new CliError(`--${name} takes true or false, not "${value}"`)
      if (value === 'true' || value === '1') out.push(`--${name}`)
      continue
    }
    if (long.startsWith('--') && value !== undefined) {
      // In two words, so that a misspelt name is suggested without its value.
      out.push(`--${name}`, value)
      continue
    }
    out.push(long)
    if (long.startsWith('--') && takesValue(name) && i + 1 < argv.length) out.push(argv[++i]!)
  }
  return out
}

const takesValue = (name: string) => !BOOLEANS.has(name) && name !== 'help' && name !== 'version'

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

/** A whole number from `min` to `max`, for option arguments. */
export function integer(min: number, max: number): (text: string) => number {
  return text => {
    const n = Number(text)
    if (!/^\d+$/.test(text) || n < min || n > max)
      throw new InvalidArgumentError(`expected a number from ${min} to ${max}`)
    return n
  }
}
