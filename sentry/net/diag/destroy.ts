// SOCK_DESTROY: a privileged program ends a connection of others, as `ss -K` does.

import { ECONNABORTED, EOPNOTSUPP, EPERM } from '../../../syscall-table/errno.ts'
import { CAP_NET_ADMIN } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { TcpSocket } from '../inet/tcp.ts'
import { UdpSocket } from '../inet/udp.ts'
import type { Request } from '../netlink/message.ts'
import type { NetlinkSocket } from '../netlink/netlink-socket.ts'
import { findOne } from './inet-diag.ts'

/** tcp_abort and udp_abort. Connections of the host are its own. */
export function destroyInet(_socket: NetlinkSocket, task: Task, request: Request): number {
  const found = findOne(task, request)
  if (typeof found === 'number') return found
  if (!task.creds.capableIn(task.nsproxy.net.owner!, CAP_NET_ADMIN)) return -EPERM
  const { socket } = found
  if (!(socket instanceof TcpSocket) && !(socket instanceof UdpSocket)) return -EOPNOTSUPP
  socket.abort(ECONNABORTED)
  return 0
}
