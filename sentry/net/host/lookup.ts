// Whether sockets are the host's.

import type { Task } from '../../kernel/task.ts'
import type { HostNetwork } from './network.ts'

/** The host's network for a task, null where it has none: in another namespace than the container's own, too. */
export function hostNetworkOf(task: Task): HostNetwork | null {
  return task.nsproxy.net === task.kernel.namespaces.net ? task.kernel.hostNetwork : null
}
