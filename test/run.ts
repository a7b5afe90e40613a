// Running programs natively and in a sandbox, for the tests and benchmarks.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..')
export const runsc = join(root, 'runsc/bin/runsc')
export const cache = join(root, '.cache')
export const PLATFORMS = ['systrap', 'ptrace'] as const
/** Long and large variants of the tests run only when asked for. */
export const heavy = process.env.PORTCULLIS_HEAVY === '1'

/** For what waits for ever: a busy machine may take many times what a quiet one does. */
const LIMIT_SECONDS = 120

export interface Result {
  status: number
  stdout: string
  stderr: string
}

export interface RunOptions {
  input?: string | Buffer
  seconds?: number
  cwd?: string
  env?: Record<string, string>
}

/** Runs a command to its end. A signal counts as 128 plus its number, as in shells; a time-out as 124. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Result {
  const result = spawnSync(command, args, {
    input: options.input ?? '',
    timeout: (options.seconds ?? LIMIT_SECONDS) * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
    cwd: options.cwd ?? '/',
    env: {
      PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/root',
      LANG: 'C.UTF-8',
      LC_ALL: 'C.UTF-8',
      ...options.env,
    },
    encoding: 'utf8',
  })
  const timedOut = (result.error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT'
  return {
    status: timedOut ? 124 : (result.status ?? 128 + SIGNALS.indexOf(result.signal ?? '')),
    stdout: result.stdout ?? '',
    stderr: timedOut
      ? `${result.stderr ?? ''}\n(killed after ${options.seconds ?? LIMIT_SECONDS} s)`
      : (result.stderr ?? ''),
  }
}

const SIGNALS = [
  '',
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGKILL',
  'SIGUSR1',
  'SIGSEGV',
  'SIGUSR2',
  'SIGPIPE',
  'SIGALRM',
  'SIGTERM',
]

/** With PORTCULLIS_NATIVE=1 the end-to-end tests run on Linux itself: that is how they are checked. */
const native = process.env.PORTCULLIS_NATIVE === '1'
/** What `runsc do` gives a program, built of the host's own namespaces and an overlay. */
const NATIVE_BOX = `
T=$(mktemp -d); mount -t tmpfs box "$T"; mkdir "$T/u" "$T/w" "$T/r"
mount -t overlay box -o "lowerdir=$1,upperdir=$T/u,workdir=$T/w" "$T/r"; mount -t proc proc "$T/r/proc"; mount --rbind /dev "$T/r/dev"
hostname box; C=$2; shift 2; chroot "$T/r" env -C "$C" "$@"; exit $?`

function nativeBox(args: readonly string[], flags: readonly string[], options: RunOptions): Result {
  const value = (name: string, other: string) =>
    flags.includes(name) ? flags[flags.indexOf(name) + 1]! : other
  const box = [
    '--mount',
    '--pid',
    '--fork',
    '--uts',
    '--ipc',
    '--kill-child',
    'sh',
    '-c',
    NATIVE_BOX,
    'box',
  ]
  return run(
    'unshare',
    [...box, value('--root', '/'), value('--cwd', options.cwd ?? '/'), ...args],
    options,
  )
}

/** Runs a command in a sandbox on the host's files: `runsc do`; PORTCULLIS_PLATFORM chooses where a test does not. */
export function sandboxed(
  args: readonly string[],
  options: RunOptions & { platform?: string; flags?: string[] } = {},
): Result {
  if (native) return nativeBox(args, options.flags ?? [], options)
  const platform = options.platform ?? process.env.PORTCULLIS_PLATFORM
  const flags = [...(platform ? [`--platform=${platform}`] : []), 'do', ...(options.flags ?? [])]
  return run(runsc, [...flags, '--', ...args], options)
}

/** Runs a shell script in a sandbox; a failing command ends it. */
export function script(
  text: string,
  options: RunOptions & { platform?: string; flags?: string[]; shell?: string } = {},
): Result {
  return sandboxed([options.shell ?? 'bash', '-c', `set -e\n${text}`], options)
}

/** True when sandboxes start under this platform; prints why not. */
export function platformWorks(platform: string): boolean {
  const result = sandboxed(['/bin/true'], { platform, seconds: 30 })
  if (result.status !== 0)
    console.warn(
      `skipped: --platform=${platform} does not start here (${result.status}): ${result.stderr.trim()}`,
    )
  return result.status === 0
}

/** A fresh directory outside the tree of the sandboxes' writes, removed by `clean`. */
export function temporary(name: string): { path: string; clean(): void } {
  const path = mkdtempSync(join(tmpdir(), `portcullis-${name}-`))
  return { path, clean: () => rmSync(path, { recursive: true, force: true }) }
}

/** Compiles a C program into the cache, under a name that depends on `key`; its path. */
export function compile(source: string, output: string, flags: readonly string[]): string {
  mkdirSync(dirname(output), { recursive: true })
  // Another worker may be about to make the same.
  const made = `${output}.${process.pid}`
  const { status, stderr } = run('gcc', [...flags, source, '-o', made], { cwd: root })
  if (status !== 0) throw new Error(`gcc ${source}: ${stderr}`)
  renameSync(made, output)
  return output
}

/** Writes a bundle: config.json beside a root that is `rootPath`. `change` edits the configuration. */
export function writeBundle(
  path: string,
  rootPath: string,
  args: string[],
  change: (config: Config) => void = () => {},
): void {
  const config: Config = {
    ociVersion: '1.2.0',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args,
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8'],
      cwd: '/',
    },
    root: { path: rootPath, readonly: false },
    hostname: 'box',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs' },
    ],
    linux: {
      namespaces: [
        { type: 'pid' },
        { type: 'network' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'mount' },
      ],
    },
  }
  change(config)
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'config.json'), JSON.stringify(config, null, 2))
}

// biome-ignore lint/suspicious/noExplicitAny: a configuration is what tests make wrong on purpose
export type Config = Record<string, any>
