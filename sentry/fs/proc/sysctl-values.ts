// What the files of /proc/sys are made of: values, and what writing them does. kernel/sysctl.c.

import { EINVAL } from '../../../syscall-table/errno.ts'
import type { Changes } from '../../kernel/changes.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Task } from '../../kernel/task.ts'

/** What a tunable shows: fixed, or computed for its reader; null for one that can only be written. */
export type Value = string | number | ((kernel: Kernel, reader: Task) => string | number) | null
/** Takes what was written: 0 or -errno. */
export type Store = (text: string, writer: Task) => number

/** Its changes, for those that poll for them. */
export type Watched = (reader: Task) => Changes

/** Name, value and, when it can be written, what writing does. */
export type Row = readonly [string, Value, Store?, Watched?]

/** The first line of what was written, as proc_dostring takes it. */
export function line(text: string): string {
  const end = text.search(/[\n\0]/)
  return end < 0 ? text : text.slice(0, end)
}

/** An integer in a range: proc_dointvec_minmax. */
export function integer(text: string, min: number, max: number): number {
  const match = /^\s*([0-9]{1,10})\s*$/.exec(line(text))
  const value = match === null ? -1 : Number(match[1])
  return value >= min && value <= max ? value : -EINVAL
}

/** A non-negative int that can be set, up to `most`. */
export function numberRow<K extends string>(
  name: string,
  holder: (task: Task) => Record<K, number>,
  key: K,
  most = 0x7fffffff,
): readonly [string, Value, Store] {
  const store: Store = (text, writer) => {
    const word = /^\s*(\d+)\s*(?:\0.*)?$/.exec(text)
    if (word === null || Number(word[1]) > most) return -EINVAL
    holder(writer)[key] = Number(word[1])
    return 0
  }
  return [name, (_kernel, reader) => decimal(holder(reader)[key]), store]
}

/** Limits near 2^64 are even where Linux' are odd: a double has no more bits. */
const decimal = (n: number): string => (n < 2 ** 63 ? `${n}` : `${BigInt(n) - 1n}`)

/** Up to `most` integers in a range; none when one of them is not: proc_dointvec_minmax of an array. */
export function integers(text: string, most: number, min: number, max: number): number[] {
  const words = line(text).trim().split(/\s+/)
  if (words.length > most || !words.every(word => /^-?\d{1,10}$/.test(word))) return []
  const values = words.map(Number)
  return values.every(value => value >= min && value <= max) ? values : []
}
