// Starts an unconfined gofer in a process of its own and connects a client to it. For tests only.

import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { MESSAGE_MAX } from '../../../../gofer/protocol.ts'
import { close, setSendBuffer, socketpair } from '../../../../native/index.ts'
import { SOCK_SEQPACKET } from '../../../../syscall-table/flags.ts'
import { GoferClient } from '../client.ts'

const serve = fileURLToPath(new URL('../../../../gofer/test/serve.ts', import.meta.url))

/** A client and its server process, which ends when `client.socket` is closed. */
export function spawnGofer(...attachPoints: string[]): {
  client: GoferClient
  child: ChildProcess
} {
  const pair = new Int32Array(2)
  socketpair(SOCK_SEQPACKET, pair)
  setSendBuffer(pair[1]!, 2 * MESSAGE_MAX)
  const child = spawn(process.execPath, [serve, ...attachPoints], {
    stdio: ['ignore', 'inherit', 'inherit', pair[1]!],
  })
  close(pair[1]!)
  return { client: new GoferClient(pair[0]!), child }
}
