// One POSIX message queue: ipc/mqueue.c, mq_overview(7). It is the inode of its file.

import { EAGAIN, EBUSY, ENOMEM } from '../../../syscall-table/errno.ts'
import {
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  S_IFREG,
  SI_MESGQ,
  SIGEV_SIGNAL,
  SIGEV_THREAD,
} from '../../../syscall-table/flags.ts'
import { sendToGroup } from '../../kernel/signal-send.ts'
import { sigInfo } from '../../kernel/signal-state.ts'
import type { Task } from '../../kernel/task.ts'
import type { ThreadGroup } from '../../kernel/thread-group.ts'
import { WaitQueue } from '../../kernel/wait-queue.ts'
import type { Io } from '../../mm/io.ts'
import { HostNetlinkSocket } from '../../net/host/host-netlink.ts'
import { NetlinkSocket } from '../../net/netlink/netlink-socket.ts'
import { touchAccessed } from '../../vfs/attributes.ts'
import { type File, FileOps } from '../../vfs/file.ts'
import type { SetAttr } from '../../vfs/inode.ts'
import { touchModified } from '../../vfs/super.ts'
import { MemoryInode } from '../tmpfs/tmpfs.ts'
import type { MqueueSuperBlock } from './mqueue.ts'

/** What stat(2) tells: FILENT_SIZE. */
const SHOWN_SIZE = 80
/** The last byte of a cookie says why it came. */
export const COOKIE_SIZE = 32
const NOTIFY_WOKENUP = 1
const NOTIFY_REMOVED = 2

/** Whether the C library can wait for SIGEV_THREAD there. */
export function takesCookies(ops: FileOps): ops is NetlinkSocket | HostNetlinkSocket {
  return ops instanceof NetlinkSocket || ops instanceof HostNetlinkSocket
}

/** Who is to be told that the empty queue has got a message, once. */
export interface Notification {
  readonly owner: ThreadGroup
  readonly kind: number
  readonly signo: number
  readonly valueLo: number
  readonly valueHi: number
  /** SIGEV_THREAD: the netlink socket, of which this holds a reference, and what is sent to it. */
  readonly socket: File | null
  readonly cookie: Uint8Array | null
}

interface Message {
  readonly priority: number
  readonly bytes: Uint8Array
}

export class QueueInode extends MemoryInode {
  declare readonly sb: MqueueSuperBlock
  readonly maxMessages: number
  readonly messageSize: number
  /** Highest priority first, and in order of arrival among equals. */
  readonly messages: Message[] = []
  bytes = 0
  notification: Notification | null = null
  readonly senders = new WaitQueue()
  readonly receivers = new WaitQueue()
  readonly ops: QueueOps
  /** What it counts for against RLIMIT_MSGQUEUE of `payer`. */
  readonly charged: number
  readonly payer: number

  constructor(
    sb: MqueueSuperBlock,
    mode: number,
    maxMessages: number,
    messageSize: number,
    charged: number,
    payer: number,
  ) {
    super(sb, sb.nextIno(), S_IFREG | mode)
    this.size = SHOWN_SIZE
    this.maxMessages = maxMessages
    this.messageSize = messageSize
    this.charged = charged
    this.payer = payer
    this.ops = new QueueOps(this)
  }

  override open(_task: Task, _flags: number): FileOps {
    return this.ops
  }

  override setattr(attr: SetAttr): number {
    // truncate(2) and O_TRUNC change nothing.
    const { size: _, ...rest } = attr
    return super.setattr(rest)
  }

  override xattrPermitted(): boolean {
    return false
  }

  get full(): boolean {
    return this.messages.length >= this.maxMessages
  }

