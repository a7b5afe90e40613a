import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** mkdir -p. Node's own never ends where the kernel makes none: of /proc/x it says that there is no such directory. */
export function makeDirectories(path: string, mode: number): void {
  if (makeDirectory(path, mode)) return
  makeDirectories(dirname(path), mode)
  makeDirectory(path, mode)
}

/** Make one directory, if it is not there. False when the one above is missing. */
export function makeDirectory(path: string, mode: number): boolean {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && !existsSync(dirname(path))) return false
    if (code !== 'EEXIST' || !statSync(path).isDirectory()) throw error
  }
  return true
}
