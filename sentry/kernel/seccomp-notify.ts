// Calls that another process answers: SECCOMP_RET_USER_NOTIF, seccomp_unotify(2), kernel/seccomp.c. The task that made the call
// sleeps; who holds the listener receives what it asked for, and says what becomes of the call.

import { EBADF, EFAULT, EINPROGRESS, EINVAL, ENOENT, ENOSYS } from '../../syscall-table/errno.ts'
import {
  AUDIT_ARCH_X86_64,
  O_CLOEXEC,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  RLIMIT_NOFILE,
} from '../../syscall-table/flags.ts'
import { closeFile } from '../vfs/close.ts'
import { type File, FileOps } from '../vfs/file.ts'
import { randomBits } from './random.ts'
import type { RestartResource, Task } from './task.ts'
import { WaitQueue } from './wait-queue.ts'

// Of an ioctl, SECCOMP_IOCTL_NOTIF_*.
const RECV = 0xc0502100
const SEND = 0xc0182101
const ID_VALID = 0x40082102
/** With the direction that the headers had at first. */
const ID_VALID_WRONG = 0x80082102
const SET_FLAGS = 0x40082104
/** Its size may be that of a later version. */
const ADDFD = 0x2103
const NUMBER_MASK = 0xffff
const SIZE_SHIFT = 16
const SIZE_MASK = 0x3fff

const NOTIF_SIZE = 80
const RESPONSE_SIZE = 24
const ADDFD_SIZE = 24
const PAGE = 4096
/** SECCOMP_USER_NOTIF_FLAG_CONTINUE. */
const CONTINUE = 1
const ADDFD_SETFD = 1
const ADDFD_SEND = 2
/** SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: how wake-ups are done, of which there is one way here. */
const SYNC_WAKE_UP = 1

// What has become of a notification.
const WAITING = 0
const RECEIVED = 1
const REPLIED = 2

/** A call that waits for its answer. */
export class Notification implements RestartResource {
  readonly listener: Listener
  readonly task: Task
  readonly nr: number
  readonly ip: number
  readonly args: Uint32Array
  /** The 64-bit number. */
  readonly idLow: number
  readonly idHigh: number
  /** Woken by the answer. */
  readonly queue = new WaitQueue()
  state = WAITING
  /** The answer: the call goes on, or has this result. */
  continues = false
  result = 0

  constructor(listener: Listener, task: Task, nr: number, idLow: number, idHigh: number) {
    this.listener = listener
    this.task = task
    this.nr = nr
    this.ip = task.thread.ip
    this.args = task.thread.args.slice()
    this.idLow = idLow
    this.idHigh = idHigh
  }

  get replied(): boolean {
    return this.state === REPLIED
  }

  reply(result: number, continues: boolean): void {
    this.state = REPLIED
    this.result = result
    this.continues = continues
    this.listener.forget(this)
    this.queue.wake(0)
  }

  /** The call ends without an answer. */
  abandon(): void {
    this.listener.forget(this)
  }
}

/** The file of SECCOMP_FILTER_FLAG_NEW_LISTENER. */
export class Listener extends FileOps {
  override spliceable = false
  override readonly queue = new WaitQueue()
  /** SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: what has been received is not given up for a signal. */
  readonly #killable: boolean
  /** Whether any task is left whose calls could come here. */
  readonly #used: () => boolean
  readonly #pending = new Set<Notification>()
  #nextLow = randomBits(32)
  readonly #nextHigh = randomBits(32)
  #closed = false

  constructor(killable: boolean, used: () => boolean) {
    super()
    this.#killable = killable
    this.#used = used
  }

  get closed(): boolean {
    return this.#closed
  }

