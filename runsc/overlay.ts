// --overlay2: where what a container writes goes instead of to the host's files.

import { InvalidArgumentError } from 'commander'

export interface Overlay {
  /** Only the root, or the bind mounts as well. */
  mounts: 'none' | 'root' | 'all'
  /** memory; or a file that is unlinked already: in the root itself ("self"), or in a directory of the host. */
  medium: 'memory' | 'self' | { dir: string }
  /** Bytes that each upper layer may take; null: half of the memory. */
  size: number | null
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }

/** gVisor's form: none, or {root|all}:{memory|self|dir=/PATH}[,size=N]. */
export function parseOverlay(text: string): Overlay {
  if (text === 'none' || text === '') return { mounts: 'none', medium: 'memory', size: null }
  const match = /^(root|all):(memory|self|dir=(\/[^,]*))(?:,size=(\d{1,15})([kmg]?)b?)?$/i.exec(
    text,
  )
  if (match === null)
    throw new InvalidArgumentError(
      'expected none, or {root|all}:{memory|self|dir=/PATH}[,size=SIZE]',
    )
  const [, mounts, medium, dir, size, unit = ''] = match
  return {
    mounts: mounts as 'root' | 'all',
    medium: dir !== undefined ? { dir } : (medium as 'memory' | 'self'),
    size: size === undefined ? null : Number(size) * UNITS[unit.toLowerCase()]!,
  }
}
