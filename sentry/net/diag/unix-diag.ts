// Diagnosis of AF_UNIX: net/unix/diag.c.

import { EINVAL, ENOENT } from '../../../syscall-table/errno.ts'
import { AF_UNIX, TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { HEADER_SIZE, type Request } from '../netlink/message.ts'
import type { NetlinkSocket } from '../netlink/netlink-socket.ts'
import type { UnixSocket } from '../unix.ts'
import { socketsIn, writeName } from '../unix-names.ts'
import { shutdownOf } from './inet-facts.ts'
import {
  begin,
  checkCookie,
  end,
  inodeOf,
  memoryOf,
  SocketDump,
  writeCookie,
  writer,
} from './reply.ts'

/** struct unix_diag_req. */
const REQUEST_SIZE = 24
const DUMP = 0x300

const NAME = 0
const VFS = 1
const PEER = 2
const ICONS = 3
const RQLEN = 4
const MEMINFO = 5
const SHUTDOWN = 6
const UID = 7

const SHOW_NAME = 1
const SHOW_VFS = 2
const SHOW_PEER = 4
const SHOW_ICONS = 8
const SHOW_RQLEN = 0x10
const SHOW_MEMINFO = 0x20
const SHOW_UID = 0x40

const sockaddr = new Uint8Array(128)

/** The state as Linux numbers it. */
function unixState(socket: UnixSocket): number {
  if (socket.listening) return TCP_LISTEN
  return socket.connected ? TCP_ESTABLISHED : TCP_CLOSE
}

/** SOCK_DIAG_BY_FAMILY of AF_UNIX. */
export function diagnoseUnix(socket: NetlinkSocket, task: Task, request: Request): number {
  const { bytes, view } = request
  if (bytes.length < HEADER_SIZE + REQUEST_SIZE) return -EINVAL
  const states = view.getUint32(HEADER_SIZE + 4, true)
  const inode = view.getUint32(HEADER_SIZE + 8, true)
  const show = view.getUint32(HEADER_SIZE + 12, true)
  const all = socketsIn(task.nsproxy.net)
  if ((request.flags & DUMP) !== 0) {
    const write = (each: UnixSocket): boolean => {
      // Connections that wait to be accepted have no inode, and are not told.
      if (((states >>> unixState(each)) & 1) === 0 || inodeOf(each) === 0) return false
      writeSocket(task, each, show)
      return true
    }
    return socket.dump(request, new SocketDump(request, all, write))
  }
  if (inode === 0) return -EINVAL
  const found = all.find(each => inodeOf(each) === inode)
  if (found === undefined) return -ENOENT
  const refused = checkCookie(task, found, request, HEADER_SIZE + 16)
  if (refused < 0) return refused
  begin(request, socket.port)
  writeSocket(task, found, show)
  socket.reply(end())
  return 0
}

/** struct unix_diag_msg and its attributes. */
function writeSocket(task: Task, socket: UnixSocket, show: number): void {
  const { name, inode, peer, pending } = socket
  writer.u8(AF_UNIX, socket.type, unixState(socket), 0).u32(inodeOf(socket))
  writeCookie(task, socket)
  if ((show & SHOW_NAME) !== 0 && name !== '') {
    const length = writeName(name, sockaddr)
    writer.attribute(NAME, sockaddr.subarray(2, length))
  }
  if ((show & SHOW_VFS) !== 0 && inode !== null)
    writer.attribute(VFS, words(inode.ino, kernelDevice(inode.sb.dev)))
  if ((show & SHOW_PEER) !== 0 && peer !== null) writer.numberAttribute(PEER, inodeOf(peer))
  if ((show & SHOW_ICONS) !== 0 && socket.listening)
    writer.attribute(ICONS, words(...pending.map(each => (each.peer ? inodeOf(each.peer) : 0))))
  if ((show & SHOW_RQLEN) !== 0) {
    const [received, sent] = socket.listening
      ? [pending.length, socket.backlog]
      : [socket.unread(), socket.unsent()]
    writer.attribute(RQLEN, words(Math.max(0, received), Math.max(0, sent)))
  }
  if ((show & SHOW_MEMINFO) !== 0) writer.attribute(MEMINFO, memoryOf(task, socket))
  writer.byteAttribute(SHUTDOWN, shutdownOf(socket))
  if ((show & SHOW_UID) !== 0)
    writer.numberAttribute(UID, task.creds.userNs.showUid(socket.file?.inode.uid ?? 0))
}

/** The number of a device as it is inside of the kernel: twenty bits are the minor one. */
function kernelDevice(dev: number): number {
  const major = (dev >>> 8) & 0xfff
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00)
  return ((major << 20) | minor) >>> 0
}

const words = (...values: number[]): Uint8Array =>
  new Uint8Array(Uint32Array.from(values, value => value >>> 0).buffer)
