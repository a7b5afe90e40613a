// Terminals: struct tty_struct of a pseudo-terminal's slave, with its line discipline. The other side (a
// program with the master open, or a host fd) is a `TtyPeer`.

import { EAGAIN, EBUSY, EFAULT, EIO } from '../../../../syscall-table/errno.ts'
import {
  CAP_SYS_ADMIN,
  ICANON,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  SIGCONT,
  SIGHUP,
  SIGWINCH,
  TIOCPKT_FLUSHREAD,
  TIOCPKT_FLUSHWRITE,
  TIOCPKT_START,
  TIOCPKT_STOP,
  VMIN,
  VTIME,
} from '../../../../syscall-table/flags.ts'
import type { Kernel } from '../../../kernel/kernel.ts'
import { signalGroup, signalProcessGroup } from '../../../kernel/signal-send.ts'
import type { Task } from '../../../kernel/task.ts'
import type { ProcessGroup, Session } from '../../../kernel/thread-group.ts'
import { WaitQueue } from '../../../kernel/wait-queue.ts'
import type { Io } from '../../../mm/io.ts'
import type { Terminal } from '../../../vfs/terminal.ts'
import { ByteQueue } from './byte-queue.ts'
import { Echo } from './echo.ts'
import { type DisciplineOwner, LineDiscipline } from './line-discipline.ts'
import { OutputProcessor, TAB_WIDTH } from './output.ts'
import { Termios } from './termios.ts'

/** Output that the other side has not read yet, and input that the discipline has not taken: as tty_buffer. */
const BUFFER_BYTES = 65536
/** What a line discipline holds: N_TTY_BUF_SIZE less one. */
const DISCIPLINE_BYTES = 4095
/** Room that program output leaves for echo. */
const ECHO_RESERVE = 4096
/** POLLOUT needs this much room: WAKEUP_CHARS. */
const WRITABLE_ROOM = 256

/** The other side of a terminal. */
export interface TtyPeer {
  /** There is output to read. */
  outputReady(): void
  /** Input that was refused may be offered again. */
  inputRoom(): void
  /** The last program has closed the terminal. */
  slaveClosed(): void
  /** Packet mode: TIOCPKT_* bits to report. */
  packetStatus(bits: number): void
}

export class Tty implements Terminal, DisciplineOwner {
  readonly kernel: Kernel
  readonly rdev: number
  session: Session | null = null
  foreground: ProcessGroup | null = null
  /** TIOCSLCKTRMIOS: a struct termios whose bits are those of settings that stay; null for none. */
  lockedTermios: DataView | null = null
  /** Null once the other side is gone. */
  peer: TtyPeer | null
  readonly termios = new Termios()
  readonly output = new ByteQueue(BUFFER_BYTES)
  readonly processor: OutputProcessor
  readonly discipline: LineDiscipline
  /** Where programs that read, write or poll this side wait. */
  readonly queue = new WaitQueue()
  rows = 0
  columns = 0
  xPixels = 0
  yPixels = 0
  /** TIOCEXCL. */
  exclusive = false
  /** Open files of this side, and whether there has ever been one. */
  openFiles = 0
  everOpened = false
  /** Bumped by a hangup: files opened before are dead. */
  generation = 0
  /** TIOCSPTLCK: cannot be opened yet. */
  locked = false
  readonly #echo: Echo
  readonly #pendingInput = new ByteQueue(BUFFER_BYTES)
  #stoppedByInput = false
  #stoppedByCall = false

  constructor(kernel: Kernel, rdev: number, peer: TtyPeer) {
    this.kernel = kernel
    this.rdev = rdev
    this.peer = peer
    this.processor = new OutputProcessor(this.termios, this.output)
    this.#echo = new Echo(this.termios, () => this.stopped || this.output.room < TAB_WIDTH)
    this.discipline = new LineDiscipline(this, this.termios, this.processor, this.#echo)
  }

  get stopped(): boolean {
    return this.#stoppedByInput || this.#stoppedByCall
  }

  get stoppedByInput(): boolean {
    return this.#stoppedByInput && !this.#stoppedByCall
  }

  /** Whether a new file may be opened: 0 or -errno. */
  mayOpen(task: Task): number {
    if (this.peer === null || this.locked) return -EIO
    return this.exclusive && this.openFiles > 0 && !task.creds.capable(CAP_SYS_ADMIN) ? -EBUSY : 0
  }

  opened(): void {
    this.openFiles++
    this.everOpened = true
  }

  closed(): void {
    if (--this.openFiles > 0) return
    this.exclusive = false
    this.peer?.slaveClosed()
  }

  // The other side's view.

  /** Room for input from the other side. */
  get inputRoom(): number {
    return this.#pendingInput.room
  }

  /** Input from the other side. Returns how much was taken; `TtyPeer.inputRoom` tells when more fits. */
  input(from: Uint8Array, at: number, length: number): number {
    let n = this.#pendingInput.length > 0 ? 0 : this.discipline.receive(from, at, length)
    n += this.#pendingInput.append(from, at + n, length - n)
    this.#afterInput()
    return n
  }

  /** The other side has read output: writers may go on. */
  outputTaken(): void {
    if (this.stopped) return
    this.#echo.release()
    if (this.writable) this.queue.wake(POLLOUT | POLLWRNORM)
  }

  /** The other side is gone for good. */
  peerClosed(): void {
    this.peer = null
    this.hangUpFiles()
  }

  // The programs' view.

  get readable(): boolean {
    const { cc, lflag } = this.termios
    // As input_available_p: poll(2) waits for VMIN bytes unless a timer is set.
    const wanted = (lflag & ICANON) === 0 && cc[VTIME] === 0 && cc[VMIN]! > 0 ? cc[VMIN]! : 1
    return this.discipline.available >= wanted
  }

  get writable(): boolean {
    return !this.stopped && this.output.room - ECHO_RESERVE >= WRITABLE_ROOM
  }

  /** Bytes that fit for sure: each may become as many as a tab does. */
  get #writeRoom(): number {
    return this.stopped ? 0 : Math.max(0, (this.output.room - ECHO_RESERVE) >> 3)
  }

