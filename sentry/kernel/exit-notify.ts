// What a parent learns of its children: SIGCHLD with its siginfo, and the wake-up of wait(2).

import {
  CLD_CONTINUED,
  CLD_DUMPED,
  CLD_EXITED,
  CLD_KILLED,
  type CLD_STOPPED,
  NSIG,
  SA_NOCLDSTOP,
  SA_NOCLDWAIT,
  SIG_IGN,
  SIGCHLD,
  SIGCONT,
} from '../../syscall-table/flags.ts'
import { groupCpu } from './accounting.ts'
import { reap } from './exit.ts'
import { sendToGroup } from './signal-send.ts'
import { type SigInfo, sigInfo } from './signal-state.ts'
import type { ThreadGroup } from './thread-group.ts'

/** USER_HZ: what clock_t counts. */
const NS_PER_TICK = 1e7

/** A process has ended. Without a parent, or with one that does not want to know, it is reaped at once. */
export function notifyParent(group: ThreadGroup): void {
  const { parent } = group
  if (parent === null || parent.exiting) {
    if (parent === null) reap(group)
    return
  }
  const action = parent.handlers.actions[SIGCHLD]!
  const unwanted =
    group.exitSignal === SIGCHLD &&
    (action.handler === SIG_IGN || (action.flags & SA_NOCLDWAIT) !== 0)
  // clone(2) takes any low byte of its flags; one that is no signal is not sent.
  const valid = group.exitSignal > 0 && group.exitSignal <= NSIG
  const silent = !valid || (unwanted && action.handler === SIG_IGN)
  if (!silent) sendToGroup(parent, exitInfo(group))
  if (unwanted) reap(group)
  parent.childQueue.wake(0)
}

/** The siginfo of SIGCHLD, and what waitid(2) reports, for a process that has ended. */
export function exitInfo(group: ThreadGroup): SigInfo {
  const status = group.exitStatus
  const signal = status & 0x7f
  const code = signal === 0 ? CLD_EXITED : (status & 0x80) !== 0 ? CLD_DUMPED : CLD_KILLED
  return childInfo(group, group.exitSignal, code, signal === 0 ? (status >> 8) & 0xff : signal)
}

/** The siginfo for a child that stopped (CLD_STOPPED) or was continued (CLD_CONTINUED). */
export function stateChangeInfo(group: ThreadGroup, code: number): SigInfo {
  return childInfo(group, SIGCHLD, code, code === CLD_CONTINUED ? SIGCONT : group.stopSignal)
}

function childInfo(group: ThreadGroup, signo: number, code: number, status: number): SigInfo {
  const info = sigInfo(signo, code)
  const cpu = groupCpu(group)
  const reader = group.parent?.leader ?? group.leader
  info.pid = group.pid.numberIn(reader.pidNs)
  info.uid = reader.creds.userNs.showUid(group.leader.creds.uid)
  info.status = status
  info.utime = Math.floor(cpu.userNs / NS_PER_TICK)
  info.stime = Math.floor(cpu.systemNs / NS_PER_TICK)
  return info
}

/** Tell the parent that a process stopped or goes on; SA_NOCLDSTOP spares it the signal. */
export function notifyStateChange(
  group: ThreadGroup,
  code: typeof CLD_STOPPED | typeof CLD_CONTINUED,
): void {
  const { parent } = group
  if (parent === null || parent.exiting) return
  const action = parent.handlers.actions[SIGCHLD]!
  if (action.handler !== SIG_IGN && (action.flags & SA_NOCLDSTOP) === 0) {
    sendToGroup(parent, stateChangeInfo(group, code))
  }
  parent.childQueue.wake(0)
}
