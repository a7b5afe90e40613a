import { Command } from 'commander'
import { signalContainer } from '../container.ts'
import { parseSignal } from '../signals.ts'
import { StateStore } from '../state.ts'

export const killCommand = () =>
  new Command('kill')
    .description("send a signal to a container's program")
    .argument('<id>')
    .argument('[signal]', 'a name or a number', 'TERM')
    .option('-a, --all', 'to every process of the container', false)
    .action(async (id: string, signal: string, options: { all: boolean }, command: Command) => {
      await signalContainer(
        new StateStore(command.optsWithGlobals().root),
        id,
        parseSignal(signal),
        options.all,
      )
    })
