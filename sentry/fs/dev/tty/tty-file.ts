// Open terminals: the side that programs talk to. n_tty_read, n_tty_write and n_tty_poll.

import { EAGAIN, EFAULT, EIO, ENOTTY } from '../../../../syscall-table/errno.ts'
import {
  O_NOCTTY,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  SIGTTIN,
  SIGTTOU,
  TIOCSPGRP,
  TOSTOP,
  VMIN,
  VTIME,
} from '../../../../syscall-table/flags.ts'
import type { Task } from '../../../kernel/task.ts'
import type { Io } from '../../../mm/io.ts'
import { type File, FileOps } from '../../../vfs/file.ts'
import { finishPieces, resumePieces } from '../../pieces.ts'
import { ttyIoctl } from './ioctl.ts'
import { adoptAtOpen, checkBackground } from './job-control.ts'
import type { Tty } from './tty.ts'

/** Bytes per step of a read: the size of the discipline's buffer. */
const READ_CHUNK = 4096
/** VTIME counts tenths of a second. */
const VTIME_NS = 100_000_000

/** Open a terminal for `task`: the controlling terminal rules of tty_open apply. */
export function openTty(tty: Tty, task: Task, flags: number): FileOps | number {
  const refused = tty.mayOpen(task)
  if (refused < 0) return refused
  if ((flags & O_NOCTTY) === 0) adoptAtOpen(task, tty)
  return new TtyFileOps(tty)
}

export class TtyFileOps extends FileOps {
  readonly tty: Tty
  readonly #generation: number

  constructor(tty: Tty) {
    super()
    this.tty = tty
    this.queue = tty.queue
    this.#generation = tty.generation
    tty.opened()
  }

  /** The terminal was hung up after this file had been opened. */
  get #hungUp(): boolean {
    return this.#generation !== this.tty.generation
  }

  override read(file: File, io: Io, _pos: number, task: Task): number {
    if (this.#hungUp) return 0
    const { tty } = this
    const background = checkBackground(task, tty, SIGTTIN)
    if (background < 0) return background
    if (io.remaining === 0) return 0
    if (tty.discipline.canonical) {
      if (tty.discipline.available === 0) return -EAGAIN
      return this.#transfer(io, task, true)
    }
    return this.#readRaw(file, io, task)
  }

  /** Non-canonical mode: VMIN and VTIME, termios(3). */
  #readRaw(file: File, io: Io, task: Task): number {
    const { cc } = this.tty.termios
    const { restart, kernel } = task
    const available = this.tty.discipline.available
    const minimum = Math.min(cc[VMIN]!, io.remaining)
    const enough = minimum === 0 ? available > 0 : available >= minimum
    if (enough || restart.timedOut) return available > 0 ? this.#transfer(io, task, false) : 0
    if (file.nonblocking) return available > 0 ? this.#transfer(io, task, false) : -EAGAIN
    if (cc[VTIME] === 0) return minimum === 0 ? 0 : -EAGAIN
    // With VMIN the timer runs between bytes, else from the start of the read.
    const restarts = minimum > 0 && available > 0 && restart.data !== available
    if (restarts || (minimum === 0 && restart.deadline === 0)) {
      restart.deadline = kernel.clock.monotonicNs() + cc[VTIME]! * VTIME_NS
      restart.data = available
    }
    return -EAGAIN
  }

  /** Move input to the reader: one line, or all there is. */
  #transfer(io: Io, task: Task, oneLine: boolean): number {
    const { discipline } = this.tty
    const { bounce } = task.kernel
    while (io.remaining > 0) {
      const n = discipline.read(bounce, 0, Math.min(io.remaining, READ_CHUNK))
      if (n === 0) break
      const put = io.put(bounce, 0, n)
      if (put < n) return io.finish(-EFAULT)
      if (oneLine) break
    }
    this.tty.inputTaken()
    return io.done
  }

  override write(file: File, io: Io, _pos: number, task: Task): number {
    if (this.#hungUp) return -EIO
    const { tty } = this
    if ((tty.termios.lflag & TOSTOP) !== 0) {
      const background = checkBackground(task, tty, SIGTTOU)
      if (background < 0) return background
    }
    resumePieces(task, file, io)
    return finishPieces(task, file, io, tty.write(io, task.kernel.bounce))
  }

  override poll(_file: File): number {
    if (this.#hungUp) return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLERR | POLLHUP
    const { tty } = this
    let events = 0
    if (tty.readable) events |= POLLIN | POLLRDNORM
    if (tty.writable) events |= POLLOUT | POLLWRNORM
    return events
  }

  override ioctl(file: File, task: Task, request: number, arg: number): number {
    if (this.#hungUp) return request >>> 0 === TIOCSPGRP ? -ENOTTY : -EIO
    return ttyIoctl(this.tty, false, file, task, request, arg)
  }

  override release(_file: File): void {
    this.tty.closed()
  }
}
