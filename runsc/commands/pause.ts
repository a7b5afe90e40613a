import { Command } from 'commander'
import { pauseContainer } from '../cgroup/operations.ts'
import { StateStore } from '../state.ts'

export const pauseCommand = () =>
  new Command('pause')
    .description('stop every process of a container until `resume`')
    .argument('<id>')
    .action(async (id: string, _options: unknown, command: Command) => {
      await pauseContainer(new StateStore(command.optsWithGlobals().root), id)
    })
