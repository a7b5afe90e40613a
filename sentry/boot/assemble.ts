// Puts a container together in its namespaces: file systems, the first process with its standard streams.

import { FileAttr } from '../../gofer/protocol.ts'
import { close, type HostFd } from '../../native/index.ts'
import { errnoMessage } from '../../syscall-table/errno.ts'
import {
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_RELATIME,
  POLLRDHUP,
  SIGKILL,
} from '../../syscall-table/flags.ts'
import type { ContainerConfig, MountConfig, OverlayConfig } from '../config.ts'
import { GoferClient } from '../fs/gofer/client.ts'
import { GoferConnection } from '../fs/gofer/connection.ts'
import { mountGofer } from '../fs/gofer/super.ts'
import type { HostTerminal } from '../fs/host/terminal.ts'
import { mountOverlay } from '../fs/overlay/mount.ts'
import { discard } from '../kernel/clone.ts'
import { groupExit } from '../kernel/exit.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { NsProxy } from '../kernel/nsproxy.ts'
import type { Task } from '../kernel/task.ts'
import type { SuperBlock } from '../vfs/inode.ts'
import { Mount } from '../vfs/mount.ts'
import { graft, mountFlags, mountRoot } from '../vfs/mounting.ts'
import { BootError } from './boot-error.ts'
import { Container, type Started } from './container.ts'
import { makeDevices } from './devices.ts'
import { createInit, prepareProgram, startProgram } from './init.ts'
import { mountConfigured, spreadRoot } from './mounts.ts'
import { makePlace } from './places.ts'
import { restrictPaths } from './restrict.ts'
import { containerSeccomp } from './seccomp.ts'
import { StandIn } from './stand-in.ts'
import { runStartHooks } from './start-hooks.ts'
import { openPassed, openStreams, openTerminal } from './streams.ts'
import { applySysctls } from './sysctls.ts'
import { traceTask } from './trace.ts'

/** The root file system's attach point. */
const ROOT_ATTACH = 0

/** What a container takes over of the host. */
export interface ContainerFds {
  /** SOCK_SEQPACKET to its gofer, with buffers of the right size. */
  gofer: HostFd
  standIn: HostFd
  /** The other side of its terminal, or 0, 1 and 2; then what is passed to its program. */
  streams: HostFd[]
}

export interface Assembled {
  container: Container
  standIn: StandIn
  terminal: HostTerminal | null
}

/** Make what `config` asks for. The program waits for `Container.start`. Throws BootError, or Error with a line for people. */
export function assemble(
  kernel: Kernel,
  config: ContainerConfig,
  namespaces: NsProxy,
  fds: ContainerFds,
): Assembled {
  const client = new GoferClient(fds.gofer)
  const gofer = new GoferConnection(client)
  kernel.reopenReadOnly ??= fd => client.reopenMemory(fd)
  const flags = mountFlags(config.root.readonly ? MS_RDONLY : 0)
  mountRoot(namespaces.mnt, rootFileSystem(kernel, config, gofer), flags, 'none')
  const init = createInit(kernel, namespaces, config.id)
  // The first one of all is the sandbox's.
  kernel.init ??= init.group
  const standIn = new StandIn(init.group, fds.standIn)
  try {
    return furnish(init, config, gofer, fds, standIn)
  } catch (error) {
    kernel.hostEvents.unwatch(fds.gofer)
    standIn.close()
    discard(init)
    throw error
  }
}

function furnish(
  init: Task,
  config: ContainerConfig,
  gofer: GoferConnection,
  fds: ContainerFds,
  standIn: StandIn,
): Assembled {
  const { kernel, group } = init
  const mounts = mountConfigured(init, config, mount => attachPoint(kernel, gofer, mount))
  makeDevices(init, config)
  // runc: the working directory is made while that is still possible.
  makePlace(init, config.process.cwd, 'directory')
  mounts.seal()
  applySysctls(init, config)
  restrictPaths(init, config)
  const seccomp = containerSeccomp(config.seccomp)
  // Without its files the container is of no use, and must not stay behind as a ruin.
  kernel.hostEvents.watch(fds.gofer, POLLRDHUP, { onHostEvent: () => groupExit(group, SIGKILL) })
  const { process } = config
  const terminal = process.terminal
    ? openTerminal(init, process, fds.streams.shift()!)
    : openStreams(init, process, fds.streams.splice(0, 3))
  openPassed(init, process, fds.streams.splice(0))
  if (terminal !== null) mountConsole(init, terminal)
  spreadRoot(init, config.rootPropagation)
  standIn.terminal = terminal
  const file = prepareProgram(init, process, seccomp)
  const start = (done: Started) => {
    runStartHooks(init, config, seccomp, error => {
      if (error !== null) return done(error)
      terminal?.followSize()
      done(attempt(() => startProgram(init, process, file)))
      if (config.strace !== null) traceTask(init)
    })
  }
  const container = new Container(init, config, seccomp, start, terminal)
  standIn.container = container
  return { container, standIn, terminal }
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

/** The container has ended: nothing is asked of its gofer any more. */
export function releaseGofer(kernel: Kernel, gofer: HostFd): void {
  kernel.hostEvents.unwatch(gofer)
  close(gofer)
}

function rootFileSystem(
  kernel: Kernel,
  { root }: ContainerConfig,
  gofer: GoferConnection,
): SuperBlock {
  const sb = attachTree(kernel, gofer, ROOT_ATTACH, root)
  if (typeof sb === 'number')
    throw new BootError(`attach the root file system: ${errnoMessage(-sb)}`)
  return sb
}

function attachPoint(
  kernel: Kernel,
  gofer: GoferConnection,
  mount: MountConfig,
): SuperBlock | number {
  return attachTree(kernel, gofer, mount.attach!, {
    shared: mount.shared ?? true,
    readonly: (mount.flags & MS_RDONLY) !== 0,
    overlay: mount.overlay ?? null,
  })
}

function attachTree(
  kernel: Kernel,
  gofer: GoferConnection,
  attach: number,
  how: ContainerConfig['root'],
): SuperBlock | number {
  const { shared, readonly, overlay } = how
  // As on Linux, what others change below an overlay is undefined.
  const options = { shared: shared && overlay === null, readonly }
  const lower = mountGofer(kernel, gofer, attach, options)
  return overlay === null || typeof lower === 'number'
    ? lower
    : overlayOver(kernel, gofer, lower, overlay)
}

function overlayOver(
  kernel: Kernel,
  { client }: GoferConnection,
  lower: SuperBlock,
  { size, store }: OverlayConfig,
): SuperBlock | number {
  if (store === null) return mountOverlay(kernel, lower, size === null ? undefined : { size })
  // Never given back: the overlay may need it as long as it is there.
  const directory = client.attach(store, new FileAttr())
  if (directory < 0) return directory
  return mountOverlay(kernel, lower, { size: size ?? 0, newStore: () => client.tmpfile(directory) })
}

/** As runc has it, /dev/console is the container's terminal. A container without /dev has none. */
function mountConsole(init: Task, { file }: HostTerminal): void {
  const at = makePlace(init, '/dev/console', 'file')
  if (typeof at === 'number') return
  const { sb } = file.mount
  const console = new Mount(sb, file.dentry, MS_NOSUID | MS_NOEXEC | MS_RELATIME, 'devpts')
  const error = graft(console, at)
  if (error < 0) throw new BootError(`mount the terminal on /dev/console: ${errnoMessage(-error)}`)
}
