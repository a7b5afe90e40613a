// What /proc/net/snmp counts of TCP and UDP over IPv4: RFC 1213, include/uapi/linux/snmp.h.

import type { NetNamespace } from '../../kernel/nsproxy.ts'

/** Named as the columns of the file. */
export class Statistics {
  readonly tcp = { ActiveOpens: 0, PassiveOpens: 0, AttemptFails: 0, EstabResets: 0, OutRsts: 0 }
  readonly udp = { InDatagrams: 0, NoPorts: 0, InErrors: 0, OutDatagrams: 0, RcvbufErrors: 0 }
}

const all = new WeakMap<NetNamespace, Statistics>()

/** The counters of a network namespace. */
export function statisticsOf(net: NetNamespace): Statistics {
  let statistics = all.get(net)
  if (statistics === undefined) {
    statistics = new Statistics()
    all.set(net, statistics)
  }
  return statistics
}
