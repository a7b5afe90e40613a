// Argument and environment vectors of execve(2): copied once, with Linux's limits.

import { E2BIG, EFAULT } from '../../syscall-table/errno.ts'
import { PAGE_SIZE, RLIMIT_STACK } from '../../syscall-table/flags.ts'
import type { Task } from './task.ts'

/** MAX_ARG_STRLEN: one string with its NUL. */
const MAX_ARG_STRLEN = 131072
/** ARG_MAX is at least this, whatever the stack limit. */
const ARG_MIN = 131072
/** Three quarters of Linux's _STK_LIM. */
const ARG_MAX = 6 << 20
/** Pointers fetched at once. */
const POINTERS = 256
/** Bytes fetched at once: strings of a vector usually lie one after the other. */
const WINDOW = 4096

/** Bytes that strings and pointers may still take. */
export interface ArgBudget {
  left: number
}

/** A quarter of the stack limit, as Linux: the program needs the rest. */
export function argBudget(task: Task): ArgBudget {
  const stack = task.group.rlimits[RLIMIT_STACK]!.cur
  return { left: Math.max(Math.min(stack / 4, ARG_MAX), ARG_MIN) }
}

/** Charge one string (without NUL) and its pointer. */
export function charge(budget: ArgBudget, length: number): number {
  budget.left -= length + 1 + 8
  return budget.left < 0 || length >= MAX_ARG_STRLEN ? -E2BIG : 0
}

const pointers = new Float64Array(POINTERS)
const windowBytes = new Uint8Array(WINDOW)
let windowStart = 0
let windowLength = 0

/** A NULL-terminated vector of strings at `addr`; a null vector is an empty one. Latin1 strings, -EFAULT or -E2BIG. */
export function copyStrings(task: Task, addr: number, budget: ArgBudget): string[] | number {
  const strings: string[] = []
  if (addr === 0) return strings
  windowLength = 0
  for (let at = addr; ; at += POINTERS * 8) {
    const n = readPointers(task, at)
    if (n < 0) return n
    for (let i = 0; i < n; i++) {
      const pointer = pointers[i]!
      if (pointer === 0) return strings
      const text = copyString(task, pointer, budget)
      if (typeof text === 'number') return text
      strings.push(text)
    }
    if (n < POINTERS) return -EFAULT
  }
}

function readPointers(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  const n = task.mm.copyInPartial(task, addr, scratch, 0, POINTERS * 8)
  if (n < 8) return -EFAULT
  const count = Math.floor(n / 8)
  for (let i = 0; i < count; i++) {
    pointers[i] =
      scratchView.getUint32(i * 8 + 4, true) * 2 ** 32 + scratchView.getUint32(i * 8, true)
  }
  return count
}

function copyString(task: Task, addr: number, budget: ArgBudget): string | number {
  let text = ''
  for (let at = addr; ; ) {
    if (at < windowStart || at >= windowStart + windowLength) {
      // Up to the second page end: one host call, and never over memory that may not be there alone.
      const length = Math.min(WINDOW, 2 * PAGE_SIZE - (at % PAGE_SIZE))
      windowLength = 0
      const n = task.mm.copyInPartial(task, at, windowBytes, 0, length)
      if (n <= 0) return -EFAULT
      windowStart = at
      windowLength = n
    }
    const from = at - windowStart
    const nul = windowBytes.subarray(0, windowLength).indexOf(0, from)
    const to = nul < 0 ? windowLength : nul
    text += Buffer.from(windowBytes.buffer, from, to - from).toString('latin1')
    if (text.length >= MAX_ARG_STRLEN || text.length > budget.left) return -E2BIG
    if (nul >= 0) break
    at = windowStart + windowLength
  }
  const error = charge(budget, text.length)
  return error < 0 ? error : text
}
