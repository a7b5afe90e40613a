// Files over host descriptors: the standard streams of a sandbox without a terminal of its own. The host's
// open file is shared with other processes, so its flags are never changed: what might block is asked with
// poll(2) first, and long writes go in pieces that a ready file takes without blocking.

import {
  close,
  fsync,
  ftruncate,
  getWinsize,
  type HostFd,
  lseek,
  poll,
  pread,
  pwrite,
  read,
  readable,
  STAT_MODE,
  STAT_RDEV_MAJOR,
  STAT_RDEV_MINOR,
  STAT_RECORD_SIZE,
  STAT_SIZE,
  setWinsize,
  statFd,
  tcgets,
  tcsets,
  write,
} from '../../../native/index.ts'
import {
  EAGAIN,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOTTY,
  EPERM,
  EPIPE,
  ESPIPE,
} from '../../../syscall-table/errno.ts'
import {
  FIONREAD,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  S_IFSOCK,
  SIGPIPE,
  TCGETS,
  TCSETS,
  TCSETSF,
  TIOCGWINSZ,
  TIOCSWINSZ,
} from '../../../syscall-table/flags.ts'
import type { HostEventSource } from '../../kernel/host-events.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { sendSignal } from '../../kernel/signal-send.ts'
import type { Task } from '../../kernel/task.ts'
import { WaitQueue } from '../../kernel/wait-queue.ts'
import type { Io } from '../../mm/io.ts'
import { Dentry } from '../../vfs/dentry.ts'
import { File, FileOps, type MapSource } from '../../vfs/file.ts'
import { Inode, type SetAttr } from '../../vfs/inode.ts'
import { Mount } from '../../vfs/mount.ts'
import { touchCreated } from '../../vfs/super.ts'
import { makeDev } from '../dev/registry.ts'
import { finishPieces, resumePieces } from '../pieces.ts'
import { PseudoFs } from '../pseudo.ts'

/** PIPE_BUF: a pipe that is ready for writing takes this much at once. */
const PIPE_PIECE = 4096
/** A terminal is ready when it has room for a little. */
const TTY_PIECE = 256
const READABLE = POLLIN | POLLRDNORM
const WRITABLE = POLLOUT | POLLWRNORM
const TERMIOS_SIZE = 36

const stat = new Uint8Array(STAT_RECORD_SIZE)
const statView = new DataView(stat.buffer)

class HostFs extends PseudoFs {
  readonly mount: Mount
  constructor(kernel: Kernel) {
    super(kernel, 'hostfs', 0, true)
    this.root = new HostInode(this, -1, 0)
    this.mount = new Mount(this, new Dentry('/', null, this.root), 0, 'host')
  }
}

const hostFsOf = new WeakMap<Kernel, HostFs>()

/**
 * An open file over `hostFd`, which this takes over: it is closed with the last file. `flags` are O_*, and
 * must not promise more than the descriptor can do. -errno when the descriptor is bad.
 */
export function hostFile(kernel: Kernel, hostFd: HostFd, flags: number): File | number {
  const error = statFd(hostFd, stat, 0)
  if (error < 0) return error
  let fs = hostFsOf.get(kernel)
  if (fs === undefined) {
    fs = new HostFs(kernel)
    hostFsOf.set(kernel, fs)
  }
  const inode = new HostInode(fs, hostFd, statView.getUint32(STAT_MODE, true))
  inode.refresh()
  const dentry = new Dentry(inode.displayName, null, inode)
  dentry.detached = true
  const file = new File(inode.makeOps(), inode, dentry, fs.mount, flags)
  if (inode.isRegular) file.pos = Math.max(0, lseek(hostFd, 0, 1))
  return file
}

/**
 * What is behind a host descriptor. Type, size and device number are the host's, nothing else. A socket shows itself
 * as a pipe: programs that see a socket use socket calls on it (Node.js loses its output then), and it answers none.
 */
class HostInode extends Inode implements HostEventSource {
  declare readonly sb: PseudoFs
  readonly hostFd: HostFd
  readonly queue = new WaitQueue()
  /** Bytes that a ready file takes without blocking. */
  readonly piece: number
  readonly isTerminal: boolean
  #watched = 0

