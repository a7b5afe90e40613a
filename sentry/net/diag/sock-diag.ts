// NETLINK_SOCK_DIAG: sock_diag(7), net/core/sock_diag.c. Programs ask for the sockets of their network namespace, by family.

import { EINVAL, ENOENT, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  AF_MAX,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { HEADER_SIZE, type Request } from '../netlink/message.ts'
import type { NetlinkSocket, RequestHandler } from '../netlink/netlink-socket.ts'
import { destroyInet } from './destroy.ts'
import { diagnoseInet, diagnoseOld } from './inet-diag.ts'
import { diagnoseNetlink } from './netlink-diag.ts'
import { diagnosePackets } from './packet-diag.ts'
import { SOCK_DIAG_BY_FAMILY } from './reply.ts'
import { diagnoseUnix } from './unix-diag.ts'

/** The request of TCP alone that was there first. */
const TCPDIAG_GETSOCK = 18
const SOCK_DESTROY = 21

interface Handler {
  dump: RequestHandler
  destroy?: RequestHandler
}

const HANDLERS = new Map<number, Handler>([
  [AF_INET, { dump: diagnoseInet, destroy: destroyInet }],
  [AF_INET6, { dump: diagnoseInet, destroy: destroyInet }],
  [AF_UNIX, { dump: diagnoseUnix }],
  [AF_NETLINK, { dump: diagnoseNetlink }],
  [AF_PACKET, { dump: diagnosePackets }],
])

/** Answer one request. */
export function handleDiag(socket: NetlinkSocket, task: Task, request: Request): number {
  const { type, bytes } = request
  if (type === TCPDIAG_GETSOCK) return diagnoseOld(socket, task, request)
  if (type !== SOCK_DIAG_BY_FAMILY && type !== SOCK_DESTROY) return -EINVAL
  // struct sock_diag_req.
  if (bytes.length < HEADER_SIZE + 2) return -EINVAL
  const family = bytes[HEADER_SIZE]!
  if (family >= AF_MAX) return -EINVAL
  const handler = HANDLERS.get(family)
  if (handler === undefined) return -ENOENT
  if (type === SOCK_DIAG_BY_FAMILY) return handler.dump(socket, task, request)
  return handler.destroy?.(socket, task, request) ?? -EOPNOTSUPP
}
