// The other end of an AF_UNIX socket that is connected to one of the host's (--host-uds): the gofer has connected it,
// the bytes go straight through. Descriptors and identities do not cross: they would be the host's.

import type { HostFd } from '../../../native/index.ts'
import { EINVAL } from '../../../syscall-table/errno.ts'
import { AF_UNIX } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import type { Message } from '../message.ts'
import type { Socket } from '../socket.ts'
import { HostSocket } from './host-socket.ts'

export class RemoteUnix extends HostSocket {
  readonly #owner: Socket

  constructor(owner: Socket, hostFd: HostFd) {
    super(null, owner.net, { family: AF_UNIX, type: owner.type, protocol: 0, uid: 0 }, hostFd)
    this.#owner = owner
  }

  protected override wake(events: number): void {
    this.#owner.queue.wake(events)
  }

  override send(task: Task, message: Message): number {
    // LIMIT: no descriptors can be sent to a socket of the host.
    if (message.rights !== null) return -EINVAL
    message.nameLength = 0
    return super.send(task, message)
  }

  override receive(task: Task, message: Message): number {
    const n = super.receive(task, message)
    // The host's name of the socket is none of the program's business.
    message.nameLength = 0
    return n
  }
}
