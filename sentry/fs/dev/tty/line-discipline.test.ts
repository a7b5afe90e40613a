import { describe, expect, it } from 'vitest'
import {
  ECHO,
  ECHOE,
  ECHOK,
  ECHOKE,
  ECHOPRT,
  ICANON,
  ICRNL,
  IGNCR,
  INLCR,
  IUTF8,
  IXON,
  NOFLSH,
  OCRNL,
  ONLCR,
  SIGINT,
  SIGTSTP,
  VEOL,
  XTABS,
} from '../../../../syscall-table/flags.ts'
import { ByteQueue } from './byte-queue.ts'
import { Echo } from './echo.ts'
import { LineDiscipline } from './line-discipline.ts'
import { OutputProcessor } from './output.ts'
import { Termios } from './termios.ts'

class Rig {
  readonly termios = new Termios()
  readonly output = new ByteQueue(65536)
  readonly signals: number[] = []
  stoppedByInput = false
  readonly discipline: LineDiscipline

  constructor() {
    const echo = new Echo(this.termios, () => this.stoppedByInput)
    const processor = new OutputProcessor(this.termios, this.output)
    this.discipline = new LineDiscipline(
      {
        signalForeground: signo => this.signals.push(signo),
        stopOutput: () => {
          this.stoppedByInput = true
        },
        startOutput: () => {
          this.stoppedByInput = false
          echo.release()
        },
        stoppedByInput: false,
        flushOutput: () => this.output.clear(),
      },
      this.termios,
      processor,
      echo,
    )
  }

  type(text: string): number {
    const bytes = Buffer.from(text, 'latin1')
    return this.discipline.receive(bytes, 0, bytes.length)
  }

  read(length = 4096): string {
    const into = new Uint8Array(length)
    return Buffer.from(into.subarray(0, this.discipline.read(into, 0, length))).toString('latin1')
  }

  screen(): string {
    const text = Buffer.from(this.output.peek()).toString('latin1')
    this.output.clear()
    return text
  }
}

describe('canonical mode', () => {
  it('gives out whole lines, one at a time, and echoes', () => {
    const rig = new Rig()
    rig.type('ab')
    expect(rig.discipline.available).toBe(0)
    rig.type('c\rnext\n')
    expect(rig.read()).toBe('abc\n')
    expect(rig.read()).toBe('next\n')
    expect(rig.screen()).toBe('abc\r\nnext\r\n')
  })

  it('splits a long line over short reads', () => {
    const rig = new Rig()
    rig.type('abcdef\n')
    expect([rig.read(4), rig.read(4)]).toEqual(['abcd', 'ef\n'])
  })

  it('ends a line at VEOF without a character, and an empty one is the end of the file', () => {
    const rig = new Rig()
    rig.type('ab\x04')
    expect(rig.discipline.countable).toBe(2)
    expect(rig.read()).toBe('ab')
    rig.type('\x04')
    expect(rig.discipline.atFileEnd).toBe(true)
    expect(rig.read()).toBe('')
    expect(rig.discipline.available).toBe(0)
  })

  it('takes the VEOF of a line that just fits along', () => {
    const rig = new Rig()
    rig.type('abc\x04x\n')
    expect(rig.read(3)).toBe('abc')
    expect(rig.read()).toBe('x\n')
  })

  it('erases characters, words and lines', () => {
    const rig = new Rig()
    rig.type('abx\x7fc\n')
    expect(rig.read()).toBe('abc\n')
    expect(rig.screen()).toBe('abx\b \bc\r\n')
    rig.type('one two  \x17three\n')
    expect(rig.read()).toBe('one three\n')
    rig.type('junk\x15ok\n')
    expect(rig.read()).toBe('ok\n')
    rig.screen()
    rig.type('\x7f\x15\x17\n')
    expect([rig.read(), rig.screen()]).toEqual(['\n', '\r\n'])
  })

  it('erases a control character over both of its columns', () => {
    const rig = new Rig()
    rig.type('\x16\x03\x7f\n')
    expect(rig.read()).toBe('\n')
    expect(rig.screen()).toBe('^\b^C\b \b\b \b\r\n')
  })

  it('erases a tab back to where it began', () => {
    const rig = new Rig()
    rig.type('abc\t\x7f')
    expect(rig.screen()).toBe('abc\t\b\b\b\b\b')
  })

  it('erases UTF-8 characters as a whole with IUTF8', () => {
    const rig = new Rig()
    rig.termios.iflag |= IUTF8
    rig.type('a\xe2\x82\xac\x7f\n')
    expect(rig.read()).toBe('a\n')
    expect(rig.screen()).toBe('a\xe2\x82\xac\b \b\r\n')
  })

  it('shows erased characters between slashes with ECHOPRT', () => {
    const rig = new Rig()
    rig.termios.lflag |= ECHOPRT
    rig.type('ab\x7f\x7fc\n')
    expect(rig.screen()).toBe('ab\\ba/c\r\n')
  })

  it('kills a line without erasing when the screen cannot go back', () => {
    const rig = new Rig()
    rig.termios.lflag &= ~ECHOKE
    rig.type('ab\x15')
    expect(rig.screen()).toBe('ab^U\r\n')
    rig.termios.lflag &= ~(ECHOK | ECHOE)
    rig.type('ab\x15')
    expect(rig.screen()).toBe('ab^U')
  })

  it('reprints the line', () => {
    const rig = new Rig()
    rig.type('ab\x12')
    expect(rig.screen()).toBe('ab^R\r\nab')
  })

  it('ends lines at VEOL, too', () => {
    const rig = new Rig()
    rig.termios.cc[VEOL] = ';'.charCodeAt(0)
    rig.type('a;b\n')
    expect([rig.read(), rig.read()]).toEqual(['a;', 'b\n'])
  })

  it('keeps room for the end of an overlong line', () => {
    const rig = new Rig()
    expect(rig.type(`${'x'.repeat(5000)}\n`)).toBe(5001)
    const line = rig.read(8192)
    expect([line.length, line.at(-1)]).toEqual([4095, '\n'])
  })

  it('stops taking input when complete lines fill the buffer', () => {
    const rig = new Rig()
    expect(rig.type('x\n'.repeat(4000))).toBe(4095)
    rig.read()
    expect(rig.type('yyyy')).toBe(2)
  })
})

