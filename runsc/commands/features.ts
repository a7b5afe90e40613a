import { Command } from 'commander'
import { features } from '../features.ts'

export const featuresCommand = () =>
  new Command('features')
    .description('print what this runtime supports, as engines read it')
    .action(() => {
      process.stdout.write(`${JSON.stringify(features(), null, 2)}\n`)
    })