  /** A new one, for a call that `task` is about to make. */
  ask(task: Task, nr: number): Notification {
    const notification = new Notification(this, task, nr, this.#nextLow, this.#nextHigh)
    this.#nextLow = (this.#nextLow + 1) >>> 0
    this.#pending.add(notification)
    this.queue.wake(POLLIN | POLLRDNORM)
    return notification
  }

  forget(notification: Notification): void {
    this.#pending.delete(notification)
  }

  override poll(): number {
    let events = this.#used() ? 0 : POLLHUP
    for (const { state } of this.#pending)
      events |= state === WAITING ? POLLIN | POLLRDNORM : POLLOUT | POLLWRNORM
    return events
  }

  /** Nobody will answer any more. */
  override release(): void {
    this.#closed = true
    for (const notification of [...this.#pending]) notification.reply(-ENOSYS, false)
  }

  override ioctl(_file: File, task: Task, request: number, arg: number): number {
    switch (request >>> 0) {
      case RECV:
        return this.#receive(task, arg)
      case SEND:
        return this.#send(task, arg)
      case ID_VALID:
      case ID_VALID_WRONG:
        return this.#idValid(task, arg)
      case SET_FLAGS:
        return (arg & ~SYNC_WAKE_UP) === 0 && arg >= 0 && arg < 2 ** 32 ? 0 : -EINVAL
      default:
        return (request & NUMBER_MASK) === ADDFD
          ? this.#addDescriptor(task, (request >>> SIZE_SHIFT) & SIZE_MASK, arg)
          : -EINVAL
    }
  }

  /** The first that nobody has received yet. */
  #first(): Notification | undefined {
    for (const notification of this.#pending)
      if (notification.state === WAITING) return notification
    return undefined
  }

  #receive(task: Task, addr: number): number {
    const { scratch, scratchView } = task.kernel
    if (task.mm.copyIn(task, addr, scratch, 0, NOTIF_SIZE) < 0) return -EFAULT
    for (let i = 0; i < NOTIF_SIZE; i++) if (scratch[i] !== 0) return -EINVAL
    const found = this.#first()
    if (found === undefined)
      return this.#used() ? task.block(this.queue, POLLIN | POLLHUP) : -ENOENT
    scratch.fill(0, 0, NOTIF_SIZE)
    scratchView.setUint32(0, found.idLow, true)
    scratchView.setUint32(4, found.idHigh, true)
    scratchView.setUint32(8, found.task.pid.numberIn(task.pidNs), true)
    scratchView.setUint32(16, found.nr, true)
    scratchView.setUint32(20, AUDIT_ARCH_X86_64, true)
    scratchView.setUint32(24, found.ip % 2 ** 32, true)
    scratchView.setUint32(28, Math.floor(found.ip / 2 ** 32), true)
    found.args.forEach((word, i) => {
      scratchView.setUint32(32 + i * 4, word, true)
    })
    if (task.mm.copyOut(task, addr, scratch, 0, NOTIF_SIZE) < 0) return -EFAULT
    found.state = RECEIVED
    if (this.#killable) found.task.unsignalable = true
    this.queue.wake(POLLOUT | POLLWRNORM)
    return 0
  }

  /** The notification whose number is in the scratch. */
  #named({ kernel: { scratchView } }: Task): Notification | undefined {
    const low = scratchView.getUint32(0, true)
    const high = scratchView.getUint32(4, true)
    for (const notification of this.#pending)
      if (notification.idLow === low && notification.idHigh === high) return notification
    return undefined
  }

  #send(task: Task, addr: number): number {
    const { scratch, scratchView } = task.kernel
    if (task.mm.copyIn(task, addr, scratch, 0, RESPONSE_SIZE) < 0) return -EFAULT
    const low = scratchView.getUint32(8, true)
    const value = scratchView.getInt32(12, true) * 2 ** 32 + low
    const error = scratchView.getInt32(16, true)
    const flags = scratchView.getUint32(20, true)
    if ((flags & ~CONTINUE) !== 0) return -EINVAL
    if (flags === CONTINUE && (error !== 0 || value !== 0)) return -EINVAL
    const found = this.#named(task)
    if (found === undefined) return -ENOENT
    if (found.state !== RECEIVED) return -EINPROGRESS
    found.reply(error !== 0 ? error : value, flags === CONTINUE)
    return 0
  }

  #idValid(task: Task, addr: number): number {
    if (task.mm.copyIn(task, addr, task.kernel.scratch, 0, 8) < 0) return -EFAULT
    return this.#named(task)?.state === RECEIVED ? 0 : -ENOENT
  }

  /** SECCOMP_IOCTL_NOTIF_ADDFD: the asker gets a descriptor of the caller's file. */
  #addDescriptor(task: Task, size: number, addr: number): number {
    const { scratch, scratchView } = task.kernel
    if (size < ADDFD_SIZE || size >= PAGE) return -EINVAL
    if (task.mm.copyIn(task, addr, scratch, 0, size) < 0) return -EFAULT
    for (let i = ADDFD_SIZE; i < size; i++) if (scratch[i] !== 0) return -EINVAL
    const flags = scratchView.getUint32(8, true)
    const newFd = scratchView.getUint32(16, true)
    const newFlags = scratchView.getUint32(20, true)
    if ((newFlags & ~O_CLOEXEC) !== 0 || (flags & ~(ADDFD_SETFD | ADDFD_SEND)) !== 0) return -EINVAL
    if (newFd !== 0 && (flags & ADDFD_SETFD) === 0) return -EINVAL
    const file = task.files.getReal(scratchView.getUint32(12, true))
    if (file === undefined) return -EBADF
    const found = this.#named(task)
    if (found === undefined) return -ENOENT
    if (found.state !== RECEIVED) return -EINPROGRESS
    const at = (flags & ADDFD_SETFD) !== 0 ? newFd : -1
    const fd = giveFile(found.task, file, at, newFlags !== 0)
    if (fd >= 0 && (flags & ADDFD_SEND) !== 0) found.reply(fd, false)
    return fd
  }
}

/** A descriptor of `file` for another task: `at` that number, or at the lowest free one for -1. */
function giveFile(to: Task, file: File, at: number, cloexec: boolean): number {
  const limit = to.group.rlimits[RLIMIT_NOFILE]!.cur
  if (at < 0) {
    const fd = to.files.install(file.ref(), cloexec, limit)
    if (fd < 0) file.unref()
    return fd
  }
  if (at >= limit) return -EBADF
  const old = to.files.replace(at, file.ref(), cloexec)
  if (old !== undefined) closeFile(to, to.files, old)
  return at
}