describe('signals and flow control', () => {
  it('turns characters into signals and drops the input', () => {
    const rig = new Rig()
    rig.type('abc\x03')
    expect(rig.signals).toEqual([SIGINT])
    expect(rig.screen()).toBe('^C')
    rig.type('\n')
    expect(rig.read()).toBe('\n')
    rig.termios.lflag |= NOFLSH
    rig.type('abc\x1a\n')
    expect(rig.signals).toEqual([SIGINT, SIGTSTP])
    expect(rig.read()).toBe('abc\n')
  })

  it('holds the echo back between ^S and ^Q', () => {
    const rig = new Rig()
    rig.type('\x13ab')
    expect(rig.screen()).toBe('')
    rig.type('\x11')
    expect(rig.screen()).toBe('ab')
    rig.termios.iflag &= ~IXON
    rig.type('\x13\n')
    expect(rig.read()).toBe('ab\x13\n')
  })
})

describe('raw mode', () => {
  it('passes everything at once', () => {
    const rig = new Rig()
    rig.termios.lflag &= ~(ICANON | ECHO)
    rig.type('a\x7f')
    expect(rig.read()).toBe('a\x7f')
    expect(rig.screen()).toBe('')
  })

  it('makes typed input readable when the mode is switched', () => {
    const rig = new Rig()
    rig.type('abc')
    rig.termios.lflag &= ~ICANON
    rig.discipline.modeChanged()
    expect(rig.discipline.available).toBe(3)
    rig.termios.lflag |= ICANON
    rig.discipline.modeChanged()
    expect(rig.read()).toBe('abc')
  })

  it('wraps around its ring', () => {
    const rig = new Rig()
    rig.termios.lflag &= ~(ICANON | ECHO)
    for (let i = 0; i < 10; i++) {
      const text = `${i}`.repeat(1500)
      expect(rig.type(text)).toBe(1500)
      expect(rig.read()).toBe(text)
    }
  })
})

describe('translations', () => {
  it('maps line ends of input', () => {
    const rig = new Rig()
    rig.termios.lflag &= ~(ICANON | ECHO)
    rig.type('\r')
    rig.termios.iflag = INLCR
    rig.type('\n')
    rig.termios.iflag = IGNCR
    rig.type('a\rb')
    rig.termios.iflag = ICRNL
    expect(rig.read()).toBe('\n\rab')
  })

  it('maps line ends and tabs of output', () => {
    const termios = new Termios()
    const queue = new ByteQueue(1024)
    const output = new OutputProcessor(termios, queue)
    const write = (text: string): string => {
      output.write(Buffer.from(text), 0, text.length)
      const shown = Buffer.from(queue.peek()).toString()
      queue.clear()
      return shown
    }
    expect(write('a\nb')).toBe('a\r\nb')
    termios.oflag |= XTABS
    expect(write('\rab\tc')).toBe('\rab      c')
    termios.oflag = (termios.oflag & ~ONLCR) | OCRNL
    expect(write('x\r')).toBe('x\n')
  })
})
