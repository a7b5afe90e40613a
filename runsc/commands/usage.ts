import { Command } from 'commander'
import { liveState, StateStore } from '../state.ts'
import { memoryUsage } from '../usage.ts'

export const usageCommand = () =>
  new Command('usage')
    .description('print how much memory the sandbox of a container uses, in bytes')
    .argument('<id>')
    .option('--full', 'tell anonymous memory, tmpfs files and our own apart', false)
    .option('--fd', 'one line with the sums only', false)
    .action((id: string, options: { full: boolean; fd: boolean }, command: Command) => {
      const store = new StateStore(command.optsWithGlobals().root)
      const usage = memoryUsage(store, liveState(store, id, 'usage'), options.full)
      const { Mapped, Unknown, Total } = usage
      if (options.fd) process.stdout.write(`Mapped ${Mapped}, Unknown ${Unknown}, Total ${Total}\n`)
      else process.stdout.write(`${JSON.stringify(usage, null, 2)}\n`)
    })
