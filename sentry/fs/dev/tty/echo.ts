// Echo of typed characters: the part of n_tty.c around process_echoes. Echo that cannot be shown at once
// (output is stopped, or the other side does not read) is kept, up to a bound, and shown later.

import { ECHOCTL } from '../../../../syscall-table/flags.ts'
import { ByteQueue } from './byte-queue.ts'
import { isContinuation, isControl, type OutputProcessor, TAB_WIDTH } from './output.ts'
import type { Termios } from './termios.ts'

/** Echo that is kept while output is stopped; what comes after is lost, as in Linux. */
const HELD_MAX = 4096
const BACKSPACE = 8
const TAB = 9
const SPACE = 32
const CARET = 94
const BACKSLASH = 92
const SLASH = 47

export class Echo {
  readonly #termios: Termios
  readonly #held = new ByteQueue(HELD_MAX)
  output!: OutputProcessor
  /** Output is stopped or full: hold the echo. */
  blocked: () => boolean
  /** ECHOPRT: between the backslash and the slash around erased characters. */
  erasing = false

  constructor(termios: Termios, blocked: () => boolean) {
    this.#termios = termios
    this.blocked = blocked
  }

  /** Show what was held back. */
  release(): void {
    let shown = 0
    const held = this.#held.peek()
    while (shown < held.length && !this.blocked()) this.output.put(held[shown++]!)
    this.#held.consume(shown)
  }

  /** A character as the user should see it: control characters as ^X. */
  character(c: number): void {
    if ((this.#termios.lflag & ECHOCTL) !== 0 && isControl(c) && c !== TAB) {
      this.plain(CARET)
      this.plain(c ^ 0x40)
    } else this.plain(c)
  }

  /** A character without the ^X form; output processing applies. */
  plain(c: number): void {
    if (this.#held.length > 0 || this.blocked()) this.#held.push(c)
    else this.output.put(c)
  }

  /** Further bytes of a character that is shown already. */
  raw(c: number): void {
    this.plain(c)
  }

  /** VLNEXT: a caret under the cursor. */
  literalMark(): void {
    this.finishErasing()
    this.plain(CARET)
    this.plain(BACKSPACE)
  }

  /** The column where editing starts, when a new line begins here. */
  beginLine(first: boolean): void {
    if (first) this.output.canonColumn = this.output.column
  }

  beginErasing(): void {
    if (this.erasing) return
    this.plain(BACKSLASH)
    this.erasing = true
  }

  finishErasing(): void {
    if (!this.erasing) return
    this.plain(SLASH)
    this.erasing = false
  }

  eraseCharacter(c: number): void {
    const control = isControl(c)
    const caret = (this.#termios.lflag & ECHOCTL) !== 0
    if (control && caret) this.#backOver()
    if (!control || caret) this.#backOver()
  }

  /** `columns` are taken since the tab before this one, or since the start of the line. */
  eraseTab(columns: number, afterTab: boolean): void {
    const before = afterTab ? columns : columns + this.output.canonColumn
    for (let i = TAB_WIDTH - (before % TAB_WIDTH); i > 0; i--) this.plain(BACKSPACE)
  }

  /** Columns that the echo of `c` took. */
  width(c: number, utf8: boolean): number {
    if (isControl(c)) return (this.#termios.lflag & ECHOCTL) !== 0 ? 2 : 0
    return utf8 && isContinuation(c) ? 0 : 1
  }

  #backOver(): void {
    this.plain(BACKSPACE)
    this.plain(SPACE)
    this.plain(BACKSPACE)
  }
}