  /** Write program output, as much as fits. Returns 0 when all of it did, else -EAGAIN or -EFAULT. */
  write(io: Io, buffer: Uint8Array): number {
    let error = 0
    while (io.remaining > 0) {
      // A host peer takes output at once: only when it did not is there something to wait for.
      if (this.#writeRoom === 0) this.peer?.outputReady()
      const chunk = Math.min(this.#writeRoom, io.remaining)
      if (chunk === 0) {
        error = -EAGAIN
        break
      }
      const n = io.take(buffer, 0, chunk)
      if (n <= 0) {
        error = -EFAULT
        break
      }
      this.processor.write(buffer, 0, n)
    }
    if (this.output.length > 0) this.peer?.outputReady()
    return error
  }

  /** Something was read: let waiting input in. */
  inputTaken(): void {
    const waiting = this.#pendingInput.length
    if (waiting === 0) return
    const pending = this.#pendingInput.peek()
    this.#pendingInput.consume(this.discipline.receive(pending, 0, pending.length))
    this.#afterInput()
    if (this.#pendingInput.length < waiting) this.peer?.inputRoom()
  }

  flushInput(): void {
    this.discipline.flush()
    this.#pendingInput.clear()
    this.peer?.packetStatus(TIOCPKT_FLUSHREAD)
    this.peer?.inputRoom()
  }

  /** TCOFLUSH and interrupting keys. What the master's own line discipline holds already is not called back. */
  flushOutput(): void {
    this.output.truncate(DISCIPLINE_BYTES)
    this.peer?.packetStatus(TIOCPKT_FLUSHWRITE)
    this.#outputDropped()
  }

  /** TCIFLUSH of the master. */
  dropOutput(): void {
    this.output.clear()
    this.#outputDropped()
  }

  /** TCOFLUSH of the master: what our line discipline has taken stays. */
  dropPendingInput(): void {
    this.#pendingInput.clear()
    this.peer?.inputRoom()
  }

  #outputDropped(): void {
    if (this.writable) this.queue.wake(POLLOUT | POLLWRNORM)
  }

  stopOutput(): void {
    if (this.#stoppedByInput) return
    this.#stoppedByInput = true
    this.peer?.packetStatus(TIOCPKT_STOP)
  }

  startOutput(): void {
    if (!this.#stoppedByInput || this.#stoppedByCall) return
    this.#stoppedByInput = false
    this.#started()
  }

  /** tcflow(TCOOFF). */
  suspendOutput(): void {
    if (this.#stoppedByCall) return
    this.#stoppedByCall = true
    this.peer?.packetStatus(TIOCPKT_STOP)
  }

  /** tcflow(TCOON). */
  resumeOutput(): void {
    if (!this.#stoppedByCall) return
    this.#stoppedByCall = this.#stoppedByInput = false
    this.#started()
  }

  signalForeground(signo: number): void {
    if (this.foreground !== null) signalProcessGroup(this.foreground, signo)
  }

  /** Change the window size and tell the foreground group. */
  resize(rows: number, columns: number, xPixels: number, yPixels: number): void {
    const same = this.rows === rows && this.columns === columns
    if (same && this.xPixels === xPixels && this.yPixels === yPixels) return
    this.rows = rows
    this.columns = columns
    this.xPixels = xPixels
    this.yPixels = yPixels
    this.signalForeground(SIGWINCH)
  }

  /** The session leader ends, or gives the terminal up: disassociate_ctty. */
  hangup(): void {
    this.signalForeground(SIGHUP)
    this.signalForeground(SIGCONT)
    this.detachSession()
  }

  /** The terminal controls no session any more. */
  detachSession(): void {
    if (this.session !== null) this.session.terminal = null
    this.session = null
    this.foreground = null
  }

  /** Every open file is dead from now on, and the session is told: __tty_hangup. */
  hangUpFiles(): void {
    this.generation++
    this.discipline.flush()
    this.#pendingInput.clear()
    const { session, foreground } = this
    if (session !== null) {
      // SIGHUP may end it at once, and with it the session's tie to its leader.
      const { leader } = session
      if (leader !== null) {
        signalGroup(leader, SIGHUP)
        signalGroup(leader, SIGCONT)
      }
      // DIFFERS: Linux signals the foreground group only when the leader ends after this.
      if (foreground !== null) signalProcessGroup(foreground, SIGHUP)
    }
    this.detachSession()
    this.queue.wake(0)
  }

  #started(): void {
    this.peer?.packetStatus(TIOCPKT_START)
    this.outputTaken()
    if (this.output.length > 0) this.peer?.outputReady()
  }

  #afterInput(): void {
    if (this.readable) this.queue.wake(POLLIN | POLLRDNORM)
    if (this.output.length > 0) this.peer?.outputReady()
  }
}