  constructor(sb: PseudoFs, hostFd: HostFd, mode: number) {
    const type = (mode & S_IFMT) === S_IFSOCK ? S_IFIFO : mode & S_IFMT
    super(sb, sb.allocIno(), type | 0o620)
    this.hostFd = hostFd
    this.isTerminal = type === S_IFCHR && tcgets(hostFd, new Uint8Array(TERMIOS_SIZE)) >= 0
    this.piece = this.isTerminal
      ? TTY_PIECE
      : type === S_IFIFO
        ? PIPE_PIECE
        : sb.kernel.bounce.length
    touchCreated(sb.kernel, this)
  }

  get displayName(): string {
    return (this.mode & S_IFMT) === S_IFIFO ? `pipe:[${this.ino}]` : `host:[${this.ino}]`
  }

  override refresh(): number {
    if (this.hostFd < 0) return 0
    const error = statFd(this.hostFd, stat, 0)
    if (error < 0) return -EIO
    this.size =
      statView.getUint32(STAT_SIZE + 4, true) * 2 ** 32 + statView.getUint32(STAT_SIZE, true)
    this.blocks = this.isRegular ? Math.ceil(this.size / 512) : 0
    const major = statView.getUint32(STAT_RDEV_MAJOR, true)
    this.rdev = makeDev(major, statView.getUint32(STAT_RDEV_MINOR, true))
    return 0
  }

  makeOps(): FileOps {
    return this.isRegular ? new HostRegularOps(this) : new HostStreamOps(this)
  }

  /** Through /proc/self/fd/N or /dev/stdout: another open file over the same descriptor. */
  override open(_task: Task, _flags: number): FileOps | number {
    return this.makeOps()
  }

  override setattr(attr: SetAttr): number {
    if (attr.mode !== undefined || attr.uid !== undefined || attr.gid !== undefined) return -EPERM
    if (attr.size === undefined) return 0
    return this.isRegular ? ftruncate(this.hostFd, attr.size) : 0
  }

