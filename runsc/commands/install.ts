import { realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, Option } from 'commander'
import { CliError } from '../errors.ts'
import { gvisorFlag } from '../gvisor-flags.ts'
import {
  checkName,
  DOCKER_CONFIG,
  installDocker,
  SNIPPETS,
  type Snippet,
  snippet,
  uninstallDocker,
} from '../install.ts'
import { isFlag } from '../options.ts'
import { spellOut } from '../spelling.ts'

interface InstallOptions {
  config_file: string
  runtime: string
  print?: Snippet
}

const configFile = () =>
  new Option('--config_file <file>', "Docker's configuration").default(DOCKER_CONFIG)
const runtimeName = () =>
  new Option('--runtime <name>', 'name of the runtime in the engine').default('portcullis')

export const installCommand = () =>
  new Command('install')
    .description('add this runtime to Docker, or print what other engines need')
    .argument('[args...]', 'behind "--": global flags that the engine is to pass, as --strace')
    .addOption(configFile())
    .addOption(runtimeName())
    .addOption(
      new Option('--print <engine>', 'print the configuration for another engine').choices(
        SNIPPETS,
      ),
    )
    .action((args: string[], options: InstallOptions, command: Command) => {
      checkName(options.runtime)
      checkArguments(args, command.parent!)
      const runtime = { name: options.runtime, path: ownPath(), args }
      process.stdout.write(
        options.print === undefined
          ? `${installDocker(options.config_file, runtime)}\n`
          : snippet(options.print, runtime),
      )
    })

export const uninstallCommand = () =>
  new Command('uninstall')
    .description('take this runtime out of Docker')
    .addOption(configFile())
    .addOption(runtimeName())
    .action((options: InstallOptions) => {
      checkName(options.runtime)
      process.stdout.write(`${uninstallDocker(options.config_file, options.runtime)}\n`)
    })

/** A flag that is wrong would make every container fail, long after this. */
function checkArguments(args: readonly string[], program: Command): void {
  const fail = (arg: string, why: string): never => {
    throw new CliError(`argument "${arg}": ${why}`)
  }
  for (const arg of args) {
    const [name = ''] = arg.split('=')
    const option = program.options.find(o => o.long === name.replace(/^--?/, '--'))
    if (option === undefined && gvisorFlag(name.replace(/^--?/, '')) === null)
      fail(arg, 'there is no such global flag')
    if (option !== undefined && !isFlag(option) && !arg.includes('='))
      fail(arg, `give its value as ${name}=VALUE`)
    try {
      for (const word of spellOut([arg], program).words) {
        const value = word.slice(word.indexOf('=') + 1)
        option?.parseArg?.(value, undefined)
      }
    } catch (error) {
      fail(arg, (error as Error).message)
    }
  }
}

/** The command that engines call: the script in front of this bundle, wherever it was called through. */
function ownPath(): string {
  const here = dirname(fileURLToPath(import.meta.url))
  const script = join(here, here.endsWith('build') ? '../runsc/bin/runsc' : '../bin/runsc')
  try {
    return realpathSync(script)
  } catch (cause) {
    throw new CliError(`cannot find the command itself, ${script}`, { cause })
  }
}
