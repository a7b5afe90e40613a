// The sandbox's control socket: runsc connects, sends one request as a line of JSON, gets one object back, and
// the connection ends. Requests come from whoever may enter runsc's directory (root), but are checked all the same.

import type { HostFd } from '../native/index.ts'
import { accept, close, read, write } from '../native/index.ts'
import { EAGAIN } from '../syscall-table/errno.ts'
import { POLLIN, POLLOUT } from '../syscall-table/flags.ts'
import type { HostEventSource } from './kernel/host-events.ts'
import type { Kernel } from './kernel/kernel.ts'

const MAX_REQUEST_BYTES = 64 << 10
const MAX_CONNECTIONS = 32
const NEWLINE = 10

/** A parsed request: `command` names it, the rest is its own. */
export type ControlRequest = { command: string; [key: string]: unknown }
export type ControlAnswer = { error: string } | { [key: string]: unknown }
export type ControlCommand = (kernel: Kernel, request: ControlRequest) => ControlAnswer

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
          line => this.#answer(line),
          () => this.#connections--,
        )
      }
    }
  }

  #answer(line: string): ControlAnswer {
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
      : command(this.#kernel, request as ControlRequest)
  }
}

/** One request and its answer. */
class Connection implements HostEventSource {
  readonly #kernel: Kernel
  readonly #fd: HostFd
  readonly #handle: (line: string) => ControlAnswer
  readonly #closed: () => void
  readonly #input = new Uint8Array(MAX_REQUEST_BYTES)
  #received = 0
  #output: Uint8Array | null = null
  #sent = 0

  constructor(
    kernel: Kernel,
    fd: HostFd,
    handle: (line: string) => ControlAnswer,
    closed: () => void,
  ) {
    this.#kernel = kernel
    this.#fd = fd
    this.#handle = handle
    this.#closed = closed
    kernel.hostEvents.watch(fd, POLLIN, this)
  }

  onHostEvent(): void {
    if (this.#output === null) this.#receive()
    if (this.#output !== null) this.#send()
  }

  #receive(): void {
    const n = read(this.#fd, this.#input, this.#received, this.#input.length - this.#received)
    if (n === -EAGAIN) return
    if (n <= 0) return this.#close()
    const end = this.#input.subarray(0, this.#received + n).indexOf(NEWLINE, this.#received)
    this.#received += n
    if (end < 0) {
      if (this.#received === this.#input.length) this.#close()
      return
    }
    const answer = this.#handle(Buffer.from(this.#input.buffer, 0, end).toString('utf8'))
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

  #close(): void {
    this.#kernel.hostEvents.unwatch(this.#fd)
    close(this.#fd)
    this.#closed()
  }
}
