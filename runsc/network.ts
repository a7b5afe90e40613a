// Which network a sandbox gets: the kernel's own loopback, or the host's sockets in a network namespace that
// config.json names.

import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { sysctlConfigs } from './devices.ts'
import { CliError } from './errors.ts'
import type { GlobalOptions } from './options.ts'
import type { Spec } from './spec-schema.ts'

/** CAP_NET_BIND_SERVICE and CAP_NET_RAW: all that sockets of a program can need of the host. */
const NETWORK_CAPABILITIES = 2 ** 10 + 2 ** 13
export interface Network {
  kind: 'none' | 'host'
  /** How the launcher comes into the network namespace of the sandbox. */
  launcher: string[]
  /** Capabilities that the sentry keeps there, if the container has them. */
  capabilities: number
}

/** The network of a container: what `--network` says, else what its configuration can use. */
export function networkOf(spec: Spec, globals: GlobalOptions): Network {
  const { namespaces, sysctl } = spec.linux
  const entry = namespaces.find(({ type }) => type === 'network')
  const kind = globals.network ?? 'host'
  if (kind === 'none') return { kind, launcher: ['--net'], capabilities: 0 }
  return {
    kind,
    launcher: [...enter(entry), ...settings(sysctl)],
    capabilities: NETWORK_CAPABILITIES,
  }
}

function enter(entry: Spec['linux']['namespaces'][number] | undefined): string[] {
  if (entry === undefined) return []
  const path = entry.path ?? ''
  // As runc does: a namespace of its own begins with a loopback that works.
  if (path === '') return ['--net', '--loopback']
  try {
    closeSync(openSync(path, constants.O_RDONLY))
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new CliError(
      `config.json: linux.namespaces: cannot open network namespace ${path}: ${code}`,
      { cause },
    )
  }
  return ['--join-net', path]
}

/** The tunables of the network belong to the host's kernel, which has them once for each namespace. */
function settings(sysctl: Spec['linux']['sysctl']): string[] {
  return sysctlConfigs(sysctl)
    .filter(([path]) => path.startsWith('net/'))
    .map(([path, value]): [string, string] => {
      // Namespaces have the same tunables, but for a few that only the first one has.
      if (!existsSync(Buffer.from(`/proc/sys/${path}`, 'latin1'))) {
        const key = path.replaceAll('/', '.')
        throw new CliError(`config.json: linux.sysctl: the host has no tunable "${key}"`)
      }
      return [path, value]
    })
    .flatMap(([path, value]) => ['--sysctl', `${path}=${value}`])
}
