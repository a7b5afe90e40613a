// How full JavaScript's own heap is. Where it ends, V8 ends the process.

import { getHeapStatistics } from 'node:v8'
import { addon } from './load.ts'

interface HeapCalls {
  collectGarbage(): number
}

const calls = addon as unknown as HeapCalls

/** Bytes that the heap may grow to. */
export const heapLimit = (): number => getHeapStatistics().heap_size_limit

/** Bytes in use, garbage that has not been found yet included. */
export const heapUsed = (): number => getHeapStatistics().used_heap_size

/** Bytes that V8 has of the host. */
export const heapHeld = (): number => getHeapStatistics().total_physical_size

/** Find all garbage now, and give the host what is free: takes long when the heap is large. */
export function collectGarbage(): void {
  calls.collectGarbage()
}
