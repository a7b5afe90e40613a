// Commands that change what is kept of a container do so one after the other: they lock its directory. The lock ends
// with the process that holds it. What only looks, and what signals, takes no lock.

import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { flock } from '../native/host.ts'
import { EAGAIN, errnoMessage } from '../syscall-table/errno.ts'
import { CliError } from './errors.ts'

const LOCK_EX = 2
const LOCK_NB = 4
const POLL_MS = 5
/** Longer than any command holds a lock: deleting waits for a killed sandbox. */
const TIMEOUT_MS = 90_000

/** A container's directory, locked until `release`. */
export interface Lock {
  release(): void
}

/** Lock a directory; null when there is none, or it is gone once it could be locked. */
export async function lockDirectory(directory: string): Promise<Lock | null> {
  const deadline = Date.now() + TIMEOUT_MS
  for (;;) {
    const fd = openDirectory(directory)
    if (fd === null) return null
    const n = flock(fd, LOCK_EX | LOCK_NB)
    if (n === 0 && isStill(directory, fd)) return { release: () => closeSync(fd) }
    closeSync(fd)
    if (n < 0 && n !== -EAGAIN) throw new CliError(`cannot lock ${directory}: ${errnoMessage(-n)}`)
    if (n === 0) continue
    if (Date.now() > deadline)
      throw new CliError(`cannot lock ${directory}: another command does not let go of it`)
    await sleep(POLL_MS)
  }
}

/** A descriptor of a directory; null when there is none. */
export function openDirectory(directory: string): number | null {
  try {
    return openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new CliError(`cannot open ${directory}: ${(cause as Error).message}`, { cause })
  }
}

/** Whether the path leads to the open directory, and not to one that has been made since. */
export function isStill(directory: string, fd: number): boolean {
  try {
    const now = statSync(directory)
    const { dev, ino } = fstatSync(fd)
    return now.dev === dev && now.ino === ino
  } catch {
    return false
  }
}
