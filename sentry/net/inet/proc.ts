// /proc/net/tcp, tcp6, udp and udp6: the formats of tcp4_seq_show, tcp6_seq_show and udp4_seq_show.

import {
  AF_INET,
  AF_INET6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
} from '../../../syscall-table/flags.ts'
import { setNetTable, snmpWith } from '../../fs/proc/net.ts'
import { writeAddress } from './address.ts'
import type { InetSocket } from './inet-socket.ts'
import { portsOf } from './ports.ts'
import { statisticsOf } from './statistics.ts'
import { TcpSocket } from './tcp.ts'
import type { UdpSocket } from './udp.ts'

const bytes = new Uint8Array(28)
const view = new DataView(bytes.buffer)

const hex = (n: number, width: number): string => n.toString(16).toUpperCase().padStart(width, '0')

/** An address as its words in memory order, and the port. */
function endpoint(family: number, ip: number, port: number): string {
  writeAddress(family, ip, port, bytes)
  let text = ''
  const [from, to] = family === AF_INET ? [4, 8] : [8, 24]
  for (let at = from!; at < to!; at += 4) text += hex(view.getUint32(at, true), 8)
  return `${text}:${hex(port, 4)}`
}

function row(socket: InetSocket & { stateNumber: number }, index: number): string {
  const { family, file } = socket
  const local = endpoint(family, socket.ip, socket.port)
  const remote = endpoint(family, socket.peerIp, socket.peerPort)
  const tcp = socket instanceof TcpSocket
  const [waiting] = tcp ? socket.acceptQueue : [0]
  const listening = socket.listening
  const sent = listening ? 0 : Math.max(0, socket.unsent())
  const received = listening ? waiting : socket.incoming.bytes
  const start = tcp ? String(index).padStart(4) : String(index).padStart(5)
  const text =
    `${start}: ${local} ${remote} ${hex(socket.stateNumber, 2)} ${hex(sent, 8)}:${hex(received, 8)} ` +
    `00:00000000 00000000 ${String(socket.uid).padStart(5)} ${'0'.padStart(8)} ${file?.inode.ino ?? 0} ` +
    (tcp ? '1 0000000000000000 100 0 0 10 0' : '2 0000000000000000 0')
  return family === AF_INET ? text.padEnd(tcp ? 149 : 127) : text
}

function publish(name: string, family: number, protocol: number): void {
  setNetTable(name, net =>
    portsOf(net, protocol)
      .all()
      .filter(socket => socket.family === family)
      .map((socket, index) => `${row(socket as TcpSocket | UdpSocket, index)}\n`)
      .join(''),
  )
}

publish('tcp', AF_INET, IPPROTO_TCP)
publish('tcp6', AF_INET6, IPPROTO_TCP)
publish('udp', AF_INET, IPPROTO_UDP)
publish('udp6', AF_INET6, IPPROTO_UDP)
publish('udplite', AF_INET, IPPROTO_UDPLITE)
publish('udplite6', AF_INET6, IPPROTO_UDPLITE)

setNetTable('snmp', net => {
  const { tcp, udp } = statisticsOf(net)
  const open = new Set([TCP_ESTABLISHED, TCP_CLOSE_WAIT])
  const CurrEstab = portsOf(net, IPPROTO_TCP)
    .all()
    .filter(socket => open.has((socket as TcpSocket).stateNumber)).length
  return snmpWith({ Tcp: { ...tcp, CurrEstab }, Udp: { ...udp } })
})
