// Random bytes for the kernel itself: address layout, AT_RANDOM. Fetched from the host in larger pieces.

import { getrandom } from '../../native/index.ts'

/** Most bytes that a program gets by one call, as Linux had it before 5.18: others have their turn after it. random(4). */
export const RANDOM_MAX = 33_554_431

const pool = new Uint8Array(512)
const view = new DataView(pool.buffer)
let left = 0

function take(length: number): number {
  if (left < length) {
    const n = getrandom(pool, 0, pool.length)
    if (n !== pool.length) throw new Error(`getrandom: ${n}`)
    left = pool.length
  }
  left -= length
  return left
}

/** A random number below 2^`bits`, for up to 52 bits. */
export function randomBits(bits: number): number {
  const at = take(8)
  const value = (view.getUint32(at + 4, true) % 2 ** 20) * 2 ** 32 + view.getUint32(at, true)
  // Used bytes must not tell what comes next to whoever can read the sentry's memory later.
  pool.fill(0, at, at + 8)
  return value % 2 ** bits
}

/** Copy `length` (at most 64) random bytes to `into[at…]`. */
export function randomBytes(into: Uint8Array, at: number, length: number): void {
  const from = take(length)
  into.set(pool.subarray(from, from + length), at)
  pool.fill(0, from, from + length)
}
