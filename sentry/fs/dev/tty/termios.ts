// Terminal settings: struct ktermios and its user-visible forms.

import {
  B38400,
  CBAUD,
  CBAUDEX,
  CREAD,
  CS8,
  CSIZE,
  ECHO,
  ECHOCTL,
  ECHOE,
  ECHOK,
  ECHOKE,
  ICANON,
  ICRNL,
  IEXTEN,
  ISIG,
  IXON,
  NCCS,
  ONLCR,
  OPOST,
  PARENB,
} from '../../../../syscall-table/flags.ts'

/** sizeof(struct termios), struct termios2 and struct termio. */
export const TERMIOS_SIZE = 36
export const TERMIOS2_SIZE = 44
export const TERMIO_SIZE = 18
/** Control characters of the old struct termio: NCC. */
const TERMIO_CC = 8

/** A control character that is switched off: __DISABLED_CHAR. */
export const DISABLED_CHAR = 0

/** INIT_C_CC: ^C ^\ DEL ^U ^D 0 1 0 ^Q ^S ^Z 0 ^R ^O ^W ^V 0. */
const INITIAL_CC = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0]

/** Bits per second of the codes B0…B38400 and, from CBAUDEX on, B57600…B4000000. */
const LOW_SPEEDS = [
  0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400,
]
const HIGH_SPEEDS = [
  57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000,
  2500000, 3000000, 3500000, 4000000,
]

export class Termios {
  iflag = ICRNL | IXON
  oflag = OPOST | ONLCR
  cflag = B38400 | CS8 | CREAD
  lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN
  line = 0
  readonly cc = new Uint8Array(NCCS)
  ispeed = 38400
  ospeed = 38400

  constructor() {
    this.cc.set(INITIAL_CC)
  }

  copyFrom(other: Termios): void {
    this.iflag = other.iflag
    this.oflag = other.oflag
    this.cflag = other.cflag
    this.lflag = other.lflag
    this.line = other.line
    this.cc.set(other.cc)
    this.ispeed = other.ispeed
    this.ospeed = other.ospeed
  }

  /** Write struct termios2, whose first TERMIOS_SIZE bytes are struct termios. */
  write(to: DataView, at: number): void {
    to.setUint32(at, this.iflag, true)
    to.setUint32(at + 4, this.oflag, true)
    to.setUint32(at + 8, this.cflag, true)
    to.setUint32(at + 12, this.lflag, true)
    to.setUint8(at + 16, this.line)
    for (let i = 0; i < NCCS; i++) to.setUint8(at + 17 + i, this.cc[i]!)
    to.setUint32(at + 36, this.ispeed, true)
    to.setUint32(at + 40, this.ospeed, true)
  }

  /** Take over struct termios; the speeds follow from c_cflag. */
  read(from: DataView, at: number): void {
    this.iflag = from.getUint32(at, true)
    this.oflag = from.getUint32(at + 4, true)
    this.cflag = from.getUint32(at + 8, true)
    this.lflag = from.getUint32(at + 12, true)
    this.line = from.getUint8(at + 16)
    for (let i = 0; i < NCCS; i++) this.cc[i] = from.getUint8(at + 17 + i)
    this.#settle()
  }

  /** Take over struct termios2. */
  read2(from: DataView, at: number): void {
    const ispeed = from.getUint32(at + 36, true)
    const ospeed = from.getUint32(at + 40, true)
    this.read(from, at)
    if ((this.cflag & CBAUD) === CBAUDEX) {
      this.ispeed = ispeed
      this.ospeed = ospeed
    }
  }

  /** Keep of `old` what `locked` names, a struct termios whose bits are a mask: unset_locked_termios. */
  keepLocked(old: Termios, locked: DataView): void {
    const keep = (now: number, before: number, at: number): number => {
      const mask = locked.getUint32(at, true)
      return ((now & ~mask) | (before & mask)) >>> 0
    }
    this.iflag = keep(this.iflag, old.iflag, 0)
    this.oflag = keep(this.oflag, old.oflag, 4)
    this.cflag = keep(this.cflag, old.cflag, 8)
    this.lflag = keep(this.lflag, old.lflag, 12)
    for (let i = 0; i < NCCS; i++) if (locked.getUint8(17 + i) !== 0) this.cc[i] = old.cc[i]!
  }

  /** Write the old struct termio: the low halves of the flags and the first control characters. */
  writeOld(to: DataView, at: number): void {
    to.setUint16(at, this.iflag & 0xffff, true)
    to.setUint16(at + 2, this.oflag & 0xffff, true)
    to.setUint16(at + 4, this.cflag & 0xffff, true)
    to.setUint16(at + 6, this.lflag & 0xffff, true)
    to.setUint8(at + 8, this.line)
    for (let i = 0; i < TERMIO_CC; i++) to.setUint8(at + 9 + i, this.cc[i]!)
    to.setUint8(at + 17, 0)
  }

  readOld(from: DataView, at: number): void {
    this.iflag = mergeLow(this.iflag, from.getUint16(at, true))
    this.oflag = mergeLow(this.oflag, from.getUint16(at + 2, true))
    this.cflag = mergeLow(this.cflag, from.getUint16(at + 4, true))
    this.lflag = mergeLow(this.lflag, from.getUint16(at + 6, true))
    this.line = from.getUint8(at + 8)
    for (let i = 0; i < TERMIO_CC; i++) this.cc[i] = from.getUint8(at + 9 + i)
    this.#settle()
  }

  /** What pty_set_termios forces on a pseudo-terminal: 8 bits, no parity; and only N_TTY exists. */
  #settle(): void {
    this.cflag = (this.cflag & ~(CSIZE | PARENB)) | CS8 | CREAD
    this.line = 0
    if ((this.cflag & CBAUD) !== CBAUDEX) this.ispeed = this.ospeed = speedOf(this.cflag & CBAUD)
  }
}

function mergeLow(old: number, low: number): number {
  return ((old & 0xffff0000) | low) >>> 0
}

function speedOf(code: number): number {
  if (code < LOW_SPEEDS.length) return LOW_SPEEDS[code]!
  return HIGH_SPEEDS[code - CBAUDEX - 1] ?? 38400
}
