import { Command } from 'commander'
import { CliError } from '../errors.ts'
import { forwardPort, forwardStream } from '../port-forward.ts'
import { StateStore } from '../state.ts'

const PORT_MAX = 65535

export const portForwardCommand = () =>
  new Command('port-forward')
    .description('forward connections to a port of a container, until it ends')
    .argument('<id>')
    .argument('<port>', '[LOCAL:]REMOTE, with --stream REMOTE')
    .option('--stream <socket>', 'forward one connection, to this Unix socket of the host')
    .option('--address <ip>', 'where to listen for connections', '127.0.0.1')
    .action(
      async (
        id: string,
        text: string,
        { stream, address }: { stream?: string; address: string },
        command: Command,
      ) => {
        const store = new StateStore(command.optsWithGlobals().root)
        const { local, remote } = parsePorts(text)
        if (stream === undefined) await forwardPort(store, id, address, local ?? remote, remote)
        else if (local === undefined) await forwardStream(store, id, stream, remote)
        else throw new CliError('port-forward --stream takes one port, that of the container')
      },
    )

/** A local port of 0 is one that is free. */
function parsePorts(text: string): { local: number | undefined; remote: number } {
  const match = /^(?:(\d{1,5}):)?(\d{1,5})$/.exec(text)
  const remote = Number(match?.[2])
  const local = match?.[1] === undefined ? undefined : Number(match[1])
  if (match === null || remote < 1 || remote > PORT_MAX || (local ?? 0) > PORT_MAX)
    throw new CliError(
      `port-forward: expected [LOCAL:]REMOTE in numbers up to 65535, not "${text}"`,
    )
  return { local, remote }
}