  /** Put a message in its place; -EAGAIN when there is no room. */
  send(task: Task, priority: number, bytes: Uint8Array): number {
    if (this.full) return -EAGAIN
    if (!this.sb.hold(bytes.length)) return -ENOMEM
    const { messages } = this
    let low = 0
    let high = messages.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (messages[middle]!.priority >= priority) low = middle + 1
      else high = middle
    }
    messages.splice(low, 0, { priority, bytes })
    this.bytes += bytes.length
    touchModified(this.sb.kernel, this)
    if (!this.receivers.empty) this.receivers.wake(0)
    else {
      if (messages.length === 1) this.#notify(task)
      this.ops.queue.wake(POLLIN | POLLRDNORM)
    }
    return 0
  }

  get first(): Message | undefined {
    return this.messages[0]
  }

  /** Take the first message out. */
  take(): void {
    const { length } = this.messages.shift()!.bytes
    this.bytes -= length
    this.sb.letGo(length)
    touchAccessed(this.sb.kernel, this)
    this.senders.wake(0)
    this.ops.queue.wake(POLLOUT | POLLWRNORM)
  }

  /** mq_notify(2): -EBUSY while someone is registered. */
  register(notification: Notification): number {
    if (this.notification !== null) return -EBUSY
    this.notification = notification
    return 0
  }

  /** The registration of `owner` ends, if it is the one. */
  unregister(owner: ThreadGroup): void {
    if (this.notification?.owner !== owner) return
    this.#sendCookie(NOTIFY_REMOVED)
    this.#forgetNotification()
  }

  #notify(sender: Task): void {
    const { notification } = this
    if (notification === null) return
    if (notification.kind === SIGEV_SIGNAL && notification.signo > 0) {
      const info = sigInfo(notification.signo, SI_MESGQ)
      info.pid = sender.group.tgid
      info.uid = sender.creds.uid
      info.valueLo = notification.valueLo
      info.valueHi = notification.valueHi
      sendToGroup(notification.owner, info)
    } else if (notification.kind === SIGEV_THREAD) this.#sendCookie(NOTIFY_WOKENUP)
    this.#forgetNotification()
  }

  #sendCookie(why: number): void {
    const { socket, cookie } = this.notification!
    if (socket === null || cookie === null) return
    cookie[COOKIE_SIZE - 1] = why
    if (takesCookies(socket.ops)) socket.ops.reply(cookie.slice())
  }

  #forgetNotification(): void {
    const { socket } = this.notification!
    this.notification = null
    socket?.unref()
  }

  override free(): void {
    this.sb.letGo(this.bytes)
    this.messages.length = 0
    this.bytes = 0
    this.sb.queueGone(this)
    super.free()
  }
}

export class QueueOps extends FileOps {
  override spliceable = false
  override readonly queue = new WaitQueue()
  override readonly seekable = true
  readonly inode: QueueInode

  constructor(inode: QueueInode) {
    super()
    this.inode = inode
  }

  /** The state as text. */
  override read(_file: File, io: Io, pos: number): number {
    const { bytes, notification } = this.inode
    const signals = notification !== null && notification.kind === SIGEV_SIGNAL
    const text =
      `QSIZE:${`${bytes}`.padEnd(10)} ` +
      `NOTIFY:${`${notification?.kind ?? 0}`.padEnd(5)} ` +
      `SIGNO:${`${signals ? notification.signo : 0}`.padEnd(5)} ` +
      `NOTIFY_PID:${`${notification?.owner.tgid ?? 0}`.padEnd(6)}\n`
    if (pos >= text.length) return 0
    const data = Buffer.from(text, 'latin1')
    return io.put(data, pos, Math.min(io.remaining, data.length - pos))
  }

  override seek(file: File, offset: number, whence: number): number {
    const base = whence === 0 ? 0 : whence === 1 ? file.pos : SHOWN_SIZE
    if (whence > 2 || base + offset < 0) return super.seek(file, offset, whence)
    file.pos = base + offset
    return file.pos
  }

  override poll(): number {
    const { inode } = this
    let events = 0
    if (inode.messages.length > 0) events |= POLLIN | POLLRDNORM
    if (!inode.full) events |= POLLOUT | POLLWRNORM
    return events
  }

  /** Whoever closes any descriptor of a queue gives up its registration. */
  override flush(_file: File, task: Task): number {
    this.inode.unregister(task.group)
    return 0
  }
}
