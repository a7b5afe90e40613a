// io_setup(2), io_submit(2), io_getevents(2), io_pgetevents(2), io_cancel(2), io_destroy(2). Reading and writing are
// done when they are submitted, as Linux does with files in its page cache; polling is asynchronous.

import {
  EAGAIN,
  EBADF,
  EBLOCKED,
  EFAULT,
  EINPROGRESS,
  EINTR,
  EINVAL,
  EOPNOTSUPP,
} from '../../syscall-table/errno.ts'
import {
  IOCB_CMD_FDSYNC,
  IOCB_CMD_FSYNC,
  IOCB_CMD_POLL,
  IOCB_CMD_PREAD,
  IOCB_CMD_PREADV,
  IOCB_CMD_PWRITE,
  IOCB_CMD_PWRITEV,
  IOCB_FLAG_RESFD,
  O_PATH,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  RWF_APPEND,
  RWF_DSYNC,
  RWF_HIPRI,
  RWF_NOWAIT,
  RWF_SYNC,
} from '../../syscall-table/flags.ts'
import { newIocb, readIocb, SIZEOF_IOCB } from '../../syscall-table/structs.gen.ts'
import { isEventFd } from '../fs/eventfd.ts'
import {
  type AioContext,
  AioPoll,
  aioContext,
  createAioContext,
  destroyAioContext,
  EVENT_SIZE,
} from '../kernel/aio.ts'
import { signalPending } from '../kernel/signal.ts'
import type { Task } from '../kernel/task.ts'
import { dropTemporaryMask, setTemporaryMask } from '../kernel/temporary-mask.ts'
import type { File } from '../vfs/file.ts'
import { endOfFile, readAtPosition, readFile, writeAtPosition, writeFile } from './file-io.ts'
import { isError, readTimeout, setDeadline } from './poll-timeout.ts'

/** Where the iocb's key is; the only key there is. */
const KEY_AT = 8
const RWF_KNOWN = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND

const request = newIocb()

/** io_setup(2). */
export function sys_io_setup(task: Task, count: number, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 8) < 0) return -EFAULT
  if (scratchView.getUint32(0, true) !== 0 || scratchView.getUint32(4, true) !== 0) return -EINVAL
  const id = createAioContext(task, count)
  if (id < 0) return id
  scratchView.setUint32(0, id % 2 ** 32, true)
  scratchView.setUint32(4, Math.floor(id / 2 ** 32), true)
  return task.mm.copyOut(task, addr, scratch, 0, 8)
}

/** io_destroy(2). */
export function sys_io_destroy(task: Task, id: number): number {
  return destroyAioContext(task, id)
}

/** io_submit(2). Those before a bad request are carried out, and counted. */
export function sys_io_submit(task: Task, id: number, count: number, addr: number): number {
  if (count < 0) return -EINVAL
  const context = aioContext(task, id)
  if (typeof context === 'number') return context
  const { restart } = task
  let done = typeof restart.data === 'number' ? restart.data : 0
  for (; done < count; done++) {
    const n = submit(task, context, addr + done * 8, done > 0 ? 'wait with the next call' : 'wait')
    if (n === -EBLOCKED) {
      restart.data = done
      return n
    }
    if (n < 0) return done > 0 ? done : n
  }
  return done
}

/** Carry out one request, whose iocb is pointed to from `addr`. Returns 0, -EBLOCKED or -errno. */
function submit(
  task: Task,
  context: AioContext,
  addr: number,
  waiting: 'wait' | 'wait with the next call',
): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 8) < 0) return -EFAULT
  const iocb = scratchView.getUint32(4, true) * 2 ** 32 + scratchView.getUint32(0, true)
  if (task.mm.copyIn(task, iocb, scratch, 0, SIZEOF_IOCB) < 0) return -EFAULT
  readIocb(scratchView, 0, request)
  if (request.reserved2 !== 0 || request.nbytes >= 2 ** 63) return -EINVAL
  if (!context.hasRoom) return -EAGAIN
  const file = task.files.get(request.fildes | 0)
  if (file === undefined || (file.flags & O_PATH) !== 0) return -EBADF
  let eventFd: File | null = null
  if ((request.flags & IOCB_FLAG_RESFD) !== 0) {
    eventFd = task.files.get(request.resfd | 0) ?? null
    if (eventFd === null) return -EBADF
    if (!isEventFd(eventFd)) return -EINVAL
  }
  scratchView.setUint32(0, 0, true)
  if (task.mm.copyOut(task, iocb + KEY_AT, scratch, 0, 4) < 0) return -EFAULT
  const { dataLo, dataHi, opcode } = request
  if (opcode === IOCB_CMD_POLL) return startPoll(context, file, iocb, eventFd)
  const error = checkTransfer(file)
  if (error < 0) return error
  if (waiting !== 'wait' && mustWait(file)) return -EAGAIN
  const n = transfer(task, file)
  if (n === -EBLOCKED) return n
  context.complete(iocb, dataLo, dataHi, n, eventFd?.ref() ?? null)
  return 0
}

/** What is wrong with a request shows at once, and not as its result. */
function checkTransfer(file: File): number {
  switch (request.opcode) {
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PREADV:
      if (!file.readable) return -EBADF
      break
    case IOCB_CMD_PWRITE:
    case IOCB_CMD_PWRITEV:
      if (!file.writable) return -EBADF
      break
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC: {
      const { buf, offset, nbytes, rwFlags } = request
      return buf !== 0 || offset !== 0 || nbytes !== 0 || rwFlags !== 0 ? -EINVAL : 0
    }
    default:
      return -EINVAL
  }
  if (file.inode.isDir) return -EINVAL
  return (request.rwFlags & ~RWF_KNOWN) !== 0 ? -EOPNOTSUPP : 0
}

