// Structs that cross the user/kernel boundary on x86-64, as ordered field lists. The generator lays them
// out by C's rules (natural alignment unless `packed`) and abi-check.cc compares with the system's headers.

import { fileStructs } from './structs/file.ts'
import { processStructs } from './structs/process.ts'
import { signalStructs } from './structs/signal.ts'
import { socketStructs } from './structs/socket.ts'
import { timeStructs } from './structs/time.ts'

/** All structs by Linux name. A struct must come after those that it contains. */
export const structs = {
  ...timeStructs,
  ...fileStructs,
  ...processStructs,
  ...signalStructs,
  ...socketStructs,
} as const

export type StructName = keyof typeof structs
