// Which cgroup of the host the processes of a pod's containers are in: the sentry is in the pod's own, and the programs of
// each further container in that container's, so that its limits hold and it can be paused by itself.

import { close, type HostFd, write } from '../../native/index.ts'
import { SIGKILL } from '../../syscall-table/flags.ts'
import { groupExit } from '../kernel/exit.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'

/** Version 1 has a dozen hierarchies. */
export const ENTRANCES_MAX = 32

export class Placement {
  /** cgroup.procs files by container. Those of the first one are not needed: its processes are made in its cgroup. */
  readonly #entrances = new Map<string, HostFd[]>()

  constructor(kernel: Kernel) {
    kernel.placeProcess = task => this.#place(task)
  }

  add(container: string, entrances: HostFd[]): void {
    if (entrances.length > 0) this.#entrances.set(container, entrances)
  }

  remove(container: string): void {
    for (const fd of this.#entrances.get(container) ?? []) close(fd)
    this.#entrances.delete(container)
  }

  /** A new host process, before it runs anything. What it forks later is where it is. */
  #place(task: Task): void {
    const entrances = this.#entrances.get(task.group.container)
    if (entrances === undefined) return
    const pid = Buffer.from(String(task.kernel.platform.hostPid?.(task.thread) ?? -1))
    for (const fd of entrances) {
      if (write(fd, pid, 0, pid.length) === pid.length) continue
      // Without its limits nothing may run.
      groupExit(task.group, SIGKILL)
      return
    }
  }
}
