// Terminals and job control: drivers/tty/tty_jobctrl.c. Who controls a terminal, and what a background
// process may do with it.

import { EINVAL, EIO, ENOTTY, EPERM, ERESTARTSYS, ESRCH } from '../../../../syscall-table/errno.ts'
import { CAP_SYS_ADMIN, SIGTTIN } from '../../../../syscall-table/flags.ts'
import { isOrphaned } from '../../../kernel/job-control.ts'
import { signalProcessGroup } from '../../../kernel/signal-send.ts'
import type { Task } from '../../../kernel/task.ts'
import type { File } from '../../../vfs/file.ts'
import type { Tty } from './tty.ts'

/** SIG_IGN. */
const IGNORED = 1

/**
 * __tty_check_change: a task of a background group that uses its controlling terminal gets `signo`. 0 when
 * it may go on, -EIO when nobody could continue it, else -ERESTARTSYS.
 */
export function checkBackground(task: Task, tty: Tty, signo: number): number {
  const { pgrp, session, handlers } = task.group
  if (session.terminal !== tty || tty.foreground === null || tty.foreground === pgrp) return 0
  if (task.signals.mask.has(signo) || handlers.actions[signo]!.handler === IGNORED) {
    return signo === SIGTTIN ? -EIO : 0
  }
  if (isOrphaned(pgrp, null)) return -EIO
  signalProcessGroup(pgrp, signo)
  return -ERESTARTSYS
}

/** Opening a terminal makes it the controlling one of a session leader that has none. */
export function adoptAtOpen(task: Task, tty: Tty): void {
  const { session } = task.group
  if (session.leader !== task.group || session.terminal !== null || tty.session !== null) return
  setControlling(task, tty)
}

function setControlling(task: Task, tty: Tty): void {
  const { session, pgrp } = task.group
  session.terminal = tty
  tty.session = session
  tty.foreground = pgrp
}

/** TIOCSCTTY. */
export function acquireTerminal(task: Task, tty: Tty, file: File, arg: number): number {
  const { session } = task.group
  const isLeader = session.leader === task.group
  if (isLeader && tty.session === session) return 0
  if (!isLeader || session.terminal !== null) return -EPERM
  const privileged = task.creds.capable(CAP_SYS_ADMIN)
  if (tty.session !== null) {
    if (arg !== 1 || !privileged) return -EPERM
    tty.detachSession()
  }
  if (!file.readable && !privileged) return -EPERM
  setControlling(task, tty)
  return 0
}

/**
 * TIOCNOTTY. LIMIT: the controlling terminal belongs to the session here, to each process on Linux: a process
 * that is not the leader keeps it.
 */
export function giveUpTerminal(task: Task, tty: Tty): number {
  const { session } = task.group
  if (session.terminal !== tty) return -ENOTTY
  if (session.leader === task.group) tty.hangup()
  return 0
}

/** TIOCGPGRP: the foreground group's id. Through the master it needs no relation to the session. */
export function foregroundGroup(task: Task, tty: Tty, master: boolean): number {
  if (!master && task.group.session.terminal !== tty) return -ENOTTY
  return tty.foreground === null ? 0 : tty.foreground.pid.numberIn(task.pidNs)
}

/** TIOCSPGRP. The caller has been checked with SIGTTOU. */
export function setForegroundGroup(task: Task, tty: Tty, pgid: number): number {
  const { session } = task.group
  if (session.terminal !== tty || tty.session !== session) return -ENOTTY
  if (pgid < 0) return -EINVAL
  const pgrp = task.pidNs.processGroup(pgid)
  if (pgrp === undefined) return -ESRCH
  if (pgrp.session !== session) return -EPERM
  tty.foreground = pgrp
  return 0
}

/** TIOCGSID. */
export function terminalSession(task: Task, tty: Tty, master: boolean): number {
  if (!master && task.group.session.terminal !== tty) return -ENOTTY
  return tty.session === null ? -ENOTTY : tty.session.pid.numberIn(task.pidNs)
}
