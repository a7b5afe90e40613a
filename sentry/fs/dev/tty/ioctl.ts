// ioctl(2) on terminals: drivers/tty/tty_io.c and tty_ioctl.c. What is asked through the master of a
// pseudo-terminal concerns the slave's settings, as in Linux.

import { EFAULT, EINVAL, EIO, ENOTTY, EPERM } from '../../../../syscall-table/errno.ts'
import {
  CAP_SYS_ADMIN,
  CAP_SYS_TTY_CONFIG,
  EXTPROC,
  FIONREAD,
  ICANON,
  IXON,
  SIGTTOU,
  TCFLSH,
  TCGETA,
  TCGETS,
  TCGETS2,
  TCIFLUSH,
  TCIOFF,
  TCIOFLUSH,
  TCION,
  TCOFLUSH,
  TCOOFF,
  TCOON,
  TCSBRK,
  TCSBRKP,
  TCSETA,
  TCSETAF,
  TCSETAW,
  TCSETS,
  TCSETS2,
  TCSETSF,
  TCSETSF2,
  TCSETSW,
  TCSETSW2,
  TCXONC,
  TIOCCBRK,
  TIOCEXCL,
  TIOCGDEV,
  TIOCGETD,
  TIOCGEXCL,
  TIOCGLCKTRMIOS,
  TIOCGPGRP,
  TIOCGSID,
  TIOCGSOFTCAR,
  TIOCGWINSZ,
  TIOCNOTTY,
  TIOCNXCL,
  TIOCOUTQ,
  TIOCPKT_DOSTOP,
  TIOCPKT_IOCTL,
  TIOCPKT_NOSTOP,
  TIOCSBRK,
  TIOCSCTTY,
  TIOCSETD,
  TIOCSLCKTRMIOS,
  TIOCSPGRP,
  TIOCSSOFTCAR,
  TIOCSTI,
  TIOCSWINSZ,
  TIOCVHANGUP,
  VSTART,
  VSTOP,
} from '../../../../syscall-table/flags.ts'
import type { Task } from '../../../kernel/task.ts'
import type { File } from '../../../vfs/file.ts'
import {
  acquireTerminal,
  checkBackground,
  foregroundGroup,
  giveUpTerminal,
  setForegroundGroup,
  terminalSession,
} from './job-control.ts'
import { TERMIO_SIZE, TERMIOS_SIZE, TERMIOS2_SIZE, Termios } from './termios.ts'
import type { Tty } from './tty.ts'

const WINSIZE_SIZE = 8

/** A request of a slave (`master` false) or of its master. `arg` is the raw third argument. */
export function ttyIoctl(
  tty: Tty,
  master: boolean,
  file: File,
  task: Task,
  request: number,
  arg: number,
): number {
  switch (request >>> 0) {
    case TCGETS:
      tty.termios.write(task.kernel.scratchView, 0)
      return copyOut(task, arg, TERMIOS_SIZE)
    case TCGETS2:
      tty.termios.write(task.kernel.scratchView, 0)
      return copyOut(task, arg, TERMIOS2_SIZE)
    case TCGETA:
      tty.termios.writeOld(task.kernel.scratchView, 0)
      return copyOut(task, arg, TERMIO_SIZE)
    case TCSETS:
    case TCSETSW:
      return setTermios(tty, task, arg, TERMIOS_SIZE, false)
    case TCSETSF:
      return setTermios(tty, task, arg, TERMIOS_SIZE, true)
    case TCSETS2:
    case TCSETSW2:
      return setTermios(tty, task, arg, TERMIOS2_SIZE, false)
    case TCSETSF2:
      return setTermios(tty, task, arg, TERMIOS2_SIZE, true)
    case TCSETA:
    case TCSETAW:
      return setTermios(tty, task, arg, TERMIO_SIZE, false)
    case TCSETAF:
      return setTermios(tty, task, arg, TERMIO_SIZE, true)
    case TIOCGLCKTRMIOS:
      return getLock(tty, task, arg)
    case TIOCSLCKTRMIOS:
      return setLock(tty, task, arg)
    case TIOCGWINSZ:
      return getWindowSize(tty, task, arg)
    case TIOCSWINSZ:
      return setWindowSize(tty, task, arg)
    case FIONREAD:
      return putInt(task, arg, master ? tty.output.length : tty.discipline.countable)
    case TIOCOUTQ:
      // Output is with the other side at once.
      return putInt(task, arg, 0)
    default:
      return controlIoctl(tty, master, file, task, request >>> 0, arg)
  }
}

