// Data that comes out of a sandbox by a descriptor that went there with a request.

import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { type Message, request } from './control.ts'
import { CliError } from './errors.ts'
import { pair, SOCK_STREAM } from './sandbox.ts'

/** Ask for `message` and hand what comes to `take`, in order, until all is there. */
export async function receive(
  socket: string,
  message: Message,
  take: (bytes: Buffer) => Promise<void> | void,
): Promise<void> {
  const [own, theirs] = pair(SOCK_STREAM)
  const stream = new Socket({ fd: own, readable: true, writable: false })
  const answer = request(socket, message, [theirs])
  closeSync(theirs)
  const drained = (async () => {
    for await (const bytes of stream) await take(bytes as Buffer)
  })()
  try {
    // What is wrong with the request is the answer, and then nothing comes.
    await Promise.all([answer, drained])
  } catch (error) {
    stream.destroy()
    throw error
  }
}

/** Writes to standard output; whoever reads it may be slow, or gone. */
export function toStdout(bytes: Uint8Array): Promise<void> {
  return new Promise((done, failed) => {
    process.stdout.write(bytes, error =>
      error ? failed(new CliError(`cannot write: ${error.message}`, { cause: error })) : done(),
    )
  })
}
