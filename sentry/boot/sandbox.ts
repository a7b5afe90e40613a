// Puts a sandbox together on a fresh kernel: its first container, and the control socket.

import { type SandboxConfig, SENTRY_FDS } from '../config.ts'
import { ControlServer } from '../control.ts'
import '../fs/file-systems.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { adoptHostIds } from '../kernel/user-namespace.ts'
import { assemble } from './assemble.ts'
import { containerCommands } from './commands.ts'
import type { Started } from './container.ts'
import { Pod } from './pod.ts'
import { traceCalls } from './trace.ts'

/** A sandbox that has been put together. */
export interface RunningSandbox {
  /** Write out what the terminal still holds; the program has ended. */
  end(): void
}

/** Make everything that `config` asks for; the program runs as soon as the run loop does (or at `start`). */
export function startSandbox(
  kernel: Kernel,
  config: SandboxConfig,
  ready: Started,
): RunningSandbox {
  if (config.idMaps !== null) adoptHostIds(config.idMaps.uids, config.idMaps.gids)
  const { gofer, standIn: link, terminal: outside } = SENTRY_FDS
  const streams = [...(config.process.terminal ? [outside] : [0, 1, 2]), ...config.passed]
  const fds = { gofer, standIn: link, streams }
  const { container, standIn, terminal } = assemble(kernel, config, kernel.namespaces, fds)
  if (config.strace !== null) traceCalls(kernel, SENTRY_FDS.log, config.strace)
  if (config.waitForStart) ready(null)
  else container.start(ready)
  new ControlServer(kernel, SENTRY_FDS.control, containerCommands(new Pod(container, config)))
  return {
    end() {
      terminal?.drain()
      standIn.end()
    },
  }
}
