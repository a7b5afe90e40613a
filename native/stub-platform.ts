// A platform whose programs run in stub processes of the host, as the kernel sees it: the same face over the
// systrap and the ptrace part of the addon.

import type { OpList, Platform, ThreadContext } from '../sentry/platform.ts'
import type { HostFd } from './index.ts'
import { addon } from './load.ts'
import { RECORD_SIZE, type SystrapOps, SystrapThread } from './systrap-context.ts'

/** What starting the native side reports. */
interface StartReport {
  vdso: number
  holeStart: number
  holeEnd: number
  failure: string
}

/** The functions of native/addon/platform-exports.h. */
interface PlatformAddon {
  start(stub: HostFd, filter: Uint8Array, records: Uint8Array, report: StartReport): number
  stop(): number
  wait(deadlineNs: number): number
  newThread(): number
  spawn(id: number): number
  resume(id: number, result: number, regs: boolean): void
  resumeOps(id: number, result: number, regs: boolean, rows: Float64Array, count: number): void
  resumeAndWait(id: number, result: number, regs: boolean, deadlineNs: number): number
  getRegs(id: number): void
  fsBase(id: number): number
  frame(id: number): void
  interrupt(id: number): void
  kill(id: number): void
  release(id: number): void
  readMemory(id: number, addr: number, to: Uint8Array, at: number, length: number): number
  writeMemory(id: number, addr: number, from: Uint8Array, at: number, length: number): number
  writeResult(id: number, addr: number, from: Uint8Array, at: number, length: number): number
  readString(id: number, addr: number, to: Uint8Array, at: number, max: number): number
  getFpu(id: number, into: Uint8Array): number
  setFpu(id: number, from: Uint8Array, length: number): number
  cpuTimes(id: number, into: Float64Array): number
  setAffinity(id: number, mask: Uint8Array): number
  hostPid(id: number): number
  watch(fd: HostFd, events: number): number
  readyFds(fds: Int32Array, events: Int32Array): number
}

/** The addon's functions whose names begin with `prefix`, without it. */
function functions(prefix: string): PlatformAddon {
  const own = Object.entries(addon).filter(([name]) => name.startsWith(prefix))
  const at = prefix.length
  return Object.fromEntries(
    own.map(([name, f]) => [name.charAt(at).toLowerCase() + name.slice(at + 1), f]),
  ) as unknown as PlatformAddon
}

const MAX_THREADS = 4096
// Programs may use everything up to the last page of the lower half, as under Linux.
const MIN_ADDR = 0x10000
const MAX_ADDR = 0x7ffffffff000

/** Where the stub's text lies in every process, as in native/stub/slot.h. */
export const STUB_BASE = 0x550000000000
export const STUB_TEXT_END = STUB_BASE + 0x10000

/** How to start either platform. */
export interface PlatformOptions {
  /** The stub's executable (build/stub), opened before the sentry gave up its file system. */
  readonly stubFd: HostFd
  /** Every system call of the program is reported, also those that the host may answer harmlessly. */
  readonly traceAll?: boolean
  /** Numbers of calls that are reported in any case: those that a seccomp profile does not always allow. */
  readonly trapped?: readonly number[]
}

interface StartOptions {
  readonly stubFd: HostFd
  /** The stub processes' filter as struct sock_filter[]. */
  readonly filter: Uint8Array
  /** The ranges that the stub keeps in every process, in order. */
  readonly reserved: readonly { readonly start: number; readonly end: number }[]
}

/** See sentry/platform.ts; what goes beyond it is described here. */
export class StubPlatform implements Platform {
  readonly name: string
  readonly minAddr = MIN_ADDR
  readonly maxAddr = MAX_ADDR
  readonly reserved: readonly { readonly start: number; readonly end: number }[]
  readonly vdso: number
  readonly #native: PlatformAddon
  readonly #records: ArrayBuffer
  readonly #contexts: SystrapThread[] = []

