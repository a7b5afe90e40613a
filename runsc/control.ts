// The client of a sandbox's control socket: one JSON object per line each way. sentry/control.ts answers.

import { createConnection } from 'node:net'
import { CliError } from './errors.ts'

/** Answers are small; a longer one is from a sandbox that is no longer itself. */
const MAX_ANSWER_BYTES = 4 << 20

/** What the sentry answers: `error` is one line for people. */
export type Answer = { error: string } | { error?: undefined; [key: string]: unknown }

/** Send one request and wait for its answer. Fails when the sandbox is gone or answers with an error. */
export function request(
  socket: string,
  message: { command: string; [key: string]: unknown },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const failed = (why: string) =>
      reject(new CliError(`the sandbox did not take "${message.command}": ${why}`))
    const connection = createConnection(socket)
    connection.on('error', error => failed(error.message))
    connection.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > MAX_ANSWER_BYTES) connection.destroy(new Error('its answer is too long'))
      else chunks.push(chunk)
    })
    connection.on('end', () => {
      try {
        const answer = JSON.parse(Buffer.concat(chunks).toString()) as Answer
        if (answer.error === undefined) resolve(answer)
        else failed(String(answer.error))
      } catch {
        failed('it ended before it answered')
      }
    })
    connection.end(`${JSON.stringify(message)}\n`)
  })
}

/** Send one request and do not wait for the answer: a paused sandbox reads it when it goes on. */
export function post(
  socket: string,
  message: { command: string; [key: string]: unknown },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const connection = createConnection(socket)
    connection.on('error', error =>
      reject(new CliError(`the sandbox did not take "${message.command}": ${error.message}`)),
    )
    connection.write(`${JSON.stringify(message)}\n`, () => {
      connection.destroy()
      resolve()
    })
  })
}
