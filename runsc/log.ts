// Where runsc's failures go: one line on stderr, and, in the form that engines parse, to --log.

import { closeSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Logger } from 'pino'
import { dup } from '../native/host.ts'
import { makeDirectories } from './directories.ts'
import { CliError } from './errors.ts'
import type { GlobalOptions } from './options.ts'
import { complain } from './output.ts'

/** The first descriptor behind the standard streams. */
const FIRST_OTHER = 3
/** What wrong input can put into a message is without bounds. */
const MAX_MESSAGE = 1000

/** One line of bounded length, without what a terminal would act on. */
function oneLine(message: string): string {
  const short = message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message
  return short.replace(/\p{Cc}+/gu, ' ')
}

/** Print a failure, and append it to --log as runc does. */
export function reportFailure(text: string, options: Partial<GlobalOptions>): void {
  const message = oneLine(text)
  complain(`runsc: ${message}\n`)
  if (options.log !== undefined) appendLog(options.log, 'error', message, options)
}

/** What is worth telling but no reason to fail goes to --log, or to stderr where there is none. */
export function warner(options: Partial<GlobalOptions>): (text: string) => void {
  return text => {
    const message = oneLine(text)
    if (options.log === undefined) complain(`runsc: warning: ${message}\n`)
    else appendLog(options.log, 'warning', message, options)
  }
}

function appendLog(
  file: string,
  level: string,
  message: string,
  options: Partial<GlobalOptions>,
): void {
  const time = new Date().toISOString()
  const line =
    options.logFormat === 'json'
      ? JSON.stringify({ level, msg: message, time })
      : `time="${time}" level=${level} msg=${JSON.stringify(message)}`
  try {
    const fd = openSync(file, 'a', 0o644)
    writeSync(fd, `${line}\n`)
    closeSync(fd)
  } catch (error) {
    complain(`runsc: cannot write --log ${file}: ${(error as Error).message}\n`)
  }
}

/** The debug log of one command; silent without --debug and --debug-log. */
export async function openDebugLog(
  options: GlobalOptions,
  command: string,
  id: string,
): Promise<Logger> {
  // Loading it takes longer than many a command does.
  const { default: pino } = await import('pino')
  const fd = options.debug ? openDebugFile(options, command, id) : null
  if (fd === null) return pino({ level: 'silent' })
  return pino({ level: 'debug', base: { command } }, pino.destination({ fd, sync: true }))
}

/** A descriptor of the debug log, or null when this command has none. */
export function openDebugFile(options: GlobalOptions, command: string, id: string): number | null {
  if (!logsCommand(options.debugCommand, command)) return null
  const path = debugPath(options, command, id)
  if (path === null) return options.alsologtostderr ? copyOfStderr() : null
  try {
    // As gVisor has it: daemon.json names a directory that nobody has made yet.
    makeDirectories(dirname(path), 0o775)
    return openSync(path, 'a', 0o644)
  } catch (cause) {
    throw new CliError(`cannot open --debug-log: ${(cause as Error).message}`, { cause })
  }
}

/** Null when it is closed. */
export function copyOfStderr(): number | null {
  const fd = dup(2, FIRST_OTHER)
  return fd < 0 ? null : fd
}

/** A file, or one file per command in a directory ending in "/". */
function debugPath(options: GlobalOptions, command: string, id: string): string | null {
  const { debugLog } = options
  if (debugLog === undefined) return null
  const stamp = new Date().toISOString().replace(/[:.]/g, '-')
  const values: Record<string, string> = { ID: id, COMMAND: command, TIMESTAMP: stamp }
  const path = debugLog.replace(/%(ID|COMMAND|TIMESTAMP)%/g, (_, name: string) => values[name]!)
  return path.endsWith('/') ? `${path}runsc.${stamp}.${process.pid}.${command}.log` : path
}

/** --debug-command: names with commas between them, or behind "!" those that do not log. gVisor's sentry is "boot". */
function logsCommand(names: string | undefined, command: string): boolean {
  if (!names) return true
  const listed = names.replace(/^!/, '').split(',')
  const named = listed.includes(command) || (command === 'sentry' && listed.includes('boot'))
  return named !== names.startsWith('!')
}
