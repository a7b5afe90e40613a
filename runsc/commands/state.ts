import { Command } from 'commander'
import { print } from '../output.ts'
import { ociState, StateStore } from '../state.ts'

export const stateCommand = () =>
  new Command('state')
    .description("print a container's state as JSON")
    .argument('<id>')
    .action((id: string, _options: unknown, command: Command) => {
      const state = new StateStore(command.optsWithGlobals().root).load(id)
      print(`${JSON.stringify(ociState(state), null, 2)}\n`)
    })
