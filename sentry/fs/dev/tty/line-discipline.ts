// Input side of the N_TTY line discipline: line editing, echo, special characters. drivers/tty/n_tty.c.
//
// The read buffer is a ring addressed by ever-growing positions:
//   tail ── what programs may read ── canonHead ── the line being edited ── head
// In non-canonical mode everything up to head may be read.

import {
  ECHO,
  ECHOE,
  ECHOK,
  ECHOKE,
  ECHONL,
  ECHOPRT,
  EXTPROC,
  ICANON,
  ICRNL,
  IEXTEN,
  IGNCR,
  INLCR,
  ISIG,
  ISTRIP,
  IUCLC,
  IUTF8,
  IXANY,
  IXON,
  NOFLSH,
  PARMRK,
  SIGINT,
  SIGQUIT,
  SIGTSTP,
  VEOF,
  VEOL,
  VEOL2,
  VERASE,
  VINTR,
  VKILL,
  VLNEXT,
  VQUIT,
  VREPRINT,
  VSTART,
  VSTOP,
  VSUSP,
  VWERASE,
} from '../../../../syscall-table/flags.ts'
import type { Echo } from './echo.ts'
import { isContinuation, type OutputProcessor } from './output.ts'
import { DISABLED_CHAR, type Termios } from './termios.ts'

/** N_TTY_BUF_SIZE: also the longest line, with its end. */
const BUFFER_SIZE = 4096
const MASK = BUFFER_SIZE - 1
const TAB = 9
const NEWLINE = 10
const RETURN = 13

// Marks of the characters in the ring.
/** The last character of a line. */
const LINE_END = 1
/** The end of a line that is not a character: VEOF. */
const FILE_END = 2

/** What the discipline asks of its terminal. */
export interface DisciplineOwner {
  /** A special character asks for `signo` to the foreground group. */
  signalForeground(signo: number): void
  /** Stop and restart output: ^S and ^Q. */
  stopOutput(): void
  startOutput(): void
  /** Output is stopped, and not by TCOOFF. */
  readonly stoppedByInput: boolean
  /** Drop output that has not reached the other side. */
  flushOutput(): void
}

export class LineDiscipline {
  readonly #owner: DisciplineOwner
  readonly #termios: Termios
  readonly #echo: Echo
  readonly #ring = new Uint8Array(BUFFER_SIZE)
  readonly #marks = new Uint8Array(BUFFER_SIZE)
  #head = 0
  #canonHead = 0
  #tail = 0
  /** The next character is literal: after VLNEXT. */
  #literalNext = false

  constructor(owner: DisciplineOwner, termios: Termios, output: OutputProcessor, echo: Echo) {
    this.#owner = owner
    this.#termios = termios
    this.#echo = echo
    echo.output = output
  }

