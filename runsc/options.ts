// The options that stand before the command. `runsc flags` prints them; docs/flags.md is made of them.

import { InvalidArgumentError, Option } from 'commander'
import { parseOverlay } from './overlay.ts'

export interface GlobalOptions {
  root: string
  platform: 'systrap' | 'ptrace'
  /** Undefined: what the configuration can use. */
  network?: 'none' | 'host'
  netRaw: boolean
  overlay2: string
  fileAccess: 'exclusive' | 'shared'
  fileAccessMounts: 'exclusive' | 'shared'
  hostUds: 'none' | 'open' | 'create' | 'all'
  ociSeccomp: boolean
  debug: boolean
  debugLog?: string
  debugCommand?: string
  alsologtostderr: boolean
  log?: string
  logFormat: 'text' | 'json'
  strace: boolean
  straceSyscalls?: string
  straceLogSize: number
  systemdCgroup: boolean
  ignoreCgroups: boolean
  allowFlagOverride: boolean
}

const MAX_STRACE_BYTES = 1 << 20

const defaultRoot = () =>
  process.env.XDG_RUNTIME_DIR && process.getuid?.() !== 0
    ? `${process.env.XDG_RUNTIME_DIR}/runsc`
    : '/var/run/runsc'

/** A flag that is on or off: `--name`, `--name=true`, `--name=false`. */
function flag(name: string, help: string, value: boolean): Option {
  return new Option(`--${name} [true|false]`, help).argParser(truth).default(value)
}

/** Whether an option is on or off, and so takes no word of its own. */
export const isFlag = (option: Option): boolean => !option.required

export function truth(text: string): boolean {
  if (/^(true|t|1)$/i.test(text)) return true
  if (/^(false|f|0)$/i.test(text)) return false
  throw new InvalidArgumentError('expected true or false')
}

const choice = (text: string, help: string, choices: string[]) =>
  new Option(text, help).choices(choices)

/** Definitions of the global options, for commander. */
export function globalOptions(): Option[] {
  return [
    new Option('--root <dir>', 'where the state of containers is kept').default(defaultRoot()),
    choice('--platform <name>', 'how system calls are intercepted', ['systrap', 'ptrace']).default(
      'systrap',
    ),
    choice(
      '--network <kind>',
      'none: a loopback of its own (default of `do`); host: sockets of the host, in the network namespace of the container (default of the others)',
      ['none', 'host'],
    ),
    flag('net-raw', 'let containers keep CAP_NET_RAW, if they have it', true),
    new Option(
      '--overlay2 <overlay>',
      'keep what is written to the root, or to the root and all bind mounts, away from the host: none, {root|all}:{memory|self|dir=/PATH}[,size=SIZE]',
    )
      .default('none')
      .argParser(text => {
        parseOverlay(text)
        return text
      }),
    choice('--file-access <who>', 'whether others than the sandbox change the root', [
      'exclusive',
      'shared',
    ]).default('exclusive'),
    choice('--file-access-mounts <who>', 'the same for bind mounts', [
      'exclusive',
      'shared',
    ]).default('shared'),
    choice(
      '--host-uds <kind>',
      'open: programs may connect to Unix sockets of the host in their files; create: the host to theirs; all: both',
      ['none', 'open', 'create', 'all'],
    ).default('none'),
    flag('oci-seccomp', 'enforce the seccomp profile of config.json', true),
    new Option('--log <file>', "where runsc's own errors go as well as to stderr"),
    choice('--log-format <format>', 'form of --log', ['text', 'json']).default('text'),
    flag('debug', 'log what the sandbox does, to --debug-log', false),
    new Option(
      '--debug-log <path>',
      'debug log: a file, or a directory when it ends in /; %ID%, %COMMAND% and %TIMESTAMP% are replaced',
    ),
    new Option(
      '--debug-command <names>',
      'commands that write to --debug-log, as "create,start", or those that do not, as "!sentry"',
    ),
    flag('alsologtostderr', 'where there is no --debug-log, stderr is it', false),
    flag('strace', 'log every system call, decoded, to --debug-log or stderr', false),
    new Option(
      '--strace-syscalls <names>',
      'calls that --strace logs, with commas between them (default: all)',
    ),
    new Option('--strace-log-size <bytes>', 'how much of a buffer --strace shows')
      .argParser(integer(0, MAX_STRACE_BYTES))
      .default(32),
    flag(
      'systemd-cgroup',
      "let systemd make the container's cgroup: linux.cgroupsPath is slice:prefix:name",
      false,
    ),
    flag('ignore-cgroups', 'make no cgroup and set no limits on the host', false),
    flag(
      'allow-flag-override',
      "let a container's annotations dev.portcullis.flag.NAME set every flag, not just harmless ones",
      false,
    ),
    new Option(
      '--rootless [mode]',
      'taken for runc: only `do` is for users other than root, and needs no flag',
    ).choices(['true', 'false', 'auto']),
  ]
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
