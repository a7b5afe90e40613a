// msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

import { E2BIG, EAGAIN, EFAULT, EIDRM, EINVAL, ENOMSG, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_RESOURCE,
  IPC_INFO,
  IPC_NOWAIT,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
  MSG_COPY,
  MSG_EXCEPT,
  MSG_INFO,
  MSG_NOERROR,
  MSG_STAT,
  MSG_STAT_ANY,
} from '../../syscall-table/flags.ts'
import {
  newMsginfo,
  newMsqidDs,
  readMsqidDs,
  SIZEOF_MSGINFO,
  SIZEOF_MSQID_DS,
  writeMsginfo,
  writeMsqidDs,
} from '../../syscall-table/structs.gen.ts'
import { seconds } from '../ipc/ids.ts'
import { type Choice, MessageQueue } from '../ipc/msg.ts'
import { ipcOf } from '../ipc/namespace.ts'
import type { Task } from '../kernel/task.ts'

/** A message in memory: its type, then its bytes. */
const TYPE_SIZE = 8

const ds = newMsqidDs()
const info = newMsginfo()

/** msgget(2). */
export function sys_msgget(task: Task, key: number, flags: number): number {
  const namespace = ipcOf(task)
  const create = (): MessageQueue => new MessageQueue(task, namespace, flags)
  return namespace.msg.find(task.creds, key, flags, namespace.limits.msgmni, () => true, create)
}

/** The queue of a call, also on a later pass, when its identifier may already mean another one. */
function queueOf(task: Task, id: number): MessageQueue | number {
  const { restart } = task
  if (!(restart.data instanceof MessageQueue)) return ipcOf(task).msg.get(id)
  return restart.data.removed ? -EIDRM : restart.data
}

/** msgsnd(2). */
export function sys_msgsnd(
  task: Task,
  id: number,
  addr: number,
  size: number,
  flags: number,
): number {
  const { kernel } = task
  const limit = ipcOf(task).limits.msgmax
  if (id < 0 || size > limit) return -EINVAL
  const { bounce, bounceView } = kernel
  if (task.mm.copyIn(task, addr, bounce, 0, TYPE_SIZE) < 0) return -EFAULT
  const type = bounceView.getBigInt64(0, true)
  if (type < 1n) return -EINVAL
  if (task.mm.copyIn(task, addr + TYPE_SIZE, bounce, 0, size) < 0) return -EFAULT
  const queue = queueOf(task, id)
  if (typeof queue === 'number') return queue
  const denied = queue.permission(task.creds, 0o222)
  if (denied < 0) return denied
  if (!queue.fits(size)) {
    if ((flags & IPC_NOWAIT) !== 0) return -EAGAIN
    task.restart.data = queue
    return task.block(queue.senders, 0)
  }
  const n = queue.put({ type, bytes: bounce.slice(0, size) })
  if (n < 0) return n
  queue.stime = seconds(kernel)
  queue.lspid = task.group.tgid
  return 0
}

/** msgrcv(2). Nothing is taken before it has been copied: a bad address loses no message. */
export function sys_msgrcv(
  task: Task,
  id: number,
  addr: number,
  size: number,
  type: number,
  flags: number,
): number {
  if (id < 0 || size >= 2 ** 63) return -EINVAL
  const copy = (flags & MSG_COPY) !== 0
  if (copy && ((flags & MSG_EXCEPT) !== 0 || (flags & IPC_NOWAIT) === 0)) return -EINVAL
  const queue = queueOf(task, id)
  if (typeof queue === 'number') return queue
  const denied = queue.permission(task.creds, 0o444)
  if (denied < 0) return denied
  const index = queue.find(chosen(task, type, flags))
  if (index < 0) {
    if ((flags & IPC_NOWAIT) !== 0) return -ENOMSG
    task.restart.data = queue
    return task.block(queue.receivers, 0)
  }
  const message = queue.messages[index]!
  const { length } = message.bytes
  if (length > size && (flags & MSG_NOERROR) === 0) return -E2BIG
  const copied = Math.min(length, size)
  const { bounce, bounceView } = task.kernel
  bounceView.setBigInt64(0, message.type, true)
  bounce.set(message.bytes.subarray(0, copied), TYPE_SIZE)
  if (task.mm.copyOut(task, addr, bounce, 0, TYPE_SIZE + copied) < 0) return -EFAULT
  if (copy) return copied
  queue.take(index)
  queue.rtime = seconds(task.kernel)
  queue.lrpid = task.group.tgid
  return copied
}

