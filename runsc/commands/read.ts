import { Command } from 'commander'
import { latin1 } from '../latin1.ts'
import { integer } from '../options.ts'
import { receive, toStdout } from '../outlet.ts'
import { liveSocket, StateStore } from '../state.ts'

interface ReadOptions {
  offset: number
  size: number
}

export const readCommand = () =>
  new Command('read')
    .description("print a file as the container's program sees it")
    .argument('<id>')
    .argument('<path>')
    .option('--offset <bytes>', 'where to begin', integer(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--size <bytes>', 'how much at most; 0: all', integer(0, Number.MAX_SAFE_INTEGER), 0)
    .action(async (id: string, path: string, options: ReadOptions, command: Command) => {
      const socket = liveSocket(new StateStore(command.optsWithGlobals().root), id, 'read')
      const { offset } = options
      const size = options.size === 0 ? Number.MAX_SAFE_INTEGER : options.size
      const message = { command: 'read', container: id, path: latin1(path), offset, size }
      await receive(socket, message, toStdout)
    })
