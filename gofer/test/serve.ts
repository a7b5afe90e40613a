// A gofer without confinement, for tests and measurements: descriptor 3 is its socket, and each argument an
// attach point as `flags:path`.

import { openat } from '../../native/index.ts'
import { AT_FDCWD, O_PATH } from '../../syscall-table/flags.ts'
import { openDescriptors } from '../descriptors.ts'
import { GoferServer } from '../server.ts'

process.umask(0)
const attachPoints = process.argv.slice(2).map(argument => {
  const [flags, path] = argument.split(':') as [string, string]
  return { fd: openat(AT_FDCWD, path, O_PATH, 0), flags: Number(flags) }
})
const server = new GoferServer({ attachPoints, descriptors: openDescriptors(), maxHandles: 4096 })
process.exit(server.serve(3) < 0 ? 1 : 0)