function chosen(task: Task, type: number, flags: number): Choice {
  const value = Number.isSafeInteger(type) ? BigInt(type) : exactType(task)
  if ((flags & MSG_COPY) !== 0) return { kind: 'index', value }
  if (type === 0) return { kind: 'any', value }
  if (type < 0) return { kind: 'atMost', value: -value }
  return { kind: (flags & MSG_EXCEPT) !== 0 ? 'except' : 'equal', value }
}

/** The fourth argument, which has more bits than a number. */
function exactType(task: Task): bigint {
  const { args, sargs } = task.thread
  return (BigInt(sargs[7]!) << 32n) | BigInt(args[6]!)
}

/** msgctl(2). */
export function sys_msgctl(task: Task, id: number, command: number, addr: number): number {
  if (id < 0 || command < 0) return -EINVAL
  const { msg } = ipcOf(task)
  switch (command) {
    case IPC_INFO:
    case MSG_INFO:
      return copyInfo(task, command, addr)
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY: {
      const queue = command === IPC_STAT ? msg.get(id) : msg.byIndex(id)
      if (typeof queue === 'number') return queue
      const denied = command === MSG_STAT_ANY ? 0 : queue.permission(task.creds, 0o444)
      return denied < 0 ? denied : copyStat(task, queue, command, addr)
    }
    case IPC_SET: {
      const { scratch, scratchView } = task.kernel
      if (task.mm.copyIn(task, addr, scratch, 0, SIZEOF_MSQID_DS) < 0) return -EFAULT
      readMsqidDs(scratchView, 0, ds)
      return change(task, id)
    }
    case IPC_RMID: {
      const queue = msg.get(id)
      if (typeof queue === 'number') return queue
      const denied = queue.ownership(task.creds)
      if (denied < 0) return denied
      queue.remove()
      return 0
    }
    default:
      return -EINVAL
  }
}

/** IPC_SET with what `ds` holds. */
function change(task: Task, id: number): number {
  const { limits, msg } = ipcOf(task)
  const queue = msg.get(id)
  if (typeof queue === 'number') return queue
  const denied = queue.ownership(task.creds)
  if (denied < 0) return denied
  if (ds.qbytes > limits.msgmnb && !task.creds.capable(CAP_SYS_RESOURCE)) return -EPERM
  const error = queue.setPerm(task.kernel, ds.perm)
  if (error < 0) return error
  queue.limit = ds.qbytes
  queue.wakeAll()
  return 0
}

function copyStat(task: Task, queue: MessageQueue, command: number, addr: number): number {
  queue.fillPerm(ds.perm)
  ds.stime = queue.stime
  ds.rtime = queue.rtime
  ds.ctime = queue.ctime
  ds.cbytes = queue.bytes
  ds.qnum = queue.messages.length
  ds.qbytes = queue.limit
  ds.lspid = queue.lspid
  ds.lrpid = queue.lrpid
  const { scratch, scratchView } = task.kernel
  writeMsqidDs(scratchView, 0, ds)
  const error = task.mm.copyResult(task, addr, scratch, 0, SIZEOF_MSQID_DS)
  if (error < 0) return error
  return command === IPC_STAT ? 0 : queue.id
}

function copyInfo(task: Task, command: number, addr: number): number {
  const namespace = ipcOf(task)
  const { limits, msg } = namespace
  const inUse = command === MSG_INFO
  info.msgpool = inUse ? msg.size : Math.floor((limits.msgmni * limits.msgmnb) / 1024)
  info.msgmap = inUse ? namespace.messages : limits.msgmnb
  info.msgtql = inUse ? namespace.messageBytes : limits.msgmnb
  info.msgmax = limits.msgmax
  info.msgmnb = limits.msgmnb
  info.msgmni = limits.msgmni
  info.msgssz = 16
  info.msgseg = 0xffff
  const { scratch, scratchView } = task.kernel
  writeMsginfo(scratchView, 0, info)
  return task.mm.copyResult(task, addr, scratch, 0, SIZEOF_MSGINFO) || msg.maxIndex
}
