// The client of a sandbox's control socket: one JSON object per line each way, descriptors may go with the request.
// sentry/control.ts answers.

import { Socket } from 'node:net'
import { close, type HostFd, sendMessage } from '../native/index.ts'
import { EAGAIN, errnoMessage } from '../syscall-table/errno.ts'
import { connectTo } from './console.ts'
import { CliError } from './errors.ts'

/** Answers are small; a longer one is from a sandbox that is no longer itself. */
const MAX_ANSWER_BYTES = 4 << 20

/** What the sentry answers: `error` is one line for people. */
export type Answer =
  | { error: string; exitStatus?: number }
  | { error?: undefined; [key: string]: unknown }

/** The sandbox is gone, or will not be heard any more. */
export class NoAnswer extends CliError {}

export type Message = { command: string; [key: string]: unknown }

/**
 * Send one request and wait for its answer. Fails when the sandbox is gone or answers with an error. Descriptors that
 * go with it stay the caller's.
 */
export async function request(
  socket: string,
  message: Message,
  fds: readonly HostFd[] = [],
): Promise<Answer> {
  const connection = connect(socket, message)
  const line = encode(message)
  const n = sendMessage(connection, line, 0, line.length, Int32Array.from(fds), fds.length)
  if (n < 0 && n !== -EAGAIN) {
    close(connection)
    throw refused(message, errnoMessage(-n))
  }
  return ask(new Socket({ fd: connection }), message, line.subarray(Math.max(0, n)))
}

/** Send one request and do not wait for the answer: a paused sandbox reads it when it goes on. */
export function post(socket: string, message: Message): void {
  const connection = connect(socket, message)
  const line = encode(message)
  const n = sendMessage(connection, line, 0, line.length, new Int32Array(), 0)
  close(connection)
  if (n < line.length) throw refused(message, n < 0 ? errnoMessage(-n) : 'it is too long')
}

const encode = (message: Message): Buffer => Buffer.from(`${JSON.stringify(message)}\n`)

const refusal = (message: Message, why: string): string =>
  `the sandbox did not take "${message.command}": ${why}`
const refused = (message: Message, why: string): NoAnswer => new NoAnswer(refusal(message, why))

function connect(socket: string, message: Message): HostFd {
  const connection = connectTo(socket)
  if (connection < 0) throw refused(message, errnoMessage(-connection))
  return connection
}

function ask(connection: Socket, message: Message, rest: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const failed = (why: string, exitStatus?: number) =>
      reject(new CliError(exitStatus === undefined ? refusal(message, why) : why, { exitStatus }))
    connection.on('error', error => reject(refused(message, error.message)))
    connection.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > MAX_ANSWER_BYTES) connection.destroy(new Error('its answer is too long'))
      else chunks.push(chunk)
    })
    connection.on('end', () => {
      try {
        const answer = JSON.parse(Buffer.concat(chunks).toString()) as Answer
        if (answer.error === undefined) resolve(answer)
        else failed(String(answer.error), (answer as { exitStatus?: number }).exitStatus)
      } catch {
        reject(refused(message, 'it ended before it answered'))
      }
    })
    if (rest.length > 0) connection.write(rest)
  })
}
