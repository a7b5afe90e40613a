// The other end of an AF_UNIX socket that is connected to one of the host's (--host-uds): the gofer has connected it,
// the bytes go straight through. Descriptors and identities do not cross: they would be the host's.

import { type HostFd, socketAccept } from '../../../native/index.ts'
import { EINVAL, EMFILE, ENFILE } from '../../../syscall-table/errno.ts'
import { AF_UNIX } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import type { BoundOutside } from '../../vfs/inode.ts'
import { MAX_ADDRESS, type Message } from '../message.ts'
import type { Socket } from '../socket.ts'
import { HostSocket } from './host-socket.ts'

const from = new Uint8Array(MAX_ADDRESS)
const lengths = new Int32Array(1)

/** A socket of the host that has the name of one of the program's (--host-uds=create): the host can connect, or send to it. */
export class OutsideName extends HostSocket {
  readonly #owner: Socket
  readonly #bound: BoundOutside

  constructor(owner: Socket, bound: BoundOutside) {
    super(null, owner.net, { family: AF_UNIX, type: owner.type, protocol: 0, uid: 0 }, bound.fd)
    this.#owner = owner
    this.#bound = bound
    this.watch()
  }

  protected override wake(events: number): void {
    this.#owner.queue.wake(events)
  }

  listenOutside(backlog: number): number {
    return this.#bound.listen(backlog)
  }

  override receive(task: Task, message: Message): number {
    const n = super.receive(task, message)
    message.nameLength = 0
    return n
  }

  /** A descriptor of a connection that the host has made; -EAGAIN. */
  acceptFd(): HostFd | number {
    const fd = socketAccept(this.hostFd, from, lengths)
    return fd === -EMFILE ? -ENFILE : fd
  }
}

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
