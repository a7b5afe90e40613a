// Numbers, flags, strings and signal sets in strace(1)'s notation.

import type { NamedValue } from '../../syscall-table/flags/sets.ts'
import { type FlagSetName, flagSets } from '../../syscall-table/flags/sets.ts'

const MASK64 = (1n << 64n) - 1n

/** A pointer or a word of unknown meaning. */
export const hexText = (value: bigint): string => `0x${(value & MASK64).toString(16)}`
export const pointerText = (value: bigint): string => (value === 0n ? 'NULL' : hexText(value))
export const octalText = (value: number): string =>
  value === 0 ? '000' : `0${value.toString(8).padStart(3, '0')}`

/** `value` (low 64 bits) by the names of a set. */
export function flagsText(name: FlagSetName, value: bigint): string {
  const set = flagSets[name]
  if (set.mask === -1) return enumText(set.values, value, set.unknown)
  const mask = BigInt(set.mask >>> 0)
  const field = findValue(set.values, value & mask)
  if (value === 0n) return field?.[0] ?? '0'
  let rest = value & ~mask & MASK64
  const names: string[] = []
  for (const [bitName, bit] of set.bits) {
    const bits = unsigned(bit)
    if (bits !== 0n && (rest & bits) === bits) {
      names.push(bitName)
      rest &= ~bits
    }
  }
  if (mask !== 0n && field !== undefined)
    set.valuesLast ? names.push(field[0]) : names.unshift(field[0])
  else rest |= value & mask
  if (rest !== 0n)
    names.push(names.length > 0 ? hexText(rest) : `${hexText(rest)} /* ${set.unknown} */`)
  return names.join('|').replace('|FUTEX_PRIVATE_FLAG', '_PRIVATE')
}

function enumText(values: readonly NamedValue[], value: bigint, unknown: string): string {
  const found = findValue(values, value)
  return found === undefined ? `${hexText(value)} /* ${unknown} */` : found[0]
}

const findValue = (values: readonly NamedValue[], value: bigint) =>
  values.find(([, candidate]) => unsigned(candidate) === value)

/** Negative constants are 32-bit patterns. */
const unsigned = (n: number): bigint => BigInt(n < 0 ? n >>> 0 : n)

/** `SIGINT`, `SIGRT_3` or the number. */
export function signalText(signo: number): string {
  if (signo >= 32 && signo <= 64) return signo === 32 ? 'SIGRTMIN' : `SIGRT_${signo - 32}`
  return flagSets.SIGNAL.values.find(([, value]) => value === signo)?.[0] ?? String(signo)
}

/** A set of 64 signals: `[INT CHLD]`, or `~[...]` when more than half are in it. */
export function sigsetText(bits: bigint): string {
  const members: string[] = []
  const others: string[] = []
  for (let signo = 1; signo <= 64; signo++) {
    const inSet = (bits >> BigInt(signo - 1)) & 1n
    ;(inSet === 1n ? members : others).push(signalText(signo).replace('SIG', ''))
  }
  return members.length > 32 ? `~[${others.join(' ')}]` : `[${members.join(' ')}]`
}

const escapes = new Map([
  [9, '\\t'],
  [10, '\\n'],
  [11, '\\v'],
  [12, '\\f'],
  [13, '\\r'],
  [34, '\\"'],
  [92, '\\\\'],
])

/** Bytes as a C string; octal escapes are as short as the next byte permits. */
export function quote(bytes: Uint8Array, truncated = false): string {
  let text = ''
  for (let i = 0; i < bytes.length; i++) text += quoteByte(bytes[i]!, bytes[i + 1])
  return `"${text}"${truncated ? '...' : ''}`
}

function quoteByte(byte: number, next: number | undefined): string {
  const short = escapes.get(byte)
  if (short !== undefined) return short
  if (byte >= 32 && byte < 127) return String.fromCharCode(byte)
  const digitFollows = next !== undefined && next >= 48 && next <= 57
  return `\\${byte.toString(8).padStart(digitFollows ? 3 : 1, '0')}`
}
