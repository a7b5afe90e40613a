import { Command } from 'commander'

/** `runsc help platforms`, as gVisor has it. */
export const platformsCommand = () =>
  new Command('platforms')
    .description('list the values that --platform takes')
    .action((_options: unknown, self: Command) => {
      const { argChoices = [] } = self.parent!.options.find(o => o.long === '--platform') ?? {}
      process.stdout.write(argChoices.map(name => `${name}\n`).join(''))
    })
