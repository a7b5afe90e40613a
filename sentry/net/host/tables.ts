// /proc/net of --network=host: the host's own tables of the network namespace. In those of sockets, users and inodes
// are told as the sandbox knows them.

import { STAT_INO, STAT_RECORD_SIZE, statFd } from '../../../native/index.ts'
import type { HostSocket } from './host-socket.ts'
import type { HostNetwork } from './network.ts'

const SOCKETS = /^(?:tcp|udp|udplite|raw|icmp)6?$/
/** Up to the retransmissions; user, timeout, inode; the rest. */
const ROW = /^( *\d+:(?: +\S+){6}) +(\d+) +(\S+) (\d+)( .*)$/

/** Even hashed, it is the host's. */
const KERNEL_ADDRESS = /\b[0-9a-f]{16}\b/

const stat = new Uint8Array(STAT_RECORD_SIZE)
const statView = new DataView(stat.buffer)

/** The present text of a table. */
export function hostTable(network: HostNetwork, name: string): string {
  const text = network.table(name) ?? ''
  if (!SOCKETS.test(name)) return text
  const own = socketsByInode(network)
  return text
    .split('\n')
    .map(line => translate(line, own))
    .join('\n')
}

function socketsByInode(network: HostNetwork): Map<number, HostSocket> {
  const found = new Map<number, HostSocket>()
  for (const socket of network.sockets) {
    if (statFd(socket.hostFd, stat, 0) < 0) continue
    const high = statView.getUint32(STAT_INO + 4, true)
    found.set(high * 2 ** 32 + statView.getUint32(STAT_INO, true), socket)
  }
  return found
}

/** Sockets that others have in the same namespace belong to nobody here. */
function translate(line: string, own: Map<number, HostSocket>): string {
  const row = ROW.exec(line)
  if (row === null) return line
  const [, start, uid, timeout, inode, end] = row
  const socket = own.get(Number(inode))
  const user = String(socket?.uid ?? uid).padStart(5)
  const rest = end!.replace(KERNEL_ADDRESS, '0'.repeat(16))
  return `${start} ${user} ${timeout!.padStart(8)} ${socket?.file?.inode.ino ?? 0}${rest}`
}
