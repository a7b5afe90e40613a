import { Command } from 'commander'
import { resumeContainer } from '../cgroup/operations.ts'
import { StateStore } from '../state.ts'

export const resumeCommand = () =>
  new Command('resume')
    .description('let a paused container go on')
    .argument('<id>')
    .action(async (id: string, _options: unknown, command: Command) => {
      await resumeContainer(new StateStore(command.optsWithGlobals().root), id)
    })
