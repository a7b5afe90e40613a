import { describe, expect, it } from 'vitest'
import { ENOEXEC } from '../../syscall-table/errno.ts'
import { HEADER_SIZE, isScript, parseScript } from './script.ts'

function parse(text: string) {
  const header = new Uint8Array(HEADER_SIZE)
  const length = Math.min(text.length, HEADER_SIZE)
  header.set(Buffer.from(text.slice(0, length), 'latin1'))
  return parseScript(header, length)
}

describe('parseScript', () => {
  it('splits interpreter and one argument', () => {
    expect(parse('#!/bin/sh\necho')).toEqual({ interpreter: '/bin/sh', argument: null })
    expect(parse('#! \t/bin/sh -e -x \t\n')).toEqual({ interpreter: '/bin/sh', argument: '-e -x' })
    expect(parse('#!/bin/sh')).toEqual({ interpreter: '/bin/sh', argument: null })
    expect(parse('#!/bin/sh\0junk\n')).toEqual({ interpreter: '/bin/sh', argument: null })
  })

  it('refuses empty lines', () => {
    expect(parse('#!\n/bin/sh')).toBe(-ENOEXEC)
    expect(parse('#!  \t \n')).toBe(-ENOEXEC)
  })

  it('refuses a name that the header cuts off, but not an argument', () => {
    expect(parse(`#!/${'x'.repeat(300)}\n`)).toBe(-ENOEXEC)
    expect(parse(`#!/bin/sh ${'y'.repeat(300)}\n`)).toEqual({
      interpreter: '/bin/sh',
      argument: 'y'.repeat(HEADER_SIZE - '#!/bin/sh '.length),
    })
  })

  it('knows a script by its first two bytes', () => {
    expect(isScript(Buffer.from('#!'), 2)).toBe(true)
    expect(isScript(Buffer.from('#'), 1)).toBe(false)
    expect(isScript(Buffer.from('\x7fELF'), 4)).toBe(false)
  })
})
