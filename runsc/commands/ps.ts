import { Command, Option } from 'commander'
import { CliError } from '../errors.ts'
import { print } from '../output.ts'
import { hostPids, processesOf, processTable } from '../ps.ts'
import { StateStore, statusOf } from '../state.ts'

export const psCommand = () =>
  new Command('ps')
    .description("list a container's processes")
    .argument('<id>')
    .argument('[options...]', 'taken for runc')
    .addOption(
      new Option('-f, --format <format>', 'table, or json: pids of the host')
        .choices(['table', 'json'])
        .default('table'),
    )
    .action(async (id: string, _rest: string[], options: { format: string }, command: Command) => {
      const store = new StateStore(command.optsWithGlobals().root)
      if (options.format === 'table') {
        print(processTable(await processesOf(store, id)))
        return
      }
      const state = store.load(id)
      if (statusOf(state) === 'stopped') throw new CliError(`container "${id}" is not running`)
      print(`${JSON.stringify(await hostPids(store, state))}\n`)
    })
