// Command lines in gVisor's spelling (-flag, --flag, --flag=value, --flag=false) become what commander takes.

import type { Command, Option } from 'commander'
import { CliError } from './errors.ts'
import { foreignOptions } from './foreign-commands.ts'
import { foreignFlag, gvisorFlag } from './gvisor-flags.ts'
import { isFlag, truth } from './options.ts'

export interface Spelled {
  words: string[]
  /** What is to be told in the debug log. */
  notes: string[]
}

/** Respell the words of a command line, those of a command by the options that it has. */
export function spellOut(argv: readonly string[], program: Command): Spelled {
  const notes: string[] = []
  return { words: spell(argv, program, gvisorFlag, notes), notes }
}

function spell(
  argv: readonly string[],
  command: Command,
  other: typeof gvisorFlag,
  notes: string[],
): string[] {
  const reader = new Reader(argv, command.options, other, notes)
  if (command.commands.length === 0) {
    while (reader.readOptions() && !takesTheRest(command)) reader.readOperand()
    return [...reader.words, ...argv.slice(reader.at)]
  }
  reader.readOptions()
  const [name, ...rest] = withoutHelp(argv.slice(reader.at), command)
  if (name === undefined) return reader.words
  const next = command.commands.find(c => c.name() === name)
  const others = (option: string) => foreignFlag(foreignOptions(name), option)
  const words = next === undefined ? rest : spell(rest, next, others, notes)
  return [...reader.words, name, ...words]
}

/** Topics of `help` that are commands here. */
const TOPICS = ['flags', 'platforms', 'syscalls']

/** `help` of what is no command is that command line itself, which is refused with a suggestion. */
function withoutHelp(words: readonly string[], program: Command): readonly string[] {
  const [help, topic = ''] = words
  const known = program.commands.some(c => c.name() === topic) && !TOPICS.includes(topic)
  return help !== 'help' || words.length === 1 || known ? words : words.slice(1)
}

/** Behind the first operand stands another program's command line. */
const takesTheRest = (command: Command): boolean =>
  (command as unknown as { _passThroughOptions?: boolean })._passThroughOptions === true

class Reader {
  readonly words: string[] = []
  at = 0
  readonly #argv: readonly string[]
  readonly #options: readonly Option[]
  readonly #other: typeof gvisorFlag
  readonly #notes: string[]

  constructor(
    argv: readonly string[],
    options: readonly Option[],
    other: typeof gvisorFlag,
    notes: string[],
  ) {
    this.#argv = argv
    this.#options = options
    this.#other = other
    this.#notes = notes
  }

  readOperand(): void {
    this.words.push(this.#argv[this.at++]!)
  }

  /** Up to the first operand. False when there is none: the words end, or "--" comes. */
  readOptions(): boolean {
    for (;;) {
      const word = this.#argv[this.at]
      if (word === undefined || word === '--') return false
      if (!word.startsWith('-') || word === '-') return true
      this.at++
      this.#readOption(word)
    }
  }

  #readOption(word: string): void {
    const equals = word.indexOf('=')
    const name = (equals < 0 ? word : word.slice(0, equals)).replace(/^--?/, '')
    const value = equals < 0 ? undefined : word.slice(equals + 1)
    const option = this.#options.find(o => o.long === `--${name}`)
    if (option !== undefined && (word.startsWith('--') || name.length > 1))
      return this.#known(option, value)
    const short = this.#options.find(o => o.short === word)
    if (short !== undefined) return this.#known(short, undefined)
    const found = this.#other(name)
    if (found !== null) {
      this.#notes.push(...found.note(value ?? (found.flag ? 'true' : this.#next(name))))
      return
    }
    // Short ones may be run together, or with a value.
    const attached = !word.startsWith('--') && this.#options.some(o => o.short === word.slice(0, 2))
    if (attached) {
      this.words.push(word)
      return
    }
    // In two words, so that a misspelt name is suggested without its value.
    this.words.push(name.length === 1 ? `-${name}` : `--${name}`)
    if (value !== undefined) this.words.push(value)
  }

  #known(option: Option, value: string | undefined): void {
    const name = option.long ?? option.short!
    if (!option.required && !option.optional) return this.#switch(option, name, value)
    if (isFlag(option)) {
      const next = this.#argv[this.at]
      // A word of its own is a value only where that cannot be a command.
      const separate = value === undefined && option.argChoices?.includes(next ?? '') === true
      if (separate) this.at++
      this.words.push(`${name}=${value ?? (separate ? next : 'true')}`)
      return
    }
    if (value !== undefined) this.words.push(`${name}=${value}`)
    else {
      this.words.push(name)
      if (this.at < this.#argv.length) this.readOperand()
    }
  }

  /** An option of a command that has no value for commander. */
  #switch(option: Option, name: string, value: string | undefined): void {
    if (value === undefined || boolean(name, value)) this.words.push(name)
    else {
      const opposite = option.negate ? name.replace('--no-', '--') : name.replace('--', '--no-')
      if (this.#options.some(o => o.long === opposite)) this.words.push(opposite)
    }
  }

  #next(name: string): string {
    const word = this.#argv[this.at++]
    if (word === undefined) throw new CliError(`option --${name}: its value is missing`)
    return word
  }
}

function boolean(name: string, text: string): boolean {
  try {
    return truth(text)
  } catch {
    throw new CliError(`option ${name} takes true or false, not "${text}"`)
  }
}
