// /proc/net/unix: unix_seq_show.

import { setNetTable } from '../fs/proc/net.ts'
import type { UnixSocket } from './unix.ts'
import { socketsIn } from './unix-names.ts'

/** __SO_ACCEPTCON. */
const ACCEPTS = 0x10000
// enum socket_state. Those without a file wait to be accepted.
const SS_UNCONNECTED = 1
const SS_CONNECTING = 2
const SS_CONNECTED = 3

const hex = (n: number, width: number): string => n.toString(16).toUpperCase().padStart(width, '0')

function row(socket: UnixSocket): string {
  const { file, connected, name, type } = socket
  const state = !connected ? SS_UNCONNECTED : file === null ? SS_CONNECTING : SS_CONNECTED
  const references = 2 + (socket.peer === null ? 0 : 1)
  // Abstract names are told with @ for each NUL.
  const shown = name === '' ? '' : ` ${name.replaceAll('\0', '@')}`
  const flags = hex(socket.listening ? ACCEPTS : 0, 8)
  const inode = String(file?.inode.ino ?? 0).padStart(5)
  return `0000000000000000: ${hex(references, 8)} 00000000 ${flags} ${hex(type, 4)} ${hex(state, 2)} ${inode}${shown}\n`
}

setNetTable('unix', net => socketsIn(net).map(row).join(''))
