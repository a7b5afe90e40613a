// Times and timers.

import { array, i32, i64, nested, type Struct, u32 } from './field.ts'

export const timeStructs = {
  timespec: { fields: { sec: i64, nsec: i64 } },
  timeval: { fields: { sec: i64, usec: i64 } },
  timezone: { fields: { minuteswest: i32, dsttime: i32 } },
  itimerspec: { fields: { interval: nested('timespec'), value: nested('timespec') } },
  itimerval: { fields: { interval: nested('timeval'), value: nested('timeval') } },
  utimbuf: { fields: { actime: i64, modtime: i64 } },
  tms: { fields: { utime: i64, stime: i64, cutime: i64, cstime: i64 } },
  timex: {
    fields: {
      modes: u32,
      offset: i64,
      freq: i64,
      maxerror: i64,
      esterror: i64,
      status: i32,
      constant: i64,
      precision: i64,
      tolerance: i64,
      time: nested('timeval'),
      tick: i64,
      ppsfreq: i64,
      jitter: i64,
      shift: i32,
      stabil: i64,
      jitcnt: i64,
      calcnt: i64,
      errcnt: i64,
      stbcnt: i64,
      tai: i32,
      _reserved: array('i32', 11),
    },
  },
} as const satisfies Record<string, Struct>
