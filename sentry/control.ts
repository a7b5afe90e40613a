// The sandbox's control socket: runsc connects, sends one request as a line of JSON, gets one object back, and
// the connection ends. Descriptors may come with the line. Requests come from whoever may enter runsc's directory
// (root), but are checked all the same.

import type { HostFd } from '../native/index.ts'
import { accept, close, recvMessage, write } from '../native/index.ts'
import { EAGAIN } from '../syscall-table/errno.ts'
import { POLLIN, POLLOUT, POLLPRI } from '../syscall-table/flags.ts'
import type { HostEventSource } from './kernel/host-events.ts'
import type { Kernel } from './kernel/kernel.ts'

/** A process has arguments and an environment: as much as a program may get from execve. */
const MAX_REQUEST_BYTES = 8 << 20
const FIRST_BYTES = 4 << 10
const MAX_CONNECTIONS = 256
/** SCM_MAX_FD: what one message can carry. */
const MAX_FDS = 253
const NEWLINE = 10

/** A parsed request: `command` names it, the rest is its own. */
export type ControlRequest = { command: string; [key: string]: unknown }
export type ControlAnswer =
  | { error: string; exitStatus?: number }
  | { [key: string]: unknown; error?: undefined }

/** The connection that a request came by. */
export interface ControlCall {
  /** Descriptors that came with the request. A command takes them out; what it leaves is closed. */
  readonly fds: HostFd[]
  /** Answer later, once; `gone` is called when nobody waits for it any more. The command returns null then. */
  later(gone: () => void): (answer: ControlAnswer) => void
}

export type ControlCommand = (request: ControlRequest, call: ControlCall) => ControlAnswer | null

/** Accepts connections and answers them from `commands`. */
export class ControlServer implements HostEventSource {
  readonly #kernel: Kernel
  readonly #fd: HostFd
  readonly #commands: Readonly<Record<string, ControlCommand>>
  #connections = 0

  constructor(kernel: Kernel, fd: HostFd, commands: Readonly<Record<string, ControlCommand>>) {
    this.#kernel = kernel
    this.#fd = fd
    this.#commands = commands
    kernel.hostEvents.watch(fd, POLLIN, this)
  }

  onHostEvent(): void {
    for (;;) {
      const fd = accept(this.#fd)
      if (fd < 0) return
      if (this.#connections >= MAX_CONNECTIONS) close(fd)
      else {
        this.#connections++
        new Connection(
          this.#kernel,
          fd,
          (line, call) => this.#answer(line, call),
          () => this.#connections--,
        )
      }
    }
  }

  #answer(line: string, call: ControlCall): ControlAnswer | null {
    let request: unknown
    try {
      request = JSON.parse(line)
    } catch {
      return { error: 'the request is not JSON' }
    }
    if (typeof request !== 'object' || request === null || !('command' in request)) {
      return { error: 'the request names no command' }
    }
    const name = String(request.command)
    const command = Object.hasOwn(this.#commands, name) ? this.#commands[name] : undefined
    return command === undefined
      ? { error: `there is no command "${name}"` }
      : command(request as ControlRequest, call)
  }
}

/** One request and its answer. */
class Connection implements HostEventSource, ControlCall {
  readonly fds: HostFd[] = []
  readonly #kernel: Kernel
  readonly #fd: HostFd
  readonly #handle: (line: string, call: ControlCall) => ControlAnswer | null
  readonly #closed: () => void
  /** [number of descriptors received, the descriptors] */
  readonly #received = new Int32Array(1 + MAX_FDS)
  #input = new Uint8Array(FIRST_BYTES)
  #length = 0
  #output: Uint8Array | null = null
  #sent = 0
  #gone: (() => void) | null = null

  constructor(
    kernel: Kernel,
    fd: HostFd,
    handle: (line: string, call: ControlCall) => ControlAnswer | null,
    closed: () => void,
  ) {
    this.#kernel = kernel
    this.#fd = fd
    this.#handle = handle
    this.#closed = closed
    kernel.hostEvents.watch(fd, POLLIN, this)
  }

  later(gone: () => void): (answer: ControlAnswer) => void {
    this.#gone = gone
    return answer => {
      if (this.#gone === null) return
      this.#gone = null
      this.#reply(answer)
      // The sandbox may be at its end: this is the last chance.
      this.#send()
    }
  }

  onHostEvent(): void {
    // Nothing but the end of the connection is watched for while an answer is under way.
    if (this.#gone !== null) return this.#close()
    if (this.#output === null) this.#receive()
    if (this.#output !== null) this.#send()
  }

  #receive(): void {
    if (!this.#makeRoom()) return this.#close()
    const n = recvMessage(this.#fd, this.#input.subarray(this.#length), this.#received)
    if (n === -EAGAIN) return
    for (let i = 1; i <= this.#received[0]!; i++) this.fds.push(this.#received[i]!)
    if (n <= 0) return this.#close()
    const end = this.#input.subarray(0, this.#length + n).indexOf(NEWLINE, this.#length)
    this.#length += n
    if (end >= 0) this.#answer(Buffer.from(this.#input.buffer, 0, end).toString('utf8'))
  }

  /** Room for more of the line; false when it is too long. */
  #makeRoom(): boolean {
    if (this.#length < this.#input.length) return true
    if (this.#length >= MAX_REQUEST_BYTES) return false
    const larger = new Uint8Array(2 * this.#input.length)
    larger.set(this.#input)
    this.#input = larger
    return true
  }

  #answer(line: string): void {
    const answer = this.#handle(line, this)
    this.#closeFds()
    if (answer !== null) this.#reply(answer)
    else if (this.#gone !== null) this.#kernel.hostEvents.watch(this.#fd, POLLPRI, this)
  }

  #reply(answer: ControlAnswer): void {
    this.#output = Buffer.from(JSON.stringify(answer))
    this.#kernel.hostEvents.watch(this.#fd, POLLOUT, this)
  }

  #send(): void {
    const output = this.#output!
    const n = write(this.#fd, output, this.#sent, output.length - this.#sent)
    if (n === -EAGAIN) return
    if (n > 0) this.#sent += n
    if (n < 0 || this.#sent === output.length) this.#close()
  }

  #closeFds(): void {
    for (const fd of this.fds.splice(0)) close(fd)
  }

  #close(): void {
    const gone = this.#gone
    this.#gone = null
    this.#closeFds()
    this.#kernel.hostEvents.unwatch(this.#fd)
    close(this.#fd)
    this.#closed()
    gone?.()
  }
}
