// The tables of /proc/net, which runsc opens as well: nothing of the kernel is loaded for them.

import { openSync } from 'node:fs'
import type { HostFd } from '../../native/index.ts'

/** Tables of /proc/net that tell of addresses, routes, sockets and counters, and of no other part of the host. */
const NET_TABLES = new Set(
  `arp dev dev_mcast fib_trie fib_triestat icmp icmp6 if_inet6 igmp igmp6 ipv6_route mcfilter mcfilter6
  netstat raw raw6 route snmp snmp6 sockstat sockstat6 tcp tcp6 udp udp6 udplite udplite6`.split(
    /\s+/,
  ),
)

/** The tables of the network namespace of a process, by name. */
export function openNetTables(pid: number | 'self'): Map<string, HostFd> {
  const tables = new Map<string, HostFd>()
  for (const name of NET_TABLES) {
    try {
      tables.set(name, openSync(`/proc/${pid}/net/${name}`, 'r'))
    } catch {
      // The host may be without IPv6.
    }
  }
  return tables
}

/** Whether these are names that `openNetTables` gives, each once. */
export const areNetTables = (names: unknown): names is string[] =>
  Array.isArray(names) &&
  new Set(names).size === names.length &&
  names.every(name => NET_TABLES.has(name))
