// How full JavaScript's own heap is. Where it ends, V8 ends the process.

import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Bytes that the heap may grow to. */
export const heapLimit = (): number => getHeapStatistics().heap_size_limit

/** Bytes in use, garbage that has not been found yet included. */
export const heapUsed = (): number => getHeapStatistics().used_heap_size

let gc: (() => void) | null = null

/** Find all garbage now: takes long when the heap is large. */
export function collectGarbage(): void {
  if (gc === null) {
    setFlagsFromString('--expose-gc')
    gc = runInNewContext('gc') as () => void
    setFlagsFromString('--no-expose-gc')
  }
  gc()
}
