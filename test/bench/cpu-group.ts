// Measures the processor time of a command and everything it starts, whoever waits for it: by a control group.

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where control groups of either version count processor time. */
const HIERARCHIES = ['/sys/fs/cgroup/cpuacct', '/sys/fs/cgroup']
const EMPTY_TIMEOUT_MS = 5000

export class CpuGroup {
  readonly #path: string | null

  constructor(name: string) {
    const hierarchy = HIERARCHIES.find(path => existsSync(join(path, 'cgroup.procs')))
    this.#path = hierarchy === undefined ? null : makeGroup(join(hierarchy, name))
  }

  /** `command`, to be run inside the group. */
  wrap(command: string[]): string[] {
    if (this.#path === null) return command
    return [
      '/bin/sh',
      '-c',
      'echo $$ >"$0" && exec "$@"',
      join(this.#path, 'cgroup.procs'),
      ...command,
    ]
  }

  /** Moves a process into the group; what it has started stays where it is. */
  add(pid: number): void {
    if (this.#path === null) return
    try {
      writeFileSync(join(this.#path, 'cgroup.procs'), String(pid))
    } catch (error) {
      // One that has ended takes no more time.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** Waits until all of the group has ended; its time in milliseconds, 0 if this machine does not tell. */
  end(): number {
    if (this.#path === null) return 0
    const procs = join(this.#path, 'cgroup.procs')
    for (const start = Date.now(); Date.now() - start < EMPTY_TIMEOUT_MS; )
      if (readFileSync(procs, 'latin1') === '') break
    const time = this.time()
    try {
      rmdirSync(this.#path)
    } catch {
      // Something outlived it.
    }
    return time
  }

  /** Milliseconds so far. */
  time(): number {
    const path = this.#path
    if (path === null) return 0
    const v1 = join(path, 'cpuacct.usage')
    if (existsSync(v1)) return Number(readFileSync(v1, 'latin1')) / 1e6
    const usage = /^usage_usec (\d+)/m.exec(readFileSync(join(path, 'cpu.stat'), 'latin1'))
    return Number(usage?.[1] ?? 0) / 1000
  }
}

function makeGroup(path: string): string | null {
  try {
    mkdirSync(path)
    return path
  } catch {
    return null
  }
}