  get canonical(): boolean {
    return (this.#termios.lflag & ICANON) !== 0
  }

  /** Bytes that a read may return now; in canonical mode the bytes of complete lines. */
  get available(): number {
    return (this.canonical ? this.#canonHead : this.#head) - this.#tail
  }

  /** Bytes as FIONREAD counts them: without the marks of VEOF. */
  get countable(): number {
    let n = this.available
    if (!this.canonical) return n
    for (let i = this.#tail; i < this.#canonHead; i++) if (this.#marks[i & MASK] === FILE_END) n--
    return n
  }

  /** Take input. Returns how many of `length` bytes were taken; the rest must wait until something is read. */
  receive(from: Uint8Array, at: number, length: number): number {
    for (let i = 0; i < length; i++) {
      if (this.#head - this.#tail >= BUFFER_SIZE - 1 && !this.#overflow()) return i
      this.#receiveByte(from[at + i]!)
    }
    return length
  }

  /** Move what may be read into `into`; returns the count. Canonical mode: at most one line. */
  read(into: Uint8Array, at: number, length: number): number {
    return this.canonical ? this.#readLine(into, at, length) : this.#readBytes(into, at, length)
  }

  /** A read would find the end of file: a line that consists of VEOF alone. */
  get atFileEnd(): boolean {
    return this.canonical && this.available > 0 && this.#marks[this.#tail & MASK] === FILE_END
  }

  /** Drop all input. */
  flush(): void {
    this.#head = this.#canonHead = this.#tail = 0
    this.#marks.fill(0)
    this.#literalNext = false
    this.#echo.erasing = false
  }

  /** ICANON or EXTPROC was switched: what has been typed so far becomes readable. n_tty_set_termios. */
  modeChanged(): void {
    this.#marks.fill(0)
    if (!this.canonical || this.#head === this.#tail) this.#canonHead = this.#tail
    else {
      this.#marks[(this.#head - 1) & MASK] = LINE_END
      this.#canonHead = this.#head
    }
    this.#echo.erasing = false
    this.#literalNext = false
  }

  /**
   * A full buffer without a complete line: its last character gives way, so that the end of the line can
   * come. In every other case the sender has to wait.
   */
  #overflow(): boolean {
    if (!this.canonical || this.#canonHead !== this.#tail) return false
    this.#head--
    return true
  }

  #receiveByte(raw: number): void {
    const { iflag, lflag } = this.#termios
    let c = raw
    if ((iflag & ISTRIP) !== 0) c &= 0x7f
    if ((iflag & IUCLC) !== 0 && (lflag & IEXTEN) !== 0 && c >= 65 && c <= 90) c += 32
    if (this.#literalNext) {
      this.#literalNext = false
      this.#store(c)
      return
    }
    if ((lflag & EXTPROC) !== 0) {
      this.#put(c)
      return
    }
    if (this.#flowControl(c, iflag, lflag)) return
    if ((lflag & ISIG) !== 0 && this.#signal(c)) return
    if (c === RETURN) {
      if ((iflag & IGNCR) !== 0) return
      if ((iflag & ICRNL) !== 0) c = NEWLINE
    } else if (c === NEWLINE && (iflag & INLCR) !== 0) c = RETURN
    if ((lflag & ICANON) !== 0 && this.#edit(c, lflag)) return
    this.#store(c)
  }

  /** VSTART and VSTOP; any character restarts with IXANY. */
  #flowControl(c: number, iflag: number, lflag: number): boolean {
    if ((iflag & IXON) === 0) return false
    const { cc } = this.#termios
    if (c === cc[VSTART] && c !== DISABLED_CHAR) {
      this.#owner.startOutput()
      return true
    }
    if (c === cc[VSTOP] && c !== DISABLED_CHAR) {
      this.#owner.stopOutput()
      return true
    }
    if ((iflag & IXANY) !== 0 && this.#owner.stoppedByInput) {
      const signals = (lflag & ISIG) !== 0 && this.#signalOf(c) !== 0
      if (!signals) this.#owner.startOutput()
    }
    return false
  }

  #signalOf(c: number): number {
    if (c === DISABLED_CHAR) return 0
    const { cc } = this.#termios
    if (c === cc[VINTR]) return SIGINT
    if (c === cc[VQUIT]) return SIGQUIT
    if (c === cc[VSUSP]) return SIGTSTP
    return 0
  }

  #signal(c: number): boolean {
    const signo = this.#signalOf(c)
    if (signo === 0) return false
    const { iflag, lflag } = this.#termios
    if ((lflag & NOFLSH) === 0) {
      this.flush()
      this.#owner.flushOutput()
    }
    this.#owner.signalForeground(signo)
    if ((iflag & IXON) !== 0) this.#owner.startOutput()
    if ((lflag & ECHO) !== 0) this.#echo.character(c)
    return true
  }

  /** Canonical mode: characters that edit or end the line. False for one that is just stored. */
  #edit(c: number, lflag: number): boolean {
    const { cc } = this.#termios
    if (c === NEWLINE) {
      if ((lflag & (ECHO | ECHONL)) !== 0) this.#echo.plain(NEWLINE)
      this.#endLine(c, LINE_END)
      return true
    }
    if (c === DISABLED_CHAR) return false
    const extended = (lflag & IEXTEN) !== 0
    if (c === cc[VERASE] || c === cc[VKILL] || (c === cc[VWERASE] && extended)) {
      this.#erase(c)
      return true
    }
    if (c === cc[VLNEXT] && extended) {
      this.#literalNext = true
      if ((lflag & ECHO) !== 0) this.#echo.literalMark()
      return true
    }
    if (c === cc[VREPRINT] && (lflag & ECHO) !== 0 && extended) {
      this.#reprint(c)
      return true
    }
    if (c === cc[VEOF]) {
      this.#endLine(DISABLED_CHAR, FILE_END)
      return true
    }
    if (c === cc[VEOL] || (c === cc[VEOL2] && extended)) {
      if ((lflag & ECHO) !== 0) {
        this.#echo.beginLine(this.#canonHead === this.#head)
        this.#echo.character(c)
      }
      if ((this.#termios.iflag & PARMRK) !== 0 && c === 0xff) this.#put(c)
      this.#endLine(c, LINE_END)
      return true
    }
    return false
  }

  /** Echo and store an ordinary character. */
  #store(c: number): void {
    if ((this.#termios.lflag & ECHO) !== 0) {
      this.#echo.finishErasing()
      if (c === NEWLINE) this.#echo.plain(NEWLINE)
      else {
        this.#echo.beginLine(this.#canonHead === this.#head)
        this.#echo.character(c)
      }
    }
    // PARMRK: a literal 0377 is doubled, because 0377 introduces a marked error.
    if ((this.#termios.iflag & PARMRK) !== 0 && c === 0xff) this.#put(c)
    this.#put(c)
  }

  #put(c: number): void {
    if (this.#head - this.#tail >= BUFFER_SIZE) return
    this.#marks[this.#head & MASK] = 0
    this.#ring[this.#head++ & MASK] = c
  }

  #endLine(c: number, mark: number): void {
    this.#marks[this.#head & MASK] = mark
    this.#ring[this.#head++ & MASK] = c
    this.#canonHead = this.#head
  }

  #reprint(c: number): void {
    this.#echo.finishErasing()
    this.#echo.character(c)
    this.#echo.plain(NEWLINE)
    for (let i = this.#canonHead; i < this.#head; i++) this.#echo.character(this.#ring[i & MASK]!)
  }

  /** VERASE, VWERASE and VKILL on the line being edited. */
  #erase(c: number): void {
    if (this.#head === this.#canonHead) return
    const { cc, lflag } = this.#termios
    if (c === cc[VKILL] && this.#killWithoutErasing(c, lflag)) return
    let sawWord = false
    while (this.#head !== this.#canonHead) {
      const start = this.#characterStart()
      if (start < 0) break
      const first = this.#ring[start & MASK]!
      if (c === cc[VWERASE]) {
        if (isWordByte(first)) sawWord = true
        else if (sawWord) break
      }
      const bytes = this.#head - start
      this.#head = start
      if ((lflag & ECHO) !== 0) this.#echoErased(first, bytes, c === cc[VERASE])
      if (c === cc[VERASE]) break
    }
    if (this.#head === this.#canonHead && (lflag & ECHO) !== 0) this.#echo.finishErasing()
  }

  /** VKILL where the screen cannot be cleaned up: forget the line, and show the kill character. */
  #killWithoutErasing(c: number, lflag: number): boolean {
    const erases = ECHO | ECHOK | ECHOKE | ECHOE
    if ((lflag & erases) === erases) return false
    this.#head = this.#canonHead
    if ((lflag & ECHO) === 0) return true
    this.#echo.finishErasing()
    this.#echo.character(c)
    if ((lflag & ECHOK) !== 0) this.#echo.plain(NEWLINE)
    return true
  }

  /** Position of the last character of the line, which may be several bytes; -1: it does not start in the line. */
  #characterStart(): number {
    let start = this.#head - 1
    if ((this.#termios.iflag & IUTF8) === 0) return start
    while (isContinuation(this.#ring[start & MASK]!)) {
      if (start === this.#canonHead) return -1
      start--
    }
    return start
  }

  #echoErased(first: number, bytes: number, byErase: boolean): void {
    const { cc, lflag } = this.#termios
    if ((lflag & ECHOPRT) !== 0) {
      this.#echo.beginErasing()
      this.#echo.character(first)
      for (let i = 1; i < bytes; i++) this.#echo.raw(this.#ring[(this.#head + i) & MASK]!)
    } else if (byErase && (lflag & ECHOE) === 0) this.#echo.character(cc[VERASE]!)
    else if (first === TAB) this.#echoErasedTab()
    else this.#echo.eraseCharacter(first)
  }

  /** A tab goes back as far as the characters since the tab before it did not fill. */
  #echoErasedTab(): void {
    let columns = 0
    let i = this.#head - 1
    for (; i >= this.#canonHead && this.#ring[i & MASK] !== TAB; i--) {
      columns += this.#echo.width(this.#ring[i & MASK]!, (this.#termios.iflag & IUTF8) !== 0)
    }
    this.#echo.eraseTab(columns, i >= this.#canonHead)
  }

  #readBytes(into: Uint8Array, at: number, length: number): number {
    const n = Math.min(length, this.#head - this.#tail)
    const from = this.#tail & MASK
    const first = Math.min(n, BUFFER_SIZE - from)
    into.set(this.#ring.subarray(from, from + first), at)
    into.set(this.#ring.subarray(0, n - first), at + first)
    this.#tail += n
    return n
  }

  #readLine(into: Uint8Array, at: number, length: number): number {
    let n = 0
    while (this.#tail < this.#canonHead) {
      const mark = this.#marks[this.#tail & MASK]
      if (mark === FILE_END) {
        this.#tail++
        return n
      }
      // A line of exactly `length` bytes takes its VEOF along (above), or the next read would see an end of file.
      if (n === length) return n
      into[at + n++] = this.#ring[this.#tail++ & MASK]!
      if (mark === LINE_END) return n
    }
    return n
  }
}

function isWordByte(c: number): boolean {
  return (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95
}
