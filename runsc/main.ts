// The runsc command line: one file per command under commands/, listed here.

import { Command } from 'commander'
import { closeOnExec } from '../native/index.ts'
import { createCommand } from './commands/create.ts'
import { deleteCommand } from './commands/delete.ts'
import { doCommand } from './commands/do.ts'
import { eventsCommand } from './commands/events.ts'
import { execCommand } from './commands/exec.ts'
import { featuresCommand } from './commands/features.ts'
import { flagsCommand } from './commands/flags.ts'
import { installCommand, uninstallCommand } from './commands/install.ts'
import { killCommand } from './commands/kill.ts'
import { listCommand } from './commands/list.ts'
import { pauseCommand } from './commands/pause.ts'
import { platformsCommand } from './commands/platforms.ts'
import { portForwardCommand } from './commands/port-forward.ts'
import { psCommand } from './commands/ps.ts'
import { readCommand } from './commands/read.ts'
import { resumeCommand } from './commands/resume.ts'
import { runCommand } from './commands/run.ts'
import { specCommand } from './commands/spec.ts'
import { startCommand } from './commands/start.ts'
import { stateCommand } from './commands/state.ts'
import { syscallsCommand } from './commands/syscalls.ts'
import { tarCommand } from './commands/tar.ts'
import { updateCommand } from './commands/update.ts'
import { usageCommand } from './commands/usage.ts'
import { waitCommand } from './commands/wait.ts'
import { CliError, EXIT_FAILURE } from './errors.ts'
import { openDebugLog, reportFailure } from './log.ts'
import { type GlobalOptions, globalOptions } from './options.ts'
import { beginForked, MAKERS } from './processes.ts'
import { OCI_VERSION } from './spec.ts'
import { spellOut } from './spelling.ts'
import { VERSION } from './version.ts'

/** The first descriptor behind the standard streams. */
const FIRST_OTHER = 3

const COMMANDS: Readonly<Record<string, () => Command>> = {
  exec: execCommand,
  ps: psCommand,
  wait: waitCommand,
  do: doCommand,
  run: runCommand,
  spec: specCommand,
  features: featuresCommand,
  install: installCommand,
  uninstall: uninstallCommand,
  create: createCommand,
  start: startCommand,
  state: stateCommand,
  kill: killCommand,
  delete: deleteCommand,
  list: listCommand,
  pause: pauseCommand,
  resume: resumeCommand,
  update: updateCommand,
  events: eventsCommand,
  read: readCommand,
  tar: tarCommand,
  'port-forward': portForwardCommand,
  usage: usageCommand,
  flags: flagsCommand,
  syscalls: syscallsCommand,
  platforms: platformsCommand,
}

const HELP = ['help', '-h', '-help', '--help']

/** The commands that these words can lead to: those that are among them, or all when somebody asks or errs. */
function candidates(words: readonly string[]): string[] {
  const all = Object.keys(COMMANDS)
  const named = all.filter(name => words.includes(name))
  return named.length === 0 || HELP.some(word => words.includes(word)) ? all : named
}

function build(words: readonly string[]): Command {
  const program = quiet(new Command('runsc'))
    .description(
      'Runs programs on a Linux kernel of their own, written in TypeScript, in user space.',
    )
    .version(`runsc version ${VERSION}\nspec: ${OCI_VERSION}`, '-v, --version', 'print the version')
    .enablePositionalOptions()
    .showSuggestionAfterError()
  for (const option of globalOptions()) program.addOption(option)
  for (const name of candidates(words)) program.addCommand(quiet(COMMANDS[name]!()))
  return program
}

/** What is wrong is told by us, in one line. */
function quiet(command: Command): Command {
  for (const below of command.commands) quiet(below)
  return command.exitOverride().configureOutput({ writeErr: () => {} })
}

async function main(): Promise<void> {
  // Whatever whoever called us has left open is none of the sandbox's business.
  closeOnExec(FIRST_OTHER)
  const argv = process.argv.slice(2)
  const program = build(argv)
  try {
    const { words, notes } = spellOut(argv, program)
    program.hook('preAction', (_program, command) => {
      if (MAKERS.includes(command.name())) beginForked()
      return logNotes(program.opts<GlobalOptions>(), notes)
    })
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    process.exitCode = exitStatusOf(error, program)
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

function exitStatusOf(error: unknown, program: Command): number {
  // Commander's own: help and version have been printed, usage errors have not.
  if (error instanceof Error && 'code' in error && String(error.code).startsWith('commander.')) {
    if ((error as { exitCode?: number }).exitCode === 0) return 0
    if (error.code === 'commander.help') {
      process.stderr.write(program.helpInformation())
      return EXIT_FAILURE
    }
    reportFailure(
      `${error.message.replace(/^error: /, '').replace(/\n/g, ' ')}; see \`runsc --help\``,
      program.opts(),
    )
    return EXIT_FAILURE
  }
  reportFailure(error instanceof Error ? error.message : String(error), program.opts())
  if (program.opts().debug && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  return error instanceof CliError ? error.exitStatus : EXIT_FAILURE
}

void main()
