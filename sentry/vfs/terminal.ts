// What sessions and signals need to know of a terminal; implemented by fs/dev/tty.

import type { ProcessGroup, Session } from '../kernel/thread-group.ts'

/** A controlling terminal: struct tty_struct as job control sees it. */
export interface Terminal {
  session: Session | null
  foreground: ProcessGroup | null
  /** Device number, for /proc/PID/stat. */
  readonly rdev: number
  /** The session leader has exited, or the other side is gone: SIGHUP and SIGCONT to the foreground group. */
  hangup(): void
  /** vhangup(2): open files are dead, and the session is told. */
  hangUpFiles(): void
}
