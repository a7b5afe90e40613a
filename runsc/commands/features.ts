import { Command } from 'commander'
import { features } from '../features.ts'
import { print } from '../output.ts'

export const featuresCommand = () =>
  new Command('features')
    .description('print what this runtime supports, as engines read it')
    .action(() => {
      print(`${JSON.stringify(features(), null, 2)}\n`)
    })
