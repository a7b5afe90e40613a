// linux.devices and linux.sysctl of config.json as the sentry takes them.

import type { DeviceConfig } from '../sentry/config.ts'
import { S_IFBLK, S_IFCHR, S_IFIFO } from '../syscall-table/flags.ts'
import { CliError } from './errors.ts'
import { latin1 } from './latin1.ts'
import { sysctlName } from './spec-check.ts'
import type { Spec } from './spec-schema.ts'

const TYPES = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO }
const PERMISSIONS = 0o7777
const DEFAULT_MODE = 0o666
/** Device numbers of Linux: 12 bits and 20 bits. */
const MAJOR_MAX = 0xfff
const MINOR_MAX = 0xfffff

/** Nodes to make. Which of them can be opened is the sentry's business: those that it emulates. */
export function deviceConfigs(devices: Spec['linux']['devices']): DeviceConfig[] {
  return devices.map((device, i) => {
    const { major, minor } = device
    const range = (field: string, value: number, max: number) => {
      if (value < 0 || value > max)
        throw new CliError(
          `config.json: linux.devices.${i}.${field}: expected a number from 0 to ${max}, not ${value}`,
        )
    }
    if (device.type !== 'p') {
      range('major', major, MAJOR_MAX)
      range('minor', minor, MINOR_MAX)
    }
    return {
      path: latin1(device.path).replace(/\/+$/, ''),
      mode: TYPES[device.type] | ((device.fileMode ?? DEFAULT_MODE) & PERMISSIONS),
      major: device.type === 'p' ? 0 : major,
      minor: device.type === 'p' ? 0 : minor,
      uid: device.uid ?? 0,
      gid: device.gid ?? 0,
    }
  })
}

/** Tunables as paths below /proc/sys. */
export function sysctlConfigs(sysctl: Spec['linux']['sysctl']): [string, string][] {
  return Object.entries(sysctl).map(([key, value]) => {
    // A dot in a name, as of a network device, is written as the other separator.
    const path = sysctlName(key).replace(/[./]/g, char => (char === '.' ? '/' : '.'))
    if (path.split('/').some(part => part === '' || part === '.' || part === '..'))
      throw new CliError(`config.json: linux.sysctl: there is no tunable "${key}"`)
    return [latin1(path), latin1(value)]
  })
}
