import { Command } from 'commander'
import { ALL_CAPABILITIES } from '../capabilities.ts'
import { runOnce } from '../container.ts'
import { type GlobalOptions, integer } from '../options.ts'
import { terminalSize } from '../output.ts'
import { type Overlay, parseOverlay } from '../overlay.ts'
import { type Spec, SYSTEM_MOUNTS, validateSpec } from '../spec.ts'
import { OCI_VERSION } from '../version.ts'

interface DoOptions {
  root: string
  cwd: string
  tty?: boolean
  forceOverlay: boolean
  uid: number
  gid: number
}

export const doCommand = () =>
  new Command('do')
    .description("run one command on the host's files; what it writes stays in memory")
    .argument('<command...>')
    .passThroughOptions()
    .option('--root <dir>', 'the root file system', '/')
    .option('--cwd <dir>', 'working directory', process.cwd())
    .option('-t, --tty', 'give the program a terminal (default: when stdin and stdout are one)')
    .option('--no-force-overlay', 'let writes reach the root file system')
    .option('--uid <uid>', 'user id of the program', integer(0, 2 ** 32 - 2), 0)
    .option('--gid <gid>', 'group id of the program', integer(0, 2 ** 32 - 2), 0)
    .action(async (args: string[], options: DoOptions, command: Command) => {
      const given = command.parent!.opts<GlobalOptions>()
      const globals = { ...given, network: given.network ?? ('none' as const) }
      const tty = options.tty ?? (terminalSize(0) !== null && terminalSize(1) !== null)
      process.exitCode = await runOnce(
        globals,
        doSpec(args, options, tty),
        doOverlay(options.forceOverlay, given.overlay2),
      )
    })

/** Without --overlay2, what is written stays in memory; with --force-overlay=false, it does not. */
const doOverlay = (force: boolean, overlay2: string): Overlay =>
  parseOverlay(!force ? 'none' : overlay2 === 'none' ? 'root:memory' : overlay2)

/** The bundle-less configuration: the host's environment and files, all capabilities of the sandbox. */
function doSpec(args: string[], options: DoOptions, terminal: boolean): Spec {
  const all = [...ALL_CAPABILITIES]
  const env = Object.entries(process.env).map(([key, value]) => `${key}=${value ?? ''}`)
  return validateSpec(
    {
      ociVersion: OCI_VERSION,
      process: {
        terminal,
        user: { uid: options.uid, gid: options.gid },
        args,
        env,
        cwd: options.cwd,
        capabilities: {
          bounding: all,
          effective: all,
          permitted: all,
          inheritable: [],
          ambient: [],
        },
      },
      root: { path: options.root },
      hostname: 'runsc-sandbox',
      mounts: SYSTEM_MOUNTS,
    },
    'runsc do',
  )
}
