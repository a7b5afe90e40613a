import { Command } from 'commander'
import { startContainer } from '../life.ts'
import { StateStore } from '../state.ts'

export const startCommand = () =>
  new Command('start')
    .description("start a created container's program")
    .argument('<id>')
    .action(async (id: string, _options: unknown, command: Command) => {
      await startContainer(new StateStore(command.optsWithGlobals().root), id)
    })
