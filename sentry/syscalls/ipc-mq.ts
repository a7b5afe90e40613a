// POSIX message queues: mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2),
// mq_getsetattr(2).

import {
  EACCES,
  EAGAIN,
  EBADF,
  EEXIST,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENAMETOOLONG,
  ENOENT,
  ETIMEDOUT,
} from '../../syscall-table/errno.ts'
import {
  CLOCK_REALTIME,
  NSIG,
  O_ACCMODE,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  RLIMIT_MSGQUEUE,
  SIGEV_NONE,
  SIGEV_SIGNAL,
  SIGEV_THREAD,
} from '../../syscall-table/flags.ts'
import {
  newMqAttr,
  readMqAttr,
  SIZEOF_MQ_ATTR,
  writeMqAttr,
} from '../../syscall-table/structs.gen.ts'
import { type MqueueSuperBlock, mqueueOf } from '../fs/mqueue/mqueue.ts'
import { COOKIE_SIZE, type QueueInode, QueueOps, takesCookies } from '../fs/mqueue/queue.ts'
import { ipcOf } from '../ipc/namespace.ts'
import { deadlineOf } from '../kernel/clocks.ts'
import type { Task } from '../kernel/task.ts'
import { deleteDentry, instantiate, lookupDentry } from '../vfs/dcache.ts'
import type { Dentry } from '../vfs/dentry.ts'
import { File } from '../vfs/file.ts'
import { notifyCreated, notifyOpened, notifyRemoved } from '../vfs/notify.ts'
import { MAY_READ, MAY_WRITE, mayCreate, mayDelete, permission } from '../vfs/permission.ts'
import { installFile } from './path-open.ts'
import { readTimespec, spec } from './time-values.ts'

const NAME_MAX = 255
const PRIORITY_MAX = 32768
const SIGEVENT_SIZE = 64

const attributes = newMqAttr()

/** The dentry of a queue's name, negative if there is none. The C library has taken the slash off. */
function findName(task: Task, nameAddr: number): Dentry | number {
  const name = task.mm.readString(task, nameAddr)
  if (typeof name === 'number') return name
  if (name === '') return -ENOENT
  if (name === '.' || name === '..' || name.includes('/')) return -EACCES
  if (name.length > NAME_MAX) return -ENAMETOOLONG
  return lookupDentry(instance(task).mount.root, name, task)
}

function instance(task: Task): MqueueSuperBlock {
  return mqueueOf(task.kernel, ipcOf(task))
}

/** mq_open(2). The descriptor is always closed on exec. */
export function sys_mq_open(
  task: Task,
  nameAddr: number,
  flags: number,
  mode: number,
  attrAddr: number,
): number {
  let wanted = null
  if (attrAddr !== 0) {
    const { scratch, scratchView } = task.kernel
    if (task.mm.copyIn(task, attrAddr, scratch, 0, SIZEOF_MQ_ATTR) < 0) return -EFAULT
    readMqAttr(scratchView, 0, attributes)
    wanted = { messages: attributes.maxmsg, messageSize: attributes.msgsize }
  }
  const dentry = findName(task, nameAddr)
  if (typeof dentry === 'number') return dentry
  const { mount } = instance(task)
  if (dentry.inode === null) {
    if ((flags & O_CREAT) === 0) return -ENOENT
    const { root } = instance(task)
    const denied = mayCreate(task.creds, root)
    if (denied < 0) return denied
    const limit = task.group.rlimits[RLIMIT_MSGQUEUE]!.cur
    const bits = mode & 0o7777 & ~task.fs.umask
    const made = root.createQueue(dentry.name, bits, task.creds, wanted, limit)
    if (typeof made === 'number') return made
    instantiate(dentry, made)
    notifyCreated(dentry)
  } else {
    if ((flags & O_CREAT) !== 0 && (flags & O_EXCL) !== 0) return -EEXIST
    const access = accessOf(flags)
    if (access < 0) return access
    const denied = permission(task.creds, dentry.inode, access)
    if (denied < 0) return denied
  }
  const inode = dentry.inode as unknown as QueueInode
  const kept = flags & (O_ACCMODE | O_NONBLOCK)
  const file = notifyOpened(new File(inode.ops, inode, dentry, mount, kept))
  return installFile(task, file, O_CLOEXEC)
}

function accessOf(flags: number): number {
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return MAY_READ
    case O_WRONLY:
      return MAY_WRITE
    case O_RDWR:
      return MAY_READ | MAY_WRITE
    default:
      return -EINVAL
  }
}

/** mq_unlink(2): the queue lives on until its last descriptor is closed. */
export function sys_mq_unlink(task: Task, nameAddr: number): number {
  const dentry = findName(task, nameAddr)
  if (typeof dentry === 'number') return dentry
  const { inode } = dentry
  if (inode === null) return -ENOENT
  const { root } = instance(task)
  const denied = mayDelete(task.creds, root, inode)
  if (denied < 0) return denied
  const n = root.unlink(dentry.name, inode)
  if (n < 0) return n
  deleteDentry(dentry)
  notifyRemoved(dentry, inode)
  return 0
}

function queueFile(task: Task, fd: number): File | number {
  const file = task.files.get(fd)
  return file === undefined || !(file.ops instanceof QueueOps) ? -EBADF : file
}

