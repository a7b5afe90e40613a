// `runsc port-forward`: one connection from the host to a port of the container's own network. It has a descriptor for
// each direction, so that either can end by itself.

import { close, type HostFd, read, setNonblocking, write } from '../../native/index.ts'
import { EAGAIN, EALREADY, EINPROGRESS, EINTR, EISCONN } from '../../syscall-table/errno.ts'
import {
  AF_INET,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  O_NONBLOCK,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  SOCK_STREAM,
} from '../../syscall-table/flags.ts'
import type { HostEventSource } from '../kernel/host-events.ts'
import type { Task } from '../kernel/task.ts'
import { Timer, type TimerQueue } from '../kernel/timer.ts'
import { WaitEntry } from '../kernel/wait-queue.ts'
import { KernelIo } from '../mm/io.ts'
import { Message } from '../net/message.ts'
import { createSocket, type Socket, socketFile } from '../net/socket.ts'
import type { File } from '../vfs/file.ts'

const BUFFER = 64 * 1024
const SHUT_WR = 1
const LOOPBACK = [127, 0, 0, 1]

/** Told whether the connection was made (0 or -errno), and when it is over. */
export interface ForwardEvents {
  connected(result: number): void
  ended(): void
}

/** The socket may go on; whoever wakes it may be in the middle of a call on it, and so it goes on after that. */
class SocketWaits extends WaitEntry {
  readonly #timers: TimerQueue
  readonly #soon: Timer

  constructor(timers: TimerQueue, soon: Timer) {
    super()
    this.#timers = timers
    this.#soon = soon
  }

  override onWake(): void {
    if (!this.#soon.armed) this.#timers.arm(this.#soon, 0)
  }
}

class Soon extends Timer {
  readonly #forward: Forward

  constructor(forward: Forward) {
    super()
    this.#forward = forward
  }

  override onTimer(): void {
    this.#forward.onHostEvent()
  }
}

/** Bytes on their way in one direction. */
class Piece {
  readonly bytes = new Uint8Array(BUFFER)
  at = 0
  length = 0
  /** Nothing more comes. */
  ended = false

  get empty(): boolean {
    return this.at === this.length
  }

  filled(n: number): void {
    this.at = 0
    this.length = n
  }
}

export class Forward implements HostEventSource {
  readonly #task: Task
  readonly #incoming: HostFd
  readonly #outgoing: HostFd
  readonly #events: ForwardEvents
  readonly #soon = new Soon(this)
  readonly #waits: SocketWaits
  readonly #io = new KernelIo(new Uint8Array(0))
  readonly #message = new Message()
  readonly #address = new Uint8Array(16)
  readonly #in = new Piece()
  readonly #out = new Piece()
  #socket: Socket | null = null
  #file: File | null = null
  #connecting = false
  #over = false

  /** `task` is who connects; the descriptors are taken over. */
  constructor(task: Task, incoming: HostFd, outgoing: HostFd, events: ForwardEvents) {
    this.#task = task
    this.#incoming = incoming
    this.#outgoing = outgoing
    this.#events = events
    this.#waits = new SocketWaits(task.kernel.timers, this.#soon)
    setNonblocking(incoming, true)
    setNonblocking(outgoing, true)
  }

  connect(port: number): void {
    const socket = createSocket(this.#task, AF_INET, SOCK_STREAM, IPPROTO_TCP)
    if (typeof socket === 'number') return this.#refuse(socket)
    this.#socket = socket
    this.#file = socketFile(socket, O_NONBLOCK)
    this.#address.set([AF_INET, 0, port >> 8, port & 255, ...LOOPBACK])
    this.#connecting = true
    socket.queue.add(this.#waits, POLLIN | POLLOUT | POLLERR | POLLHUP)
    this.onHostEvent()
  }

  onHostEvent(): void {
    if (this.#over) return
    if (this.#connecting) this.#tryConnect()
    else this.#move()
  }

  #tryConnect(): void {
    const socket = this.#socket!
    const n = socket.connect(this.#task, this.#address, this.#address.length, this.#file!)
    if (n === -EINPROGRESS || n === -EALREADY || n === -EAGAIN) {
      // Asking is what makes a socket of the host watched.
      const now = socket.poll(this.#file!)
      if (n === -EINPROGRESS && (now & (POLLOUT | POLLERR | POLLHUP)) !== 0) this.#tryConnect()
      return
    }
    if (n < 0 && n !== -EISCONN) return this.#refuse(n)
    this.#connecting = false
    this.#events.connected(0)
    this.#move()
  }

  #refuse(error: number): void {
    this.#events.connected(error)
    this.#end()
  }

  /** Move what can be moved, then wait for whatever is missing. */
  #move(): void {
    const { hostEvents } = this.#task.kernel
    const error = this.#moveIn() || this.#moveOut()
    if (error < 0 || (this.#in.ended && this.#out.ended && this.#in.empty && this.#out.empty))
      return this.#end()
    const host = (fd: HostFd, events: number, wanted: boolean) =>
      wanted ? hostEvents.watch(fd, events, this) : hostEvents.unwatch(fd)
    host(this.#incoming, POLLIN, !this.#in.ended && this.#in.empty)
    if (!this.#out.ended) host(this.#outgoing, POLLOUT, !this.#out.empty)
  }

  /** From the host to the socket: 0, or -errno at the connection's end. */
  #moveIn(): number {
    const piece = this.#in
    for (;;) {
      while (!piece.empty) {
        const n = this.#send(piece)
        if (n === -EAGAIN) return 0
        if (n < 0) return n
        piece.at += n
      }
      if (piece.ended) return 0
      const n = read(this.#incoming, piece.bytes, 0, BUFFER)
      if (n === -EAGAIN || n === -EINTR) return 0
      if (n > 0) piece.filled(n)
      else {
        piece.ended = true
        this.#socket!.shutdown(SHUT_WR)
      }
    }
  }

  /** From the socket to the host. */
  #moveOut(): number {
    const piece = this.#out
    for (;;) {
      while (!piece.empty) {
        const n = write(this.#outgoing, piece.bytes, piece.at, piece.length - piece.at)
        if (n === -EAGAIN || n === -EINTR) return 0
        if (n < 0) return n
        piece.at += n
      }
      if (piece.ended) return 0
      const n = this.#socket!.read(
        this.#file!,
        this.#io.reset(piece.bytes, 0, BUFFER),
        0,
        this.#task,
      )
      if (n === -EAGAIN) return 0
      if (n < 0) return n
      if (n > 0) piece.filled(n)
      else {
        piece.ended = true
        this.#task.kernel.hostEvents.unwatch(this.#outgoing)
        close(this.#outgoing)
      }
    }
  }

  #send({ bytes, at, length }: Piece): number {
    const io = this.#io.reset(bytes, at, length - at)
    const message = this.#message.reset(this.#task, io, MSG_DONTWAIT | MSG_NOSIGNAL, true)
    return this.#socket!.send(this.#task, message)
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    const { hostEvents } = this.#task.kernel
    this.#waits.unlink()
    this.#task.kernel.timers.cancel(this.#soon)
    hostEvents.unwatch(this.#incoming)
    close(this.#incoming)
    if (!this.#out.ended) {
      hostEvents.unwatch(this.#outgoing)
      close(this.#outgoing)
    }
    this.#file?.unref()
    this.#events.ended()
  }
}
