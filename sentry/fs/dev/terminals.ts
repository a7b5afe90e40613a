// The terminal devices that are not pseudo-terminals themselves: /dev/tty and /dev/ptmx.

import { EIO, ENXIO } from '../../../syscall-table/errno.ts'
import { O_NOCTTY } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import type { FileOps } from '../../vfs/file.ts'
import { openPtmxDevice } from '../devpts/devpts.ts'
import { registerDevice } from './registry.ts'
import { Tty } from './tty/tty.ts'
import { openTty } from './tty/tty-file.ts'

/** TTYAUX_MAJOR. */
const AUX_MAJOR = 5

/** /dev/tty: the controlling terminal of whoever opens it. */
function openControllingTty(task: Task, flags: number): FileOps | number {
  const { terminal } = task.group.session
  if (terminal === null) return -ENXIO
  if (!(terminal instanceof Tty)) return -EIO
  return openTty(terminal, task, flags | O_NOCTTY)
}

/** Make the terminal devices known. */
export function registerTerminalDevices(): void {
  registerDevice(AUX_MAJOR, 0, (task, _inode, flags) => openControllingTty(task, flags))
  registerDevice(AUX_MAJOR, 2, task => openPtmxDevice(task))
}
