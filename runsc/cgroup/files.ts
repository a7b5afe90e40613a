// Reading and writing the files of cgroup directories, with errors that name file, value and reason.

import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeDirectories } from '../directories.ts'
import { CliError } from '../errors.ts'

/** How long a directory may stay busy after its last process was killed. */
const REMOVE_TIMEOUT_MS = 30_000

/** Write a value to a file that exists: a cgroup file system makes its own, and nothing else counts. */
export function writeValue(directory: string, file: string, value: string): void {
  // Without O_CREAT: on a missing controller that must fail.
  write(join(directory, file), 'r+', value)
}

/** The same when only writing is allowed (devices.allow). */
export function writeOnly(directory: string, file: string, value: string): void {
  write(join(directory, file), 'w', value)
}

function write(path: string, mode: 'r+' | 'w', value: string): void {
  try {
    const fd = openSync(path, mode)
    try {
      writeSync(fd, value)
    } finally {
      closeSync(fd)
    }
  } catch (cause) {
    throw new CliError(`cannot write "${value}" to ${path}: ${reason(cause)}`, { cause })
  }
}

export const errorCode = (error: unknown): string | undefined => {
  const { code, cause } = error as NodeJS.ErrnoException
  return code ?? (cause as NodeJS.ErrnoException | undefined)?.code
}

const reason = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}

/** The text of a file, null when it is not there. */
export function readText(directory: string, file: string): string | null {
  try {
    return readFileSync(join(directory, file), 'latin1')
  } catch {
    return null
  }
}

/** A file's single number; "max" and what is not there are the fallback. */
export function readNumber(directory: string, file: string, fallback = 0): number {
  const text = readText(directory, file)?.trim()
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : fallback
}

/** "name value" lines. */
export function readTable(directory: string, file: string): Record<string, number> {
  const table: Record<string, number> = {}
  for (const line of (readText(directory, file) ?? '').split('\n')) {
    const [name, value] = line.split(' ')
    if (name && value !== undefined) table[name] = Number(value)
  }
  return table
}

export const hasFile = (directory: string, file: string) => existsSync(join(directory, file))

/** Make a cgroup and those above it that are missing. */
export function makeDirectory(path: string): void {
  try {
    makeDirectories(path, 0o755)
  } catch (cause) {
    throw new CliError(`cannot make the cgroup ${path}: ${reason(cause)}`, { cause })
  }
}

/** Every directory from `root` (without) down to `path`. */
export function ancestors(root: string, path: string): string[] {
  const found: string[] = []
  for (let at = path; at.startsWith(`${root}/`); at = dirname(at)) found.unshift(at)
  return found
}

/** The processes in a cgroup and below it. */
export function processesBelow(path: string): number[] {
  const pids = (readText(path, 'cgroup.procs') ?? '').split('\n').filter(line => line !== '')
  return [...pids.map(Number), ...children(path).flatMap(processesBelow)]
}

/** The threads in a cgroup and below it. */
export function threadsBelow(path: string): number[] {
  const text = readText(path, 'tasks') ?? readText(path, 'cgroup.threads') ?? ''
  const tids = text.split('\n').filter(line => line !== '')
  return [...tids.map(Number), ...children(path).flatMap(threadsBelow)]
}

function children(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => join(path, entry.name))
  } catch {
    return []
  }
}

/**
 * Remove a cgroup and those below it; one that is gone is fine. Where only the dead keep it, whose parents have yet to
 * wait for them, it stays, and that is all: nobody is to run in it any more. Tells that then, else null.
 */
export async function removeDirectory(
  path: string,
  timeoutMs = REMOVE_TIMEOUT_MS,
): Promise<string | null> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const code = tryRemove(path)
    if (code === undefined || code === 'ENOENT') return null
    if (code !== 'EBUSY' || Date.now() > deadline) {
      const left = processesBelow(path)
      const who = left.length === 0 ? '' : ` (processes in it: ${left.slice(0, 10).join(' ')})`
      const text = `the cgroup ${path}: ${code}${who}`
      if (code === 'EBUSY' && !left.some(lives))
        return `left behind, as only the dead are in it: ${text}`
      throw new CliError(`cannot remove ${text}`)
    }
    // Tasks leave a moment after they are reaped.
    await sleep(5)
  }
}

const lives = (pid: number): boolean => {
  const stat = readText('/proc', `${pid}/stat`) ?? ') X'
  return !'ZX'.includes(stat.charAt(stat.lastIndexOf(')') + 2))
}

function tryRemove(path: string): string | undefined {
  for (const child of children(path)) tryRemove(child)
  try {
    rmdirSync(path)
    return undefined
  } catch (error) {
    return errorCode(error)
  }
}
