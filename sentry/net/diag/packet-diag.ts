// Diagnosis of AF_PACKET: net/packet/diag.c.

import { EINVAL, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import { AF_PACKET } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { wireOf } from '../inet/wire.ts'
import { HEADER_SIZE, type Request } from '../netlink/message.ts'
import type { NetlinkSocket } from '../netlink/netlink-socket.ts'
import { PacketSocket } from '../packet/packet.ts'
import { inodeOf, memoryOf, SocketDump, writeCookie, writer } from './reply.ts'

/** struct packet_diag_req. */
const REQUEST_SIZE = 20
const DUMP = 0x300

const INFO = 0
const UID = 5
const MEMINFO = 6
const SHOW_INFO = 1
const SHOW_MEMINFO = 0x10

/** SOCK_DIAG_BY_FAMILY of AF_PACKET. */
export function diagnosePackets(socket: NetlinkSocket, task: Task, request: Request): number {
  const { bytes, view } = request
  if (bytes.length < HEADER_SIZE + REQUEST_SIZE) return -EINVAL
  if (bytes[HEADER_SIZE + 1] !== 0) return -EINVAL
  if ((request.flags & DUMP) === 0) return -EOPNOTSUPP
  const show = view.getUint32(HEADER_SIZE + 8, true)
  const all = [...wireOf(task.nsproxy.net).frames].filter(each => each instanceof PacketSocket)
  const write = (each: PacketSocket): boolean => {
    writeSocket(task, each, show)
    return true
  }
  return socket.dump(request, new SocketDump(request, all, write))
}

/** struct packet_diag_msg and its attributes. */
function writeSocket(task: Task, socket: PacketSocket, show: number): void {
  writer.u8(AF_PACKET, socket.type).u16(socket.etherType).u32(inodeOf(socket))
  writeCookie(task, socket)
  if ((show & SHOW_INFO) !== 0) {
    const info = new Uint8Array(24)
    const view = new DataView(info.buffer)
    const { index, version, flags } = socket.diagnosis
    view.setUint32(0, index, true)
    view.setUint32(4, version, true)
    view.setUint32(20, flags, true)
    writer.attribute(INFO, info)
    writer.numberAttribute(UID, task.creds.userNs.showUid(socket.file?.inode.uid ?? 0))
  }
  if ((show & SHOW_MEMINFO) !== 0) writer.attribute(MEMINFO, memoryOf(task, socket))
}
