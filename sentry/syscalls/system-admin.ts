// What an administrator does to the machine: syslog(2), reboot(2), vhangup(2).

import { EINVAL, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_BOOT,
  CAP_SYS_TTY_CONFIG,
  CAP_SYSLOG,
  LINUX_REBOOT_CMD_HALT,
  LINUX_REBOOT_CMD_POWER_OFF,
  LINUX_REBOOT_CMD_RESTART,
  LINUX_REBOOT_CMD_RESTART2,
  LINUX_REBOOT_MAGIC1,
  LINUX_REBOOT_MAGIC2,
  SIGHUP,
  SIGINT,
  SYSLOG_ACTION_CONSOLE_LEVEL,
  SYSLOG_ACTION_CONSOLE_OFF,
  SYSLOG_ACTION_CONSOLE_ON,
  SYSLOG_ACTION_READ,
  SYSLOG_ACTION_READ_ALL,
  SYSLOG_ACTION_READ_CLEAR,
  SYSLOG_ACTION_SIZE_BUFFER,
} from '../../syscall-table/flags.ts'
import { groupExit } from '../kernel/exit.ts'
import type { Task } from '../kernel/task.ts'

/** LINUX_REBOOT_MAGIC2A to C: birthdays. */
const OTHER_MAGICS2: readonly number[] = [85072278, 369367448, 537993216]
const MOST_LEVEL = 8

/** syslog(2): the kernel's log is not the sandbox's, which has an empty one. */
export function sys_syslog(task: Task, type: number, buf: number, length: number): number {
  const { tunables } = task.kernel
  const open =
    tunables.dmesgRestrict === 0 &&
    (type === SYSLOG_ACTION_READ_ALL || type === SYSLOG_ACTION_SIZE_BUFFER)
  if (!open && !task.creds.capable(CAP_SYSLOG)) return -EPERM
  switch (type) {
    case SYSLOG_ACTION_READ:
    case SYSLOG_ACTION_READ_ALL:
    case SYSLOG_ACTION_READ_CLEAR:
      return buf === 0 || length < 0 ? -EINVAL : 0
    case SYSLOG_ACTION_CONSOLE_OFF:
      if (tunables.savedLevel < 0) tunables.savedLevel = tunables.printk[0]!
      tunables.printk[0] = tunables.printk[2]!
      return 0
    case SYSLOG_ACTION_CONSOLE_ON:
      if (tunables.savedLevel >= 0) tunables.printk[0] = tunables.savedLevel
      tunables.savedLevel = -1
      return 0
    case SYSLOG_ACTION_CONSOLE_LEVEL:
      if (length < 1 || length > MOST_LEVEL) return -EINVAL
      tunables.printk[0] = Math.max(length, tunables.printk[2]!)
      tunables.savedLevel = -1
      return 0
    default:
      return type >= 0 && type <= SYSLOG_ACTION_SIZE_BUFFER ? 0 : -EINVAL
  }
}

/**
 * reboot(2): the machine is the pid namespace, as for any but Linux's first. Its init ends by the signal that tells
 * a parent outside what was asked for: reboot_pid_ns.
 */
export function sys_reboot(
  task: Task,
  magic1: number,
  magic2: number,
  command: number,
  _arg: number,
): number {
  const { pidNs } = task
  if (!task.creds.capableIn(pidNs.owner!, CAP_SYS_BOOT)) return -EPERM
  const known = magic2 === LINUX_REBOOT_MAGIC2 || OTHER_MAGICS2.includes(magic2)
  if (magic1 !== LINUX_REBOOT_MAGIC1 || !known) return -EINVAL
  const { reaper } = pidNs
  if (reaper === null) return -EINVAL
  switch (command) {
    case LINUX_REBOOT_CMD_RESTART:
    case LINUX_REBOOT_CMD_RESTART2:
      groupExit(reaper, SIGHUP)
      break
    case LINUX_REBOOT_CMD_HALT:
    case LINUX_REBOOT_CMD_POWER_OFF:
      groupExit(reaper, SIGINT)
      break
    default:
      return -EINVAL
  }
  return 0
}

/** vhangup(2): the caller's controlling terminal, if it has one. */
export function sys_vhangup(task: Task): number {
  if (!task.creds.capable(CAP_SYS_TTY_CONFIG)) return -EPERM
  task.group.session.terminal?.hangUpFiles()
  return 0
}
