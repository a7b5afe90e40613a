// Our standard output and error without Node's streams: loading those takes longer than most of what is printed.

import { writeSync } from 'node:fs'
import { getWinsize } from '../native/host.ts'

/** Print to stdout. A reader that is gone has seen enough. */
export const print = (text: string): void => printTo(1, text)

/** Print to stderr. */
export const complain = (text: string): void => printTo(2, text)

function printTo(fd: 1 | 2, text: string): void {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // There is nobody left to be told of what is wrong with stderr.
      if (code === 'EPIPE' || (fd === 2 && code !== 'EAGAIN')) return
      if (code !== 'EAGAIN') throw error
      // Somebody has made it nonblocking, and it is full.
      const stream = fd === 1 ? process.stdout : process.stderr
      stream.write(bytes.subarray(at))
      return
    }
  }
}

/** The size of the terminal behind a descriptor, or null when it is none. */
export function terminalSize(fd: number): { rows: number; columns: number } | null {
  const size = new Uint16Array(4)
  return getWinsize(fd, size) < 0 ? null : { rows: size[0]!, columns: size[1]! }
}
