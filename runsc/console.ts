// --console-socket: the engine gets the master of a new pseudo-terminal, the sandbox the slave.

import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import {
  close,
  connectUnix,
  type HostFd,
  openPty,
  sendMessage,
  setWinsize,
} from '../native/host.ts'
import { ENOENT, errnoMessage } from '../syscall-table/errno.ts'
import { CliError } from './errors.ts'

const SOCK_STREAM = 1
/** The text beside the descriptor, as runc has it. */
const MASTER_NAME = '/dev/ptmx'

interface Size {
  height: number
  width: number
}

/** runc's rules for who holds the terminal. */
export function checkConsole(
  terminal: boolean,
  detached: boolean,
  consoleSocket: string | undefined,
): void {
  if (detached && terminal && consoleSocket === undefined)
    throw new CliError('cannot allocate tty if runsc will detach without setting console socket')
  if ((!detached || !terminal) && consoleSocket !== undefined)
    throw new CliError(
      'cannot use console socket if runsc will not detach or allocate tty: leave --console-socket out',
    )
}

/** Make a pseudo-terminal and send its master to the socket; the slave is the caller's. */
export function openConsole(socket: string, size: Size | undefined): HostFd {
  const pair = new Int32Array(2)
  const made = openPty(pair)
  if (made < 0) throw new CliError(`cannot make a pseudo-terminal: ${errnoMessage(-made)}`)
  const [master, slave] = pair as unknown as [HostFd, HostFd]
  try {
    if (size !== undefined) setWinsize(slave, new Uint16Array([size.height, size.width, 0, 0]))
    sendTo(socket, master)
  } catch (error) {
    close(slave)
    throw error
  } finally {
    close(master)
  }
  return slave
}

function sendTo(socket: string, fd: HostFd): void {
  const fail = (n: number): never => {
    throw new CliError(
      `cannot send the terminal to --console-socket ${socket}: ${errnoMessage(-n)}`,
    )
  }
  const connection = connectTo(socket)
  if (connection < 0) fail(connection)
  const text = Buffer.from(MASTER_NAME)
  const n = sendMessage(connection, text, 0, text.length, new Int32Array([fd]), 1)
  close(connection)
  if (n < 0) fail(n)
}

/** A connection to a Unix socket, however long its path: nonblocking, or -errno. */
export function connectTo(socket: string): HostFd {
  let directory: number
  try {
    directory = openSync(dirname(socket), constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -ENOENT
  }
  try {
    return connectUnix(directory, basename(socket), SOCK_STREAM)
  } finally {
    closeSync(directory)
  }
}
