// Puts a sandbox together on a fresh kernel: file systems, the first process with its standard streams, and
// the control socket.

import { errnoMessage } from '../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  MS_RDONLY,
  O_RDONLY,
  O_WRONLY,
  POLLRDHUP,
  S_IFCHR,
  SIGKILL,
} from '../../syscall-table/flags.ts'
import { type MountConfig, type SandboxConfig, SENTRY_FDS } from '../config.ts'
import { ControlServer } from '../control.ts'
import { makeDev } from '../fs/dev/registry.ts'
import '../fs/file-systems.ts'
import type { GoferClient } from '../fs/gofer/client.ts'
import { GoferConnection } from '../fs/gofer/connection.ts'
import { mountGofer } from '../fs/gofer/super.ts'
import { hostFile } from '../fs/host/host-file.ts'
import { attachHostTerminal, type HostTerminal } from '../fs/host/terminal.ts'
import { mountOverlay } from '../fs/overlay/mount.ts'
import { groupExit } from '../kernel/exit.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { applyLimits, parseLimits } from '../kernel/limits.ts'
import { signalFromOutside } from '../kernel/signal-send.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from '../vfs/file.ts'
import type { SuperBlock } from '../vfs/inode.ts'
import { mountFlags, mountRoot } from '../vfs/mounting.ts'
import { WALK_DIRECTORY, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { BootError } from './boot-error.ts'
import { makeDevices } from './devices.ts'
import { createInit, startProgram } from './init.ts'
import { mountConfigured } from './mounts.ts'
import { makePlace } from './places.ts'
import { restrictPaths } from './restrict.ts'
import { containerSeccomp } from './seccomp.ts'
import { applySysctls } from './sysctls.ts'
import { traceCalls } from './trace.ts'

/** The root file system's attach point. */
const ROOT_ATTACH = 0
const SIGNAL_MAX = 64
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
): RunningSandbox {
  const gofer = new GoferConnection(client)
  mountRoot(
    kernel,
    rootFileSystem(kernel, config, gofer),
    mountFlags(config.root.readonly ? MS_RDONLY : 0),
    'none',
  )
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
  const terminal = openStreams(kernel, init, config)
  let started = false
  const start = () => {
    if (started) return
    started = true
    startProgram(init, config.process, seccomp)
    if (config.strace) traceCalls(kernel, init, SENTRY_FDS.log)
  }
  if (!config.waitForStart) start()
  serveControl(kernel, config, start, terminal)
  return { end: () => terminal?.drain() }
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
function openStreams(kernel: Kernel, init: Task, config: SandboxConfig): HostTerminal | null {
  const { process } = config
  if (!process.terminal) {
    const modes = [O_RDONLY, O_WRONLY, O_WRONLY]
    modes.forEach((mode, fd) => {
      const file = hostFile(kernel, fd, mode)
      // A closed descriptor stays closed.
      if (typeof file === 'number') return
      file.inode.uid = process.uid
      install(init, file, fd)
    })
    return null
  }
  const terminal = attachHostTerminal(
    kernel,
    SENTRY_FDS.terminal,
    process.uid,
    process.gid,
    process.rows,
    process.columns,
  )
  if (typeof terminal === 'number')
    throw new BootError(`make the terminal: ${errnoMessage(-terminal)}`)
  for (let fd = 0; fd < 3; fd++) install(init, fd === 0 ? terminal.file : terminal.file.ref(), fd)
  makeConsole(init)
  const error = terminal.control(init)
  if (error < 0) throw new BootError(`set the controlling terminal: ${errnoMessage(-error)}`)
  return terminal
}

/** /dev/console is the sandbox's terminal. */
function makeConsole(init: Task): void {
  const n = walkPath(init, AT_FDCWD, '/dev', WALK_FOLLOW | WALK_DIRECTORY)
  if (n < 0) return
  walk.dentry.inode!.mknod('console', S_IFCHR | 0o620, CONSOLE_DEV, init.creds)
}

function install(init: Task, file: File, fd: number): void {
  init.files.replace(fd, file, false)
}

function serveControl(
  kernel: Kernel,
  config: SandboxConfig,
  start: () => void,
  terminal: HostTerminal | null,
): void {
  new ControlServer(kernel, SENTRY_FDS.control, {
    start() {
      try {
        start()
        return {}
      } catch (error) {
        return { error: (error as Error).message }
      }
    },
    signal(_kernel, { signal, all }) {
      if (
        typeof signal !== 'number' ||
        !Number.isInteger(signal) ||
        signal < 0 ||
        signal > SIGNAL_MAX
      ) {
        return { error: `${String(signal)} is no signal` }
      }
      const targets = all === true ? [...kernel.groups] : [kernel.init]
      for (const group of targets) signalFromOutside(group, signal)
      return {}
    },
    limits(_kernel, request) {
      const limits = parseLimits(request)
      if (limits === null) return { error: 'the limits are out of range' }
      applyLimits(kernel, limits, config.host.memoryBytes)
      return {}
    },
    usage: () => ({ tasks: kernel.tasks.size }),
    resize(_kernel, { rows, columns }) {
      if (!isSize(rows) || !isSize(columns))
        return { error: 'rows and columns are numbers below 65536' }
      terminal?.resize(rows, columns)
      return {}
    },
  })
}

const isSize = (n: unknown): n is number =>
  typeof n === 'number' && Number.isInteger(n) && n >= 0 && n < 65536
