// The client of a sandbox's control socket: one JSON object per line each way, descriptors may go with the request.
// sentry/control.ts answers.

import { Socket } from 'node:net'
import { close, type HostFd, poll, read, sendMessage } from '../native/host.ts'
import { EAGAIN, errnoMessage } from '../syscall-table/errno.ts'
import { POLLIN, POLLOUT } from '../syscall-table/flags.ts'
import { connectTo } from './console.ts'
import { CliError } from './errors.ts'

/** Answers are small; a longer one is from a sandbox that is no longer itself. */
const MAX_ANSWER_BYTES = 4 << 20
const CHUNK = 16 << 10

/** What the sentry answers: `error` is one line for people. */
export type Answer =
  | { error: string; exitStatus?: number }
  | { error?: undefined; [key: string]: unknown }

/** native/launcher/front.c has made the request of this command already; its answer comes by this descriptor. */
const ASKED = 'PORTCULLIS_ASKED'

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

/**
 * The same for who has nothing else to do meanwhile: it is answered without Node's sockets, whose code takes longer to load
 * than most requests take.
 */
export function requestNow(socket: string, message: Message, fds: readonly HostFd[] = []): Answer {
  const asked = isAsked()
  const connection = asked ? Number(process.env[ASKED]) : connect(socket, message)
  try {
    if (!asked) sendAll(connection, message, fds)
    return answerOf(message, receiveAll(connection, message))
  } finally {
    close(connection)
  }
}

/** Whether the request of this command has been made, and only its answer is still to be dealt with. */
export const isAsked = (): boolean => process.env[ASKED] !== undefined

function sendAll(connection: HostFd, message: Message, fds: readonly HostFd[]): void {
  const line = encode(message)
  for (let at = 0; at < line.length; ) {
    const lent = at === 0 ? fds : []
    const n = sendMessage(
      connection,
      line,
      at,
      line.length - at,
      Int32Array.from(lent),
      lent.length,
    )
    if (n >= 0) at += n
    else if (n === -EAGAIN) poll(connection, POLLOUT, -1)
    else throw refused(message, errnoMessage(-n))
  }
}

function receiveAll(connection: HostFd, message: Message): Buffer {
  const chunks: Buffer[] = []
  for (let length = 0; ; ) {
    const chunk = Buffer.allocUnsafe(CHUNK)
    const n = read(connection, chunk, 0, CHUNK)
    if (n === 0) return Buffer.concat(chunks)
    if (n === -EAGAIN) poll(connection, POLLIN, -1)
    else if (n < 0) throw refused(message, errnoMessage(-n))
    else chunks.push(chunk.subarray(0, n))
    length += Math.max(n, 0)
    if (length > MAX_ANSWER_BYTES) throw refused(message, 'its answer is too long')
  }
}

function answerOf(message: Message, bytes: Buffer): Answer {
  let answer: Answer
  try {
    answer = JSON.parse(bytes.toString()) as Answer
  } catch {
    throw refused(message, 'it ended before it answered')
  }
  if (answer.error === undefined) return answer
  const { error, exitStatus } = answer
  const why = String(error)
  throw new CliError(exitStatus === undefined ? refusal(message, why) : why, { exitStatus })
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
    connection.on('error', error => reject(refused(message, error.message)))
    connection.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > MAX_ANSWER_BYTES) connection.destroy(new Error('its answer is too long'))
      else chunks.push(chunk)
    })
    connection.on('end', () => {
      try {
        resolve(answerOf(message, Buffer.concat(chunks)))
      } catch (error) {
        reject(error)
      }
    })
    if (rest.length > 0) connection.write(rest)
  })
}
