// A network of its own for a container in another one's sandbox: a process in that network namespace opens the sockets
// that the sandbox's sentry has there.

import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { HostFd } from '../native/host.ts'
import { openNetTables } from '../sentry/boot/net-tables.ts'
import { build } from './build.ts'
import { closeAll } from './cgroup/container-cgroup.ts'
import { CliError } from './errors.ts'
import type { Network } from './network.ts'
import { pair, SOCK_SEQPACKET } from './sandbox.ts'

/** CAP_NET_RAW, as one of `Network.capabilities`. */
const NET_RAW = 2 ** 13

export interface SocketServer {
  /** The network namespace that it lives in. */
  namespace: HostFd
  /** For the sentry's `create`. */
  request: { tables: string[]; unprivilegedPorts: number }
  fds: HostFd[]
  /** Close the descriptors. The server ends when the sentry has none of them either. */
  close(): void
}

/** Start one. `bounding`: the container's capabilities; `entrances`: the cgroup that it is charged to. */
export async function startSocketServer(
  network: Network,
  bounding: number,
  entrances: readonly number[],
): Promise<SocketServer> {
  const [ours, its] = pair(SOCK_SEQPACKET)
  const raw = (network.capabilities & bounding & NET_RAW) !== 0 ? ['--raw'] : []
  const filter = join(build, 'socket-server.bpf')
  const child = spawn(join(build, 'socket-server'), [filter, ...raw, ...network.launcher], {
    stdio: ['ignore', 'pipe', 'pipe', its, ...entrances],
    env: {},
  })
  child.unref()
  let complaint = ''
  child.stderr!.on('data', chunk => (complaint += String(chunk)))
  child.on('error', error => (complaint = error.message))
  let ports = ''
  // It closes its standard streams when it is ready, or has failed.
  for await (const chunk of child.stdout as Readable) ports += String(chunk)
  closeSync(its)
  if (ports === '') {
    closeSync(ours)
    throw new CliError(`cannot set the network up: ${complaint.trim() || 'its server has ended'}`)
  }
  const pid = child.pid!
  const opened: HostFd[] = [ours]
  try {
    opened.push(openSync(`/proc/${pid}/ns/net`, 'r'))
    const tables = openNetTables(pid)
    opened.push(...tables.values())
    return {
      namespace: opened[1]!,
      request: { tables: [...tables.keys()], unprivilegedPorts: Number(ports) },
      fds: [ours, ...tables.values()],
      close: () => closeAll(opened),
    }
  } catch (cause) {
    closeAll(opened)
    throw new CliError(`cannot set the network up: ${(cause as Error).message}`, { cause })
  }
}
