import { Command } from 'commander'
import { type ExecOptions, execProcess } from '../exec.ts'
import { integer } from '../options.ts'
import { fdOptions } from '../passed-fds.ts'

const more = (value: string, list: string[]): string[] => [...list, value]
const gid = integer(0, 2 ** 32 - 2)

export const execCommand = () => {
  const command = new Command('exec')
    .description('run a further process in a container')
    .argument('<id>')
    .argument('[command...]', 'the program and its arguments')
    .passThroughOptions()
    .option('-p, --process <file>', 'the process as config.json has it, instead of a command')
    .option('-d, --detach', 'return once the process runs', false)
    .option('--pid-file <file>', 'where to write the pid of the process that stands for it')
    .option('--internal-pid-file <file>', 'where to write its pid in the container')
    .option('--console-socket <path>', 'Unix socket that gets the master of its terminal')
    .option('--cwd <dir>', 'working directory')
    .option('-e, --env <name=value>', 'an environment variable more', more, [])
    .option('-t, --tty', 'give it a terminal', false)
    .option('-u, --user <uid[:gid]>', 'its user')
    .option(
      '-g, --additional-gids <gid>',
      'a further group',
      (value: string, list: number[]) => [...list, gid(value)],
      [] as number[],
    )
    .option('-c, --cap <name>', 'a capability more', more, [])
    .option('--no-new-privs', 'no program gives it more rights')
    .option('--ignore-paused', 'allow a paused container', false)
    .option('--process-label <label>', 'taken for runc: there is no SELinux in a sandbox')
    .option('--apparmor <profile>', 'taken for runc: there is no AppArmor in a sandbox')
    .action(async (id: string, args: string[], _options: unknown, command: Command) => {
      process.exitCode = await execProcess(command.optsWithGlobals<ExecOptions>(), id, args)
    })
  for (const option of fdOptions()) command.addOption(option)
  return command
}
