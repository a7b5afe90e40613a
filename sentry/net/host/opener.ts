// Who makes sockets of the host: the sentry itself where it lives, and a socket server (native/launcher/socket-server.c) in
// another network namespace.

import {
  belowCeiling,
  close,
  type HostFd,
  recvMessage,
  sendMessage,
  socketOpen,
} from '../../../native/index.ts'
import { EIO } from '../../../syscall-table/errno.ts'

/** Makes sockets in one network namespace. */
export interface SocketOpener {
  /** socket(2), nonblocking. */
  open(family: number, type: number, protocol: number): HostFd | number
  release(): void
}

/** In the sentry's own network namespace. */
export const ownSockets: SocketOpener = { open: socketOpen, release() {} }

const none = new Int32Array()

/** Asks the server at the other side of `socket`, a SOCK_SEQPACKET one that it takes over. */
export class SocketServer implements SocketOpener {
  readonly socket: HostFd
  readonly #request = new Int32Array(3)
  readonly #answer = new Int32Array(1)
  /** [number of descriptors received, the descriptor] */
  readonly #fds = new Int32Array(2)
  #broken = false

  constructor(socket: HostFd) {
    this.socket = socket
  }

  open(family: number, type: number, protocol: number): HostFd | number {
    if (this.#broken) return -EIO
    this.#request[0] = family
    this.#request[1] = type
    this.#request[2] = protocol
    const request = new Uint8Array(this.#request.buffer)
    const answer = new Uint8Array(this.#answer.buffer)
    const sent = sendMessage(this.socket, request, 0, request.length, none, 0)
    const length = sent < 0 ? sent : recvMessage(this.socket, answer, this.#fds)
    const received = sent < 0 ? 0 : this.#fds[0]!
    const result = this.#answer[0]!
    const sound = length === answer.length && result <= 0 && received === (result === 0 ? 1 : 0)
    if (sound) return result < 0 ? result : belowCeiling(this.#fds[1]!)
    if (received > 0) close(this.#fds[1]!)
    this.#broken = true
    return -EIO
  }

  release(): void {
    this.#broken = true
    close(this.socket)
  }
}
