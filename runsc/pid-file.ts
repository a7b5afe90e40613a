// --pid-file: appears whole, and last of all; engines take it as the sign that the process is there.

import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { CliError } from './errors.ts'

export function writePidFile(file: string, pid: number): void {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, String(pid), { mode: 0o644 })
    renameSync(temporary, file)
  } catch (cause) {
    rmSync(temporary, { force: true })
    throw new CliError(`cannot write --pid-file ${file}: ${(cause as Error).message}`, { cause })
  }
}