  override evict(): void {
    if (this.#watched !== 0) this.sb.kernel.hostEvents.unwatch(this.hostFd)
    close(this.hostFd)
  }

  /** Wake the queue once one of `events` is there. */
  watch(events: number): void {
    if ((events & ~this.#watched) === 0) return
    this.#watched |= events
    this.sb.kernel.hostEvents.watch(this.hostFd, this.#watched, this)
  }

  /** Stop watching at once: who still waits will ask again. */
  onHostEvent(events: number): void {
    this.#watched = 0
    this.sb.kernel.hostEvents.unwatch(this.hostFd)
    // A pipe that was full when its reader went has an error, and nothing else.
    const woken = (events & (POLLHUP | POLLERR)) !== 0 ? 0 : events
    this.queue.wake(
      woken | ((events & POLLIN) !== 0 ? READABLE : 0) | ((events & POLLOUT) !== 0 ? WRITABLE : 0),
    )
  }

  /** Which of `events` is there now; errors count for all. */
  ready(events: number): boolean {
    const revents = poll(this.hostFd, events, 0)
    if (revents !== 0) return true
    this.watch(events)
    return false
  }

  writeHost(bytes: Uint8Array, length: number, task: Task): number {
    const n = write(this.hostFd, bytes, 0, length)
    if (n === -EPIPE) sendSignal(task, SIGPIPE)
    return n
  }
}

/** A pipe, socket, character device or terminal of the host. */
class HostStreamOps extends FileOps {
  readonly #inode: HostInode

  constructor(inode: HostInode) {
    super()
    this.#inode = inode
    this.queue = inode.queue
  }

  override read(_file: File, io: Io, _pos: number, task: Task): number {
    if (io.remaining === 0) return 0
    const inode = this.#inode
    if (!inode.ready(POLLIN)) return -EAGAIN
    const { bounce } = task.kernel
    const n = read(inode.hostFd, bounce, 0, Math.min(io.remaining, bounce.length))
    if (n <= 0) return n
    const put = io.put(bounce, 0, n)
    return put < 0 ? -EFAULT : io.done
  }

  override write(file: File, io: Io, _pos: number, task: Task): number {
    const inode = this.#inode
    const { bounce } = task.kernel
    resumePieces(task, file, io)
    let error = 0
    while (io.remaining > 0 && error === 0) {
      if (!inode.ready(POLLOUT)) error = -EAGAIN
      else {
        const length = io.take(bounce, 0, Math.min(io.remaining, inode.piece))
        if (length <= 0) error = -EFAULT
        else {
          const n = inode.writeHost(bounce, length, task)
          if (n < 0) return io.done > length ? io.done - length : n
          if (n < length) return io.done - (length - n)
        }
      }
    }
    return finishPieces(task, file, io, error)
  }

  override poll(_file: File): number {
    const revents = poll(this.#inode.hostFd, POLLIN | POLLOUT, 0)
    if (revents < 0) return POLLERR
    const missing = (POLLIN | POLLOUT) & ~revents
    if (missing !== 0 && (revents & (POLLHUP | POLLERR)) === 0) this.#inode.watch(missing)
    return (
      ((revents & POLLIN) !== 0 ? READABLE : 0) |
      ((revents & POLLOUT) !== 0 ? WRITABLE : 0) |
      (revents & (POLLHUP | POLLERR))
    )
  }

  override ioctl(_file: File, task: Task, request: number, arg: number): number {
    const { hostFd, isTerminal } = this.#inode
    const { scratch, scratchView } = task.kernel
    if (request === FIONREAD) {
      const n = readable(hostFd)
      if (n < 0) return n
      scratchView.setInt32(0, n, true)
      return task.mm.copyResult(task, arg, scratch, 0, 4)
    }
    return isTerminal ? terminalIoctl(hostFd, task, request, arg) : -ENOTTY
  }
}

const winsize = new Uint16Array(4)
const winsizeBytes = new Uint8Array(winsize.buffer)

/** Settings and size of the user's own terminal; all that makes it a terminal for programs without -t. */
function terminalIoctl(hostFd: HostFd, task: Task, request: number, arg: number): number {
  const { scratch } = task.kernel
  switch (request) {
    case TCGETS: {
      const error = tcgets(hostFd, scratch)
      return error < 0 ? error : task.mm.copyResult(task, arg, scratch, 0, TERMIOS_SIZE)
    }
    case TIOCGWINSZ: {
      const error = getWinsize(hostFd, winsize)
      return error < 0 ? error : task.mm.copyResult(task, arg, winsizeBytes, 0, 8)
    }
    case TIOCSWINSZ: {
      const error = task.mm.copyIn(task, arg, winsizeBytes, 0, 8)
      return error < 0 ? error : setWinsize(hostFd, winsize)
    }
    default: {
      if (request < TCSETS || request > TCSETSF) return -ENOTTY
      const error = task.mm.copyIn(task, arg, scratch, 0, TERMIOS_SIZE)
      return error < 0 ? error : tcsets(hostFd, request - TCSETS, scratch)
    }
  }
}

/**
 * A regular file of the host. Plain reads and writes happen at the host file's own position, because others
 * may append to the same file (a log that several commands share); only pread and pwrite name a place.
 */
class HostRegularOps extends FileOps {
  override seekable = true
  readonly #inode: HostInode

  constructor(inode: HostInode) {
    super()
    this.#inode = inode
  }

  override read(file: File, io: Io, pos: number, task: Task): number {
    const { bounce } = task.kernel
    const { hostFd } = this.#inode
    const length = Math.min(io.remaining, bounce.length)
    const n =
      pos === file.pos ? read(hostFd, bounce, 0, length) : pread(hostFd, bounce, 0, length, pos)
    if (n <= 0) return n
    return io.put(bounce, 0, n) < 0 ? -EFAULT : io.done
  }

  override write(file: File, io: Io, pos: number, task: Task): number {
    const { bounce } = task.kernel
    const inode = this.#inode
    const length = io.take(bounce, 0, Math.min(io.remaining, bounce.length))
    if (length <= 0) return length
    return pos === file.pos || file.append
      ? inode.writeHost(bounce, length, task)
      : pwrite(inode.hostFd, bounce, 0, length, pos)
  }

  override seek(file: File, offset: number, whence: number): number {
    const position = lseek(this.#inode.hostFd, offset, whence)
    if (position >= 0) file.pos = position
    return position < 0 && position !== -EINVAL ? -ESPIPE : position
  }

  override map(
    _file: File,
    _offset: number,
    _length: number,
    shared: boolean,
    writable: boolean,
  ): MapSource | number {
    return shared && writable ? -ENODEV : { hostFd: this.#inode.hostFd, offset: 0 }
  }

  override fsync(): number {
    return fsync(this.#inode.hostFd)
  }
}
