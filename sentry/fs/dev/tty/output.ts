// Output processing of a terminal (OPOST): what a program or the echo writes, turned into what the other side
// sees. do_output_char of drivers/tty/n_tty.c.

import {
  OCRNL,
  OLCUC,
  ONLCR,
  ONLRET,
  ONOCR,
  OPOST,
  TABDLY,
  XTABS,
} from '../../../../syscall-table/flags.ts'
import type { ByteQueue } from './byte-queue.ts'
import type { Termios } from './termios.ts'

const BACKSPACE = 8
const TAB = 9
const NEWLINE = 10
const RETURN = 13
const SPACE = 32
/** Columns between tab stops, and so the most bytes that one byte can become. */
export const TAB_WIDTH = 8

/** A control character that is shown as ^X. */
export function isControl(byte: number): boolean {
  return byte < SPACE || byte === 127
}

/** A byte of a UTF-8 sequence after its first. */
export function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}

export class OutputProcessor {
  readonly termios: Termios
  readonly #to: ByteQueue
  /** Cursor column, as far as the discipline can know it. */
  column = 0
  /** Column at which the line being edited began. */
  canonColumn = 0

  constructor(termios: Termios, to: ByteQueue) {
    this.termios = termios
    this.#to = to
  }

  /** Process program output. Returns how many of `length` bytes were taken before the queue was full. */
  write(from: Uint8Array, at: number, length: number): number {
    if ((this.termios.oflag & OPOST) === 0) return this.#to.append(from, at, length)
    for (let i = 0; i < length; i++) {
      if (this.#to.room < TAB_WIDTH) return i
      this.put(from[at + i]!)
    }
    return length
  }

  /** Process one byte, by OPOST or as it is; the caller has made sure of room. */
  put(byte: number): void {
    const { oflag } = this.termios
    if ((oflag & OPOST) === 0) {
      this.#to.push(byte)
      return
    }
    if (byte >= SPACE) this.#putPlain(byte, oflag)
    else this.#putControl(byte, oflag)
  }

  /** Append a byte without looking at it. */
  putRaw(byte: number): void {
    this.#to.push(byte)
  }

  #putPlain(byte: number, oflag: number): void {
    let shown = byte
    if (byte !== 127) {
      if ((oflag & OLCUC) !== 0 && byte >= 97 && byte <= 122) shown = byte - 32
      if (!isContinuation(byte)) this.column++
    }
    this.#to.push(shown)
  }

  #putControl(byte: number, oflag: number): void {
    switch (byte) {
      case NEWLINE:
        this.#putNewline(oflag)
        return
      case RETURN:
        this.#putReturn(oflag)
        return
      case TAB: {
        const spaces = TAB_WIDTH - (this.column % TAB_WIDTH)
        this.column += spaces
        if ((oflag & TABDLY) !== XTABS) break
        for (let i = 0; i < spaces; i++) this.#to.push(SPACE)
        return
      }
      case BACKSPACE:
        if (this.column > 0) this.column--
        break
    }
    this.#to.push(byte)
  }

  #putNewline(oflag: number): void {
    if ((oflag & ONLRET) !== 0) this.column = 0
    if ((oflag & ONLCR) !== 0) {
      this.column = 0
      this.#to.push(RETURN)
    }
    this.canonColumn = this.column
    this.#to.push(NEWLINE)
  }

  #putReturn(oflag: number): void {
    if ((oflag & ONOCR) !== 0 && this.column === 0) return
    if ((oflag & OCRNL) === 0) {
      this.column = this.canonColumn = 0
      this.#to.push(RETURN)
      return
    }
    if ((oflag & ONLRET) !== 0) this.column = this.canonColumn = 0
    this.#to.push(NEWLINE)
  }
}