/** The absolute CLOCK_REALTIME time at `addr`, as the deadline of the call. Returns 0 or -errno. */
function readDeadline(task: Task, addr: number): number {
  const { restart, kernel } = task
  if (addr === 0 || restart.deadline > 0) return 0
  const error = readTimespec(task, addr)
  if (error < 0) return error
  const deadline = deadlineOf(kernel, CLOCK_REALTIME, spec.sec, spec.nsec)
  // A time that has passed ends the call only if it would have to wait.
  restart.timedOut = deadline <= kernel.clock.monotonicNs()
  restart.deadline = Math.max(deadline, 1)
  return 0
}

/** mq_timedsend(2). */
export function sys_mq_timedsend(
  task: Task,
  fd: number,
  addr: number,
  length: number,
  priority: number,
  timeout: number,
): number {
  const error = readDeadline(task, timeout)
  if (error < 0) return error
  if (priority >= PRIORITY_MAX) return -EINVAL
  const file = queueFile(task, fd)
  if (typeof file === 'number') return file
  if (!file.writable) return -EBADF
  const queue = file.inode as QueueInode
  if (length > queue.messageSize) return -EMSGSIZE
  const bytes = new Uint8Array(length)
  if (length > 0 && task.mm.copyIn(task, addr, bytes, 0, length) < 0) return -EFAULT
  const n = queue.send(task, priority, bytes)
  if (n !== -EAGAIN || file.nonblocking) return n
  return task.restart.timedOut ? -ETIMEDOUT : task.block(queue.senders, 0)
}

/** mq_timedreceive(2). The message is taken only when it has been copied. */
export function sys_mq_timedreceive(
  task: Task,
  fd: number,
  addr: number,
  length: number,
  priorityAddr: number,
  timeout: number,
): number {
  const error = readDeadline(task, timeout)
  if (error < 0) return error
  const file = queueFile(task, fd)
  if (typeof file === 'number') return file
  if (!file.readable) return -EBADF
  const queue = file.inode as QueueInode
  if (length < queue.messageSize) return -EMSGSIZE
  const message = queue.first
  if (message === undefined) {
    if (file.nonblocking) return -EAGAIN
    return task.restart.timedOut ? -ETIMEDOUT : task.block(queue.receivers, 0)
  }
  const { bytes, priority } = message
  if (bytes.length > 0 && task.mm.copyOut(task, addr, bytes, 0, bytes.length) < 0) return -EFAULT
  if (priorityAddr !== 0) {
    const { scratch, scratchView } = task.kernel
    scratchView.setUint32(0, priority, true)
    if (task.mm.copyOut(task, priorityAddr, scratch, 0, 4) < 0) return -EFAULT
  }
  queue.take()
  return bytes.length
}

/**
 * mq_notify(2). With SIGEV_THREAD the C library waits at a netlink socket, whose descriptor stands in the place
 * of the signal.
 */
export function sys_mq_notify(task: Task, fd: number, eventAddr: number): number {
  if (eventAddr === 0) {
    const file = queueFile(task, fd)
    if (typeof file === 'number') return file
    ;(file.inode as QueueInode).unregister(task.group)
    return 0
  }
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, eventAddr, scratch, 0, SIGEVENT_SIZE) < 0) return -EFAULT
  const valueLo = scratchView.getUint32(0, true)
  const valueHi = scratchView.getUint32(4, true)
  const signo = scratchView.getInt32(8, true)
  const kind = scratchView.getInt32(12, true)
  if (kind !== SIGEV_NONE && kind !== SIGEV_SIGNAL && kind !== SIGEV_THREAD) return -EINVAL
  if (kind === SIGEV_SIGNAL && (signo < 0 || signo > NSIG)) return -EINVAL
  let cookie: Uint8Array | null = null
  let socket: File | null = null
  if (kind === SIGEV_THREAD) {
    cookie = new Uint8Array(COOKIE_SIZE)
    const from = valueHi * 2 ** 32 + valueLo
    if (task.mm.copyIn(task, from, cookie, 0, COOKIE_SIZE) < 0) return -EFAULT
    socket = task.files.get(signo) ?? null
    if (socket === null) return -EBADF
    if (!takesCookies(socket.ops)) return -EINVAL
  }
  const file = queueFile(task, fd)
  if (typeof file === 'number') return file
  const owner = task.group
  const request = { owner, kind, signo, valueLo, valueHi, socket, cookie }
  const n = (file.inode as QueueInode).register(request)
  if (n === 0) socket?.ref()
  return n
}

/** mq_getsetattr(2): only O_NONBLOCK can be set. */
export function sys_mq_getsetattr(
  task: Task,
  fd: number,
  newAddr: number,
  oldAddr: number,
): number {
  const { scratch, scratchView } = task.kernel
  let wanted = -1
  if (newAddr !== 0) {
    if (task.mm.copyIn(task, newAddr, scratch, 0, SIZEOF_MQ_ATTR) < 0) return -EFAULT
    readMqAttr(scratchView, 0, attributes)
    wanted = attributes.flags
    if (wanted !== 0 && wanted !== O_NONBLOCK) return -EINVAL
  }
  const file = queueFile(task, fd)
  if (typeof file === 'number') return file
  const queue = file.inode as QueueInode
  attributes.flags = file.flags & O_NONBLOCK
  attributes.maxmsg = queue.maxMessages
  attributes.msgsize = queue.messageSize
  attributes.curmsgs = queue.messages.length
  if (wanted >= 0) file.flags = (file.flags & ~O_NONBLOCK) | wanted
  if (oldAddr === 0) return 0
  writeMqAttr(scratchView, 0, attributes)
  return task.mm.copyResult(task, oldAddr, scratch, 0, SIZEOF_MQ_ATTR)
}
