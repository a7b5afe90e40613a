// Scripts: the first line `#!interpreter [argument]`, fs/binfmt_script.c.

import { ENOEXEC } from '../../syscall-table/errno.ts'

/** What exec looks at of a file to find its kind: BINPRM_BUF_SIZE. */
export const HEADER_SIZE = 256

const NEWLINE = 10
const SPACE = 32
const TAB = 9

export interface ScriptLine {
  interpreter: string
  /** Everything after the first blanks, as one argument; null when there is none. */
  argument: string | null
}

export function isScript(header: Uint8Array, length: number): boolean {
  return length >= 2 && header[0] === 0x23 && header[1] === 0x21
}

/**
 * Parse the line. A line that does not end within the header is accepted only when the interpreter's name
 * surely does: a cut-off name would be another program.
 */
export function parseScript(header: Uint8Array, length: number): ScriptLine | number {
  let end = header.subarray(0, length).indexOf(NEWLINE)
  const complete = end >= 0
  if (!complete) end = length
  const line = Buffer.from(header.buffer, header.byteOffset, end).toString('latin1').slice(2)
  // A file shorter than the header ends its line by itself; NUL ends it too.
  const nul = line.indexOf('\0')
  const text = nul >= 0 ? line.slice(0, nul) : line
  const trimmed = trimBlanks(text)
  if (trimmed === '') return -ENOEXEC
  const blank = firstBlank(trimmed)
  const cut = !complete && nul < 0 && length === HEADER_SIZE
  if (cut && blank < 0 && !endsInBlank(text)) return -ENOEXEC
  if (blank < 0) return { interpreter: trimmed, argument: null }
  return { interpreter: trimmed.slice(0, blank), argument: trimBlanks(trimmed.slice(blank)) }
}

const isBlank = (code: number): boolean => code === SPACE || code === TAB

function endsInBlank(text: string): boolean {
  return text.length > 0 && isBlank(text.charCodeAt(text.length - 1))
}

function firstBlank(text: string): number {
  for (let i = 0; i < text.length; i++) if (isBlank(text.charCodeAt(i))) return i
  return -1
}

function trimBlanks(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}
