// Diagnosis of AF_NETLINK: net/netlink/diag.c.

import { EINVAL, ENOENT, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import { AF_NETLINK, SOCK_DGRAM } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { HEADER_SIZE, type Request } from '../netlink/message.ts'
import { KERNEL_PROTOCOLS, namedSockets } from '../netlink/names.ts'
import { NetlinkSocket } from '../netlink/netlink-socket.ts'
import type { Socket } from '../socket.ts'
import { inodeOf, memoryOf, SocketDump, writeCookie, writer } from './reply.ts'

/** struct netlink_diag_req. */
const REQUEST_SIZE = 20
const DUMP = 0x300
const ALL_PROTOCOLS = 255
const MAX_PROTOCOLS = 32

const MEMINFO = 0
const GROUPS = 1
const FLAGS = 4
const SHOW_MEMINFO = 1
const SHOW_GROUPS = 2
const SHOW_FLAGS = 8
/** The state of sockets that were never connected. */
const NEW = 7

const sockaddr = new Uint8Array(128)
const view = new DataView(sockaddr.buffer)

/** SOCK_DIAG_BY_FAMILY of AF_NETLINK. */
export function diagnoseNetlink(socket: NetlinkSocket, task: Task, request: Request): number {
  const { bytes } = request
  if (bytes.length < HEADER_SIZE + REQUEST_SIZE) return -EINVAL
  if ((request.flags & DUMP) === 0) return -EOPNOTSUPP
  const protocol = bytes[HEADER_SIZE + 1]!
  const show = request.view.getUint32(HEADER_SIZE + 8, true)
  const write = (each: Socket | number): boolean => {
    const own = typeof each === 'number' ? each : each.protocol
    if (protocol !== ALL_PROTOCOLS && own !== protocol) return false
    if (typeof each === 'number') writeKernel(each, show)
    else writeSocket(task, each, show)
    return true
  }
  const known = protocol === ALL_PROTOCOLS || protocol < MAX_PROTOCOLS
  const all = known ? [...KERNEL_PROTOCOLS, ...namedSockets(task.nsproxy.net)] : []
  return socket.dump(request, new SocketDump(request, all, write, known ? 0 : -ENOENT))
}

/** The kernel's own socket of a protocol. */
function writeKernel(protocol: number, show: number): void {
  writer.u8(AF_NETLINK, SOCK_DGRAM, protocol, NEW).zero(24)
  if ((show & SHOW_MEMINFO) !== 0) writer.attribute(MEMINFO, new Uint8Array(36))
  if ((show & SHOW_FLAGS) !== 0) writer.numberAttribute(FLAGS, 0)
}

/** struct netlink_diag_msg and its attributes. */
function writeSocket(task: Task, socket: Socket, show: number): void {
  const own = socket instanceof NetlinkSocket ? socket : null
  writer.u8(AF_NETLINK, socket.type, socket.protocol, own?.stateNumber ?? NEW)
  const n = socket.ownAddress(sockaddr)
  const groups = n < 0 ? 0 : view.getUint32(8, true)
  writer.u32(n < 0 ? 0 : view.getUint32(4, true))
  const connected = socket.peerAddress(sockaddr) >= 0
  writer.u32(connected ? view.getUint32(4, true) : 0)
  writer.u32(connected ? view.getUint32(8, true) : 0)
  writer.u32(inodeOf(socket))
  writeCookie(task, socket)
  if ((show & SHOW_GROUPS) !== 0 && groups !== 0) {
    const mask = new Uint8Array(8)
    new DataView(mask.buffer).setUint32(0, groups, true)
    writer.attribute(GROUPS, mask)
  }
  if ((show & SHOW_MEMINFO) !== 0) writer.attribute(MEMINFO, memoryOf(task, socket))
  if ((show & SHOW_FLAGS) !== 0) writer.numberAttribute(FLAGS, own?.diagnosisFlags ?? 0)
}
