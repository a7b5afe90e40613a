// The file of signalfd(2). It reads the signals of whoever reads it, not of who made it: fs/signalfd.c.

import { EAGAIN, EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import {
  POLLIN,
  POLLRDNORM,
  SI_TIMER,
  SI_USER,
  SIGCHLD,
  SIGSYS,
} from '../../syscall-table/flags.ts'
import { dequeueSignal } from '../kernel/signal.ts'
import { isPollInfo, type SigInfo, SigSet } from '../kernel/signal-state.ts'
import type { Task } from '../kernel/task.ts'
import type { Io } from '../mm/io.ts'
import { type File, FileOps } from '../vfs/file.ts'

const RECORD_SIZE = 128
const record = new Uint8Array(RECORD_SIZE)
const view = new DataView(record.buffer)

export class SignalfdOps extends FileOps {
  override spliceable = false
  /** The signals that are not read: what `dequeueSignal` calls the mask. */
  readonly #others = new SigSet()
  /** Whose signals poll and epoll report: the task that made the file. */
  readonly #owner: Task

  constructor(owner: Task, lo: number, hi: number) {
    super()
    this.#owner = owner
    this.queue = owner.group.handlers.signalfdQueue
    this.setMask(lo, hi)
  }

  setMask(lo: number, hi: number): void {
    this.#others.set(~lo, ~hi)
    this.queue?.wake(0)
  }

  override read(_file: File, io: Io, _pos: number, task: Task): number {
    if (io.remaining < RECORD_SIZE) return -EINVAL
    while (io.remaining >= RECORD_SIZE) {
      const info = dequeueSignal(task, this.#others)
      if (info === null) return io.finish(-EAGAIN)
      fillRecord(info)
      if (io.put(record, 0, RECORD_SIZE) !== RECORD_SIZE) return io.finish(-EFAULT)
    }
    return io.done
  }

  override poll(): number {
    const { signals, group } = this.#owner
    const lo = signals.pending.set.lo | group.pending.set.lo
    const hi = signals.pending.set.hi | group.pending.set.hi
    return ((lo & ~this.#others.lo) | (hi & ~this.#others.hi)) !== 0 ? POLLIN | POLLRDNORM : 0
  }

  override seek(): number {
    return 0
  }

  override fdinfo(): string {
    const hex = (word: number): string => (~word >>> 0).toString(16).padStart(8, '0')
    return `sigmask:\t${hex(this.#others.hi)}${hex(this.#others.lo)}\n`
  }
}

/** struct signalfd_siginfo. */
function fillRecord(info: SigInfo): void {
  const { signo, code } = info
  record.fill(0)
  view.setUint32(0, signo, true)
  view.setInt32(4, info.errno, true)
  view.setInt32(8, code, true)
  const specific = code > SI_USER && code < 0x80
  if (isPollInfo(info)) {
    view.setInt32(20, info.fd, true)
    view.setUint32(28, info.band, true)
    return
  }
  if (code === SI_TIMER) {
    view.setUint32(24, info.timerId, true)
    view.setUint32(32, info.status, true)
  } else {
    view.setUint32(12, info.pid, true)
    view.setUint32(16, info.uid, true)
  }
  if (code < 0) {
    view.setInt32(44, info.valueLo | 0, true)
    view.setUint32(48, info.valueLo, true)
    view.setUint32(52, info.valueHi, true)
  } else if (specific && signo === SIGCHLD) {
    view.setInt32(40, info.status, true)
    view.setUint32(56, info.utime, true)
    view.setUint32(64, info.stime, true)
  } else if (specific && signo === SIGSYS) {
    view.setInt32(84, info.syscall, true)
    view.setUint32(88, info.addr % 2 ** 32, true)
    view.setUint32(92, Math.floor(info.addr / 2 ** 32), true)
    view.setUint32(96, info.arch, true)
  } else if (specific) {
    view.setUint32(72, info.addr % 2 ** 32, true)
    view.setUint32(76, Math.floor(info.addr / 2 ** 32), true)
  }
}
