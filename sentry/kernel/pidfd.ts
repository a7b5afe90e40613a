// File descriptors that refer to processes: pidfd_open(2).

import { EBADF, EINVAL } from '../../syscall-table/errno.ts'
import {
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  POLLHUP,
  POLLIN,
  POLLRDNORM,
  RLIMIT_NOFILE,
} from '../../syscall-table/flags.ts'
import { anonFile } from '../vfs/anon.ts'
import { type File, FileOps } from '../vfs/file.ts'
import type { Task } from './task.ts'
import type { ThreadGroup } from './thread-group.ts'

/** Readable once the process has ended, hung up once it has been reaped. */
class PidfdOps extends FileOps {
  override spliceable = false
  readonly group: ThreadGroup

  constructor(group: ThreadGroup) {
    super()
    this.group = group
    this.queue = group.exitQueue
  }

  override poll(_file: File): number {
    const { zombie, reaped } = this.group
    if (reaped) return POLLIN | POLLRDNORM | POLLHUP
    return zombie ? POLLIN | POLLRDNORM : 0
  }

  override read(): number {
    return -EINVAL
  }

  override fdinfo(_file: File, reader: Task): string {
    const { pid, reaped } = this.group
    if (reaped) return 'Pid:\t-1\nNSpid:\t-1\n'
    return `Pid:\t${pid.numberIn(reader.pidNs)}\nNSpid:\t${pid.numbersFrom(reader.pidNs).join('\t') || '0'}\n`
  }
}

/** Put a pidfd for `group` into the task's table; always close-on-exec. `flags`: O_NONBLOCK. */
export function installPidfd(task: Task, group: ThreadGroup, flags: number): number {
  const file = anonFile(
    task.kernel,
    new PidfdOps(group),
    '[pidfd]',
    O_RDWR | (flags & O_NONBLOCK) | O_CLOEXEC,
  )
  const fd = task.files.install(file, true, task.group.rlimits[RLIMIT_NOFILE]!.cur)
  if (fd < 0) file.unref()
  return fd
}

/** The process that descriptor `fd` refers to, or -EBADF. */
export function pidfdGroup(task: Task, fd: number): ThreadGroup | number {
  const ops = task.files.get(fd)?.ops
  return ops instanceof PidfdOps ? ops.group : -EBADF
}

/** Whether `fd` is a pidfd that was opened non-blocking: waitid(2) then does not wait. */
export function pidfdNonblocking(task: Task, fd: number): boolean {
  return task.files.get(fd)?.nonblocking === true
}
