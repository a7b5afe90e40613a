// A platform without a host: program memory is an array per address space, and nothing runs by itself.

import type { OpList, Platform, ThreadContext } from '../sentry/platform.ts'
import { REG_COUNT, WAIT_TIMEOUT } from '../sentry/platform.ts'
import { EFAULT, ENAMETOOLONG } from '../syscall-table/errno.ts'

/** Where the memory of every fake program lies. */
export const MEMORY_START = 0x10000
export const MEMORY_SIZE = 1 << 21

class FakeThread implements ThreadContext {
  readonly id: number
  event = 0
  nr = 0
  readonly args = new Uint32Array(12)
  readonly sargs = new Int32Array(this.args.buffer)
  ip = 0
  sp = 0
  signo = 0
  code = 0
  faultAddr = 0
  errorCode = 0
  trapNo = 0
  failedOp = 0
  failedErrno = 0
  exitStatus = 0
  bare = false
  hot = false
  readonly regs = new Uint32Array(2 * REG_COUNT)
  memory: Uint8Array = new Uint8Array(MEMORY_SIZE)

  constructor(id: number) {
    this.id = id
  }
}

/** One recorded op: its name and arguments. */
export type RecordedOp = readonly [name: string, ...args: readonly unknown[]]

export class FakePlatform implements Platform {
  readonly name = 'fake'
  readonly minAddr = 0x10000
  readonly maxAddr = 2 ** 47 - 4096
  readonly reserved: readonly { start: number; end: number }[] = []
  readonly vdso = 0
  /** Ops ordered so far, for tests to look at. */
  readonly recorded: RecordedOp[] = []
  /** Results given to `resume`, by thread. */
  readonly resumed: (readonly [id: number, result: number])[] = []
  readonly #threads: FakeThread[] = []

  readonly #ops: OpList = recorder(this.recorded)

  wait(): number {
    return WAIT_TIMEOUT
  }
  context(id: number): ThreadContext {
    return this.#threads[id]!
  }
  newThread(): ThreadContext {
    const thread = new FakeThread(this.#threads.length)
    this.#threads.push(thread)
    return thread
  }
  spawn(): number {
    return 0
  }
  getRegs(): void {}
  fsBase(): number {
    return -1
  }
  setRegs(): void {}
  getFpu(): number {
    return 0
  }
  setFpu(): number {
    return 0
  }
  ops(): OpList {
    return this.#ops
  }
  resume(thread: ThreadContext, result: number): void {
    this.resumed.push([thread.id, result])
  }
  frame(): void {}
  interrupt(): void {}
  kill(): void {}
  release(): void {}

  readMemory(
    thread: ThreadContext,
    addr: number,
    into: Uint8Array,
    at: number,
    length: number,
  ): number {
    const start = addr - MEMORY_START
    const n = Math.min(length, MEMORY_SIZE - start)
    if (start < 0 || n <= 0) return -EFAULT
    into.set((thread as FakeThread).memory.subarray(start, start + n), at)
    return n
  }

  readString(
    thread: ThreadContext,
    addr: number,
    into: Uint8Array,
    at: number,
    max: number,
  ): number {
    const n = this.readMemory(thread, addr, into, at, max)
    if (n < 0) return n
    const length = into.subarray(at, at + n).indexOf(0)
    if (length >= 0) return length
    return n < max ? -EFAULT : -ENAMETOOLONG
  }

  writeMemory(
    thread: ThreadContext,
    addr: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): number {
    const start = addr - MEMORY_START
    const n = Math.min(length, MEMORY_SIZE - start)
    if (start < 0 || n <= 0) return -EFAULT
    ;(thread as FakeThread).memory.set(from.subarray(at, at + n), start)
    return n
  }

  writeResult(
    thread: ThreadContext,
    addr: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): number {
    return this.writeMemory(thread, addr, from, at, length)
  }

  watch(): void {}
  readyFds(): number {
    return 0
  }

  /** Let two threads share their memory, or give one a copy of the other's. */
  shareMemory(from: ThreadContext, to: ThreadContext): void {
    ;(to as FakeThread).memory = (from as FakeThread).memory
  }
  copyMemory(from: ThreadContext, to: ThreadContext): void {
    ;(to as FakeThread).memory = (from as FakeThread).memory.slice()
  }
}

function recorder(into: RecordedOp[]): OpList {
  return new Proxy({} as OpList, {
    get:
      (_target, name) =>
      (...args: unknown[]) => {
        into.push([String(name), ...args])
      },
  })
}