function controlIoctl(
  tty: Tty,
  master: boolean,
  file: File,
  task: Task,
  request: number,
  arg: number,
): number {
  switch (request) {
    case TIOCSCTTY:
      return acquireTerminal(task, tty, file, arg)
    case TIOCNOTTY:
      return master ? -ENOTTY : giveUpTerminal(task, tty)
    case TIOCGPGRP: {
      const pgid = foregroundGroup(task, tty, master)
      return pgid < 0 ? pgid : putInt(task, arg, pgid)
    }
    case TIOCSPGRP:
      return setForeground(tty, task, arg)
    case TIOCGSID: {
      const sid = terminalSession(task, tty, master)
      return sid < 0 ? sid : putInt(task, arg, sid)
    }
    case TCFLSH:
      return flush(tty, master, task, arg)
    case TCXONC:
      return flow(tty, master, task, arg)
    case TCSBRK:
    case TCSBRKP:
      // Draining is immediate, and a pseudo-terminal has no line to break.
      return checkBackground(task, tty, SIGTTOU)
    case TIOCSBRK:
    case TIOCCBRK:
      return 0
    case TIOCEXCL:
    case TIOCNXCL:
      tty.exclusive = request === TIOCEXCL
      return 0
    case TIOCGEXCL:
      return putInt(task, arg, tty.exclusive ? 1 : 0)
    case TIOCGETD:
      return putInt(task, arg, 0)
    case TIOCGDEV:
      return putInt(task, arg, tty.rdev)
    case TIOCGSOFTCAR:
      return putInt(task, arg, 0)
    default:
      return rareIoctl(tty, master, task, request, arg)
  }
}

function rareIoctl(tty: Tty, master: boolean, task: Task, request: number, arg: number): number {
  switch (request) {
    case TIOCSETD: {
      const line = getInt(task, arg)
      if (line === null) return -EFAULT
      return line === 0 ? 0 : -EINVAL
    }
    case TIOCSSOFTCAR:
      return getInt(task, arg) === null ? -EFAULT : 0
    case TIOCSTI:
      return insertInput(tty, task, arg)
    case TIOCVHANGUP:
      if (!task.creds.capable(CAP_SYS_ADMIN) && !task.creds.capable(CAP_SYS_TTY_CONFIG))
        return -EPERM
      if (!master) tty.hangUpFiles()
      return 0
    default:
      return -ENOTTY
  }
}

/**
 * TIOCSTI. It would let a program type into the shell that started it (CVE-2005-4890 and its like), so it
 * needs CAP_SYS_ADMIN: Linux with dev.tty.legacy_tiocsti=0.
 */
function insertInput(tty: Tty, task: Task, arg: number): number {
  if (!task.creds.capable(CAP_SYS_ADMIN)) return -EIO
  const { scratch } = task.kernel
  const error = task.mm.copyIn(task, arg, scratch, 0, 1)
  if (error < 0) return error
  tty.input(scratch, 0, 1)
  return 0
}

const incoming = new Termios()

function setTermios(tty: Tty, task: Task, arg: number, size: number, flushInput: boolean): number {
  const background = checkBackground(task, tty, SIGTTOU)
  if (background < 0) return background
  const { scratch, scratchView } = task.kernel
  const error = task.mm.copyIn(task, arg, scratch, 0, size)
  if (error < 0) return error
  incoming.copyFrom(tty.termios)
  if (size === TERMIO_SIZE) incoming.readOld(scratchView, 0)
  else if (size === TERMIOS2_SIZE) incoming.read2(scratchView, 0)
  else incoming.read(scratchView, 0)
  if (tty.lockedTermios !== null) incoming.keepLocked(tty.termios, tty.lockedTermios)
  if (flushInput) tty.flushInput()
  applyTermios(tty, incoming)
  return 0
}

/** TIOCGLCKTRMIOS: which settings nobody may change. */
function getLock(tty: Tty, task: Task, arg: number): number {
  const { scratch } = task.kernel
  scratch.fill(0, 0, TERMIOS_SIZE)
  if (tty.lockedTermios !== null) scratch.set(new Uint8Array(tty.lockedTermios.buffer))
  return copyOut(task, arg, TERMIOS_SIZE)
}

/** TIOCSLCKTRMIOS. */
function setLock(tty: Tty, task: Task, arg: number): number {
  if (!task.creds.capable(CAP_SYS_ADMIN)) return -EPERM
  const bytes = new Uint8Array(TERMIOS_SIZE)
  const error = task.mm.copyIn(task, arg, bytes, 0, TERMIOS_SIZE)
  if (error < 0) return error
  tty.lockedTermios = new DataView(bytes.buffer)
  return 0
}

