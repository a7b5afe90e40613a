import { join, resolve } from 'node:path'
import { Command, Option } from 'commander'
import { reportFailure } from '../log.ts'
import type { GlobalOptions } from '../options.ts'
import { print } from '../output.ts'
import { readJson } from '../spec.ts'
import { type ContainerState, ociState, StateStore, statusOf } from '../state.ts'
import { textTable } from '../table.ts'

interface ListOptions {
  root: string
  quiet: boolean
  format: 'text' | 'table' | 'json'
  sandbox: boolean
}

export const listCommand = () =>
  new Command('list')
    .description('list the containers under --root')
    .option('-q, --quiet', 'ids only', false)
    .addOption(
      new Option('-f, --format <format>', 'table (or text), or json')
        .choices(['text', 'table', 'json'])
        .default('text'),
    )
    .option('--sandbox', 'only those that are the first in their sandbox', false)
    .action((_options: unknown, command: Command) => {
      const { root, quiet, format, sandbox } = command.optsWithGlobals<ListOptions>()
      const store = new StateStore(root)
      const states = store
        .ids()
        .filter(id => !sandbox || store.sandboxOf(id) === id)
        .map(id => loadOrTell(store, id, command))
        .filter(state => state !== null)
      if (quiet) print(states.map(state => `${state.id}\n`).join(''))
      else if (format === 'json') print(`${JSON.stringify(states.map(listed))}\n`)
      else print(table(states))
    })

/** A container whose state is damaged must not hide the others. */
function loadOrTell(store: StateStore, id: string, command: Command): ContainerState | null {
  try {
    return store.tryLoad(id)
  } catch (error) {
    reportFailure((error as Error).message, command.optsWithGlobals<GlobalOptions>())
    return null
  }
}

/** In the order of runc, which scripts without a parser count on. */
function listed(state: ContainerState): Record<string, unknown> {
  const { ociVersion, id, pid, status, bundle, annotations } = ociState(state)
  const more = Object.keys(state.annotations).length > 0 ? { annotations } : {}
  const { created, owner } = state
  const rootfs = rootOf(state.bundle)
  const name = owner === 0 ? 'root' : String(owner)
  return { ociVersion, id, pid, status, bundle, rootfs, created, ...more, owner: name }
}

/** Where the container's root is on the host, as far as its bundle still tells. */
function rootOf(bundle: string): string {
  try {
    const { root } = readJson(join(bundle, 'config.json')) as { root?: { path?: unknown } }
    return resolve(bundle, String(root?.path ?? ''))
  } catch {
    return ''
  }
}

function table(states: ContainerState[]): string {
  const rows = [['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER']]
  for (const state of states) {
    const status = statusOf(state)
    const pid = status === 'stopped' ? 0 : state.pid
    rows.push([
      state.id,
      String(pid),
      status,
      state.bundle,
      state.created,
      state.owner === 0 ? 'root' : String(state.owner),
    ])
  }
  return textTable(rows)
}
