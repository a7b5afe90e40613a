// The user's side of a sandbox that runs in the foreground: signals, and the terminal when it has one.

import { spawnSync } from 'node:child_process'
import { Socket } from 'node:net'
import { dup } from '../native/host.ts'

/** The first descriptor behind the standard streams. */
const FIRST_OTHER = 3
/** Signals that a foreground `runsc` passes on to the program instead of dying of them. */
const FORWARDED = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGCONT',
  'SIGALRM',
  'SIGIO',
  'SIGPWR',
] as const

/** Pass signals on to the process that stands for the program until the returned function is called. */
export function forwardSignals(pid: number): () => void {
  const handlers = FORWARDED.map(name => {
    const handler = () => {
      try {
        process.kill(pid, name)
      } catch {
        // It has ended: so shall we.
      }
    }
    process.on(name, handler)
    return [name, handler] as const
  })
  return () => {
    for (const [name, handler] of handlers) process.off(name, handler)
  }
}

/**
 * Node's raw mode leaves output processing on, and the sandbox's terminal has ended its lines already: each would
 * end in two carriage returns. Without stty(1) they do, which is seldom visible.
 */
function rawOutput(): void {
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] })
}

/**
 * Join the user's terminal with the sandbox's terminal, whose bytes flow through `fd`. The user's terminal is
 * raw meanwhile: line editing and signal characters are the sandbox's business.
 */
export function relayTerminal(
  fd: number,
  resize: (rows: number, columns: number) => void,
): () => Promise<void> {
  const { stdin, stdout } = process
  // Two, as one that fails to write is closed: what the program wrote before it ended would be lost with what it has not read.
  const writer = new Socket({ fd: dup(fd, FIRST_OTHER), readable: false, writable: true })
  writer.on('error', () => {})
  const reader = new Socket({ fd, readable: true, writable: false })
  if (stdin.isTTY) {
    stdin.setRawMode(true)
    if (stdout.isTTY) rawOutput()
  }
  stdin.on('data', chunk => writer.write(chunk))
  const drained = new Promise<void>(resolve => {
    reader.on('data', chunk => stdout.write(chunk))
    reader.on('error', () => resolve())
    reader.on('close', () => resolve())
  })
  const onResize = () => resize(stdout.rows, stdout.columns)
  stdout.on('resize', onResize)
  return async () => {
    await drained
    writer.destroy()
    stdout.off('resize', onResize)
    if (stdin.isTTY) stdin.setRawMode(false)
    stdin.pause()
    // A file has no such method, and nothing to wait for.
    stdin.unref?.()
  }
}
