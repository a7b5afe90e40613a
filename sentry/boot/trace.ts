// --strace: what sentry/strace.ts prints, fed by the run loop, written to a host descriptor.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type HostFd, write } from '../../native/index.ts'
import type { StraceConfig } from '../config.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import type { TracedTask, UserMemory } from '../strace.ts'

type StraceModule = typeof import('../strace.ts')

/** The bit of `Task.entryWork` and `Task.exitWork` of traced tasks. */
export const ENTRY_STRACE = 2

/** The views that Strace takes, one per task. */
const views = new WeakMap<Task, TracedTask>()

function viewOf(task: Task): TracedTask {
  let view = views.get(task)
  if (view === undefined || view.tid !== task.tid) {
    const memory: UserMemory = {
      readMemory: (addr, into, at, length) => task.mm.copyInPartial(task, addr, into, at, length),
    }
    view = { tid: task.tid, memory }
    views.set(task, view)
  }
  return view
}

let decoder: StraceModule | undefined

/**
 * Load the decoder, while there are files to load it from. It has the names of everything and is wanted seldom: making its
 * tables would take a fifth of a sentry's start.
 */
export function loadDecoder(): void {
  const here = dirname(fileURLToPath(import.meta.url))
  const file = here.endsWith('build') ? join(here, 'strace.cjs') : join(here, '../strace.ts')
  decoder = createRequire(import.meta.url)(file) as StraceModule
}

/** Write what the tasks do that are traced to `fd`. The decoder has been loaded. */
export function traceCalls(kernel: Kernel, fd: HostFd, config: StraceConfig): void {
  const strace = new decoder!.Strace(line => {
    const bytes = Buffer.from(`${line}\n`, 'latin1')
    write(fd, bytes, 0, bytes.length)
  }, config.bytes)
  const shown = config.calls === null ? null : new Set(config.calls)
  const { syscallEntry } = kernel
  kernel.syscallEntry = (task, nr) => {
    if (shown === null || shown.has(nr)) strace.enter(viewOf(task), nr, task.thread.args)
    return syscallEntry(task, nr)
  }
  kernel.syscallExit = (task, result) => strace.exit(viewOf(task), result)
  kernel.tracer = {
    signal: (task, info) => strace.signal(viewOf(task), info),
    exited: (task, status) => strace.exited(viewOf(task), status),
  }
}

/** Trace a further process and all that it starts. */
export function traceTask(task: Task): void {
  task.entryWork |= ENTRY_STRACE
  task.exitWork |= ENTRY_STRACE
}
