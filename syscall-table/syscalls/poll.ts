// Waiting for readiness.

import {
  fd,
  fdset,
  flags,
  inout,
  inoutArray,
  inp,
  inSigset,
  int,
  outArray,
  size,
  uint,
} from '../args.ts'
import { ENOSYS } from '../errno.ts'
import { inArea } from '../row.ts'

export const pollCalls = inArea('poll', {
  poll: {
    nr: 7,
    args: { fds: inoutArray('pollfd', 'nfds'), nfds: uint, timeout: int },
    restart: 'block',
  },
  select: {
    nr: 23,
    args: {
      nfds: int,
      readfds: fdset,
      writefds: fdset,
      exceptfds: fdset,
      timeout: inout('timeval'),
    },
    restart: 'nohand',
  },
  epoll_create: { nr: 213, args: { size: int } },
  epoll_ctl_old: { nr: 214, args: {}, todo: ENOSYS, note: 'never wired up in Linux' },
  epoll_wait_old: { nr: 215, args: {}, todo: ENOSYS, note: 'never wired up in Linux' },
  epoll_wait: {
    nr: 232,
    args: { epfd: fd, events: outArray('epoll_event', 'maxevents'), maxevents: int, timeout: int },
  },
  epoll_ctl: { nr: 233, args: { epfd: fd, op: flags('EPOLL_CTL'), fd, event: inp('epoll_event') } },
  pselect6: {
    nr: 270,
    args: {
      nfds: int,
      readfds: fdset,
      writefds: fdset,
      exceptfds: fdset,
      timeout: inout('timespec'),
      sigmask: inp('sigset_argpack'),
    },
    restart: 'nohand',
  },
  ppoll: {
    nr: 271,
    args: {
      fds: inoutArray('pollfd', 'nfds'),
      nfds: uint,
      timeout: inout('timespec'),
      sigmask: inSigset,
      sigsetsize: size,
    },
    restart: 'nohand',
  },
  epoll_pwait: {
    nr: 281,
    args: {
      epfd: fd,
      events: outArray('epoll_event', 'maxevents'),
      maxevents: int,
      timeout: int,
      sigmask: inSigset,
      sigsetsize: size,
    },
  },
  eventfd: { nr: 284, args: { initval: uint } },
  eventfd2: { nr: 290, args: { initval: uint, flags: flags('EFD') } },
  epoll_create1: { nr: 291, args: { flags: flags('EPOLL_CREATE') } },
  epoll_pwait2: {
    nr: 441,
    args: {
      epfd: fd,
      events: outArray('epoll_event', 'maxevents'),
      maxevents: int,
      timeout: inp('timespec'),
      sigmask: inSigset,
      sigsetsize: size,
    },
  },
})