function reads(): boolean {
  return request.opcode === IOCB_CMD_PREAD || request.opcode === IOCB_CMD_PREADV
}

function mustWait(file: File): boolean {
  if (file.ops.seekable || file.nonblocking) return false
  return (file.ops.poll(file) & ((reads() ? POLLIN : POLLOUT) | POLLHUP | POLLERR)) === 0
}

function transfer(task: Task, file: File): number {
  const { opcode, buf, nbytes, offset, rwFlags } = request
  if (opcode === IOCB_CMD_FSYNC || opcode === IOCB_CMD_FDSYNC)
    return file.ops.fsync(file, opcode === IOCB_CMD_FDSYNC)
  if (opcode === IOCB_CMD_PREADV || opcode === IOCB_CMD_PWRITEV) {
    const n = task.io.vector(buf, nbytes)
    if (n < 0) return n
  } else task.io.single(buf, nbytes)
  if (!file.ops.seekable) {
    if ((rwFlags & RWF_NOWAIT) !== 0 && mustWait(file)) return -EAGAIN
    return reads() ? readAtPosition(task, file, task.io) : writeAtPosition(task, file, task.io)
  }
  if (offset < 0) return -EINVAL
  if (reads()) return readFile(task, file, task.io, offset)
  const append = file.append || (rwFlags & RWF_APPEND) !== 0
  const n = writeFile(task, file, task.io, append ? endOfFile(file) : offset)
  if (n <= 0 || (rwFlags & (RWF_DSYNC | RWF_SYNC)) === 0) return n
  return file.ops.fsync(file, (rwFlags & RWF_SYNC) === 0) || n
}

function startPoll(context: AioContext, file: File, iocb: number, eventFd: File | null): number {
  const { buf, offset, nbytes, rwFlags, dataLo, dataHi } = request
  if (buf > 0xffff || offset !== 0 || nbytes !== 0 || rwFlags !== 0) return -EINVAL
  const wanted = buf | POLLERR | POLLHUP
  const poll = new AioPoll(
    context,
    file.ref(),
    iocb,
    dataLo,
    dataHi,
    wanted,
    eventFd?.ref() ?? null,
  )
  const ready = file.ops.poll(file) & wanted
  if (ready !== 0 || file.ops.queue === null) {
    poll.complete(ready)
    return 0
  }
  context.polls.add(poll)
  file.ops.queue.add(poll, wanted)
  return 0
}

/** io_cancel(2): only polls can be. The completion comes through the ring, whatever the last argument says. */
export function sys_io_cancel(task: Task, id: number, iocb: number, _result: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, iocb + KEY_AT, scratch, 0, 4) < 0) return -EFAULT
  if (scratchView.getUint32(0, true) !== 0) return -EINVAL
  const context = aioContext(task, id)
  if (typeof context === 'number') return context
  for (const poll of context.polls) {
    if (poll.iocb !== iocb) continue
    poll.complete(0)
    return -EINPROGRESS
  }
  return -EINVAL
}

/** io_getevents(2). */
export function sys_io_getevents(
  task: Task,
  id: number,
  least: number,
  most: number,
  addr: number,
  timeout: number,
): number {
  const timeoutNs = readTimeout(task, timeout)
  if (isError(timeoutNs)) return timeoutNs
  return getEvents(task, id, least, most, addr, timeoutNs)
}

/** io_pgetevents(2): with a signal mask, given as its address and size. */
export function sys_io_pgetevents(
  task: Task,
  id: number,
  least: number,
  most: number,
  addr: number,
  timeout: number,
  sig: number,
): number {
  const timeoutNs = readTimeout(task, timeout)
  if (isError(timeoutNs)) return timeoutNs
  const { scratch, scratchView } = task.kernel
  let mask = 0
  let size = 0
  if (sig !== 0) {
    if (task.mm.copyIn(task, sig, scratch, 0, 16) < 0) return -EFAULT
    mask = scratchView.getUint32(4, true) * 2 ** 32 + scratchView.getUint32(0, true)
    size = scratchView.getUint32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
  }
  const error = setTemporaryMask(task, mask, size)
  if (error < 0) return error
  let n = getEvents(task, id, least, most, addr, timeoutNs)
  if (n === -EBLOCKED) {
    if (!(task.work && signalPending(task))) return n
    // The mask stays in force until the signal has been delivered.
    task.stopWaiting()
    n = task.restart.done > 0 ? task.restart.done : -EINTR
    if (n < 0) return n
  }
  dropTemporaryMask(task)
  return n
}

/** Events are taken as they come, and counted in `restart.done`, until there are enough. */
function getEvents(
  task: Task,
  id: number,
  least: number,
  most: number,
  addr: number,
  timeoutNs: number,
): number {
  const { restart } = task
  const context = aioContext(task, id)
  if (typeof context === 'number') return restart.done > 0 ? restart.done : context
  if (least < 0 || most < least) return -EINVAL
  const { bounce } = task.kernel
  while (restart.done < most) {
    const n = context.peek(bounce, most - restart.done)
    if (n === 0) break
    const at = addr + restart.done * EVENT_SIZE
    if (task.mm.copyOut(task, at, bounce, 0, n * EVENT_SIZE) < 0)
      return restart.done > 0 ? restart.done : -EFAULT
    context.consume(n)
    restart.done += n
  }
  if (restart.done >= least || restart.timedOut || timeoutNs === 0) return restart.done
  setDeadline(task, timeoutNs)
  return task.block(context.queue, 0)
}
