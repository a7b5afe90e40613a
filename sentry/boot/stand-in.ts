// The sandbox's end of a stand-in: the host process that stands for one of ours towards a container engine. Over a
// stream socket it sends one byte per signal that it was sent itself, and gets the wait(2) status in four bytes when
// the process has ended. native/launcher has the other end.

import { close, type HostFd, read, setNonblocking, write } from '../../native/index.ts'
import { EAGAIN, EINTR } from '../../syscall-table/errno.ts'
import { NSIG, POLLIN, SIGKILL, SIGWINCH } from '../../syscall-table/flags.ts'
import type { HostTerminal } from '../fs/host/terminal.ts'
import type { HostEventSource } from '../kernel/host-events.ts'
import { signalFromOutside } from '../kernel/signal-send.ts'
import type { ThreadGroup } from '../kernel/thread-group.ts'
import type { Container } from './container.ts'

/** Signals taken at a time. */
const CHUNK = 256

/** Links `group` with the stand-in behind a socket, which it takes over. */
export class StandIn implements HostEventSource {
  readonly #group: ThreadGroup
  readonly #fd: HostFd
  readonly #buffer = new Uint8Array(CHUNK)
  /** The terminal that the process was made with. */
  terminal: HostTerminal | null = null
  /** The container whose first process it is. */
  container: Container | null = null
  #ended = false

  constructor(group: ThreadGroup, fd: HostFd) {
    this.#group = group
    this.#fd = fd
    setNonblocking(fd, true)
    group.kernel.hostEvents.watch(fd, POLLIN, this)
  }

  /** Tell it how the process ended; it ends in the same way. */
  end(): void {
    if (this.#ended) return
    const status = Buffer.alloc(4)
    status.writeUInt32LE(this.#group.exitStatus)
    write(this.#fd, status, 0, status.length)
    this.close()
  }

  onHostEvent(): void {
    const n = read(this.#fd, this.#buffer, 0, CHUNK)
    if (n === -EAGAIN || n === -EINTR) return
    if (n > 0) {
      for (let i = 0; i < n && !this.#ended; i++) this.#signal(this.#buffer[i]!)
      return
    }
    // SIGKILL reaches the stand-in only: its end is the signal.
    this.close()
    signalFromOutside(this.#group, SIGKILL)
  }

  #signal(signo: number): void {
    if (signo < 1 || signo > NSIG) return
    // The window of a terminal that the stand-in holds for us: its own signal goes to the foreground group.
    if (signo === SIGWINCH && this.terminal?.followSize()) return
    if (this.container?.endsBeforeStart(signo) !== true) signalFromOutside(this.#group, signo)
  }

  /** Let it go without a status: it ends as if killed. */
  close(): void {
    if (this.#ended) return
    this.#ended = true
    this.#group.kernel.hostEvents.unwatch(this.#fd)
    close(this.#fd)
  }
}
