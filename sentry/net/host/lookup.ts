// Whether sockets are the host's.

import type { Task } from '../../kernel/task.ts'
import type { HostNetwork } from './network.ts'

/** The host's network for a task, null where it has none: in a namespace that a program has made. */
export function hostNetworkOf(task: Task): HostNetwork | null {
  return task.nsproxy.net.host
}
