// `runsc port-forward`: connections of the host reach a port of a container's own network, whatever that is. Each has
// a stream of its own for each direction into the sandbox, whose kernel makes the connection there.

import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { createConnection, createServer, type Server, Socket } from 'node:net'
import { request } from './control.ts'
import { CliError } from './errors.ts'
import { pair, SOCK_STREAM } from './sandbox.ts'
import { liveSocket, type StateStore } from './state.ts'

const SIGNALS = ['SIGINT', 'SIGQUIT', 'SIGTERM'] as const
const STREAM_TIMEOUT_MS = 10_000

/** Listen on a port of the host until the container ends or a signal comes. */
export async function forwardPort(
  store: StateStore,
  id: string,
  address: string,
  local: number,
  remote: number,
): Promise<void> {
  const socket = liveSocket(store, id, 'port-forward')
  const server = createServer({ allowHalfOpen: true }, connection => {
    connect(socket, id, remote, connection).catch((error: Error) => {
      process.stderr.write(`runsc: port ${remote}: ${error.message}\n`)
      connection.destroy()
    })
  })
  await listen(server, address, local)
  const { port } = server.address() as { port: number }
  process.stdout.write(`Forwarding local port ${port} to ${remote}...\n`)
  const ended = request(socket, { command: 'wait', container: id }).then(
    () => `Container "${id}" stopped. Exiting...\n`,
    () => `Container "${id}" stopped. Exiting...\n`,
  )
  process.stdout.write(await Promise.race([ended, signalled(), broken(server)]))
  // Connections that are open end with us.
  process.stdout.write('', () => process.exit())
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  server.listen({ host, port })
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw new CliError(`cannot listen on ${host}:${port}: ${(cause as Error).message}`, { cause })
  }
}

const broken = async (server: Server): Promise<string> =>
  `Cannot listen any more: ${((await once(server, 'error')) as [Error])[0].message}\n`

const signalled = (): Promise<string> =>
  new Promise(done => {
    for (const signal of SIGNALS) process.on(signal, () => done(`Got ${signal}, Exiting...\n`))
  })

/** Forward one connection: the one to the Unix socket at `path`. */
export async function forwardStream(
  store: StateStore,
  id: string,
  path: string,
  remote: number,
): Promise<void> {
  const socket = liveSocket(store, id, 'port-forward')
  const connection = createConnection({ path, allowHalfOpen: true, timeout: STREAM_TIMEOUT_MS })
  try {
    await once(connection, 'connect')
  } catch (cause) {
    throw new CliError(`cannot connect to --stream ${path}: ${(cause as Error).message}`, { cause })
  }
  connection.setTimeout(0)
  await connect(socket, id, remote, connection)
}

/** Join `outside` with a new connection to the container's port; resolves at the end of both. */
async function connect(
  control: string,
  container: string,
  port: number,
  outside: Socket,
): Promise<void> {
  const [toSandbox, incoming] = pair(SOCK_STREAM)
  const [fromSandbox, outgoing] = pair(SOCK_STREAM)
  const writer = new Socket({ fd: toSandbox, readable: false, writable: true })
  const reader = new Socket({ fd: fromSandbox, readable: true, writable: false })
  const over = Promise.all([closed(writer), closed(reader), closed(outside)])
  // Where one breaks, all do.
  const breakAll = () => {
    for (const stream of [writer, reader, outside]) stream.destroy()
  }
  for (const stream of [writer, reader, outside]) stream.on('error', breakAll)
  try {
    await request(control, { command: 'forward', container, port }, [incoming, outgoing])
  } catch (error) {
    breakAll()
    throw error
  } finally {
    closeSync(incoming)
    closeSync(outgoing)
  }
  outside.pipe(writer)
  reader.pipe(outside)
  await over
}

const closed = (stream: Socket): Promise<void> =>
  new Promise(done => stream.on('close', () => done()))
