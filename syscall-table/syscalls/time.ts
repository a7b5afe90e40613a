// Clocks, sleeping and timers.

import { fd, flags, inout, inp, int, out, outInts, outLongs, uint } from '../args.ts'
import { inArea } from '../row.ts'

export const timeCalls = inArea('time', {
  nanosleep: { nr: 35, args: { req: inp('timespec'), rem: out('timespec') }, restart: 'block' },
  getitimer: { nr: 36, args: { which: flags('ITIMER'), value: out('itimerval') } },
  alarm: { nr: 37, args: { seconds: uint } },
  setitimer: {
    nr: 38,
    args: { which: flags('ITIMER'), newValue: inp('itimerval'), oldValue: out('itimerval') },
  },
  gettimeofday: { nr: 96, args: { tv: out('timeval'), tz: out('timezone') } },
  times: { nr: 100, args: { buf: out('tms') } },
  adjtimex: {
    nr: 159,
    args: { buf: inout('timex') },
    partial: 'reads only: the clock belongs to the host',
  },
  settimeofday: {
    nr: 164,
    args: { tv: inp('timeval'), tz: inp('timezone') },
    partial: 'reads only: the clock belongs to the host',
  },
  time: { nr: 201, args: { tloc: outLongs(1) } },
  timer_create: {
    nr: 222,
    args: { clockid: flags('CLOCK'), sevp: inp('sigevent'), timerid: outInts(1) },
  },
  timer_settime: {
    nr: 223,
    args: {
      timerid: int,
      flags: flags('TIMER'),
      newValue: inp('itimerspec'),
      oldValue: out('itimerspec'),
    },
  },
  timer_gettime: { nr: 224, args: { timerid: int, currValue: out('itimerspec') } },
  timer_getoverrun: { nr: 225, args: { timerid: int } },
  timer_delete: { nr: 226, args: { timerid: int } },
  clock_settime: {
    nr: 227,
    args: { clockid: flags('CLOCK'), tp: inp('timespec') },
    partial: 'reads only: the clock belongs to the host',
  },
  clock_gettime: { nr: 228, args: { clockid: flags('CLOCK'), tp: out('timespec') } },
  clock_getres: { nr: 229, args: { clockid: flags('CLOCK'), res: out('timespec') } },
  clock_nanosleep: {
    nr: 230,
    args: {
      clockid: flags('CLOCK'),
      flags: flags('TIMER'),
      request: inp('timespec'),
      remain: out('timespec'),
    },
    restart: 'block',
  },
  timerfd_create: { nr: 283, args: { clockid: flags('CLOCK'), flags: flags('TFD') } },
  timerfd_settime: {
    nr: 286,
    args: {
      fd,
      flags: flags('TFD_TIMER'),
      newValue: inp('itimerspec'),
      oldValue: out('itimerspec'),
    },
  },
  timerfd_gettime: { nr: 287, args: { fd, currValue: out('itimerspec') } },
  clock_adjtime: {
    nr: 305,
    args: { clockid: flags('CLOCK'), buf: inout('timex') },
    partial: 'reads only: the clock belongs to the host',
  },
})
