// The gofer's server: takes requests apart, lets one function per operation answer them, in order. Requests
// come from the sentry, which may be in the hands of the sandboxed program: nothing in them is trusted.

import { close, type HostFd, recvMessage, runOn, sendMessage } from '../native/index.ts'
import { EAGAIN, EBUSY, EINVAL, EMFILE, EMSGSIZE, ENFILE, ENOSYS } from '../syscall-table/errno.ts'
import { listTree, openFiles } from './ahead.ts'
import { getxattr, listxattr, removexattr, scanxattr, setattr, setxattr } from './attributes.ts'
import { type AttachPoint, HandleTable } from './handles.ts'
import {
  attach,
  checkGuards,
  closeHandles,
  getattr,
  readdir,
  readlink,
  statfs,
  walk,
} from './lookup.ts'
import { bindSocket, link, listenOn, mkdir, mknod, rename, symlink, unlink } from './modify.ts'
import { connect, create, fallocate, fsync, open, reopenMemory, tmpfile } from './open.ts'
import {
  ANY_CPU,
  HEADER_SIZE,
  MESSAGE_MAX,
  MessageReader,
  MessageWriter,
  OP_ATTACH,
  OP_BIND,
  OP_CLOSE,
  OP_CONNECT,
  OP_COUNT,
  OP_CREATE,
  OP_FALLOCATE,
  OP_FOLLOW,
  OP_FSYNC,
  OP_GETATTR,
  OP_GETXATTR,
  OP_LINK,
  OP_LIST_TREE,
  OP_LISTEN,
  OP_LISTXATTR,
  OP_MKDIR,
  OP_MKNOD,
  OP_OPEN,
  OP_OPEN_FILES,
  OP_READDIR,
  OP_READLINK,
  OP_REMOVEXATTR,
  OP_RENAME,
  OP_REOPEN,
  OP_SCANXATTR,
  OP_SETATTR,
  OP_SETXATTR,
  OP_STATFS,
  OP_SYMLINK,
  OP_TMPFILE,
  OP_UNLINK,
  OP_UNWATCH,
  OP_WALK,
  OP_WATCH,
  OPEN_FILES_MAX,
  REQUEST_GUARDED,
} from './protocol.ts'
import { unwatch, watch } from './watch.ts'

/** Answers one request: reads `server.request`, appends to `server.reply`, returns the result. */
type Operation = (server: GoferServer) => number

export interface GoferOptions {
  readonly attachPoints: readonly AttachPoint[]
  /**
   * A directory whose entry N leads to descriptor N of this process: a private mount of /proc/self/fd. It
   * is how an O_PATH descriptor is opened for real without a race, whatever has happened to its name.
   */
  readonly descriptors: HostFd
  readonly maxHandles: number
}

export class GoferServer {
  readonly attachPoints: readonly AttachPoint[]
  readonly descriptors: HostFd
  readonly handles: HandleTable
  readonly request = new MessageReader(new Uint8Array(MESSAGE_MAX))
  readonly reply = new MessageWriter()
  /** The request's own flags. */
  flags = 0
  /** Descriptors that go to the sentry with the reply. They are closed here once it has been sent. */
  readonly #donated = new Int32Array(OPEN_FILES_MAX)
  #donatedCount = 0
  /** The descriptor that came with the request, or -1. It is closed here once the request is answered. */
  received: HostFd = -1
  /** The inotify(7) instance, or -1, and the numbers of its watches. */
  watchInstance: HostFd = -1
  readonly watches = new Set<number>()
  /** It runs on the sentry's CPU. */
  follows = false
  readonly #operations: readonly (Operation | undefined)[]

  constructor(options: GoferOptions) {
    this.attachPoints = options.attachPoints
    this.descriptors = options.descriptors
    this.handles = new HandleTable(options.maxHandles)
    this.#operations = operationTable()
  }

  /**
   * Answers the request of `length` bytes in `request.bytes`: the reply is in `reply.bytes`. Returns its
   * length, 0 when there is none to send.
   */
  handle(length: number): number {
    const { request, reply } = this
    reply.at = HEADER_SIZE
    reply.overflow = false
    if (length < HEADER_SIZE || length > request.bytes.length) return this.#finish(0, -EINVAL)
    const tag = request.view.getUint32(0, true)
    const op = request.view.getUint16(4, true)
    this.flags = request.view.getUint16(6, true)
    request.start(length)
    const operation = this.#operations[op]
    if (operation === undefined) return this.#finish(tag, -ENOSYS)
    const result = this.#guarded() || operation(this)
    return op === OP_CLOSE ? 0 : this.#finish(tag, result)
  }

