// The file system of POSIX message queues: one instance for an IPC namespace, mounted or not. ipc/mqueue.c.

import { EINVAL, EMFILE, ENOMEM, ENOSPC, EOVERFLOW, EPERM } from '../../../syscall-table/errno.ts'
import {
  CAP_SYS_RESOURCE,
  MQUEUE_MAGIC,
  PAGE_SIZE,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  S_ISVTX,
} from '../../../syscall-table/flags.ts'
import { type IpcNamespace, ipcOfKernel } from '../../ipc/namespace.ts'
import type { Creds } from '../../kernel/creds.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Task } from '../../kernel/task.ts'
import type { Inode, StatFs } from '../../vfs/inode.ts'
import { Mount } from '../../vfs/mount.ts'
import { rootDentry } from '../../vfs/mounting.ts'
import { initOwner } from '../../vfs/permission.ts'
import { registerFileSystem, touchCreated } from '../../vfs/super.ts'
import { MemoryDir } from '../tmpfs/directory.ts'
import { MemorySuperBlock } from '../tmpfs/tmpfs.ts'
import { QueueInode } from './queue.ts'

/** What a privileged user may ask for. */
const HARD_MESSAGES_MAX = 65536
const HARD_SIZE_MAX = 16 << 20
const PRIORITIES = 32768
/** What RLIMIT_MSGQUEUE counts beside the bytes: for each message, and for each priority that may occur. */
const MESSAGE_COST = 48
const PRIORITY_COST = 48
/** The soft limit that processes start with; for those who make queues by creat(2). */
const DEFAULT_LIMIT = 819200
/** Bytes of messages over all queues: Linux charges them to cgroups as well. */
const HELD_MAX = 64 << 20
let held = 0

export class MqueueSuperBlock extends MemorySuperBlock {
  override readonly type = 'mqueue'
  override readonly root: QueueDirectory
  readonly namespace: IpcNamespace
  /** Where mq_open(2) looks: no path leads here. */
  readonly mount: Mount
  queues = 0
  readonly #charged = new Map<number, number>()

  constructor(kernel: Kernel, namespace: IpcNamespace) {
    super(kernel, 0, 0)
    this.namespace = namespace
    this.root = new QueueDirectory(this)
    touchCreated(kernel, this.root)
    this.mount = new Mount(this, rootDentry(this), 0, 'mqueue')
  }

  override statfs(into: StatFs): number {
    super.statfs(into)
    into.type = MQUEUE_MAGIC
    into.bsize = into.frsize = PAGE_SIZE
    return 0
  }

  /** Account for a new queue: -EMFILE beyond the user's RLIMIT_MSGQUEUE. */
  chargeQueue(uid: number, bytes: number, limit: number): number {
    const used = this.#charged.get(uid) ?? 0
    if (used + bytes > limit) return -EMFILE
    this.#charged.set(uid, used + bytes)
    this.queues++
    return 0
  }

  queueGone(queue: QueueInode): void {
    this.queues--
    const left = (this.#charged.get(queue.payer) ?? 0) - queue.charged
    if (left > 0) this.#charged.set(queue.payer, left)
    else this.#charged.delete(queue.payer)
  }

  /** Account for the bytes of a message. */
  hold(bytes: number): boolean {
    if (held + bytes > HELD_MAX) return false
    held += bytes
    return true
  }

  letGo(bytes: number): void {
    held -= bytes
  }
}

/** What a new queue is to hold. */
export interface QueueAttributes {
  messages: number
  messageSize: number
}

/** Only queues can be made in it. */
export class QueueDirectory extends MemoryDir {
  declare readonly sb: MqueueSuperBlock

  constructor(sb: MqueueSuperBlock) {
    super(sb, sb.nextIno(), S_IFDIR | S_ISVTX | 0o777)
  }

  override mknod(name: string, mode: number, _rdev: number, creds: Creds): Inode | number {
    if ((mode & S_IFMT) !== S_IFREG) return -EPERM
    return this.createQueue(name, mode, creds, null, DEFAULT_LIMIT)
  }

  /** mqueue_create_attr. Without attributes the namespace's defaults are taken. */
  createQueue(
    name: string,
    mode: number,
    creds: Creds,
    wanted: QueueAttributes | null,
    limit: number,
  ): QueueInode | number {
    const { sb } = this
    const { mqueueLimits: limits } = sb.namespace
    const privileged = creds.capable(CAP_SYS_RESOURCE)
    if (sb.queues >= limits.queues && !privileged) return -ENOSPC
    const messages = wanted?.messages ?? Math.min(limits.messages, limits.messagesDefault)
    const size = wanted?.messageSize ?? Math.min(limits.messageSize, limits.messageSizeDefault)
    if (messages <= 0 || size <= 0) return -EINVAL
    const mostMessages = privileged ? HARD_MESSAGES_MAX : limits.messages
    const mostSize = privileged ? HARD_SIZE_MAX : limits.messageSize
    if (messages > mostMessages || size > mostSize) return -EINVAL
    const overhead = messages * MESSAGE_COST + Math.min(messages, PRIORITIES) * PRIORITY_COST
    const bytes = overhead + messages * size
    if (bytes > Number.MAX_SAFE_INTEGER) return -EOVERFLOW
    const error = sb.chargeQueue(creds.uid, bytes, limit)
    if (error < 0) return error
    if (sb.chargeInode() < 0) return -ENOMEM
    const inode = new QueueInode(sb, mode & 0o7777, messages, size, bytes, creds.uid)
    initOwner(inode, this, creds)
    touchCreated(sb.kernel, inode)
    this.addEntry(name, inode)
    return inode
  }

  override mkdir(): number {
    return -EPERM
  }
  override symlink(): number {
    return -EPERM
  }
  override link(): number {
    return -EPERM
  }
  override rename(): number {
    return -EPERM
  }
  override tmpfile(): number {
    return -EPERM
  }
}

/** The instance of a namespace. */
export function mqueueOf(kernel: Kernel, namespace: IpcNamespace): MqueueSuperBlock {
  namespace.mqueue ??= new MqueueSuperBlock(kernel, namespace)
  return namespace.mqueue
}

registerFileSystem('mqueue', (kernel: Kernel, task: Task | null, _source: string, data: string) =>
  data === '' ? mqueueOf(kernel, ipcOfKernel(kernel, task)) : -EINVAL,
)
