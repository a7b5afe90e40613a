// Scheduling.

import { addr, flags, hex, inp, int, out, outInts, pid, uint } from '../args.ts'
import { inArea } from '../row.ts'

export const schedCalls = inArea('sched', {
  sched_yield: { nr: 24, args: {} },
  getpriority: { nr: 140, args: { which: flags('PRIO'), who: int } },
  setpriority: { nr: 141, args: { which: flags('PRIO'), who: int, prio: int } },
  sched_setparam: { nr: 142, args: { pid, param: inp('sched_param') } },
  sched_getparam: { nr: 143, args: { pid, param: out('sched_param') } },
  sched_setscheduler: { nr: 144, args: { pid, policy: flags('SCHED'), param: inp('sched_param') } },
  sched_getscheduler: { nr: 145, args: { pid } },
  sched_get_priority_max: { nr: 146, args: { policy: flags('SCHED') } },
  sched_get_priority_min: { nr: 147, args: { policy: flags('SCHED') } },
  sched_rr_get_interval: { nr: 148, args: { pid, tp: out('timespec') } },
  sched_setaffinity: {
    nr: 203,
    args: { pid, len: uint, mask: addr },
    partial: 'the mask is kept and inherited, but the host decides where threads run',
  },
  sched_getaffinity: { nr: 204, args: { pid, len: uint, mask: addr } },
  ioprio_set: { nr: 251, args: { which: flags('IOPRIO'), who: int, ioprio: int } },
  ioprio_get: { nr: 252, args: { which: flags('IOPRIO'), who: int } },
  getcpu: { nr: 309, args: { cpu: outInts(1), node: outInts(1), tcache: addr } },
  sched_setattr: { nr: 314, args: { pid, attr: inp('sched_attr'), flags: hex } },
  sched_getattr: { nr: 315, args: { pid, attr: out('sched_attr'), size: uint, flags: hex } },
})
