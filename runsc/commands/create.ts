import { Command } from 'commander'
import { createContainer } from '../container.ts'
import type { GlobalOptions } from '../options.ts'
import { type FdOptions, fdOptions } from '../passed-fds.ts'

interface CreateOptions extends GlobalOptions, FdOptions {
  bundle: string
  pidFile?: string
  consoleSocket?: string
}

export const createCommand = () => {
  const command = new Command('create')
    .description('create a container from a bundle; `start` runs its program')
    .argument('<id>')
    .option('-b, --bundle <dir>', 'the bundle', '.')
    .option('--pid-file <file>', "where to write the container's pid")
    .option('--console-socket <path>', "Unix socket that gets the master of the program's terminal")
    .option('--no-pivot', 'accepted for runc: the sandbox has no need of it')
    .option('--no-new-keyring', 'accepted for runc: the sandbox has its own')
    .action(async (id: string, _options: unknown, command: Command) => {
      await createContainer(command.optsWithGlobals<CreateOptions>(), id)
    })
  for (const option of fdOptions()) command.addOption(option)
  return command
}
