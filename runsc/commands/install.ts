import { realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, Option } from 'commander'
import { CliError } from '../errors.ts'
import {
  checkName,
  DOCKER_CONFIG,
  installDocker,
  SNIPPETS,
  type Snippet,
  snippet,
  uninstallDocker,
} from '../install.ts'
import { globalOptions } from '../options.ts'

interface InstallOptions {
  config_file: string
  runtime: string
  print?: Snippet
}

const configFile = () =>
  new Option('--config_file <file>', "Docker's configuration").default(DOCKER_CONFIG)
const runtimeName = () =>
  new Option('--runtime <name>', 'name of the runtime in the engine').default('runsc')

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
    .action((args: string[], options: InstallOptions) => {
      checkName(options.runtime)
      checkArguments(args)
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
function checkArguments(args: readonly string[]): void {
  const known = globalOptions()
  for (const arg of args) {
    const [name] = arg.split('=')
    const option = known.find(o => o.long === name)
    if (option === undefined) throw new CliError(`argument "${arg}": there is no such global flag`)
    if (!option.isBoolean() && !arg.includes('='))
      throw new CliError(`argument "${arg}": give its value as ${name}=VALUE`)
    const choices = option.argChoices
    const value = arg.slice(arg.indexOf('=') + 1)
    if (choices !== undefined && !choices.includes(value))
      throw new CliError(`argument "${arg}": expected one of ${choices.join(', ')}`)
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
