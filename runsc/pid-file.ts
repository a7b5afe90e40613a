// --pid-file: appears whole, and last of all; engines take it as the sign that the process is there.

import { writeWhole } from './whole-file.ts'

export function writePidFile(file: string, pid: number): void {
  writeWhole(file, String(pid), 0o644, `--pid-file ${file}`)
}
