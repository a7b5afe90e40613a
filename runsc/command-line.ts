// runsc's command line: reading it, and telling what is wrong.

import { Command } from 'commander'
import { closeOnExec } from '../native/host.ts'
import { CliError, EXIT_FAILURE } from './errors.ts'
import { absentCommand } from './foreign-commands.ts'
import { beginForked, MAKERS } from './forked.ts'
import { openDebugLog, reportFailure } from './log.ts'
import { type GlobalOptions, globalOptions } from './options.ts'
import { complain } from './output.ts'
import { spellOut } from './spelling.ts'
import { OCI_VERSION, VERSION } from './version.ts'

/** The first descriptor behind the standard streams. */
const FIRST_OTHER = 3

/** Each is loaded when it is named: loading all would take longer than most of them. */
export type Commands = Readonly<Record<string, () => Promise<Command>>>

/** Engines ask for it at their start. */
const VERSIONS = ['-v', '--version', '-version']
const HELP = ['help', '-h', '-help', '--help']

/** The commands that these words can lead to: those that are among them, or all when somebody asks or errs. */
function candidates(commands: Commands, words: readonly string[]): string[] {
  const all = Object.keys(commands)
  if (words.length === 1 && VERSIONS.includes(words[0]!)) return []
  const named = all.filter(name => words.includes(name))
  return named.length === 0 || HELP.some(word => words.includes(word)) ? all : named
}

async function build(commands: Commands, words: readonly string[]): Promise<Command> {
  const program = quiet(new Command('runsc'))
    .description(
      'Runs programs on a Linux kernel of their own, written in TypeScript, in user space.',
    )
    .version(`runsc version ${VERSION}\nspec: ${OCI_VERSION}`, '-v, --version', 'print the version')
    .enablePositionalOptions()
    .showSuggestionAfterError()
  for (const option of globalOptions()) program.addOption(option)
  for (const name of candidates(commands, words)) program.addCommand(quiet(await commands[name]!()))
  return program
}

/** What is wrong is told by us, in one line. */
function quiet(command: Command): Command {
  for (const below of command.commands) quiet(below)
  return command.exitOverride().configureOutput({ writeErr: () => {} })
}

/** Run the command that this process was called for. */
export async function main(commands: Commands): Promise<void> {
  // Whatever whoever called us has left open is none of the sandbox's business.
  closeOnExec(FIRST_OTHER)
  const argv = process.argv.slice(2)
  const program = await build(commands, argv)
  try {
    const { words, notes } = spellOut(argv, program)
    program.hook('preAction', (_program, command) => {
      if (MAKERS.includes(command.name())) beginForked()
      return logNotes(program.opts<GlobalOptions>(), notes)
    })
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    process.exitCode = exitStatusOf(error, program, failureLog(argv, program))
  }
  // Node.js would take itself apart piece by piece.
  if (process.getActiveResourcesInfo().length === 0) process.exit()
}

/** Flags that have no effect are told in the debug log. */
async function logNotes(options: GlobalOptions, notes: readonly string[]): Promise<void> {
  if (notes.length === 0) return
  const log = await openDebugLog(options, 'flags', '')
  for (const note of notes) log.warn(note)
}

type FailureLog = Partial<Pick<GlobalOptions, 'log' | 'logFormat'>>

/** Where a failure is to be told. Engines read it also when the words before --log are what is wrong. */
function failureLog(argv: readonly string[], program: Command): FailureLog {
  const { log, logFormat } = program.opts<FailureLog>()
  if (log !== undefined) return { log, ...(logFormat && { logFormat }) }
  const names = program.commands.map(command => command.name())
  const end = argv.findIndex(word => word === '--' || names.includes(word))
  const words = end < 0 ? argv : argv.slice(0, end)
  const file = optionIn(words, 'log')
  const format = optionIn(words, 'log-format') === 'json' ? 'json' : 'text'
  return file === undefined ? {} : { log: file, logFormat: format }
}

/** The value of an option among words that may be wrong. */
function optionIn(words: readonly string[], name: string): string | undefined {
  const given = words.findIndex(word => /^--?([^=]*)/.exec(word)?.[1] === name)
  if (given < 0) return undefined
  const equals = words[given]!.indexOf('=')
  return equals < 0 ? words[given + 1] : words[given]!.slice(equals + 1)
}

function exitStatusOf(error: unknown, program: Command, log: FailureLog): number {
  // Commander's own: help and version have been printed, usage errors have not.
  if (error instanceof Error && 'code' in error && String(error.code).startsWith('commander.')) {
    if ((error as { exitCode?: number }).exitCode === 0) return 0
    if (error.code === 'commander.help') {
      complain(program.helpInformation())
      return EXIT_FAILURE
    }
    reportFailure(usageError(error.message, program), log)
    return EXIT_FAILURE
  }
  reportFailure(error instanceof Error ? error.message : String(error), log)
  if (program.opts().debug && error instanceof Error) complain(`${error.stack}\n`)
  return error instanceof CliError ? error.exitStatus : EXIT_FAILURE
}

/** What commander says, in one line; of what others' command lines have, the reason why this one has not. */
function usageError(text: string, program: Command): string {
  const [, name = ''] = /unknown command '([^']*)'/.exec(text) ?? []
  const why = absentCommand(name)
  if (why !== undefined) return `${name} is not supported: ${why}`
  const named = program.commands.find(command => command.name() === program.args[0])?.name()
  const help = named === undefined ? 'runsc --help' : `runsc help ${named}`
  return `${text.replace(/^error: /, '').replace(/\n/g, ' ')}; see \`${help}\``
}
