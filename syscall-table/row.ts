// The shape of one row of the system call table.

import type { Arg } from './args.ts'

/** The file under sentry/syscalls/ that exports the handler. */
export type Area =
  | 'file'
  | 'path'
  | 'mm'
  | 'process'
  | 'signal'
  | 'time'
  | 'poll'
  | 'socket'
  | 'futex'
  | 'system'
  | 'ipc'
  | 'sched'

/**
 * What a signal does to the blocked call. sys: ERESTARTSYS, nohand: ERESTARTNOHAND, block:
 * ERESTART_RESTARTBLOCK, nointr: ERESTARTNOINTR. Without one the call ends with EINTR.
 */
export type Restart = 'sys' | 'nohand' | 'block' | 'nointr'

export interface Row {
  readonly nr: number
  readonly args: { readonly [name: string]: Arg }
  readonly restart?: Restart
  /** Implemented, but less than Linux; says what is missing. */
  readonly partial?: string
  /** Not implemented: the error (positive) that every call gets. */
  readonly todo?: number
  readonly note?: string
}

export interface Rows {
  readonly [name: string]: Row
}

/** Gives every row its area. */
export function inArea<const A extends Area, const R extends Rows>(area: A, rows: R) {
  const entries = Object.entries(rows).map(([name, row]) => [name, { ...row, area }])
  return Object.fromEntries(entries) as { [K in keyof R]: R[K] & { readonly area: A } }
}
