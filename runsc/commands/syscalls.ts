import { writeFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { errnoMessage, errnoText } from '../../syscall-table/errno.ts'
import { type NamedRow, rowsByNumber } from '../../syscall-table/syscalls.ts'
import { CliError } from '../errors.ts'
import { textTable } from '../table.ts'

interface SyscallsOptions {
  format: keyof typeof FORMATS
  filename?: string
}

const OS = 'linux'
const ARCH = 'amd64'

/** In gVisor's words. */
const support = ({ todo, partial }: NamedRow): string =>
  todo !== undefined ? 'Unimplemented' : partial === undefined ? 'Full Support' : 'Partial Support'

function note({ todo, partial, note: more }: NamedRow): string {
  const error =
    todo === undefined ? undefined : `${errnoText.get(todo)?.[0] ?? todo} (${errnoMessage(todo)})`
  return [error, partial, more].filter(text => text !== undefined).join('; ')
}

/** The table of system calls in gVisor's forms. */
const FORMATS = {
  table: () =>
    `${OS}/${ARCH}:\n\n${textTable(
      [
        ['NUM', 'NAME', 'SUPPORT', 'NOTE'],
        ...rowsByNumber.map(row => [String(row.nr), row.name, support(row), note(row)]),
      ],
      2,
    )}`,
  csv: () =>
    [
      ['OS', 'Arch', 'Num', 'Name', 'Support', 'Note'],
      ...rowsByNumber.map(row => [OS, ARCH, String(row.nr), row.name, support(row), note(row)]),
    ]
      .map(cells => `${cells.map(csvCell).join(',')}\n`)
      .join(''),
  json: () => {
    const syscalls = Object.fromEntries(
      rowsByNumber.map(row => [row.nr, { name: row.name, support: support(row), note: note(row) }]),
    )
    return `${JSON.stringify({ [OS]: { [ARCH]: { syscalls } } }, null, 2)}\n`
  },
}

/** RFC 4180. */
const csvCell = (text: string): string =>
  /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text

export const syscallsCommand = () =>
  new Command('syscalls')
    .description('tell which system calls are supported, and how far')
    .addOption(
      new Option('-o, --format <format>', 'form of the list')
        .choices(Object.keys(FORMATS))
        .default('table'),
    )
    .option('--filename <file>', 'where to write it (default: standard output)')
    .addOption(new Option('--os <name>', 'as for gVisor').choices([OS, 'all']).default('all'))
    .addOption(new Option('--arch <name>', 'as for gVisor').choices([ARCH, 'all']).default('all'))
    .action(({ format, filename }: SyscallsOptions) => {
      const text = FORMATS[format]()
      if (filename === undefined) process.stdout.write(text)
      else write(filename, text)
    })

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (cause) {
    throw new CliError(`cannot write --filename ${file}: ${(cause as Error).message}`, { cause })
  }
}
