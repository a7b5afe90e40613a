import { Command, Option } from 'commander'
import { request } from '../control.ts'
import { CliError } from '../errors.ts'
import { integer } from '../options.ts'
import { print } from '../output.ts'
import { StateStore, statusOf } from '../state.ts'

const PID_MAX = 2 ** 22

interface Process {
  pid?: number
  rootpid?: number
}

/** As gVisor prints it. */
export const waitCommand = () =>
  new Command('wait')
    .description('wait for a process of a container, and print how it ended as JSON')
    .argument('<id>')
    .addOption(
      new Option('--pid <pid>', 'a process by its pid in the container (default: the program)')
        .argParser(integer(1, PID_MAX))
        .conflicts('rootpid'),
    )
    .addOption(
      new Option('--rootpid <pid>', "by its pid in the sandbox's first container").argParser(
        integer(1, PID_MAX),
      ),
    )
    .action(async (id: string, { pid, rootpid }: Process, command: Command) => {
      const store = new StateStore(command.optsWithGlobals().root)
      if (statusOf(store.load(id)) === 'stopped')
        throw new CliError(`container "${id}" is not running`)
      const message = { command: 'wait', container: id, pid, rootPid: rootpid }
      const answer = await request(store.controlSocket(id), message)
      const status = Number((answer as { status?: unknown }).status)
      const signal = status & 0x7f
      const exitStatus = signal === 0 ? (status >> 8) & 0xff : 128 + signal
      print(`${JSON.stringify({ id, exitStatus })}\n`)
    })
