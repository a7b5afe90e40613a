// What answers about sockets have in common: net/core/sock_diag.c.

import { ESTALE } from '../../../syscall-table/errno.ts'
import { SO_COOKIE, SO_MEMINFO, SOL_SOCKET } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { MessageWriter, NLM_F_MULTI, type Request } from '../netlink/message.ts'
import type { Dump } from '../netlink/netlink-socket.ts'
import type { Socket } from '../socket.ts'
import { getGeneric } from '../socket-options.ts'

export const SOCK_DIAG_BY_FAMILY = 20
/** A cookie of this twice stands for any. */
const NO_COOKIE = 0xffffffff
const MEMINFO_SIZE = 36

/** Answers are written here, one after the other. */
export const writer = new MessageWriter()

const value = new Uint8Array(1024)
const view = new DataView(value.buffer)

/** getsockopt(2) for the kernel itself: the bytes, or null when the socket has no such option. */
export function optionBytes(
  task: Task,
  socket: Socket,
  level: number,
  name: number,
  room: number,
): Uint8Array | null {
  const n =
    level === SOL_SOCKET && !socket.ownsOption(name)
      ? getGeneric(task, socket, name, view, room)
      : socket.getOption(task, level, name, value, room)
  return n < 0 ? null : value.slice(0, Math.min(n, room))
}

/** An option that is a number; 0 when the socket has none. */
export function optionNumber(task: Task, socket: Socket, level: number, name: number): number {
  return optionBytes(task, socket, level, name, 4) === null ? 0 : view.getInt32(0, true)
}

/** SK_MEMINFO_*. */
export function memoryOf(task: Task, socket: Socket): Uint8Array {
  const bytes = optionBytes(task, socket, SOL_SOCKET, SO_MEMINFO, MEMINFO_SIZE)
  return bytes ?? new Uint8Array(MEMINFO_SIZE)
}

/** Write the two words of the socket's cookie. */
export function writeCookie(task: Task, socket: Socket): void {
  const bytes = optionBytes(task, socket, SOL_SOCKET, SO_COOKIE, 8)
  writer.u32(bytes === null ? 0 : view.getUint32(0, true))
  writer.u32(bytes === null ? 0 : view.getUint32(4, true))
}

/** Whether a request's cookie is that of the socket: 0 or -ESTALE. */
export function checkCookie(task: Task, socket: Socket, request: Request, at: number): number {
  const low = request.view.getUint32(at, true)
  const high = request.view.getUint32(at + 4, true)
  if (low === NO_COOKIE && high === NO_COOKIE) return 0
  if (optionBytes(task, socket, SOL_SOCKET, SO_COOKIE, 8) === null) return -ESTALE
  return low === view.getUint32(0, true) && high === view.getUint32(4, true) ? 0 : -ESTALE
}

/** The inode number of a socket's file; 0 while it waits to be accepted. */
export const inodeOf = (socket: Socket): number => socket.file?.inode.ino ?? 0

/** Begin an answer to a request. */
export function begin(request: Request, port: number, flags = 0): void {
  writer.begin(request.type, flags, request.sequence, port)
}

/** End it. */
export function end(): Uint8Array {
  writer.end()
  return writer.take()
}

/** A dump of those of some sockets that `write` writes of. */
export class SocketDump<T> implements Dump {
  readonly result: number
  readonly #request: Request
  readonly #sockets: readonly T[]
  readonly #write: (socket: T) => boolean
  #at = 0

  /** `write` adds what follows the header, or gives false for a socket that was not asked for. */
  constructor(request: Request, sockets: readonly T[], write: (socket: T) => boolean, result = 0) {
    this.#request = request
    this.#sockets = sockets
    this.#write = write
    this.result = result
  }

  next(port: number): Uint8Array | null {
    while (this.#at < this.#sockets.length) {
      begin(this.#request, port, NLM_F_MULTI)
      if (this.#write(this.#sockets[this.#at++]!)) return end()
      writer.length = 0
    }
    return null
  }
}
