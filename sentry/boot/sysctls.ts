// linux.sysctl: tunables that the container starts with.

import { EACCES, EINVAL, ENOENT, errnoMessage } from '../../syscall-table/errno.ts'
import type { ContainerConfig } from '../config.ts'
import { setSysctl } from '../fs/proc/sysctl.ts'
import type { Task } from '../kernel/task.ts'

const WHY: Readonly<Record<number, string>> = {
  [EACCES]: 'has a fixed value in a sandbox',
  [EINVAL]: 'invalid argument',
  [ENOENT]: 'there is no such tunable in a sandbox',
}

/** Set them all. Throws with the key. */
export function applySysctls(init: Task, config: ContainerConfig): void {
  for (const [path, value] of config.sysctls) {
    const n = setSysctl(init, path, value)
    // Those of the host's network hold already, whether or not they are told here.
    if (config.network === 'host' && path.startsWith('net/')) continue
    if (n < 0) {
      const key = path.replaceAll('/', '.')
      throw new Error(`linux.sysctl: ${key} = "${value}": ${WHY[-n] ?? errnoMessage(-n)}`)
    }
  }
}
