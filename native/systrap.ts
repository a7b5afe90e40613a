// The systrap platform: programs run in stub processes of the host, whose system calls trap into the stub and
// reach the sentry through shared memory. The work is done in native/addon/systrap*.cc and native/stub; their
// protocol is described in native/stub/README.md.

import { compile, toBytes } from 'seccomp-bpf-compiler'
import type { OpList, Platform, ThreadContext } from '../sentry/platform.ts'
import type { HostFd } from './index.ts'
import { addon } from './load.ts'
import { stubPolicy } from './policy/stub.ts'
import { RECORD_SIZE, type SystrapOps, SystrapThread } from './systrap-context.ts'

interface Report {
  vdso: number
  holeStart: number
  holeEnd: number
  failure: string
}

interface SystrapAddon {
  systrapStart(stub: HostFd, filter: Uint8Array, records: Uint8Array, report: Report): number
  systrapStop(): number
  systrapWait(deadlineNs: number): number
  systrapNewThread(): number
  systrapSpawn(id: number): number
  systrapResume(id: number, result: number, regs: boolean): void
  systrapResumeOps(
    id: number,
    result: number,
    regs: boolean,
    rows: Float64Array,
    count: number,
  ): void
  systrapResumeAndWait(id: number, result: number, regs: boolean, deadlineNs: number): number
  systrapGetRegs(id: number): void
  systrapInterrupt(id: number): void
  systrapKill(id: number): void
  systrapRelease(id: number): void
  systrapReadMemory(id: number, addr: number, to: Uint8Array, at: number, length: number): number
  systrapWriteMemory(id: number, addr: number, from: Uint8Array, at: number, length: number): number
  systrapReadString(id: number, addr: number, to: Uint8Array, at: number, max: number): number
  systrapGetFpu(id: number, into: Uint8Array): number
  systrapSetFpu(id: number, from: Uint8Array, length: number): number
  systrapCpuTime(id: number): number
  systrapWatch(fd: HostFd, events: number): number
  systrapReadyFds(fds: Int32Array, events: Int32Array): number
}

const native = addon as unknown as SystrapAddon

const MAX_THREADS = 4096
// Programs may use everything up to the last page of the lower half, as under Linux.
const MIN_ADDR = 0x10000
const MAX_ADDR = 0x7ffffffff000

// As in native/stub/slot.h.
const STUB_BASE = 0x600000000000
const STUB_TEXT_END = STUB_BASE + 0x10000
const STUB_END = STUB_BASE + 0x20000000
const DOORBELL_NR = 400
const CLONE_FORK = 0x8011
const CLONE_SHARED = 0x8111
const CLONE_THREAD = 0x50f00
const CLONE_SETTLS = 0x80000
const CLONE_CHILD_CLEARTID = 0x200000

const cloneFlags = [
  CLONE_FORK,
  ...[CLONE_SHARED, CLONE_THREAD].flatMap(flags => [
    flags,
    flags | CLONE_SETTLS,
    flags | CLONE_CHILD_CLEARTID,
    flags | CLONE_SETTLS | CLONE_CHILD_CLEARTID,
  ]),
]

/** How to start the platform. */
export interface SystrapOptions {
  /** The stub's executable (build/stub), opened before the sentry gave up its file system. */
  readonly stubFd: HostFd
  /** Every system call of the program is reported, also those that the host may answer harmlessly. */
  readonly traceAll?: boolean
}

/** The filter for stub processes as struct sock_filter[]. */
export function stubFilter(traceAll: boolean): Uint8Array {
  const options = { stubStart: STUB_BASE, stubEnd: STUB_TEXT_END, doorbellNr: DOORBELL_NR }
  return toBytes(compile(stubPolicy({ ...options, traceAll, cloneFlags })))
}

/**
 * Start the systrap platform. At most one per process. It takes over SIGCHLD and reaps every child, so
 * nothing else in this process may start children as long as it lives.
 */
