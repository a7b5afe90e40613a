// Hooks of config.json: programs of the host that are told the container's state at points of its life. Order,
// failures and what a hook sees are runc's. Source: OCI runtime specification, config.md#posix-platform-hooks.

import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { HookConfig } from '../sentry/config.ts'
import { errnoMessage } from '../syscall-table/errno.ts'
import { CliError } from './errors.ts'
import { latin1 } from './latin1.ts'
import type { Spec, SpecHook } from './spec-schema.ts'

/** What of a hook's output goes into a message. */
const OUTPUT_MAX = 500

export type HookKind = keyof HookLists
export interface HookLists {
  prestart: SpecHook[]
  createRuntime: SpecHook[]
  createContainer: SpecHook[]
  startContainer: SpecHook[]
  poststart: SpecHook[]
  poststop: SpecHook[]
}

/** Where a hook runs. */
export interface HookPlace {
  cwd: string
  /** The launcher and flags for the namespaces that it enters first; none: the hook runs as it is. */
  enter: readonly string[]
}

/** Run the hooks of one kind in order, with `state` on their stdin. The first failure ends it. */
export async function runHooks(
  kind: HookKind,
  hooks: readonly SpecHook[],
  state: Record<string, unknown>,
  place: HookPlace,
): Promise<void> {
  const input = JSON.stringify(state)
  for (const [i, hook] of hooks.entries()) {
    const why = await runHook(hook, input, place)
    if (why !== null) throw new CliError(failureOf(kind, i, hook, why))
  }
}

/** The same where the container's life goes on whatever happens: failures are told only. */
export async function tryHooks(
  kind: HookKind,
  hooks: readonly SpecHook[],
  state: Record<string, unknown>,
  place: HookPlace,
  warn: (message: string) => void,
): Promise<void> {
  for (const [i, hook] of hooks.entries()) {
    const why = await runHook(hook, JSON.stringify(state), place)
    if (why !== null) warn(failureOf(kind, i, hook, why))
  }
}

/** It begins as runc's message does. */
const failureOf = (kind: HookKind, i: number, { path }: SpecHook, why: string): string =>
  `error running ${kind} hook #${i}: ${path}: ${why}`

/** The hooks that run inside the sandbox. */
export function startHooks({ hooks }: Spec): HookConfig[] {
  return hooks.startContainer.map(({ path, args, env, timeout }) => ({
    path: latin1(path),
    args: args.map(latin1),
    env: env.map(latin1),
    timeout: timeout ?? null,
  }))
}

/** Null, or why the hook failed. */
function runHook(hook: SpecHook, input: string, place: HookPlace): Promise<string | null> {
  const [argv0 = hook.path, ...args] = hook.args
  const enters = place.enter.length > 0
  const enter = enters ? [...place.enter, '--argv0', argv0, '--', hook.path] : [hook.path]
  const child = spawn(enter[0]!, [...enter.slice(1), ...args], {
    cwd: place.cwd,
    // runc: without any, a hook has the runtime's own environment.
    env: hook.env.length > 0 ? environment(hook.env) : process.env,
    ...(enters ? {} : { argv0 }),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // It need not read.
  child.stdin!.on('error', () => {})
  child.stdin!.end(input)
  return ended(child, hook.timeout)
}

function environment(entries: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {}
  for (const entry of entries) {
    const at = entry.indexOf('=')
    if (at > 0) env[entry.slice(0, at)] = entry.slice(at + 1)
  }
  return env
}

function ended(child: ChildProcess, seconds: number | undefined): Promise<string | null> {
  const stdout = collect(child.stdout!)
  const stderr = collect(child.stderr!)
  return new Promise(resolve => {
    let late = false
    const kill = () => {
      late = true
      child.kill('SIGKILL')
    }
    // A longer time than the timer can be set for is none.
    const timer =
      seconds === undefined || seconds > 2 ** 31 / 1000
        ? undefined
        : setTimeout(kill, seconds * 1000)
    const finish = (why: string | null) => {
      clearTimeout(timer)
      // What it left in the background may hold its output open.
      child.stdout!.destroy()
      child.stderr!.destroy()
      resolve(why)
    }
    child.on('error', ({ errno, message }: NodeJS.ErrnoException) =>
      finish(errno === undefined ? message : `cannot be run: ${errnoMessage(-errno)}`),
    )
    child.on('exit', (code, signal) => {
      if (code === 0) return finish(null)
      if (late) return finish(`ran past its timeout of ${seconds} s`)
      const how = code === null ? `ended by ${signal}` : `exit status ${code}`
      // What it wrote last may still be on the way.
      setImmediate(() => finish(`${how}, stdout: ${stdout()}, stderr: ${stderr()}`))
    })
  })
}

/** The beginning of what the stream brings; the rest is read and dropped. */
function collect(stream: Readable): () => string {
  let text = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    if (text.length < OUTPUT_MAX) text += chunk.slice(0, OUTPUT_MAX - text.length)
  })
  return () => text.trim()
}
