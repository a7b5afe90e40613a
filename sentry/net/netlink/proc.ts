// /proc/net/netlink: netlink_native_seq_show.

import { setNetTable } from '../../fs/proc/net.ts'
import type { Socket } from '../socket.ts'
import { KERNEL_PROTOCOLS, namedSockets } from './names.ts'
import { NetlinkSocket } from './netlink-socket.ts'

const sockaddr = new Uint8Array(128)
const view = new DataView(sockaddr.buffer)

function row(protocol: number, port: number, groups: number, socket: Socket | null): string {
  const own = socket instanceof NetlinkSocket ? socket : null
  const cell = (value: number, width: number): string => String(value).padEnd(width)
  const mask = groups.toString(16).padStart(8, '0')
  const queue = cell(Math.max(0, own?.queuedBytes ?? 0), 8)
  const dumping = cell((own?.diagnosisFlags ?? 0) & 1, 5)
  const inode = cell(socket?.file?.inode.ino ?? 0, 8)
  return `0000000000000000 ${cell(protocol, 3)} ${cell(port, 10)} ${mask} ${queue} ${cell(0, 8)} ${dumping} ${cell(2, 8)} ${cell(0, 8)} ${inode}\n`
}

setNetTable('netlink', net => {
  const rows = [...namedSockets(net)].map(socket => {
    const known = socket.ownAddress(sockaddr) >= 0
    const port = known ? view.getUint32(4, true) : 0
    return row(socket.protocol, port, known ? view.getUint32(8, true) : 0, socket)
  })
  const kernel = KERNEL_PROTOCOLS.map(protocol => row(protocol, 0, 0, null))
  return [...kernel, ...rows].sort(byProtocol).join('')
})

const protocolOf = (line: string): number => Number(line.split(/ +/)[1])
const byProtocol = (a: string, b: string): number => protocolOf(a) - protocolOf(b)
