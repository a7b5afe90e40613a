// What sockets of the host need to know of their network namespace, and the open files that tell of it.

import { readFileSync } from 'node:fs'
import type { ContainerConfig } from '../config.ts'
import { HOST_TUNABLES } from '../fs/proc/sysctl.ts'
import type { HostNetworkFacts } from '../net/host/network.ts'
import { openNetTables } from './net-tables.ts'

const UNPRIVILEGED_PORTS = '/proc/sys/net/ipv4/ip_unprivileged_port_start'
const DEFAULT_UNPRIVILEGED_PORTS = 1024

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
