import { Command, Option } from 'commander'
import { type Addressee, signalContainer } from '../life.ts'
import { integer } from '../options.ts'
import { parseSignal } from '../signals.ts'
import { StateStore } from '../state.ts'

const PID_MAX = 2 ** 22

export const killCommand = () =>
  new Command('kill')
    .description("send a signal to a container's program")
    .argument('<id>')
    .argument('[signal]', 'a name or a number', 'TERM')
    .addOption(
      new Option('-a, --all', 'to every process of the container').conflicts(['pid', 'pgid']),
    )
    .addOption(
      new Option('--pid <pid>', "to this process; the number is the sandbox's own")
        .argParser(integer(1, PID_MAX))
        .conflicts('pgid'),
    )
    .addOption(
      new Option(
        '--pgid <pgid>',
        "to this process group; the number is the sandbox's own",
      ).argParser(integer(1, PID_MAX)),
    )
    .action(async (id: string, signal: string, to: Addressee, command: Command) => {
      const store = new StateStore(command.optsWithGlobals().root)
      await signalContainer(store, id, parseSignal(signal), to)
    })
