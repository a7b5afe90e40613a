import { Command, Option } from 'commander'
import { print } from '../output.ts'
import { hostPids, processesOf, processTable } from '../ps.ts'
import { StateStore, statusOf } from '../state.ts'

export const psCommand = () =>
  new Command('ps')
    .description("list a container's processes")
    .argument('<id>')
    .argument('[options...]', 'taken for runc, which hands them to ps(1)')
    .passThroughOptions()
    .addOption(
      new Option('-f, --format <format>', 'table, or json: pids of the host')
        .choices(['table', 'json'])
        .default('table'),
    )
    .action(async (id: string, _rest: string[], options: { format: string }, command: Command) => {
      const store = new StateStore(command.optsWithGlobals().root)
      const state = store.load(id)
      // As under runc: there are none, which is no error.
      const stopped = statusOf(state) === 'stopped'
      if (options.format === 'table') {
        print(processTable(stopped ? [] : await processesOf(store, id)))
      } else print(`${JSON.stringify(stopped ? [] : await hostPids(store, state))}\n`)
    })
