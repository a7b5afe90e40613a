import { Command } from 'commander'
import { deleteContainer } from '../life.ts'
import { warner } from '../log.ts'
import type { GlobalOptions } from '../options.ts'
import { StateStore } from '../state.ts'

export const deleteCommand = () =>
  new Command('delete')
    .description('remove stopped containers')
    .argument('<id...>')
    .option('-f, --force', 'kill a container that runs; no error when there is none', false)
    .action(async (ids: string[], options: { force: boolean }, command: Command) => {
      const store = new StateStore(command.optsWithGlobals().root)
      const warn = warner(command.optsWithGlobals<GlobalOptions>())
      for (const id of ids) await deleteContainer(store, id, options.force, warn)
    })
