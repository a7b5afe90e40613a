// An IPC namespace: the System V objects that tasks find by the same keys, and their limits.

import { MqueueLimits } from '../fs/mqueue/limits.ts'
import type { MqueueSuperBlock } from '../fs/mqueue/mqueue.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { Namespace, newNamespaceIno } from '../kernel/namespace.ts'
import type { Task } from '../kernel/task.ts'
import type { UserNamespace } from '../kernel/user-namespace.ts'
import { IpcIds } from './ids.ts'
import type { MessageQueue } from './msg.ts'
import type { SemaphoreSet } from './sem.ts'
import type { Segment } from './shm.ts'

const NO_LIMIT = 2 ** 64 - 2 ** 24

/** What /proc/sys/kernel shows of System V IPC. */
export class IpcLimits {
  /** As good as none. Linux has one less, which is no double. */
  shmmax = NO_LIMIT
  shmall = NO_LIMIT
  shmmni = 4096
  semmsl = 32000
  semmns = 1024000000
  semopm = 500
  semmni = 32000
  msgmax = 8192
  msgmnb = 16384
  msgmni = 32000
}

/** ipc_namespaces(7). */
export class IpcNamespace extends Namespace {
  readonly limits = new IpcLimits()
  readonly shm = new IpcIds<Segment>()
  readonly sem = new IpcIds<SemaphoreSet>()
  readonly msg = new IpcIds<MessageQueue>()
  /** Pages of all segments. */
  shmPages = 0
  /** Semaphores of all sets. */
  semaphores = 0
  /** Messages in all queues, and their bytes. */
  messages = 0
  messageBytes = 0
  readonly mqueueLimits = new MqueueLimits()
  /** The file system of the POSIX queues, made at first use. */
  mqueue: MqueueSuperBlock | null = null

  constructor(owner: UserNamespace, ino = newNamespaceIno()) {
    super('ipc', ino, owner)
  }

  /** Nobody can find the objects any more. */
  protected override released(): void {
    for (const objects of [this.shm, this.sem, this.msg])
      for (const object of [...objects.values()]) object.remove()
  }
}

/** The namespace of `task`, or the first one: for mounts that are made before there is a task. */
export function ipcOfKernel(kernel: Kernel, task: Task | null): IpcNamespace {
  return task === null ? kernel.namespaces.ipc : ipcOf(task)
}

/** The namespace that a task's identifiers belong to. */
export function ipcOf(task: Task): IpcNamespace {
  return task.nsproxy.ipc
}
