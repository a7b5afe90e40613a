// Files that others read at any time: there as a whole, or not at all, whatever happens to who writes them.

import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { CliError } from './errors.ts'

/** Write a file under another name and put it in its place. `name` is what a message calls it. */
export function writeWhole(file: string, text: string, mode: number, name = file): void {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    const fd = openSync(temporary, 'w', mode)
    try {
      writeFileSync(fd, text)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, file)
  } catch (cause) {
    discard(temporary)
    throw new CliError(`cannot write ${name}: ${(cause as Error).message}`, { cause })
  }
}

function discard(file: string): void {
  try {
    rmSync(file, { force: true })
  } catch {
    // It cannot be there either.
  }
}
