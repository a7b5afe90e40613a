// Descriptors 0, 1 and 2 of a process that was made from a configuration.

import type { HostFd } from '../../native/index.ts'
import { errnoMessage } from '../../syscall-table/errno.ts'
import { O_RDONLY, O_RDWR, O_WRONLY, ONLCR } from '../../syscall-table/flags.ts'
import type { ProcessConfig } from '../config.ts'
import { hostFile } from '../fs/host/host-file.ts'
import { attachHostTerminal, type HostTerminal } from '../fs/host/terminal.ts'
import type { Task } from '../kernel/task.ts'
import { BootError } from './boot-error.ts'

const MODES = [O_RDONLY, O_WRONLY, O_WRONLY]

/** Host descriptors become 0, 1 and 2. One that is closed on the host stays closed. */
export function openStreams(task: Task, process: ProcessConfig, hostFds: readonly HostFd[]): null {
  for (const [fd, hostFd] of hostFds.entries()) openHost(task, process, hostFd, fd, MODES[fd]!)
  return null
}

/** Host descriptors become those of `process.passedFds`. */
export function openPassed(task: Task, process: ProcessConfig, hostFds: readonly HostFd[]): void {
  for (const [i, hostFd] of hostFds.entries())
    openHost(task, process, hostFd, process.passedFds[i]!, O_RDWR)
}

function openHost(
  task: Task,
  process: ProcessConfig,
  hostFd: HostFd,
  fd: number,
  mode: number,
): void {
  const file = hostFile(task.kernel, hostFd, mode)
  if (typeof file === 'number') return
  file.inode.uid = process.uid
  task.files.replace(fd, file, false)
}

/** A new terminal of the sandbox, whose other side is `hostFd`; it controls the session of the task. */
export function openTerminal(task: Task, process: ProcessConfig, hostFd: HostFd): HostTerminal {
  const { uid, gid, rows, columns } = process
  const terminal = attachHostTerminal(
    task.kernel,
    task.nsproxy.mnt,
    hostFd,
    uid,
    gid,
    rows,
    columns,
  )
  if (typeof terminal === 'number')
    throw new BootError(`make the terminal: ${errnoMessage(-terminal)}`)
  for (let fd = 0; fd < 3; fd++)
    task.files.replace(fd, fd === 0 ? terminal.file : terminal.file.ref(), false)
  if (!process.onlcr) terminal.tty.termios.oflag &= ~ONLCR
  const error = terminal.control(task)
  if (error < 0) throw new BootError(`set the controlling terminal: ${errnoMessage(-error)}`)
  return terminal
}