  constructor(prefix: 'systrap' | 'ptrace', options: StartOptions) {
    this.name = prefix
    this.#records = new ArrayBuffer(MAX_THREADS * RECORD_SIZE)
    this.#native = functions(prefix)
    const report: StartReport = { vdso: 0, holeStart: 0, holeEnd: 0, failure: '' }
    const records = new Uint8Array(this.#records)
    const r = this.#native.start(options.stubFd, options.filter, records, report)
    if (r < 0) throw new Error(`start the ${prefix} platform: ${report.failure}: errno ${-r}`)
    this.vdso = report.vdso
    const hole = report.vdso === 0 ? [] : [{ start: report.holeStart, end: report.holeEnd }]
    this.reserved = [...options.reserved, ...hole]
  }

  wait(deadlineNs: number): number {
    return this.#native.wait(deadlineNs)
  }

  context(id: number): SystrapThread {
    let context = this.#contexts[id]
    if (context === undefined) {
      context = new SystrapThread(id, this.#records)
      this.#contexts[id] = context
    }
    return context
  }

  newThread(): SystrapThread | number {
    const id = this.#native.newThread()
    if (id < 0) return id
    const context = this.context(id)
    context.ops.clear()
    context.regsDirty = false
    return context
  }

  spawn(thread: ThreadContext): number {
    return this.#native.spawn(thread.id)
  }

  getRegs(thread: ThreadContext): void {
    this.#native.getRegs(thread.id)
  }

  fsBase(thread: ThreadContext): number {
    return this.#native.fsBase(thread.id)
  }

  setRegs(thread: ThreadContext): void {
    this.context(thread.id).regsDirty = true
  }

  getFpu(thread: ThreadContext, into: Uint8Array): number {
    return this.#native.getFpu(thread.id, into)
  }

  setFpu(thread: ThreadContext, from: Uint8Array, length: number): number {
    return this.#native.setFpu(thread.id, from, length)
  }

  ops(thread: ThreadContext): OpList {
    return this.context(thread.id).ops
  }

  resume(thread: ThreadContext, result: number): void {
    const context = this.context(thread.id)
    const regs = context.regsDirty
    const ops: SystrapOps = context.ops
    context.regsDirty = false
    if (ops.count === 0) {
      this.#native.resume(thread.id, result, regs)
      return
    }
    this.#native.resumeOps(thread.id, result, regs, ops.rows, ops.count)
    ops.clear()
  }

  /** `resume` and then `wait`, in one crossing when there are no ops. */
  resumeAndWait(thread: ThreadContext, result: number, deadlineNs: number): number {
    const context = this.context(thread.id)
    if (context.ops.count === 0) {
      const regs = context.regsDirty
      context.regsDirty = false
      return this.#native.resumeAndWait(thread.id, result, regs, deadlineNs)
    }
    this.resume(thread, result)
    return this.#native.wait(deadlineNs)
  }

  frame(thread: ThreadContext): void {
    this.#native.frame(thread.id)
  }

  interrupt(thread: ThreadContext): void {
    this.#native.interrupt(thread.id)
  }

  kill(thread: ThreadContext): void {
    this.#native.kill(thread.id)
  }

  release(thread: ThreadContext): void {
    this.#native.release(thread.id)
  }

  readMemory(
    thread: ThreadContext,
    addr: number,
    into: Uint8Array,
    at: number,
    length: number,
  ): number {
    return this.#native.readMemory(thread.id, addr, into, at, length)
  }

  writeMemory(
    thread: ThreadContext,
    addr: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): number {
    return this.#native.writeMemory(thread.id, addr, from, at, length)
  }

  writeResult(
    thread: ThreadContext,
    addr: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): number {
    return this.#native.writeResult(thread.id, addr, from, at, length)
  }

  readString(
    thread: ThreadContext,
    addr: number,
    into: Uint8Array,
    at: number,
    max: number,
  ): number {
    return this.#native.readString(thread.id, addr, into, at, max)
  }

  hostPid(thread: ThreadContext): number {
    return this.#native.hostPid(thread.id)
  }

  setAffinity(thread: ThreadContext, mask: Uint8Array): number {
    return this.#native.setAffinity(thread.id, mask)
  }

  cpuTimes(thread: ThreadContext, into: Float64Array): number {
    return this.#native.cpuTimes(thread.id, into)
  }

  watch(fd: HostFd, events: number): void {
    const r = this.#native.watch(fd, events)
    // A descriptor that is closed already left the set by itself.
    if (r < 0 && events !== 0) throw new Error(`watch descriptor ${fd}: errno ${-r}`)
  }

  readyFds(fds: Int32Array, events: Int32Array): number {
    return this.#native.readyFds(fds, events)
  }

  /** Kill every stub process and forget them. */
  close(): void {
    this.#native.stop()
  }
}
