import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { CliError } from '../errors.ts'
import { starterSpec } from '../spec.ts'

interface SpecOptions {
  bundle: string
  cwd: string
  netns?: string
  rootless: boolean
}

export const specCommand = () =>
  new Command('spec')
    .description('write a starter config.json into a bundle')
    .argument('[args...]', 'the program and its arguments', ['sh'])
    .option('-b, --bundle <dir>', 'the bundle', '.')
    .option('--cwd <dir>', 'working directory of the program', '/')
    .option('--netns <path>', 'a network namespace to join')
    .option('--rootless', 'map the caller to root of a user namespace', false)
    .action((args: string[], options: SpecOptions) => {
      const { bundle, cwd, netns } = options
      const rootless = options.rootless
        ? { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
        : null
      const spec = starterSpec({ args, cwd, rootless, ...(netns === undefined ? {} : { netns }) })
      writeNew(join(bundle, 'config.json'), `${JSON.stringify(spec, null, 2)}\n`)
    })

function writeNew(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx' })
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    throw new CliError(
      code === 'EEXIST'
        ? `${file} exists already: remove it first, or take another --bundle`
        : `cannot write ${file}: ${message}`,
      { cause },
    )
  }
}
