// What the entries below /proc/PID share: the task they tell of, and whom they belong to.

import type { PidNamespace } from '../../kernel/pid-namespace.ts'
import type { Task } from '../../kernel/task.ts'
import type { Inode } from '../../vfs/inode.ts'
import type { PseudoFs } from '../pseudo.ts'

/** /proc/PID or /proc/PID/task/TID. */
export interface TaskDirectory extends Inode {
  readonly sb: PseudoFs
  /** The task, or null when it is gone. */
  readonly target: Task | null
  /** The pid namespace that the file system shows. */
  readonly pidNs: PidNamespace
  /** Of the process (/proc/PID), not of one thread. */
  readonly whole: boolean
}

/** An entry of a task's directory. */
export interface TaskNode extends Inode {
  readonly owner: TaskDirectory
}

/**
 * Files of a task belong to its effective user, but to root when the task is not dumpable: task_dump_owner.
 * Returns 0, for use in `refresh`.
 */
export function ownedBy(node: TaskNode): number {
  const { target } = node.owner
  if (target === null) return 0
  const dumpable = target.group.dumpable === 1
  node.uid = dumpable ? target.creds.euid : 0
  node.gid = dumpable ? target.creds.egid : 0
  return 0
}
