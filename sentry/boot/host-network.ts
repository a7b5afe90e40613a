// What sockets of the host need to know of their network namespace, and the open files that tell of it.

import { openSync, readFileSync } from 'node:fs'
import type { HostFd } from '../../native/index.ts'
import type { ContainerConfig } from '../config.ts'
import { HOST_TUNABLES } from '../fs/proc/sysctl.ts'
import type { HostNetworkFacts } from '../net/host/network.ts'

/** Tables of /proc/net that tell of addresses, routes, sockets and counters, and of no other part of the host. */
const NET_TABLES = new Set(
  `arp dev dev_mcast fib_trie fib_triestat icmp icmp6 if_inet6 igmp igmp6 ipv6_route mcfilter mcfilter6
  netstat raw raw6 route snmp snmp6 sockstat sockstat6 tcp tcp6 udp udp6 udplite udplite6`.split(
    /\s+/,
  ),
)
const UNPRIVILEGED_PORTS = '/proc/sys/net/ipv4/ip_unprivileged_port_start'
const DEFAULT_UNPRIVILEGED_PORTS = 1024

/** The tables of the network namespace of a process, by name. */
export function openNetTables(pid: number | 'self'): Map<string, HostFd> {
  const tables = new Map<string, HostFd>()
  for (const name of NET_TABLES) {
    const fd = tryTo(() => openSync(`/proc/${pid}/net/${name}`, 'r'))
    // The host may be without IPv6.
    if (fd !== undefined) tables.set(name, fd)
  }
  return tables
}

/** Whether these are names that `openNetTables` gives, each once. */
export const areNetTables = (names: unknown): names is string[] =>
  Array.isArray(names) &&
  new Set(names).size === names.length &&
  names.every(name => NET_TABLES.has(name))

/** Of this process's network namespace. `sysctls` are those that it was given. */
export function hostNetworkFacts(sysctls: ContainerConfig['sysctls']): HostNetworkFacts {
  const ports = tryTo(() => Number(readFileSync(UNPRIVILEGED_PORTS, 'latin1')))
  return {
    tables: openNetTables('self'),
    tunables: new Map(
      HOST_TUNABLES.concat(networkTunables(sysctls).map(([path]) => path)).flatMap(readTunable),
    ),
    unprivilegedPorts: ports ?? DEFAULT_UNPRIVILEGED_PORTS,
  }
}

function readTunable(path: string): [path: string, value: string][] {
  const value = tryTo(() => readFileSync(Buffer.from(`/proc/sys/${path}`, 'latin1'), 'latin1'))
  return value === undefined ? [] : [[path, value.trimEnd()]]
}

/** Those of a network among the sysctls of config.json. */
export const networkTunables = (sysctls: ContainerConfig['sysctls']): [string, string][] =>
  sysctls.filter(([path]) => path.startsWith('net/'))

function tryTo<T>(step: () => T): T | undefined {
  try {
    return step()
  } catch {
    return undefined
  }
}