  /** 0 when the request may be carried out. */
  #guarded(): number {
    if ((this.flags & REQUEST_GUARDED) === 0) return 0
    this.flags &= ~REQUEST_GUARDED
    return checkGuards(this)
  }

  #finish(tag: number, result: number): number {
    if (result < 0) {
      this.reply.at = HEADER_SIZE
      this.releaseDonated()
    }
    this.reply.response(tag, replyError(result))
    return this.reply.at
  }

  /** `fd` goes to the sentry with the reply, of which at most OPEN_FILES_MAX can be. */
  donate(fd: HostFd): void {
    this.#donated[this.#donatedCount++] = fd
  }

  releaseDonated(): void {
    for (let i = 0; i < this.#donatedCount; i++) close(this.#donated[i]!)
    this.#donatedCount = 0
  }

  /** Serves a SOCK_SEQPACKET socket until the sentry closes it. Returns 0 or -errno. */
  serve(socket: HostFd): number {
    const came = new Int32Array(2)
    for (;;) {
      const length = recvMessage(socket, this.request.bytes, came)
      this.received = came[0] === 1 ? came[1]! : -1
      if (length === 0) return 0
      // A message that is too long gets its answer too (-EMSGSIZE is the only error that leaves a peer).
      if (length < 0 && length !== -EMSGSIZE) return length
      const size = this.handle(Math.max(length, 0))
      if (this.received >= 0) close(this.received)
      this.received = -1
      if (size === 0) continue
      const r = sendMessage(socket, this.reply.bytes, 0, size, this.#donated, this.#donatedCount)
      this.releaseDonated()
      if (r < 0) return r
    }
  }

  /** Closes every handle. The attach points stay. */
  shutdown(): void {
    this.releaseDonated()
    this.handles.clear()
    if (this.watchInstance >= 0) close(this.watchInstance)
    this.watchInstance = -1
    this.watches.clear()
    if (this.follows) runOn(-1)
    this.follows = false
  }
}

/** Errors of the host that would mean something else to the sentry than they do here. */
function replyError(result: number): number {
  // A lease on the file: the sentry must not wait for a file descriptor that will never be ready.
  if (result === -EAGAIN) return -EBUSY
  // It is our own table that is full, not the program's: the sentry closes handles and tries again.
  if (result === -EMFILE) return -ENFILE
  return result
}

/** OP_FOLLOW: where the sentry waits for us, nothing else can run meanwhile but what it waits for. */
function follow(server: GoferServer): number {
  const cpu = server.request.u32()
  if (!server.request.done()) return -EINVAL
  server.follows = true
  return runOn(cpu === ANY_CPU ? -1 : cpu)
}

function operationTable(): readonly (Operation | undefined)[] {
  const table: (Operation | undefined)[] = new Array(OP_COUNT).fill(undefined)
  table[OP_ATTACH] = attach
  table[OP_WALK] = walk
  table[OP_CLOSE] = closeHandles
  table[OP_GETATTR] = getattr
  table[OP_SETATTR] = setattr
  table[OP_OPEN] = open
  table[OP_CREATE] = create
  table[OP_MKDIR] = mkdir
  table[OP_MKNOD] = mknod
  table[OP_SYMLINK] = symlink
  table[OP_LINK] = link
  table[OP_UNLINK] = unlink
  table[OP_RENAME] = rename
  table[OP_READLINK] = readlink
  table[OP_READDIR] = readdir
  table[OP_STATFS] = statfs
  table[OP_FSYNC] = fsync
  table[OP_FALLOCATE] = fallocate
  table[OP_GETXATTR] = getxattr
  table[OP_SETXATTR] = setxattr
  table[OP_LISTXATTR] = listxattr
  table[OP_REMOVEXATTR] = removexattr
  table[OP_CONNECT] = connect
  table[OP_SCANXATTR] = scanxattr
  table[OP_REOPEN] = reopenMemory
  table[OP_LIST_TREE] = listTree
  table[OP_OPEN_FILES] = openFiles
  table[OP_TMPFILE] = tmpfile
  table[OP_WATCH] = watch
  table[OP_UNWATCH] = unwatch
  table[OP_BIND] = bindSocket
  table[OP_LISTEN] = listenOn
  table[OP_FOLLOW] = follow
  return table
}
