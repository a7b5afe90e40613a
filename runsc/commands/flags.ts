import { Command, type Option } from 'commander'
import { CliError } from '../errors.ts'
import { foreignOptions } from '../foreign-commands.ts'
import { type ForeignFlag, foreignFlags, gvisorFlags } from '../gvisor-flags.ts'

export const flagsCommand = () =>
  new Command('flags')
    .description('describe all flags that stand before the command, or those of a command')
    .argument('[command]')
    .action((name: string | undefined, _options: unknown, self: Command) => {
      process.stdout.write(flagsText(self.parent!, name))
    })

function flagsText(program: Command, name: string | undefined): string {
  if (name === undefined) return `${options(program)}${foreign(gvisorFlags())}`
  const command = program.commands.find(one => one.name() === name)
  if (command === undefined)
    throw new CliError(`there is no command "${name}"; see \`runsc --help\``)
  return `${options(command)}${foreign(foreignFlags(foreignOptions(name)))}`
}

const options = (command: Command): string => command.options.map(describe).join('')

function describe({ flags, description, defaultValue, argChoices }: Option): string {
  const notes: string[] = []
  if (argChoices !== undefined) notes.push(`one of ${argChoices.join(', ')}`)
  if (defaultValue !== undefined && defaultValue !== '')
    notes.push(`default ${Array.isArray(defaultValue) ? 'none' : String(defaultValue)}`)
  return entry(flags, `${description}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}`)
}

const entry = (flags: string, text: string): string => `  ${flags}\n        ${text}\n`

/** What users of gVisor and runc may have in their configurations and scripts. */
function foreign(all: readonly ForeignFlag[]): string {
  const list = (head: string, refused: boolean) => {
    const some = all.filter(one => one.refused === refused)
    const text = some.map(({ name, flag, why }) => entry(`--${name}${flag ? '' : ' <value>'}`, why))
    return some.length === 0 ? '' : `\n${head}:\n${text.join('')}`
  }
  return [
    list('Flags of gVisor and runc that are taken and have no effect', false),
    list('Flags of gVisor and runc that are refused when they ask for something', true),
  ].join('')
}
