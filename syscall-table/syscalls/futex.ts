// Futexes and robust lists. FUTEX_WAIT with a timeout is ERESTART_RESTARTBLOCK in Linux; that is the handler's choice.

import { addr, bits64, flags, hex, inArray, inp, int, outLongs, pid, size, uint } from '../args.ts'
import { inArea } from '../row.ts'

export const futexCalls = inArea('futex', {
  futex: {
    nr: 202,
    args: { uaddr: addr, op: flags('FUTEX'), val: uint, timeout: addr, uaddr2: addr, val3: hex },
    restart: 'sys',
  },
  set_robust_list: { nr: 273, args: { head: addr, len: size } },
  get_robust_list: { nr: 274, args: { pid, head: outLongs(1), len: outLongs(1) } },
  futex_waitv: {
    nr: 449,
    args: {
      waiters: inArray('futex_waitv', 'nrFutexes'),
      nrFutexes: uint,
      flags: hex,
      timeout: inp('timespec'),
      clockid: flags('CLOCK'),
    },
    restart: 'sys',
  },
  futex_wake: {
    nr: 454,
    args: { uaddr: addr, mask: bits64, nr: int, flags: flags('FUTEX2') },
    note: 'on the host, from Linux 6.7 on',
  },
  futex_wait: {
    nr: 455,
    args: {
      uaddr: addr,
      val: bits64,
      mask: bits64,
      flags: flags('FUTEX2'),
      timeout: inp('timespec'),
      clockid: flags('CLOCK'),
    },
    note: 'on the host, from Linux 6.7 on',
  },
  futex_requeue: {
    nr: 456,
    args: { waiters: addr, flags: hex, nrWake: int, nrRequeue: int },
    note: 'on the host, from Linux 6.7 on',
  },
})
