import { beforeEach, describe, expect, it } from 'vitest'
import { EAGAIN, EBLOCKED, EINVAL, EPERM, ERESTARTSYS, ESRCH } from '../../syscall-table/errno.ts'
import {
  CLD_CONTINUED,
  CLD_STOPPED,
  RLIMIT_SIGPENDING,
  SA_NOCLDWAIT,
  SI_QUEUE,
  SIG_IGN,
  SIGCHLD,
  SIGCONT,
  SIGHUP,
  SIGKILL,
  SIGSTOP,
  SIGTERM,
  SIGTTIN,
  SIGUSR1,
  SIGUSR2,
  SIGWINCH,
} from '../../syscall-table/flags.ts'
import { boot, type TestClock, type TestTask, userCreds } from '../../test/kernel.ts'
import { sys_setpgid, sys_setsid, sys_wait4 } from '../syscalls/process.ts'
import {
  sys_kill,
  sys_rt_sigprocmask,
  sys_rt_sigqueueinfo,
  sys_rt_sigtimedwait,
} from '../syscalls/signal.ts'
import { dequeueSignal, returnToUser, signalPending } from './signal.ts'
import { sendToGroup, sendToTask, signalGroup, userSigInfo } from './signal-send.ts'
import { sigInfo } from './signal-state.ts'
import { DEAD, STOPPED, ZOMBIE } from './task.ts'

const RT = 40

