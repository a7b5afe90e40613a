// The table of system calls: one row for each number that Linux has ever given out on x86-64, implemented
// or not. A row is the only place with the number, the name, the arguments, the restart class and the level of
// support; everything else is generated from it or interprets it.

import type { Area, Row } from './row.ts'
import { fileCalls } from './syscalls/file.ts'
import { futexCalls } from './syscalls/futex.ts'
import { ipcCalls } from './syscalls/ipc.ts'
import { mmCalls } from './syscalls/mm.ts'
import { pathCalls } from './syscalls/path.ts'
import { pollCalls } from './syscalls/poll.ts'
import { processCalls } from './syscalls/process.ts'
import { schedCalls } from './syscalls/sched.ts'
import { signalCalls } from './syscalls/signal.ts'
import { socketCalls } from './syscalls/socket.ts'
import { systemCalls } from './syscalls/system.ts'
import { timeCalls } from './syscalls/time.ts'

export const syscalls = {
  ...fileCalls,
  ...pathCalls,
  ...mmCalls,
  ...processCalls,
  ...signalCalls,
  ...timeCalls,
  ...pollCalls,
  ...socketCalls,
  ...futexCalls,
  ...ipcCalls,
  ...schedCalls,
  ...systemCalls,
} as const satisfies Record<string, Row & { readonly area: Area }>

export type SyscallName = keyof typeof syscalls

/** Names of the calls that have a handler. */
export type ImplementedName = {
  [K in SyscallName]: (typeof syscalls)[K] extends { readonly todo: number } ? never : K
}[SyscallName]

type InArea<A extends Area> = {
  [K in ImplementedName]: (typeof syscalls)[K]['area'] extends A ? K : never
}[ImplementedName]

/**
 * What sentry/syscalls/<area>.ts must export: `sys_<name>` for each implemented row of the area. dispatch.gen.ts
 * checks the number of parameters, by calling each handler with exactly its row's arguments.
 */
export type Handlers<Task, A extends Area = Area> = {
  readonly [K in InArea<A> as `sys_${K}`]: (task: Task, ...args: number[]) => number
}

export interface NamedRow extends Row {
  readonly name: SyscallName
  readonly area: Area
}

/** All rows in the order of their numbers. */
export const rowsByNumber: readonly NamedRow[] = (Object.keys(syscalls) as SyscallName[])
  .map((name): NamedRow => ({ ...(syscalls[name] as Row & { area: Area }), name }))
  .sort((a, b) => a.nr - b.nr)

/** Row of a number, or undefined. */
const byNumber = new Map(rowsByNumber.map(row => [row.nr, row]))
export const rowOf = (nr: number): NamedRow | undefined => byNumber.get(nr)
