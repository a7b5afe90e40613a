// One message on its way through a socket: struct msghdr and struct scm_cookie.

import { MSG_DONTWAIT } from '../../syscall-table/flags.ts'
import type { Pid } from '../kernel/pid-namespace.ts'
import type { Task } from '../kernel/task.ts'
import type { Io } from '../mm/io.ts'
import type { File } from '../vfs/file.ts'

/** sizeof(struct sockaddr_storage). */
export const MAX_ADDRESS = 128

/** struct ucred in the kernel's own terms: each receiver sees other numbers. */
export interface Ucred {
  pid: Pid | null
  uid: number
  gid: number
  /** Of the two ends of a connection. */
  groups?: readonly number[]
}

/** Reused: a socket takes what it needs from it within the call. */
export class Message {
  io!: Io
  /** MSG_*. */
  flags = 0
  /** The call may wait, and keeps what it has moved in `task.restart.done` for its next pass. */
  resumable = false
  /** Sending: the destination. Receiving: the source. */
  readonly name = new Uint8Array(MAX_ADDRESS)
  nameLength = 0
  /** Files of SCM_RIGHTS, with their references. A socket that keeps them sets this to null. */
  rights: File[] | null = null
  /** Sending: explicit SCM_CREDENTIALS. Receiving: the sender's, when `credentials` is set. */
  readonly ucred: Ucred = { pid: null, uid: 0, gid: 0 }
  credentials = false
  /** Receiving: MSG_TRUNC and the like, for the program. */
  outFlags = 0
  /** Receiving: somebody asks for the source. */
  wantsName = false
  /** Of a socket with `rawControl`: the bytes to send, or the room to receive into and then what came. */
  control: Uint8Array | null = null
  controlLength = 0

  reset(task: Task, io: Io, flags: number, nonblocking: boolean): this {
    this.io = io
    this.flags = flags
    this.resumable = io === task.io && !nonblocking && (flags & MSG_DONTWAIT) === 0
    this.nameLength = 0
    this.rights = null
    this.credentials = false
    this.outFlags = 0
    this.wantsName = false
    this.control = null
    this.controlLength = 0
    return this
  }

  /** Give up the files that nobody took. */
  dropRights(): void {
    if (this.rights === null) return
    for (const file of this.rights) file.unref()
    this.rights = null
  }
}
