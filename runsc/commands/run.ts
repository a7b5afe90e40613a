import { Command } from 'commander'
import { runContainer } from '../container.ts'
import type { GlobalOptions } from '../options.ts'
import { type FdOptions, fdOptions } from '../passed-fds.ts'

interface RunOptions extends GlobalOptions, FdOptions {
  bundle: string
  pidFile?: string
  consoleSocket?: string
  detach: boolean
  keep: boolean
}

export const runCommand = () => {
  const command = new Command('run')
    .description('create a container from a bundle, run its program and remove it')
    .argument('<id>')
    .option('-b, --bundle <dir>', 'the bundle', '.')
    .option('--pid-file <file>', "where to write the container's pid")
    .option('--console-socket <path>', "Unix socket that gets the master of the program's terminal")
    .option('--no-pivot', 'accepted for runc: the sandbox has no need of it')
    .option('--no-new-keyring', 'accepted for runc: the sandbox has its own')
    .option(
      '-d, --detach',
      'return once the program runs; the container stays until it is deleted',
      false,
    )
    .option('--keep', 'the container stays when it has ended, until it is deleted', false)
    .option('--no-subreaper', 'accepted for runc: no process is adopted')
    .action(async (id: string, _options: unknown, command: Command) => {
      process.exitCode = await runContainer(command.optsWithGlobals<RunOptions>(), id)
    })
  for (const option of fdOptions()) command.addOption(option)
  return command
}