export function createSystrapPlatform(options: SystrapOptions): SystrapPlatform {
  const records = new ArrayBuffer(MAX_THREADS * RECORD_SIZE)
  const report: Report = { vdso: 0, holeStart: 0, holeEnd: 0, failure: '' }
  const filter = stubFilter(options.traceAll === true)
  const r = native.systrapStart(options.stubFd, filter, new Uint8Array(records), report)
  if (r < 0) throw new Error(`start the systrap platform: ${report.failure}: errno ${-r}`)
  return new SystrapPlatform(records, report)
}

/** See sentry/platform.ts; what goes beyond it is described here. */
export class SystrapPlatform implements Platform {
  readonly name = 'systrap'
  readonly minAddr = MIN_ADDR
  readonly maxAddr = MAX_ADDR
  readonly reserved: readonly { readonly start: number; readonly end: number }[]
  readonly vdso: number
  readonly #records: ArrayBuffer
  readonly #contexts: SystrapThread[] = []

  constructor(records: ArrayBuffer, report: Report) {
    this.#records = records
    this.vdso = report.vdso
    const stub = { start: STUB_BASE, end: STUB_END }
    this.reserved =
      report.vdso === 0 ? [stub] : [stub, { start: report.holeStart, end: report.holeEnd }]
  }

  wait(deadlineNs: number): number {
    return native.systrapWait(deadlineNs)
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
    const id = native.systrapNewThread()
    if (id < 0) return id
    const context = this.context(id)
    context.ops.clear()
    context.regsDirty = false
    return context
  }

  spawn(thread: ThreadContext): number {
    return native.systrapSpawn(thread.id)
  }

  getRegs(thread: ThreadContext): void {
    native.systrapGetRegs(thread.id)
  }

  setRegs(thread: ThreadContext): void {
    this.context(thread.id).regsDirty = true
  }

  getFpu(thread: ThreadContext, into: Uint8Array): number {
    return native.systrapGetFpu(thread.id, into)
  }

  setFpu(thread: ThreadContext, from: Uint8Array, length: number): number {
    return native.systrapSetFpu(thread.id, from, length)
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
      native.systrapResume(thread.id, result, regs)
      return
    }
    native.systrapResumeOps(thread.id, result, regs, ops.rows, ops.count)
    ops.clear()
  }

  /** `resume` and then `wait`, in one crossing when there are no ops. */
  resumeAndWait(thread: ThreadContext, result: number, deadlineNs: number): number {
    const context = this.context(thread.id)
    if (context.ops.count === 0) {
      const regs = context.regsDirty
      context.regsDirty = false
      return native.systrapResumeAndWait(thread.id, result, regs, deadlineNs)
    }
    this.resume(thread, result)
    return native.systrapWait(deadlineNs)
  }

  interrupt(thread: ThreadContext): void {
    native.systrapInterrupt(thread.id)
  }

  kill(thread: ThreadContext): void {
    native.systrapKill(thread.id)
  }

  release(thread: ThreadContext): void {
    native.systrapRelease(thread.id)
  }

  readMemory(
    thread: ThreadContext,
    addr: number,
    into: Uint8Array,
    at: number,
    length: number,
  ): number {
    return native.systrapReadMemory(thread.id, addr, into, at, length)
  }

  writeMemory(
    thread: ThreadContext,
    addr: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): number {
    return native.systrapWriteMemory(thread.id, addr, from, at, length)
  }

  /**
   * Read a NUL-terminated string of less than `max` bytes. Returns its length without the NUL,
   * -ENAMETOOLONG when there is no NUL within `max` bytes, or -EFAULT.
   */
  readString(
    thread: ThreadContext,
    addr: number,
    into: Uint8Array,
    at: number,
    max: number,
  ): number {
    return native.systrapReadString(thread.id, addr, into, at, max)
  }

  cpuTimeNs(thread: ThreadContext): number {
    return native.systrapCpuTime(thread.id)
  }

  watch(fd: HostFd, events: number): void {
    const r = native.systrapWatch(fd, events)
    // A descriptor that is closed already left the set by itself.
    if (r < 0 && events !== 0) throw new Error(`watch descriptor ${fd}: errno ${-r}`)
  }

  readyFds(fds: Int32Array, events: Int32Array): number {
    return native.systrapReadyFds(fds, events)
  }

  /** Kill every stub process and forget them. */
  close(): void {
    native.systrapStop()
  }
}
