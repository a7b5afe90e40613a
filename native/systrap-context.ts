// What JavaScript sees of one stub thread: views over its record in an array that native/addon/systrap.h lays
// out, and the list of ops that its next verdict carries.

import type { OpList, ThreadContext } from '../sentry/platform.ts'
import type { HostFd } from './index.ts'

/** Bytes per record, and where its parts begin. */
export const RECORD_SIZE = 512
const ARGS_AT = 128
const REGS_AT = 176
const SLOTS = 16
const U64_SIZE = 8

// Indices of the doubles, in the order of struct Record.
const EVENT = 0
const NR = 1
const IP = 2
const SP = 3
const SIGNO = 4
const CODE = 5
const FAULT_ADDR = 6
const ERROR_CODE = 7
const TRAP_NO = 8
const FAILED_OP = 9
const FAILED_ERRNO = 10
const EXIT_STATUS = 11
const BARE = 12
const HOT = 13

/** One thread's context; one object per id, made once. */
export class SystrapThread implements ThreadContext {
  readonly id: number
  readonly args: Uint32Array
  readonly sargs: Int32Array
  readonly regs: Uint32Array
  readonly ops: SystrapOps
  /** The registers are to be loaded at the next resume. */
  regsDirty: boolean
  readonly #fields: Float64Array

  constructor(id: number, records: ArrayBuffer) {
    const at = id * RECORD_SIZE
    this.id = id
    this.args = new Uint32Array(records, at + ARGS_AT, 12)
    this.sargs = new Int32Array(records, at + ARGS_AT, 12)
    this.regs = new Uint32Array(records, at + REGS_AT, 36)
    this.ops = new SystrapOps()
    this.regsDirty = false
    this.#fields = new Float64Array(records, at, SLOTS)
  }

  get event(): number {
    return this.#fields[EVENT]!
  }
  get nr(): number {
    return this.#fields[NR]!
  }
  get ip(): number {
    return this.#fields[IP]!
  }
  get sp(): number {
    return this.#fields[SP]!
  }
  get signo(): number {
    return this.#fields[SIGNO]!
  }
  get code(): number {
    return this.#fields[CODE]!
  }
  get faultAddr(): number {
    return this.#fields[FAULT_ADDR]!
  }
  get errorCode(): number {
    return this.#fields[ERROR_CODE]!
  }
  get trapNo(): number {
    return this.#fields[TRAP_NO]!
  }
  get failedOp(): number {
    return this.#fields[FAILED_OP]!
  }
  get failedErrno(): number {
    return this.#fields[FAILED_ERRNO]!
  }
  get exitStatus(): number {
    return this.#fields[EXIT_STATUS]!
  }
  get bare(): boolean {
    return this.#fields[BARE] !== 0
  }
  get hot(): boolean {
    return this.#fields[HOT] !== 0
  }
}

// Kinds of op as native/addon/systrap-ops.cc knows them.
const OP_MMAP = 1
const OP_MUNMAP = 2
const OP_MPROTECT = 3
const OP_MREMAP = 4
const OP_MADVISE = 5
const OP_FUTEX_WAKE = 6
const OP_SET_FS = 7
const OP_SET_GS = 8
const OP_FORK = 9
const OP_CLONE = 10
const OP_EXIT = 11
const OP_REWRITE = 12
const OP_GETRUSAGE = 13
const OP_THREAD_CLOCK = 14
const OP_SET_NAME = 15
const OP_SET_TITLE = 16
const OP_FUTEX_SET_WAITERS = 17

const FIRST_CAPACITY = 4

/** Ops as rows of a kind and seven numbers, in one array that grows and is used again. */
export class SystrapOps implements OpList {
  rows: Float64Array
  count: number
  #makesThread: boolean

  constructor() {
    this.rows = new Float64Array(FIRST_CAPACITY * U64_SIZE)
    this.count = 0
    this.#makesThread = false
  }

  clear(): void {
    this.count = 0
    this.#makesThread = false
  }

  mmap(
    addr: number,
    length: number,
    prot: number,
    flags: number,
    fd: HostFd,
    offset: number,
  ): void {
    this.#add(OP_MMAP, addr, length, prot, flags, fd, offset)
  }

  munmap(addr: number, length: number): void {
    this.#add(OP_MUNMAP, addr, length, 0, 0, 0, 0)
  }

  mprotect(addr: number, length: number, prot: number): void {
    this.#add(OP_MPROTECT, addr, length, prot, 0, 0, 0)
  }

  mremap(addr: number, oldLength: number, newLength: number, flags: number, newAddr: number): void {
    this.#add(OP_MREMAP, addr, oldLength, newLength, flags, newAddr, 0)
  }

  madvise(addr: number, length: number, advice: number): void {
    this.#add(OP_MADVISE, addr, length, advice, 0, 0, 0)
  }

  futexWake(addr: number, count: number, shared: boolean): void {
    this.#add(OP_FUTEX_WAKE, addr, count, shared ? 1 : 0, 0, 0, 0)
  }

  futexSetWaiters(addr: number): void {
    this.#add(OP_FUTEX_SET_WAITERS, addr, 0, 0, 0, 0, 0)
  }

  getrusage(who: number, addr: number): void {
    this.#add(OP_GETRUSAGE, who, addr, 0, 0, 0, 0)
  }

  threadClock(addr: number): void {
    this.#add(OP_THREAD_CLOCK, addr, 0, 0, 0, 0, 0)
  }

  setName(addr: number): void {
    this.#add(OP_SET_NAME, addr, 0, 0, 0, 0, 0)
  }

  setTitle(addr: number): void {
    this.#add(OP_SET_TITLE, addr, 0, 0, 0, 0, 0)
  }

  setFsBase(addr: number): void {
    this.#add(OP_SET_FS, addr, 0, 0, 0, 0, 0)
  }

  setGsBase(addr: number): void {
    this.#add(OP_SET_GS, addr, 0, 0, 0, 0, 0)
  }

  fork(child: ThreadContext): void {
    this.#addThread(OP_FORK, child.id, 0, 0, 0)
  }

  cloneThread(child: ThreadContext, sameProcess: boolean, clearTid: number, tls: number): void {
    this.#addThread(OP_CLONE, child.id, sameProcess ? 1 : 0, clearTid, tls)
  }

  exitThread(): void {
    this.#add(OP_EXIT, 0, 0, 0, 0, 0, 0)
  }

  rewriteCall(ip: number, prot: number): void {
    this.#add(OP_REWRITE, ip, prot, 0, 0, 0, 0)
  }

  #addThread(kind: number, id: number, sameProcess: number, clearTid: number, tls: number): void {
    if (this.#makesThread) throw new Error('one new thread per op list')
    this.#makesThread = true
    this.#add(kind, id, sameProcess, clearTid, tls, 0, 0)
  }

  #add(kind: number, a: number, b: number, c: number, d: number, e: number, f: number): void {
    const at = this.count * U64_SIZE
    if (at === this.rows.length) this.#grow()
    const rows = this.rows
    rows[at] = kind
    rows[at + 1] = a
    rows[at + 2] = b
    rows[at + 3] = c
    rows[at + 4] = d
    rows[at + 5] = e
    rows[at + 6] = f
    this.count++
  }

  #grow(): void {
    const rows = new Float64Array(this.rows.length * 2)
    rows.set(this.rows)
    this.rows = rows
  }
}
