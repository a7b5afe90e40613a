import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { CliError } from '../errors.ts'
import { starterSpec } from '../spec.ts'

export const specCommand = () =>
  new Command('spec')
    .description('write a starter config.json into a bundle')
    .argument('[args...]', 'the program and its arguments', ['sh'])
    .option('-b, --bundle <dir>', 'the bundle', '.')
    .option('--cwd <dir>', 'working directory of the program', '/')
    .action((args: string[], options: { bundle: string; cwd: string }) => {
      const file = join(options.bundle, 'config.json')
      try {
        writeFileSync(file, `${JSON.stringify(starterSpec(args, options.cwd), null, 2)}\n`, {
          flag: 'wx',
        })
      } catch (cause) {
        const { code, message } = cause as NodeJS.ErrnoException
        throw new CliError(
          code === 'EEXIST'
            ? `${file} exists already: remove it first, or take another --bundle`
            : `cannot write ${file}: ${message}`,
          { cause },
        )
      }
    })
