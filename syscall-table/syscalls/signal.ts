// Signals.

import {
  fd,
  flags,
  inp,
  inSigset,
  oldSigaction,
  out,
  outSigset,
  pid,
  sigaction,
  signo,
  size,
} from '../args.ts'
import { inArea } from '../row.ts'

export const signalCalls = inArea('signal', {
  rt_sigaction: {
    nr: 13,
    args: { signum: signo, act: sigaction, oldact: oldSigaction, sigsetsize: size },
  },
  rt_sigprocmask: {
    nr: 14,
    args: { how: flags('SIGPROCMASK'), set: inSigset, oldset: outSigset, sigsetsize: size },
  },
  rt_sigreturn: { nr: 15, args: {} },
  pause: { nr: 34, args: {}, restart: 'nohand' },
  kill: { nr: 62, args: { pid, sig: signo } },
  rt_sigpending: { nr: 127, args: { set: outSigset, sigsetsize: size } },
  rt_sigtimedwait: {
    nr: 128,
    args: { set: inSigset, info: out('siginfo'), timeout: inp('timespec'), sigsetsize: size },
  },
  rt_sigqueueinfo: { nr: 129, args: { pid, sig: signo, info: inp('siginfo') } },
  rt_sigsuspend: { nr: 130, args: { mask: inSigset, sigsetsize: size }, restart: 'nohand' },
  sigaltstack: { nr: 131, args: { ss: inp('stack_t'), oldSs: out('stack_t') } },
  tkill: { nr: 200, args: { tid: pid, sig: signo } },
  restart_syscall: { nr: 219, args: {}, restart: 'block' },
  tgkill: { nr: 234, args: { tgid: pid, tid: pid, sig: signo } },
  signalfd: { nr: 282, args: { fd, mask: inSigset, sizemask: size } },
  signalfd4: { nr: 289, args: { fd, mask: inSigset, sizemask: size, flags: flags('SFD') } },
  rt_tgsigqueueinfo: { nr: 297, args: { tgid: pid, tid: pid, sig: signo, info: inp('siginfo') } },
  pidfd_send_signal: {
    nr: 424,
    args: { pidfd: fd, sig: signo, info: inp('siginfo'), flags: flags('PIDFD_SIGNAL') },
  },
})
