// Mount options of tmpfs(5).

import { EINVAL } from '../../../syscall-table/errno.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { OptionCheck } from '../../vfs/super.ts'

/** Limits and root attributes, from the mount options. Zero means no limit. */
export interface TmpfsOptions {
  size: number
  inodes: number
  mode: number
  uid: number
  gid: number
}

const UNITS: Record<string, number> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }
const KEYS = new Set(
  'size nr_blocks nr_inodes mode uid gid huge mpol inode32 inode64 noswap'.split(' '),
)

/** Half of the memory, if nobody says otherwise: shmem_default_max_blocks. */
export const defaultSize = (kernel: Kernel): number => Math.floor(kernel.memoryBytes / 2)

/** Change `into` as the option string says. Returns 0 or -EINVAL. */
export function parseOptions(kernel: Kernel, data: string, into: TmpfsOptions): number {
  for (const option of data.split(','))
    if (option !== '' && !parseOption(kernel, option, into)) return -EINVAL
  return 0
}

const tried: TmpfsOptions = { size: 0, inodes: 0, mode: 0, uid: 0, gid: 0 }

/** What fsconfig(2) is told of one option at once. */
export function knowsOption(kernel: Kernel, key: string, option: string): OptionCheck {
  if (!KEYS.has(key)) return 'unknown'
  return parseOption(kernel, option, tried) ? 'good' : 'bad'
}

function parseOption(kernel: Kernel, option: string, into: TmpfsOptions): boolean {
  const equals = option.indexOf('=')
  const key = equals < 0 ? option : option.slice(0, equals)
  const value = equals < 0 ? '' : option.slice(equals + 1)
  switch (key) {
    case 'size':
      into.size = value.endsWith('%') ? percent(kernel, value) : parseAmount(value)
      return into.size >= 0
    case 'nr_blocks':
      into.size = parseAmount(value) * 4096
      return into.size >= 0
    case 'nr_inodes':
      into.inodes = parseAmount(value)
      return into.inodes >= 0
    case 'mode':
      if (!/^[0-7]{1,6}$/.test(value)) return false
      into.mode = Number.parseInt(value, 8) & 0o7777
      return true
    case 'uid':
      return setId(value, id => {
        into.uid = id
      })
    case 'gid':
      return setId(value, id => {
        into.gid = id
      })
    // Where pages come from and how they are grouped is the host's business.
    case 'huge':
    case 'mpol':
    case 'inode32':
    case 'inode64':
    case 'noswap':
      return true
    default:
      return false
  }
}

function setId(value: string, set: (id: number) => void): boolean {
  if (!/^[0-9]{1,10}$/.test(value) || Number(value) >= 2 ** 32 - 1) return false
  set(Number(value))
  return true
}

function percent(kernel: Kernel, value: string): number {
  const part = value.slice(0, -1)
  return /^[0-9]{1,3}$/.test(part) ? Math.floor((kernel.memoryBytes * Number(part)) / 100) : -1
}

/** A number with a unit, as the kernel's memparse reads it; -1 when it is none. */
function parseAmount(value: string): number {
  const match = /^([0-9]{1,15})([kmgt]?)$/i.exec(value)
  if (match === null) return -1
  const amount = Number(match[1]) * (UNITS[match[2]!.toLowerCase()] ?? 1)
  return amount <= 2 ** 52 ? amount : -1
}