function applyTermios(tty: Tty, next: Termios): void {
  const { termios } = tty
  const couldStop = stopCharacters(termios)
  const changed = termios.lflag ^ next.lflag
  const extproc = ((termios.lflag | next.lflag) & EXTPROC) !== 0
  termios.copyFrom(next)
  if ((changed & (ICANON | EXTPROC)) !== 0) tty.discipline.modeChanged()
  if ((termios.iflag & IXON) === 0) tty.startOutput()
  const canStop = stopCharacters(termios)
  if (couldStop !== canStop) tty.peer?.packetStatus(canStop ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP)
  if (extproc) tty.peer?.packetStatus(TIOCPKT_IOCTL)
  // Readers of the other mode may find something now.
  tty.queue.wake(0)
}

/** Packet mode tells the master whether ^S and ^Q are to be obeyed at once. */
function stopCharacters(termios: Termios): boolean {
  return (termios.iflag & IXON) !== 0 && termios.cc[VSTOP] === 19 && termios.cc[VSTART] === 17
}

function getWindowSize(tty: Tty, task: Task, arg: number): number {
  const { scratchView } = task.kernel
  scratchView.setUint16(0, tty.rows, true)
  scratchView.setUint16(2, tty.columns, true)
  scratchView.setUint16(4, tty.xPixels, true)
  scratchView.setUint16(6, tty.yPixels, true)
  return copyOut(task, arg, WINSIZE_SIZE)
}

function setWindowSize(tty: Tty, task: Task, arg: number): number {
  const { scratch, scratchView: v } = task.kernel
  const error = task.mm.copyIn(task, arg, scratch, 0, WINSIZE_SIZE)
  if (error < 0) return error
  tty.resize(v.getUint16(0, true), v.getUint16(2, true), v.getUint16(4, true), v.getUint16(6, true))
  return 0
}

function setForeground(tty: Tty, task: Task, arg: number): number {
  const background = checkBackground(task, tty, SIGTTOU)
  // The group is orphaned: Linux says that it has no terminal.
  if (background === -EIO) return -ENOTTY
  if (background < 0) return background
  const pgid = getInt(task, arg)
  return pgid === null ? -EFAULT : setForegroundGroup(task, tty, pgid)
}

function flush(tty: Tty, master: boolean, task: Task, which: number): number {
  const background = checkBackground(task, tty, SIGTTOU)
  if (background < 0) return background
  if (which !== TCIFLUSH && which !== TCOFLUSH && which !== TCIOFLUSH) return -EINVAL
  // The master's input is the slave's output.
  if (which !== TCOFLUSH) {
    if (master) tty.dropOutput()
    else tty.flushInput()
  }
  if (which !== TCIFLUSH) {
    if (master) tty.dropPendingInput()
    else tty.flushOutput()
  }
  return 0
}

function flow(tty: Tty, master: boolean, task: Task, action: number): number {
  const background = checkBackground(task, tty, SIGTTOU)
  if (background < 0) return background
  const { scratch } = task.kernel
  switch (action) {
    case TCOOFF:
      tty.suspendOutput()
      return 0
    case TCOON:
      tty.resumeOutput()
      return 0
    case TCIOFF:
    case TCION: {
      // Ask the other side to stop or go on sending.
      const byte = tty.termios.cc[action === TCIOFF ? VSTOP : VSTART]!
      if (byte === 0) return 0
      scratch[0] = byte
      if (master) tty.input(scratch, 0, 1)
      else {
        tty.output.append(scratch, 0, 1)
        tty.peer?.outputReady()
      }
      return 0
    }
    default:
      return -EINVAL
  }
}

/** Copy the first `size` bytes of the scratch buffer out. */
function copyOut(task: Task, arg: number, size: number): number {
  return task.mm.copyResult(task, arg, task.kernel.scratch, 0, size)
}

/** Copy one int out. */
export function putInt(task: Task, arg: number, value: number): number {
  task.kernel.scratchView.setInt32(0, value, true)
  return copyOut(task, arg, 4)
}

/** Copy one int in; null for a bad address. */
export function getInt(task: Task, arg: number): number | null {
  if (task.mm.copyIn(task, arg, task.kernel.scratch, 0, 4) < 0) return null
  return task.kernel.scratchView.getInt32(0, true)
}
