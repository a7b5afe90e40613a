// Pseudo-terminals: drivers/tty/pty.c. A Pty is a terminal whose other side is a program with the master
// open.

import { EAGAIN, EFAULT, EINVAL, EIO } from '../../../../syscall-table/errno.ts'
import {
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDNORM,
  POLLWRNORM,
  SIGHUP,
  SIGINT,
  SIGQUIT,
  SIGTSTP,
  TIOCGPKT,
  TIOCGPTLCK,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCPKT,
  TIOCPKT_DOSTOP,
  TIOCPKT_NOSTOP,
  TIOCPKT_START,
  TIOCPKT_STOP,
  TIOCSPTLCK,
} from '../../../../syscall-table/flags.ts'
import type { Task } from '../../../kernel/task.ts'
import { WaitQueue } from '../../../kernel/wait-queue.ts'
import type { Io } from '../../../mm/io.ts'
import { type File, FileOps } from '../../../vfs/file.ts'
import { finishPieces, resumePieces } from '../../pieces.ts'
import { getInt, putInt, ttyIoctl } from './ioctl.ts'
import type { Tty, TtyPeer } from './tty.ts'

/** TIOCSIG: the master sends a signal to the foreground group. */
const TIOCSIG = 0x40045436
/** Bytes that one step of a write moves. */
const WRITE_CHUNK = 16384

/** Where a pseudo-terminal lives: its number, and how its slave is opened and removed. */
export interface PtyHome {
  readonly index: number
  /** TIOCGPTPEER: open the slave into the descriptor table. Returns a descriptor or -errno. */
  openPeer(task: Task, master: File, flags: number): number
  /** The master is closed: the name goes away. */
  remove(): void
}

/** The open master. */
export class PtyMasterOps extends FileOps implements TtyPeer {
  readonly #home: PtyHome
  #tty!: Tty
  #packetMode = false
  #packetBits = 0

  constructor(home: PtyHome) {
    super()
    this.#home = home
    this.queue = new WaitQueue()
  }

  /** The terminal is made with this as its peer, so it comes second. */
  attach(tty: Tty): void {
    this.#tty = tty
  }

  outputReady(): void {
    this.queue!.wake(POLLIN | POLLRDNORM)
  }

  inputRoom(): void {
    this.queue!.wake(POLLOUT | POLLWRNORM)
  }

  slaveClosed(): void {
    this.queue!.wake(0)
  }

  packetStatus(bits: number): void {
    if (!this.#packetMode) return
    let kept = this.#packetBits
    if ((bits & TIOCPKT_STOP) !== 0) kept &= ~TIOCPKT_START
    if ((bits & TIOCPKT_START) !== 0) kept &= ~TIOCPKT_STOP
    if ((bits & TIOCPKT_DOSTOP) !== 0) kept &= ~TIOCPKT_NOSTOP
    if ((bits & TIOCPKT_NOSTOP) !== 0) kept &= ~TIOCPKT_DOSTOP
    this.#packetBits = kept | bits
    this.queue!.wake(POLLIN | POLLPRI | POLLRDNORM)
  }

  /** Every file of the slave has been closed. */
  get #slaveGone(): boolean {
    return this.#tty.everOpened && this.#tty.openFiles === 0
  }

  override read(_file: File, io: Io, _pos: number, task: Task): number {
    if (io.remaining === 0) return 0
    const { output, stopped } = this.#tty
    if (this.#packetMode && this.#packetBits !== 0) return this.#readStatus(io, task)
    if (output.length === 0) return this.#slaveGone && !stopped ? -EIO : -EAGAIN
    if (this.#packetMode && this.#putStatus(io, task, 0) < 0) return -EFAULT
    if (io.remaining === 0) return io.done
    const n = io.put(output.peek(), 0, output.length)
    if (n < 0) return io.finish(-EFAULT)
    output.consume(n)
    this.#tty.outputTaken()
    return io.done
  }

  #readStatus(io: Io, task: Task): number {
    const n = this.#putStatus(io, task, this.#packetBits)
    if (n > 0) this.#packetBits = 0
    return n
  }

  #putStatus(io: Io, task: Task, bits: number): number {
    task.kernel.scratch[0] = bits
    return io.put(task.kernel.scratch, 0, 1)
  }

  override write(file: File, io: Io, _pos: number, task: Task): number {
    if (this.#slaveGone) return -EIO
    const { bounce } = task.kernel
    resumePieces(task, file, io)
    while (io.remaining > 0) {
      const room = Math.min(this.#tty.inputRoom, io.remaining, WRITE_CHUNK)
      if (room === 0) return finishPieces(task, file, io, -EAGAIN)
      const n = io.take(bounce, 0, room)
      if (n <= 0) return io.finish(-EFAULT)
      this.#tty.input(bounce, 0, n)
    }
    return io.done
  }

  override poll(_file: File): number {
    let events = 0
    if (this.#tty.output.length > 0) events |= POLLIN | POLLRDNORM
    if (this.#packetMode && this.#packetBits !== 0) events |= POLLPRI | POLLIN | POLLRDNORM
    if (this.#slaveGone) events |= POLLHUP
    else if (this.#tty.inputRoom > 0) events |= POLLOUT | POLLWRNORM
    return events
  }

  override ioctl(file: File, task: Task, request: number, arg: number): number {
    switch (request >>> 0) {
      case TIOCGPTN:
        return putInt(task, arg, this.#home.index)
      case TIOCSPTLCK: {
        const lock = getInt(task, arg)
        if (lock === null) return -EFAULT
        this.#tty.locked = lock !== 0
        return 0
      }
      case TIOCGPTLCK:
        return putInt(task, arg, this.#tty.locked ? 1 : 0)
      case TIOCGPTPEER:
        return this.#home.openPeer(task, file, arg)
      case TIOCPKT: {
        const on = getInt(task, arg)
        if (on === null) return -EFAULT
        if (!this.#packetMode) this.#packetBits = 0
        this.#packetMode = on !== 0
        return 0
      }
      case TIOCGPKT:
        return putInt(task, arg, this.#packetMode ? 1 : 0)
      case TIOCSIG:
        return this.#signal(arg)
      default:
        return ttyIoctl(this.#tty, true, file, task, request, arg)
    }
  }

  /** The master may send only what the keyboard could, and a hangup. */
  #signal(signo: number): number {
    if (signo !== SIGINT && signo !== SIGQUIT && signo !== SIGTSTP && signo !== SIGHUP)
      return -EINVAL
    this.#tty.signalForeground(signo)
    return 0
  }

  override release(_file: File): void {
    this.#tty.peerClosed()
    this.#home.remove()
  }

  override fdinfo(_file: File): string {
    return `tty-index:\t${this.#home.index}\n`
  }
}
