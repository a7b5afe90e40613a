// The systemd driver's names: "slice:prefix:name" of linux.cgroupsPath, and where systemd puts such a unit.
// Source: systemd.slice(5); runc's docs/systemd.md.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from '../errors.ts'

export interface Unit {
  slice: string
  unit: string
  /** The unit's cgroup, from the root of the hierarchy. */
  path: string
}

/** Split linux.cgroupsPath for the systemd driver. */
export function parseUnit(cgroupsPath: string, id: string): Unit {
  const parts = (cgroupsPath === '' ? `system.slice:runsc:${id}` : cgroupsPath).split(':')
  if (parts.length !== 3)
    throw new CliError(
      `linux.cgroupsPath: with --systemd-cgroup, expected "slice:prefix:name", not "${cgroupsPath}"`,
    )
  const [sliceGiven = '', prefix = '', name = ''] = parts
  const slice = sliceGiven === '' ? 'system.slice' : sliceGiven
  if (name === '' || /[/\0]/.test(prefix + name))
    throw new CliError(
      `linux.cgroupsPath: "${cgroupsPath}": expected a name without slashes after the last colon`,
    )
  // A name that is a slice itself is one; everything else is a scope.
  const unit = name.endsWith('.slice') ? name : `${prefix === '' ? '' : `${prefix}-`}${name}.scope`
  return { slice, unit, path: join(slicePath(slice), unit) }
}

/** "a-b.slice" lies in "/a.slice/a-b.slice". */
export function slicePath(slice: string): string {
  if (slice === '-.slice') return '/'
  const name = slice.slice(0, -'.slice'.length)
  if (!slice.endsWith('.slice') || name === '' || /\/|--|^-|-$/.test(name))
    throw new CliError(`linux.cgroupsPath: "${slice}" is no name of a systemd slice`)
  let path = '/'
  let prefix = ''
  for (const part of name.split('-')) {
    prefix += prefix === '' ? part : `-${part}`
    path = join(path, `${prefix}.slice`)
  }
  return path
}

/** sd_booted(3). */
export const systemdRuns = () => existsSync('/run/systemd/system')
