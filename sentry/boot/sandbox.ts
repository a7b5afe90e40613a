// Puts a sandbox together on a fresh kernel: file systems, the first process with its standard streams, and
// the control socket.

import { errnoMessage } from '../../syscall-table/errno.ts'
import { AT_FDCWD, MS_RDONLY, POLLRDHUP, S_IFCHR, SIGKILL } from '../../syscall-table/flags.ts'
import { type MountConfig, type ProcessConfig, type SandboxConfig, SENTRY_FDS } from '../config.ts'
import { ControlServer } from '../control.ts'
import { makeDev } from '../fs/dev/registry.ts'
import '../fs/file-systems.ts'
import type { GoferClient } from '../fs/gofer/client.ts'
import { GoferConnection } from '../fs/gofer/connection.ts'
import { mountGofer } from '../fs/gofer/super.ts'
import type { HostTerminal } from '../fs/host/terminal.ts'
import { mountOverlay } from '../fs/overlay/mount.ts'
import { groupExit } from '../kernel/exit.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { adoptHostIds } from '../kernel/user-namespace.ts'
import type { SuperBlock } from '../vfs/inode.ts'
import { mountFlags, mountRoot } from '../vfs/mounting.ts'
import { WALK_DIRECTORY, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { BootError } from './boot-error.ts'
import { containerCommands } from './commands.ts'
import { Container, type Started } from './container.ts'
import { makeDevices } from './devices.ts'
import { createInit, prepareProgram, startProgram } from './init.ts'
import { mountConfigured } from './mounts.ts'
import { makePlace } from './places.ts'
import { restrictPaths } from './restrict.ts'
import { containerSeccomp } from './seccomp.ts'
import { StandIn } from './stand-in.ts'
import { runStartHooks } from './start-hooks.ts'
import { openStreams, openTerminal } from './streams.ts'
import { applySysctls } from './sysctls.ts'
import { traceCalls } from './trace.ts'

/** The root file system's attach point. */
const ROOT_ATTACH = 0
/** Device 5:1. */
const CONSOLE_DEV = makeDev(5, 1)

/** A sandbox that has been put together. */
export interface RunningSandbox {
  /** Write out what the terminal still holds; the program has ended. */
  end(): void
}

/** Make everything that `config` asks for; the program runs as soon as the run loop does (or at `start`). */
export function startSandbox(
  kernel: Kernel,
  config: SandboxConfig,
  client: GoferClient,
  ready: Started,
): RunningSandbox {
  const gofer = new GoferConnection(client)
  mountRoot(
    kernel,
    rootFileSystem(kernel, config, gofer),
    mountFlags(config.root.readonly ? MS_RDONLY : 0),
    'none',
  )
  if (config.idMaps !== null) adoptHostIds(config.idMaps.uids, config.idMaps.gids)
  const init = createInit(kernel)
  const mounts = mountConfigured(init, config, mount => attachPoint(kernel, gofer, mount))
  makeDevices(init, config)
  // runc: the working directory is made while that is still possible.
  makePlace(init, config.process.cwd, 'directory')
  mounts.seal()
  applySysctls(init, config)
  restrictPaths(init, config)
  const seccomp = containerSeccomp(config.seccomp)
  // Without its files the sandbox is of no use, and must not stay behind as a ruin.
  kernel.hostEvents.watch(SENTRY_FDS.gofer, POLLRDHUP, {
    onHostEvent: () => groupExit(kernel.init, SIGKILL),
  })
  const terminal = openInitStreams(init, config.process)
  const standIn = new StandIn(init.group, SENTRY_FDS.standIn)
  standIn.terminal = terminal
  const file = prepareProgram(init, config.process, seccomp)
  let started = false
  const start = (done: Started) => {
    if (started) return done(null)
    started = true
    runStartHooks(kernel, config, seccomp, error => {
      if (error !== null) return done(error)
      terminal?.followSize()
      done(attempt(() => startProgram(init, config.process, file)))
      if (config.strace) traceCalls(kernel, init, SENTRY_FDS.log)
    })
  }
  if (config.waitForStart) ready(null)
  else start(ready)
  const container = new Container(kernel, config, seccomp, start, terminal)
  new ControlServer(kernel, SENTRY_FDS.control, containerCommands(container))
  return {
    end() {
      terminal?.drain()
      standIn.end()
    },
  }
}

function attempt(run: () => void): BootError | null {
  try {
    run()
    return null
  } catch (error) {
    if (error instanceof BootError) return error
    throw error
  }
}

function rootFileSystem(kernel: Kernel, config: SandboxConfig, gofer: GoferConnection): SuperBlock {
  const lower = mountGofer(kernel, gofer, ROOT_ATTACH, {
    shared: false,
    readonly: config.root.readonly,
  })
  if (typeof lower === 'number')
    throw new BootError(`attach the root file system: ${errnoMessage(-lower)}`)
  return config.root.overlay ? mountOverlay(kernel, lower) : lower
}

function attachPoint(
  kernel: Kernel,
  gofer: GoferConnection,
  mount: MountConfig,
): SuperBlock | number {
  return mountGofer(kernel, gofer, mount.attach!, {
    shared: true,
    readonly: (mount.flags & MS_RDONLY) !== 0,
  })
}

/** Descriptors 0, 1 and 2: the terminal of the sandbox, or what runsc was given. */
function openInitStreams(init: Task, process: ProcessConfig): HostTerminal | null {
  const terminal = process.terminal
    ? openTerminal(init, process, SENTRY_FDS.terminal)
    : openStreams(init, process, [0, 1, 2], 0)
  if (terminal !== null) makeConsole(init)
  return terminal
}

/** /dev/console is the sandbox's terminal. */
function makeConsole(init: Task): void {
  const n = walkPath(init, AT_FDCWD, '/dev', WALK_FOLLOW | WALK_DIRECTORY)
  if (n < 0) return
  walk.dentry.inode!.mknod('console', S_IFCHR | 0o620, CONSOLE_DEV, init.creds)
}