describe('signals between processes', () => {
  let init: TestTask & { clock: TestClock }
  let parent: TestTask
  let child: TestTask

  beforeEach(() => {
    init = boot()
    parent = init.fork()
    child = parent.fork()
    for (const t of [parent, child]) t.task.group.rlimits[RLIMIT_SIGPENDING] = { cur: 4, max: 4 }
  })

  const block = (t: TestTask, ...signals: number[]) => {
    for (const s of signals) t.task.signals.mask.add(s)
  }
  const catchSignal = (t: TestTask, signo: number) => {
    t.task.group.handlers.actions[signo]!.handler = 0x1000
  }

  it("delivers the lowest number first, its own before the process's", () => {
    block(child, SIGUSR1, SIGUSR2, RT)
    signalGroup(child.task.group, SIGUSR1)
    sendToTask(child.task, sigInfo(RT, SI_QUEUE))
    sendToTask(child.task, sigInfo(SIGUSR2, SI_QUEUE))
    child.task.signals.mask.set(0, 0)
    const order = [1, 2, 3].map(() => dequeueSignal(child.task, child.task.signals.mask)?.signo)
    expect(order).toEqual([SIGUSR2, RT, SIGUSR1])
  })

  it('queues a standard signal once and a real-time signal each time, up to the limit', () => {
    block(child, SIGUSR1, RT)
    for (let i = 0; i < 3; i++)
      expect(sendToGroup(child.task.group, sigInfo(SIGUSR1, SI_QUEUE))).toBe(0)
    expect(child.task.group.pending.queue.length).toBe(1)
    for (let i = 0; i < 3; i++) expect(sendToGroup(child.task.group, sigInfo(RT, SI_QUEUE))).toBe(0)
    expect(sendToGroup(child.task.group, sigInfo(RT, SI_QUEUE))).toBe(-EAGAIN)
    expect(child.kernel.queuedSignals.get(0)).toBe(4)
    signalGroup(child.task.group, SIGKILL)
    expect(child.kernel.queuedSignals.get(0)).toBeUndefined()
  })

  it('does not queue what is ignored, but does what is blocked', () => {
    signalGroup(child.task.group, SIGWINCH)
    expect(child.task.group.pending.set.empty).toBe(true)
    block(child, SIGWINCH)
    signalGroup(child.task.group, SIGWINCH)
    expect(child.task.group.pending.set.has(SIGWINCH)).toBe(true)
  })

  it('ends a process at once, leaves a zombie, and gives it to wait', () => {
    expect(child.call(sys_kill, child.task.tid, SIGTERM)).toBe(0)
    returnToUser(child.task, 0)
    expect(child.task.state).toBe(ZOMBIE)
    const status = parent.room(4)
    expect(parent.call(sys_wait4, -1, status, 0, 0)).toBe(child.task.tid)
    expect(parent.view(status, 4).getInt32(0, true)).toBe(SIGTERM)
    expect(child.task.state).toBe(DEAD)
    expect(parent.kernel.groups.has(child.task.group)).toBe(false)
  })

  it('wakes a waiting parent, whose wait then finds the child', () => {
    expect(parent.call(sys_wait4, -1, 0, 0, 0)).toBe(-EBLOCKED)
    signalGroup(child.task.group, SIGKILL)
    expect(parent.woken).toBe(true)
    expect(parent.rerun()).toBe(child.task.tid)
  })

  it('reaps children of a parent that ignores SIGCHLD or has SA_NOCLDWAIT', () => {
    parent.task.group.handlers.actions[SIGCHLD]!.handler = SIG_IGN
    signalGroup(child.task.group, SIGKILL)
    expect(child.task.group.reaped).toBe(true)
    const other = parent.fork()
    parent.task.group.handlers.actions[SIGCHLD]!.handler = 0x1000
    parent.task.group.handlers.actions[SIGCHLD]!.flags = SA_NOCLDWAIT
    signalGroup(other.task.group, SIGKILL)
    expect(other.task.group.reaped).toBe(true)
    expect(parent.task.group.pending.set.has(SIGCHLD)).toBe(true)
  })

  it('protects init from everything that it does not catch', () => {
    expect(child.call(sys_kill, init.task.tid, SIGKILL)).toBe(0)
    expect(child.call(sys_kill, init.task.tid, SIGTERM)).toBe(0)
    expect(init.task.group.exiting).toBe(false)
    expect(init.task.group.pending.set.empty).toBe(true)
    catchSignal(init, SIGTERM)
    child.call(sys_kill, init.task.tid, SIGTERM)
    expect(init.task.group.pending.set.has(SIGTERM)).toBe(true)
  })

  it('gives orphans to init, and tells it of those that end', () => {
    signalGroup(parent.task.group, SIGKILL)
    expect(child.task.group.parent).toBe(init.task.group)
    signalGroup(child.task.group, SIGKILL)
    expect(init.call(sys_wait4, child.task.tid, 0, 0, 0)).toBe(child.task.tid)
  })

  it('stops and continues, and reports both', () => {
    catchSignal(parent, SIGCHLD)
    signalGroup(child.task.group, SIGSTOP)
    expect(returnToUser(child.task, -ERESTARTSYS)).toBe(-EBLOCKED)
    expect(child.task.state).toBe(STOPPED)
    expect(dequeueSignal(parent.task, parent.task.signals.mask)).toMatchObject({
      code: CLD_STOPPED,
      status: SIGSTOP,
    })
    const status = parent.room(4)
    expect(parent.call(sys_wait4, -1, status, 2, 0)).toBe(child.task.tid)
    expect(parent.view(status, 4).getInt32(0, true)).toBe((SIGSTOP << 8) | 0x7f)
    signalGroup(child.task.group, SIGTERM)
    expect(child.task.state).toBe(STOPPED)
    child.task.group.pending.set.set(0, 0)
    signalGroup(child.task.group, SIGCONT)
    expect(child.woken).toBe(true)
    expect(dequeueSignal(parent.task, parent.task.signals.mask)).toMatchObject({
      code: CLD_CONTINUED,
    })
    expect(returnToUser(child.task, child.task.stoppedResult)).toBe(-ERESTARTSYS)
  })

  it('does not stop an orphaned process group from the terminal, but by SIGSTOP', () => {
    const lone = init.fork()
    lone.call(sys_setsid)
    signalGroup(lone.task.group, SIGTTIN)
    expect(returnToUser(lone.task, 0)).toBe(0)
    signalGroup(lone.task.group, SIGSTOP)
    expect(returnToUser(lone.task, 0)).toBe(-EBLOCKED)
  })

  it('hangs up a stopped group that becomes orphaned', () => {
    expect(parent.call(sys_setpgid, child.task.tid, child.task.tid)).toBe(0)
    catchSignal(child, SIGHUP)
    signalGroup(child.task.group, SIGSTOP)
    returnToUser(child.task, 0)
    init.task.group.pgrp.session.groups.clear()
    init.task.group.pgrp = child.task.group.pgrp
    signalGroup(parent.task.group, SIGKILL)
    expect(child.task.group.pending.set.has(SIGHUP)).toBe(true)
    expect(child.task.group.stopSignal).toBe(0)
  })

  it('checks who may send', () => {
    const user = init.fork(userCreds(1000))
    const other = init.fork(userCreds(1001))
    expect(user.call(sys_kill, other.task.tid, SIGTERM)).toBe(-EPERM)
    expect(user.call(sys_kill, other.task.tid, SIGCONT)).toBe(0)
    expect(user.call(sys_kill, 99999, 0)).toBe(-ESRCH)
    expect(user.call(sys_kill, user.task.tid, 65)).toBe(-EINVAL)
    const info = new Uint8Array(128)
    expect(user.call(sys_rt_sigqueueinfo, init.task.tid, SIGUSR1, info)).toBe(-EPERM)
  })

  it('hands a signal of the process to a task that does not block it', () => {
    catchSignal(child, SIGUSR1)
    block(child, SIGUSR1)
    signalGroup(child.task.group, SIGUSR1)
    expect(signalPending(child.task)).toBe(false)
    const empty = child.place(new Uint8Array(8))
    expect(child.call(sys_rt_sigprocmask, 2, empty, 0, 8)).toBe(0)
    expect(child.task.work).toBe(true)
    expect(signalPending(child.task)).toBe(true)
  })

  it('waits for signals with a timeout', () => {
    block(child, SIGUSR1)
    const set = new Uint8Array(8)
    set[1] = 1 << (SIGUSR1 - 9)
    const timeout = new Uint8Array(16)
    new DataView(timeout.buffer).setUint32(0, 1, true)
    expect(child.call(sys_rt_sigtimedwait, set, 0, timeout, 8)).toBe(-EBLOCKED)
    sendToGroup(child.task.group, userSigInfo(init.task, SIGUSR1))
    expect(child.woken).toBe(true)
    expect(child.rerun()).toBe(SIGUSR1)
    expect(child.call(sys_rt_sigtimedwait, set, 0, timeout, 8)).toBe(-EBLOCKED)
    init.clock.nowNs += 2e9
    init.kernel.timers.run(init.clock.nowNs)
    expect(child.rerun()).toBe(-EAGAIN)
  })
})
