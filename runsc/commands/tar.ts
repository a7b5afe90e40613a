import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { Command } from 'commander'
import { CliError } from '../errors.ts'
import { receive, toStdout } from '../outlet.ts'
import { liveSocket, StateStore } from '../state.ts'

export const tarCommand = () =>
  new Command('tar')
    .description("archive a container's files")
    .argument('[what]')
    .action((what?: string) => {
      const found = what === undefined ? 'nothing is named' : `there is no "${what}"`
      throw new CliError(`tar: ${found}: expected rootfs-upper`)
    })
    .addCommand(
      new Command('rootfs-upper')
        .description('what the container has changed in its root, of a root with --overlay2')
        .argument('<id>')
        .option('--file <file>', 'where to write the archive (default: standard output)')
        .action(async (id: string, options: { file?: string }, command: Command) => {
          const store = new StateStore(command.optsWithGlobals().root)
          await rootfsUpper(liveSocket(store, id, 'tar'), id, options.file)
        }),
    )

async function rootfsUpper(socket: string, id: string, file: string | undefined): Promise<void> {
  const message = { command: 'tar', container: id }
  if (file === undefined) return receive(socket, message, toStdout)
  const fd = attempt(file, () => openSync(file, 'wx', 0o600))
  try {
    await receive(socket, message, bytes => attempt(file, () => writeAll(fd, bytes)))
  } catch (error) {
    // Half an archive would be taken for one.
    rmSync(file, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
}

function attempt<T>(file: string, write: () => T): T {
  try {
    return write()
  } catch (cause) {
    throw new CliError(`cannot write --file ${file}: ${(cause as Error).message}`, { cause })
  }
}
