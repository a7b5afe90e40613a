import { Command } from 'commander'
import { request } from '../control.ts'
import { CliError } from '../errors.ts'
import { integer } from '../options.ts'
import { print } from '../output.ts'
import { StateStore, statusOf } from '../state.ts'

/** As gVisor prints it. */
export const waitCommand = () =>
  new Command('wait')
    .description('wait for a process of a container, and print how it ended as JSON')
    .argument('<id>')
    .option('--pid <pid>', "the sandbox's own pid (default: the program)", integer(1, 2 ** 22))
    .action(async (id: string, options: { pid?: number }, command: Command) => {
      const store = new StateStore(command.optsWithGlobals().root)
      if (statusOf(store.load(id)) === 'stopped')
        throw new CliError(`container "${id}" is not running`)
      const pid = options.pid === undefined ? {} : { pid: options.pid }
      const answer = await request(store.controlSocket(id), {
        command: 'wait',
        container: id,
        ...pid,
      })
      const status = Number((answer as { status?: unknown }).status)
      const signal = status & 0x7f
      const exitStatus = signal === 0 ? (status >> 8) & 0xff : 128 + signal
      print(`${JSON.stringify({ id, exitStatus })}\n`)
    })
